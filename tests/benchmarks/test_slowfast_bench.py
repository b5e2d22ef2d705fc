"""`edgekit bench` of a SlowFast: the engine on made-up numbers, the pipeline with a pass on every frame."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from action_nets import save, whole_net

from edgekit.bench.calls import to_time
from edgekit.bench.cases import Settings, cases
from edgekit.engine.exact import open_exact
from edgekit.errors import InputError
from edgekit.evaluate.opened import exact_task
from edgekit.files import PACKAGE


def test_engine_and_pipeline_are_timed(tmp_path: Path, shelf: Path) -> None:
    (shelf / "edgekit-person.onnx").symlink_to(PACKAGE.parent / "engines" / "edgekit-person.onnx")
    path = save(whole_net(), tmp_path / "net.onnx")
    case = {"model": str(path), "batch": 1, "calibration": "", "detector": ""}
    with ExitStack() as stack, open_exact(path, "fp32", "onnxruntime-cpu") as engine:
        for part in ("engine", "pipeline"):
            step, stages = to_time(stack, engine, {**case, "part": part})
            step()
            step()
            assert stages()["infer"] > 0


def test_a_set_of_pictures_scores_no_actions(tmp_path: Path) -> None:
    path = save(whole_net(), tmp_path / "net.onnx")
    with pytest.raises(InputError, match="names actions"):
        cases(Settings(models=[str(path)], backends=["onnxruntime-cpu"], dataset=str(tmp_path)))
    with (
        open_exact(path, "fp32", "onnxruntime-cpu") as engine,
        pytest.raises(InputError, match="names actions"),
        exact_task(engine, path, scored=True),
    ):
        pass
