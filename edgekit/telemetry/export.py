"""A log as a table: one row a sample, in CSV or Parquet, for spreadsheets and pandas."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.files import atomic_write
from edgekit.telemetry.log import Log, read_log

FORMATS = ("csv", "parquet")
#: Fields that are dictionaries, and the columns that they become.
_TABLES = {
    "rails_mw": "rail_{}_mw",
    "temps_c": "temp_{}_c",
    "energy_mj": "energy_{}_mj",
    "oc_events": "{}_events",
}
#: What a column holds, for Parquet; all others hold numbers.
_KINDS = {
    "text": {"t_wall_iso", "source", "power_total_name", "power_total_kind", "power_mode", "throttle",
             "missing", "events"},
    "bool": {"emulated", "jetson_clocks"},
    "int": {"seq"},
}  # fmt: skip


def export(path: Path | str, form: str, out: Path | str | None = None) -> Path:
    """Write the log at `path` as a table, and return the table's path.

    What is unknown stays empty. Units stand in the names of the columns: `rail_VDD_IN_mw`, `temp_cpu_c`,
    `energy_gpu0_mj`. `missing` says why a field is unknown; `events` holds what happened since the row
    before (gaps, throttling, another total).

    Args:
        path: as of `read_log`.
        form: "csv" or "parquet".
        out: file to write; by default the log's own name with another ending.

    Raises:
        InputError: the log cannot be read, or `out` cannot be written.
        MissingError: Parquet without pyarrow.
    """
    path = Path(path)
    if form not in FORMATS:
        raise InputError(f"--export {form} is not known; there are {' and '.join(FORMATS)}.")
    write = _write_csv if form == "csv" else _parquet_writer()
    log = read_log(path)
    out = Path(out) if out else (path / path.name if path.is_dir() else path).with_suffix(f".{form}")
    if out.resolve() == path.resolve():
        raise InputError(f"{out} is the log itself; choose another --out.")
    try:
        with atomic_write(out) as scratch:
            write(table(log), log, scratch)
    except OSError as error:
        raise EdgekitError(f"{out} cannot be written: {error.strerror or error}.") from error
    return out


def table(log: Log) -> dict[str, list[Any]]:
    """Columns by name, as lists of N numbers, texts or None."""
    samples = log.samples()
    columns: dict[str, list[Any]] = {}
    names = {field: sorted({n for s in samples for n in getattr(s, field)}) for field in _TABLES}
    for field in samples[0].to_dict() if samples else ():
        values = [getattr(sample, field) for sample in samples]
        if field in _TABLES:
            for name in names[field]:
                columns[_TABLES[field].format(name)] = [cell.get(name) for cell in values]
        elif field == "throttle":
            columns[field] = ["; ".join(reasons) or None for reasons in values]
        elif field == "missing":
            columns[field] = ["; ".join(f"{n}: {why}" for n, why in cell.items()) or None for cell in values]
        else:
            columns[field] = values
    if samples:
        columns["events"] = _events(log)
    return columns


def _events(log: Log) -> list[str | None]:
    """The words of the events between each sample and the one before; the last one has those after it too."""
    told: list[list[str]] = [[] for _ in log.t]
    for event in log.events:
        row = min(int(log.t.searchsorted(event.t_boot_s)), len(told) - 1)
        told[row].append(f"{event.event}: {event.text}")
    return ["; ".join(words) or None for words in told]


def _write_csv(columns: dict[str, list[Any]], log: Log, path: Path) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _parquet_writer() -> Any:
    """The function that writes Parquet; MissingError where pyarrow is absent."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingError(
            "pyarrow, which writes Parquet, is not installed; cure: pip install 'edgekit[parquet]', "
            "or --export csv."
        ) from error

    def write(columns: dict[str, list[Any]], log: Log, path: Path) -> None:
        types = {"text": pyarrow.string(), "bool": pyarrow.bool_(), "int": pyarrow.int64()}
        fields = []
        for name in columns:
            kind = next((kind for kind, names in _KINDS.items() if name in names), "")
            fields.append(pyarrow.field(name, types.get(kind, pyarrow.float64())))
        about = {"edgekit_log": json.dumps(log.header, ensure_ascii=False)}
        schema = pyarrow.schema(fields, metadata=about)
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path)

    return write
