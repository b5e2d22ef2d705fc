"""Bench of pose models: the engine, with its detector, whole, and scored; AlphaPose's three tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_nets import row
from pose_world import detector, drawn_people, pose_net

from edgekit import InputError
from edgekit.bench.cases import Settings, cases
from edgekit.bench.output import tables_text, write_tables
from edgekit.bench.sweep import Found
from edgekit.bench.tables import DETECTOR, HEAD, POSE, Tables, alphapose, pairs, table_cells
from edgekit.bench.worker import measure
from edgekit.cli import main
from edgekit.tasks.choose import model_kind

QUICK = {"seconds": 0.01, "iterations": 3, "warm_up": 0.0}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Detector and pose network."""
    return detector(tmp_path / "finder.onnx"), pose_net(tmp_path / "pose.onnx")


def case(pair: tuple[Path, Path], part: str, batch: int = 2, **more: Any) -> dict[str, Any]:
    model = {"model": str(pair[1]), "detector": str(pair[0]), "precision": "fp32"}
    return {
        **model,
        **{"backend": "onnxruntime-cpu", "batch": batch, "calibration": "", "part": part, **QUICK},
        **more,
    }


def test_each_part_measures_what_it_says(pair: tuple[Path, Path], tmp_path: Path) -> None:
    engine = measure(case(pair, "engine", detector=""))
    assert set(engine["stages_ms"]) == {"upload", "infer", "download"}
    both = measure(case(pair, "both"))
    assert set(both["stages_ms"]) == {"detect", "pose"}
    assert both["stages_ms"]["pose"] > 0
    assert both["latency_ms"] >= 0.5 * sum(both["stages_ms"].values())
    whole = measure(case(pair, "pipeline"))
    assert set(whole["stages_ms"]) == {"pre", "infer", "post"}
    folder = drawn_people(tmp_path / "set")
    scored = measure(case(pair, "accuracy", 1, dataset=str(folder)))
    assert scored["AP"] > 0.8
    assert scored["pictures"] == 2


def test_the_detector_takes_the_same_batch_and_precision(pair: tuple[Path, Path], monkeypatch: Any) -> None:
    from edgekit.engine import exact

    asked = []
    real = exact.open_exact

    def spy(model: Any, precision: str, backend: str = "auto", **how: Any) -> Any:
        asked.append((Path(model).name, precision, backend, how["batch"]))
        return real(model, precision, backend, **how)

    monkeypatch.setattr(exact, "open_exact", spy)
    measure(case(pair, "both", 3))
    assert asked == [
        ("pose.onnx", "fp32", "onnxruntime-cpu", 3),
        ("finder.onnx", "fp32", "onnxruntime-cpu", 3),
    ]


def test_the_detector_is_part_of_what_a_row_is_known_by(pair: tuple[Path, Path], tmp_path: Path) -> None:
    settings = Settings((str(pair[1]),), ("fp32",), backends=("onnxruntime-cpu",), detector=str(pair[0]))
    engine, pipeline = cases(settings)
    assert (engine.detector, pipeline.detector) == ("", str(pair[0]))
    other = detector(tmp_path / "other.onnx", scores=(0.5, 0.5))
    again = Settings((str(pair[1]),), ("fp32",), backends=("onnxruntime-cpu",), detector=str(other))
    same, changed = cases(again)
    assert same.key == engine.key
    assert changed.key != pipeline.key
    (alone, _) = cases(Settings((str(pair[0]),), ("fp32",), backends=("onnxruntime-cpu",)))
    assert alone.detector == ""
    with pytest.raises(InputError, match="no top-down pose network"):
        cases(Settings((str(pair[0]),), backends=("onnxruntime-cpu",), parts=("both",)))


def test_kinds_of_models(pair: tuple[Path, Path], net: Path) -> None:
    assert model_kind(pair[1], pair[1]) == "topdown"
    assert model_kind(pair[0], pair[0]) == model_kind(net, net) == "yolo"
    assert model_kind("trtpose-resnet18", Path("not.here")) == "trtpose"


@pytest.mark.slow
def test_the_three_tables_of_real_networks(pair: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    words = ["bench", str(pair[1]), "--tables", "alphapose", "--detector", str(pair[0]), "--batch", "1", "2"]
    quick = ["--seconds", "0.01", "--iterations", "3", "--warm-up", "0", "--sampler", "none"]
    out = tmp_path / "out"
    assert main([*words, *quick, "--backend", "onnxruntime-cpu", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for heading in ("2.1 finder.onnx", "2.2 pose.onnx", "2.3 finder.onnx + pose.onnx"):
        assert f"{heading} speed up" in text
    assert {p.name for p in out.iterdir()} == {"rows.jsonl", "tables.md", "tables.csv", "tables.html"}
    lines = (out / "tables.csv").read_text().splitlines()
    assert lines[0] == "table," + ",".join(HEAD)
    assert len(lines) == 1 + 3 * 2
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [(r["part"], r["batch"]) for r in rows] == [
        (p, b) for p in ("engine", "engine", "both") for b in (1, 2)
    ]


def sizes(backend: str, precision: str, latency: float, part: str = "engine") -> list[dict[str, Any]]:
    gpu = {"util_of": "GPU", "util_pct": 87.0} if backend == "tensorrt" else {}
    return [
        row(part=part, backend=backend, precision=precision, batch=b, latency_ms=latency * b**0.5, **gpu)
        for b in (1, 4)
    ]


def test_columns_are_the_systems_own_and_speed_ups_are_against_its_first_rows() -> None:
    rows = [*sizes("tensorrt", "fp16", 20.1), *sizes("pytorch", "fp32", 54.1)]
    found = table_cells("yolov3-spp", Found(Settings(), rows))
    assert [line[0] for line in found] == ["yolov3-spp, pytorch fp32", "", "yolov3-spp, tensorrt fp16", ""]
    assert [line[1] for line in found] == [1, 4, 1, 4]
    assert found[1][3] == pytest.approx(1000 / found[1][2] * 4)
    assert [line[4] for line in found] == pytest.approx([1, 1, 54.1 / 20.1, 54.1 / 20.1])
    assert [line[5] for line in found] == pytest.approx([1, 1, 54.1 / 20.1, 54.1 / 20.1])
    assert found[2][6] == "87%"
    assert str(found[0][6]) == "–"
    assert "on the CPU" in found[0][6].reason
    other = table_cells("yolov3-spp", Found(Settings(baseline="tensorrt"), rows))
    assert other[0][0].endswith("tensorrt fp16")


def test_a_failed_row_stays_in_its_table(tmp_path: Path) -> None:
    rows = [*sizes("pytorch", "fp32", 10), row(backend="tensorrt", precision="fp16", failed="out of memory")]
    about = {"device": "d", "cpu": "c", "os": "o", "power": "none", "emulated": False, "date": "today"}
    about |= {"sampler": "none", "power_mode": None, "jetson_clocks": None, "idle_w": None}
    found = Found(Settings(), rows, [], about)
    from edgekit.bench.output import Shown

    made = Tables([Shown("2.1", HEAD, table_cells("m", found))], [found], ["m tensorrt: out of memory"])
    assert "out of memory" in tables_text(made)
    (file,) = write_tables([made], tmp_path, ("csv",), "edgekit bench")
    assert file.read_text().splitlines()[-1].startswith('2.1,"m, tensorrt fp16",1,,')


def test_which_models_and_batches(pair: tuple[Path, Path], monkeypatch: Any) -> None:
    finder, model = map(str, pair)
    asked: list[tuple] = []

    def swept(settings: Settings, say: Any) -> Found:
        asked.append((settings.models, settings.parts, settings.batches, settings.detector))
        return Found(settings)

    monkeypatch.setattr("edgekit.bench.tables.sweep", swept)
    alphapose(Settings(), finder, model)
    assert [a[0] for a in asked] == [(finder,), (model,), (model,)]
    assert [a[1] for a in asked] == [("engine",), ("engine",), ("both",)]
    assert [a[2] for a in asked] == [DETECTOR, POSE, DETECTOR]
    assert {a[3] for a in asked} == {finder}
    assert pairs(None, None) == [("edgekit-person", "edgekit-fastpose")], "the original pair is not here"
    assert pairs("a.onnx", None) == [("edgekit-person", "a.onnx")]


def test_one_clear_error(pair: tuple[Path, Path], capsys: Any) -> None:
    for words, message in (
        ([str(pair[1]), str(pair[0])], "--tables takes one pose model"),
        ([str(pair[0])], "no top-down pose network"),
    ):
        given = ["bench", *words, "--tables", "alphapose", "--detector", str(pair[0]), "--backend"]
        assert main([*given, "onnxruntime-cpu", "--seconds", "0.01", "--sampler", "none"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.parametrize("part", ["engine", "both", "pipeline"])
def test_every_part_runs_on_tensorrt(pair: tuple[Path, Path], part: str) -> None:
    found = measure(case(pair, part, 2, backend="tensorrt", precision="fp16"))
    assert (found["backend"], found["precision"]) == ("tensorrt", "fp16")
    assert found["latency_ms"] > 0
