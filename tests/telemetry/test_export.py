"""Logs as CSV and Parquet, read back by other readers than the kit's."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.cli import main
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.telemetry.export import export
from edgekit.telemetry.log import LogWriter, read_log
from edgekit.telemetry.sample import Event, Sample

SAMPLES = [
    Sample(
        100.0 + i / 2,
        f"2026-11-21T10:00:0{i}.000Z",
        "jtop 4.3.2",
        seq=i,
        power_total_mw=None if i == 2 else 5000.125 + i,
        power_total_name="VDD_IN",
        power_total_kind="input",
        rails_mw={"VDD_IN": 5000.125 + i, 'odd, "rail"': 0.0},
        energy_mj={"gpu0": 1e9 + i},
        temps_c={"cpu": 48.5} if i else {},
        gpu_load_pct=float(i),
        jetson_clocks=bool(i % 2),
        oc_events={"oc1": i},
        throttle=("thermal", "power cap") if i == 1 else (),
        missing={"power_total_mw": "asleep", "fan_pct": "no fan"} if i == 2 else {},
    )
    for i in range(5)
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    with LogWriter(tmp_path / "run.jsonl", interval_s=0.5, source="jtop 4.3.2") as writer:
        for one in SAMPLES:
            writer.write(one)
            if one.seq == 2:
                writer.write(Event(101.2, "", "gap", "the service died"))
        writer.write(Event(110.0, "", "gap", "and stayed dead"))
    return tmp_path / "run.jsonl"


def check(rows: list[dict[str, Any]], empty: Any) -> None:
    """Rows of numbers as numbers."""
    assert [row["power_total_mw"] for row in rows] == [5000.125, 5001.125, empty, 5003.125, 5004.125]
    assert [row["rail_VDD_IN_mw"] for row in rows] == [5000.125 + i for i in range(5)]
    assert [row['rail_odd, "rail"_mw'] for row in rows] == [0.0] * 5
    assert [row["temp_cpu_c"] for row in rows] == [empty, 48.5, 48.5, 48.5, 48.5]
    assert [row["energy_gpu0_mj"] for row in rows] == [1e9 + i for i in range(5)]
    assert [row["oc1_events"] for row in rows] == list(range(5))
    assert [row["t_boot_s"] for row in rows] == [100.0, 100.5, 101.0, 101.5, 102.0]
    assert [row["throttle"] for row in rows] == [empty, "thermal; power cap", empty, empty, empty]
    assert [row["fan_pct"] for row in rows] == [empty] * 5
    assert rows[2]["missing"] == "power_total_mw: asleep; fan_pct: no fan"
    told = ["gap: the service died", "gap: and stayed dead"]
    assert [row["events"] for row in rows] == [empty, empty, empty, *told]


def test_csv(log: Path) -> None:
    out = export(log, "csv")
    assert out == log.with_suffix(".csv")
    with open(out, encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    texts = {"t_wall_iso", "source", "power_total_name", "power_total_kind", "throttle", "missing", "events",
             "emulated", "jetson_clocks", "power_mode"}  # fmt: skip
    for row in rows:
        for name, value in row.items():
            if value and name not in texts:
                row[name] = float(value)
    check(rows, "")
    assert rows[0]["emulated"] == "False"


def test_parquet(log: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    out = export(log, "parquet", tmp_path / "deep" / "table.parquet")
    table = pyarrow.parquet.read_table(out)
    check(table.to_pylist(), None)
    assert table.schema.field("fan_pct").type == "double"
    assert table.schema.field("seq").type == "int64"
    assert table.schema.field("jetson_clocks").type == "bool"
    assert json.loads(table.schema.metadata[b"edgekit_log"])["source"] == "jtop 4.3.2"
    watts = table.column("power_total_mw").to_numpy() / 1000
    np.testing.assert_array_equal(watts, read_log(log).power_w)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_log_without_samples(tmp_path: Path, form: str) -> None:
    LogWriter(tmp_path / "run.jsonl", interval_s=0.5, source="none").close()
    assert export(tmp_path / "run.jsonl", form).is_file()


def test_without_pyarrow(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingError, match=r"edgekit\[parquet\].*--export csv"):
        export(log, "parquet")
    assert not log.with_suffix(".parquet").exists()


def test_a_table_that_cannot_be_written_leaves_nothing(log: Path, tmp_path: Path) -> None:
    before = log.read_bytes()
    (tmp_path / "out").mkdir()
    with pytest.raises(EdgekitError, match="out cannot be written"):
        export(log, "csv", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "run.jsonl"]
    with pytest.raises(InputError, match="is the log itself"):
        export(log, "csv", log)
    assert log.read_bytes() == before
    with pytest.raises(InputError, match="--export xls"):
        export(log, "xls")


def test_an_export_that_is_killed_leaves_the_old_table(log: Path) -> None:
    """Killed while it writes the new one."""
    out = log.with_suffix(".csv")
    out.write_text("the old one")
    script = (
        "import os, signal, sys, csv\n"
        "from edgekit.telemetry import export\n"
        "class Dies:\n"
        "    def __init__(self, file): self.file = file\n"
        "    def writerow(self, row): self.file.write('half'); self.file.flush()\n"
        "    def writerows(self, rows): os.kill(os.getpid(), signal.SIGKILL)\n"
        "export.csv.writer = Dies\n"
        "export.export(sys.argv[1], 'csv')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(log)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert out.read_text() == "the old one"


def test_the_command_line(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "--export", "csv", str(log)]) == 0
    assert capsys.readouterr().out.strip() == str(log.with_suffix(".csv"))
    out = log.with_name("t.parquet")
    assert main(["log", "--export", "parquet", str(log), "--out", str(out)]) == 0
    assert out.is_file()
    assert main(["log", "--export", "csv"]) == 2
    assert main(["log", "--export", "csv", str(log.with_name("away.jsonl"))]) == 2
    assert "away.jsonl does not exist" in capsys.readouterr().err
