"""A log of samples as columns on one clock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.telemetry.sample import Event, Sample

Column = NDArray[np.float64]
Row = dict[str, Any]

#: Fields of a sample that become a column each.
_NUMBERS = ("power_total_mw", "gpu_load_pct", "gpu_freq_khz", "cpu_load_pct", "ram_used_kb", "fan_pct")
#: Fields that are dictionaries, and become a column for each name.
_TABLES = ("rails_mw", "temps_c", "energy_mj", "oc_events")


@dataclass(frozen=True, eq=False)
class Log:
    """N samples, as columns.

    Attributes:
        t: seconds on `boot_clock`, float64 [N], rising.
        power_w: total power, float64 [N]; NaN where unknown, as in all columns.
        rails_w: {rail: float64 [N]}; never to be added to a total of kind "input".
        temps_c: {zone: float64 [N]}.
        energy_j: {meter: float64 [N]}, counters of the hardware, cumulative.
        oc_events: {name: float64 [N]}, cumulative counters of over-current events.
        gpu_load_pct, gpu_freq_khz, cpu_load_pct, ram_used_kb, fan_pct: float64 [N].
        power_mode: name of the mode at each sample, or None.
        throttle: reasons for which the clocks were held down, at each sample.
        power_total_name, power_total_kind: of the newest sample that has a total; None where none has.
        events: gaps, changes of the total, throttling.
        header: of the newest part.
        interval_s: seconds between samples as asked for.
        source: who measured, with version, by the newest sample.
        emulated: any of it comes from an emulated board, and is no measurement.
        missing: {field: why it is not known}, by the newest sample.
    """

    t: Column
    power_w: Column
    rails_w: dict[str, Column]
    temps_c: dict[str, Column]
    energy_j: dict[str, Column]
    oc_events: dict[str, Column]
    gpu_load_pct: Column
    gpu_freq_khz: Column
    cpu_load_pct: Column
    ram_used_kb: Column
    fan_pct: Column
    power_mode: list[str | None]
    throttle: list[tuple[str, ...]]
    power_total_name: str | None
    power_total_kind: str | None
    events: list[Event]
    header: dict[str, Any]
    interval_s: float
    source: str
    emulated: bool
    missing: dict[str, str]
    _lines: Sequence[bytes | Sample] = field(repr=False)

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def of(cls, samples: Iterable[Sample], interval_s: float, events: Iterable[Event] = ()) -> Log:
        """Of samples in memory, in the order of their time; InputError where they are not."""
        kept = list(samples)
        columns = Columns()
        try:
            columns.add([sample.to_dict() for sample in kept])
        except ValueError as error:
            raise InputError(f"these samples make no log: {error}.") from error
        header = {"interval_s": interval_s, "source": kept[-1].source if kept else "none", "emulated": False}
        return columns.log(header, list(events), kept)

    def samples(self, newest: int = 0) -> list[Sample]:
        """Every sample with all its fields, or so many of the newest."""
        return [
            line if isinstance(line, Sample) else Sample.from_dict(json.loads(line))
            for line in self._lines[-newest:]
        ]

    @property
    def label(self) -> str:
        """For titles: who measured what, or that nobody did."""
        if self.emulated:
            source = self.source if "emulated" in self.source else f"emulated {self.source}"
            return f"{source}, no measurement"
        if self.power_total_name is None:
            return f"power unknown: {self.missing.get('power_total_mw', f'{self.source} does not tell')}"
        return f"{self.source}, {self.power_total_name}"


class Columns:
    """Columns that grow batch by batch."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers: dict[str, list[Column]] = {name: [] for name in ("t_boot_s", *_NUMBERS)}
        self.tables: dict[str, dict[str, list[Column]]] = {name: {} for name in _TABLES}
        self.power_mode: list[str | None] = []
        self.throttle: list[tuple[str, ...]] = []
        self.total: tuple[str | None, str | None] = (None, None)
        self.last: Row = {}
        self.last_t = -np.inf
        self.emulated = False

    def add_checked(self, rows: list[Row], path: Path, lines: list[int]) -> None:
        """`add`; a row that is none is named."""
        try:
            self.add(rows)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            for row, line in zip(rows, lines, strict=True):
                try:
                    self.add([row])
                except (ValueError, TypeError, LookupError, AttributeError) as why:
                    raise InputError(f"{path}, line {line} is no sample: {words(why)}.") from why
            raise AssertionError("a batch fails where a row of it does") from error

    def add(self, rows: list[Row]) -> None:
        """Add rows; where one is none, nothing is added."""
        if not rows:
            return
        t = np.array([row["t_boot_s"] for row in rows], np.float64)
        if not np.all(np.diff(t, prepend=self.last_t) > 0):
            raise ValueError("its time is not after the sample before it")
        numbers = _table(rows, _NUMBERS)
        tables: dict[str, dict[str, Column]] = {}
        for table in _TABLES:
            cells = [row.get(table) or {} for row in rows]
            tables[table] = _table(cells, sorted(set().union(*cells)))
        throttle = [tuple(row.get("throttle") or ()) for row in rows]

        for name, column in {"t_boot_s": t, **numbers}.items():
            self.numbers[name].append(column)
        for table, columns in tables.items():
            known = self.tables[table]
            for name in known.keys() | columns.keys():
                before = [np.full(self.count, np.nan)] if self.count else []
                chunks = known.setdefault(name, before)
                chunks.append(columns[name] if name in columns else np.full(len(rows), np.nan))
        self.power_mode += [row.get("power_mode") for row in rows]
        self.throttle += throttle
        self.emulated = self.emulated or any(row.get("emulated") for row in rows)
        named = next((row for row in reversed(rows) if row.get("power_total_mw") is not None), None)
        if named:
            self.total = named.get("power_total_name"), named.get("power_total_kind")
        self.count += len(rows)
        self.last, self.last_t = rows[-1], t[-1]

    def log(self, header: Row, events: list[Event], lines: Sequence[bytes | Sample]) -> Log:
        """What came together."""
        numbers = {name: _join(chunks) for name, chunks in self.numbers.items()}
        tables = {
            table: {name: _join(chunks) for name, chunks in sorted(known.items())}
            for table, known in self.tables.items()
        }
        return Log(
            t=numbers.pop("t_boot_s"),
            power_w=numbers.pop("power_total_mw") / 1e3,
            rails_w={name: column / 1e3 for name, column in tables["rails_mw"].items()},
            temps_c=tables["temps_c"],
            energy_j={name: column / 1e3 for name, column in tables["energy_mj"].items()},
            oc_events=tables["oc_events"],
            **numbers,
            power_mode=self.power_mode,
            throttle=self.throttle,
            power_total_name=self.total[0],
            power_total_kind=self.total[1],
            events=events,
            header=header,
            interval_s=float(header["interval_s"]),
            source=str(self.last.get("source", header.get("source", "unknown"))),
            emulated=self.emulated or bool(header.get("emulated")),
            missing=dict(self.last.get("missing") or {}),
            _lines=lines,
        )


def _table(rows: list[Row], names: Sequence[str]) -> dict[str, Column]:
    """A column for each of `names`, NaN where a row has none."""
    if not names:
        return {}
    try:  # as all rows of a log are, but where a zone goes off; three times as quick
        values = np.array(list(map(itemgetter(*names), rows)), np.float64)
    except KeyError:
        values = np.array([[row.get(name) for name in names] for row in rows], np.float64)
    return dict(zip(names, values.reshape(len(rows), len(names)).T.copy(), strict=True))


def _join(chunks: list[Column]) -> Column:
    return np.concatenate(chunks) if chunks else np.empty(0)


def words(error: Exception) -> str:
    """What was wrong with a row, as part of a sentence."""
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
