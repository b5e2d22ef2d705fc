"""What a sweep is made of, and by what a finished row is known again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit import InputError, MissingError
from edgekit.bench.cases import MEASURED, Settings, cases, here
from edgekit.bench.cli import BACKENDS


def test_every_combination_once_and_accuracy_once_a_way(yolo: Path, tmp_path: Path) -> None:
    from made_data import yolo_set

    data = str(yolo_set(tmp_path / "set", {"a": "0 .5 .5 .2 .2"}))
    found = cases(
        Settings(
            models=(str(yolo), str(yolo)),
            precisions=("fp32", "int8"),
            batches=(4, 1, 4),
            backends=("onnxruntime-cpu",),
            dataset=data,
        )
    )
    ways = [(c.part, c.precision, c.batch) for c in found]
    assert len(ways) == len(set(ways)) == 2 * (2 * 2 + 1)
    assert [w for w in ways if w[0] == "accuracy"] == [("accuracy", "fp32", 1), ("accuracy", "int8", 1)]
    assert len({c.key for c in found}) == len(found)


def test_the_key_is_of_what_the_figures_depend_on(yolo: Path, tmp_path: Path) -> None:
    (first,) = cases(Settings((str(yolo),), batches=(1,), backends=("onnxruntime-cpu",), parts=("engine",)))
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(yolo.read_bytes())
    (same,) = cases(Settings((str(moved),), batches=(1,), backends=("onnxruntime-cpu",), parts=("engine",)))
    assert same.key == first.key, "the file counts, not where it lies"
    changed = [
        {"seconds": 9.0},
        {"batch": 2},
        {"precision": "int8"},
        {"part": "pipeline"},
        {"sha256": "0"},
        {"sampler": "none"},
        {"place": (("device", "another"),)},
        {"dataset_digest": "d"},
    ]
    assert len({replace(first, **change).key for change in changed} | {first.key}) == len(changed) + 1


def test_what_is_here_is_what_is_measured_where_nothing_is_said(yolo: Path) -> None:
    there = here()
    assert "onnxruntime-cpu" in there
    assert set(there) <= set(MEASURED) == set(BACKENDS)
    assert {c.backend for c in cases(Settings((str(yolo),)))} == set(there)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"precisions": ("fp8",)}, "precision 'fp8' is unknown"),
        ({"backends": ("openvino",)}, "back end 'openvino'"),
        ({"backends": ("auto",)}, "back end 'auto'"),
        ({"batches": (0,)}, "a batch is 1 or more"),
        ({"batches": ()}, "nothing to measure"),
        ({"seconds": 0.0}, "--seconds"),
        ({"time_limit": -1.0}, "--time-limit"),
    ],
)
def test_settings_that_make_no_sense(settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Settings(**settings)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        cases(Settings((str(tmp_path / "none.onnx"),)))
    with pytest.raises(MissingError, match="yolov8n"):
        cases(Settings(("yolov8n",)))
