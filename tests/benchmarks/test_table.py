"""Speed-ups, the front, and what is written."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from bench_nets import row

from edgekit.bench import Found, Settings
from edgekit.bench.output import to_text, write
from edgekit.bench.table import HEAD, pareto, speed

ABOUT = {
    **{
        "device": "Orin",
        "board": None,
        "cpu": "A78",
        "os": "L4T",
        "sampler": "jtop",
        "power": "jtop, VDD_IN",
    },
    **{"emulated": False, "power_mode": "15W", "jetson_clocks": True, "idle_w": 4.0, "date": "2026-01-01"},
}


def sweep_rows() -> list[dict]:
    """The seed's YOLOv3-SPP on a Tesla T4, before and after TensorRT."""
    before, after = (54.1, 93.9, 172.6, 322.8), (20.1, 33.7, 60.5, 115.5)
    batches = (1, 2, 4, 8)
    slow = [row(backend="pytorch", batch=b, latency_ms=ms) for b, ms in zip(batches, before, strict=True)]
    fast = [
        row(backend="tensorrt", precision="fp16", batch=b, latency_ms=ms, util_of="GPU")
        for b, ms in zip(batches, after, strict=True)
    ]
    return slow + fast


def column(cells: list, name: str) -> list:
    return [line[HEAD.index(name)] for line in cells]


def test_the_seeds_own_table() -> None:
    """As it stands in the README of AlphaPose_trt, latencies in, the rest computed."""
    _, cells, notes = speed(sweep_rows())
    throughput = [18.48, 21.30, 23.17, 24.78, 49.75, 59.35, 66.12, 69.26]
    np.testing.assert_allclose(column(cells, "pictures/s"), throughput, atol=0.01)
    np.testing.assert_allclose(column(cells, "latency ×")[4:], [2.7, 2.8, 2.9, 2.8], atol=0.05)
    np.testing.assert_allclose(column(cells, "throughput ×")[4:], [2.7, 2.8, 2.9, 2.8], atol=0.05)
    assert column(cells, "latency ×")[:4] == [1, 1, 1, 1]
    assert notes == ["m: speed-ups against pytorch fp32, same part and batch"]


def test_a_baseline_can_be_named_and_what_it_lacks_is_a_dash() -> None:
    rows = [r for r in sweep_rows() if not (r["backend"] == "tensorrt" and r["batch"] == 8)]
    _, cells, notes = speed(rows, "tensorrt:fp16")
    assert "against tensorrt fp16" in notes[0]
    assert column(cells, "latency ×")[0] == pytest.approx(20.1 / 54.1)
    assert column(cells, "latency ×")[3] is None
    assert column(speed(rows, "onnxruntime-cuda")[1], "latency ×") == [None] * len(rows)


def test_failed_and_spoilt_rows_are_marked_and_explained() -> None:
    rows = [
        row(),
        row(backend="tensorrt", unclean=["clocks were held down"]),
        row(backend="pytorch", failed="it crashed"),
    ]
    rows.append(row(backend="onnxruntime-cuda", throttling_unknown="nobody counts it"))
    _, cells, notes = speed(rows)
    assert column(cells, "clean") == ["yes", "no", "failed", "unknown"]
    assert "throttling cannot be told: nobody counts it" in notes
    assert any("clocks were held down" in note for note in notes)
    assert any("it crashed" in note for note in notes)


def scored(ap: float, ms: float, joules: float | None, name: str) -> list[dict]:
    return [
        row(part="accuracy", backend=name, AP=ap, AP50=ap),
        row(part="pipeline", backend=name, latency_ms=ms, j_per_frame=joules),
        row(part="engine", backend=name, latency_ms=0.1),
    ]


def test_the_front_is_what_nothing_beats() -> None:
    rng = np.random.default_rng(0)
    for with_joules in (True, False):
        points = rng.integers(1, 6, (12, 3)).astype(float)
        rows = [
            r
            for i, (ap, ms, j) in enumerate(points)
            for r in scored(ap / 10, ms, j if with_joules else None, f"b{i}")
        ]
        found = {r["backend"]: r for r in pareto(rows)}
        goals = points * [-1, 1, 1] if with_joules else points[:, :2] * [-1, 1]
        for i, j in product(range(12), repeat=2):
            if (goals[j] <= goals[i]).all() and (goals[j] < goals[i]).any():
                assert not found[f"b{i}"]["front"]
        front = [i for i in range(12) if found[f"b{i}"]["front"]]
        assert front
        for i in front:
            assert not ((goals <= goals[i]).all(1) & (goals < goals[i]).any(1)).any()
        assert [r["AP"] for r in pareto(rows)] == sorted((r["AP"] for r in found.values()), reverse=True)
        assert {r["latency_ms"] for r in found.values()} == set(points[:, 1]), "of the pipeline"


def test_files_hold_the_figures_the_reasons_and_the_command(tmp_path: Path) -> None:
    rows = [
        *scored(0.5, 20, 1.5, "onnxruntime-cpu"),
        *scored(0.4, 10, 0.5, "tensorrt"),
        row(backend="pytorch", unclean=["clocks were held down (thermal)"], emulated=True),
        row(backend="onnxruntime-cuda", failed="killed by SIGKILL"),
    ]
    found = Found(Settings(), rows, ["int8: not here"], {**ABOUT, "emulated": True})
    paths = write(found, tmp_path, ("markdown", "csv", "html"), "edgekit bench --batch 1")
    assert [p.name for p in paths] == ["bench.md", "bench.csv", "pareto.csv", "bench.html"]
    for text in ((tmp_path / "bench.md").read_text(), (tmp_path / "bench.html").read_text(), to_text(found)):
        for words in (
            "held down (thermal)",
            "killed by SIGKILL",
            "int8: not here",
            "15W",
            "emulated",
            "jtop, VDD",
        ):
            assert words in text.replace("\\", ""), words
    for text in ((tmp_path / "bench.md").read_text(), (tmp_path / "bench.html").read_text()):
        assert "edgekit bench --batch 1" in text
    with open(tmp_path / "bench.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["clean"] for line in lines] == ["yes"] * 4 + ["no", "failed"]
    assert lines[4]["why not clean"] == "clocks were held down (thermal)"
    assert lines[0]["latency ms"] == "20" or float(lines[0]["latency ms"]) == 20
    with open(tmp_path / "pareto.csv", newline="") as file:
        assert [line["front"] for line in csv.DictReader(file)] == ["*", "*"]


def test_columns_without_figures_are_left_out_with_their_reason() -> None:
    text = to_text(Found(Settings(), [row(), row(backend="tensorrt")], [], ABOUT))
    assert "J/picture" not in text
    assert "power: no meter" in text
    assert "trtexec ms" not in text
