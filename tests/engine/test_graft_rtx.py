"""Grafted networks built by TensorRT-RTX, which needs no GPU for it (`test_rtx` builds the plain ones)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build_nets import write_pictures
from graft_nets import OUTPUTS, drawn_rows, fresh, made_net, save

from edgekit.cli import main
from edgekit.engine.build import build
from edgekit.engine.graft_files import grafted_file, note_for
from edgekit.engine.graft_note import NOTE
from edgekit.engine.plan import Plan, read_sidecar

TARGET = "sm86"
ENGINES = Path(__file__).parents[2] / "engines"
SHIPPED = {
    "edgekit-person": ({}, ["uint8", [1, 416, 416, 3]], {"rows": [1, 1000, 7]}),
    "edgekit-trtpose": (
        {},
        ["uint8", [1, 512, 512, 3]],
        {"cmap": [1, 18, 128, 128], "paf": [1, 42, 128, 128]},
    ),
    "edgekit-fastpose": (
        {"pictures": ((1, 256, 192, 3), (2, 256, 192, 3), (8, 256, 192, 3))},
        ["uint8", [None, 256, 192, 3]],
        {"points": [None, 17, 3]},
    ),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf without files: grafted files and plans land in <home>/built."""
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "models.toml").write_bytes((ENGINES / "models.toml").read_bytes())
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


def ahead(file: Path, precision: str = "fp16", shapes: dict | None = None) -> Plan:
    return build(file, precision, shapes, target=TARGET, progress=False)


def into_convolutions(plan: Plan) -> set[str]:
    """Type of what each convolution of the engine takes."""
    layers = [x for x in plan.layers()["layers"] if x["type"] == "correlation" or "Corr" in x["name"]]
    return {layer["inputs"][0]["dtype"] for layer in layers}


@pytest.mark.parametrize(
    ("precision", "dtype"), [pytest.param("fp32", "Float", marks=pytest.mark.slow), ("fp16", "Half")]
)
@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_builds_grafted(home: Path, name: str, precision: str, dtype: str) -> None:
    shapes, entry, outputs = SHIPPED[name]
    file = ENGINES / f"{name}.onnx"
    plan = ahead(grafted_file(file), precision, shapes)
    (given,) = plan.sidecar["inputs"]
    assert [given["dtype"], given["shape"]] == entry
    assert {one["name"]: one["shape"] for one in plan.sidecar["outputs"]} == outputs
    assert into_convolutions(plan) == {dtype}
    assert plan.sidecar["metadata"][NOTE] == note_for(file, file).text()


@pytest.mark.parametrize("head", OUTPUTS)
def test_every_head_builds_grafted(home: Path, tmp_path: Path, head: str) -> None:
    notes = {"recipe": "yolov8" if head == "turned" else head}
    file = save(made_net(drawn_rows(head, fresh()), **notes), tmp_path / f"{head}.onnx")
    plan = ahead(grafted_file(file))
    assert [one["name"] for one in plan.sidecar["outputs"]] == ["output0" if head == "end2end" else "rows"]


@pytest.mark.slow
def test_int8_is_calibrated_with_what_the_network_gets(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command; the steps stay outside of what is quantised."""
    pictures = write_pictures(tmp_path / "pictures", 2)
    command = ["build", str(ENGINES / "edgekit-person.onnx"), "--graft", "--precision", "int8", "--quiet"]
    assert main([*command, "--target", TARGET]) == 2
    assert "int8 needs calibration" in capsys.readouterr().err
    assert main([*command, "--target", TARGET, "--calibration", str(pictures)]) == 0
    assert "2 pictures, Recipe(style='ultralytics'" in capsys.readouterr().out
    (plan,) = home.rglob("*.plan")
    sidecar = read_sidecar(plan)
    assert sidecar["inputs"] == [{"name": "pictures", "shape": [1, 416, 416, 3], "dtype": "uint8"}]
    assert "Int8" in into_convolutions(Plan(plan, sidecar, False, "", "int8"))
    assert np.prod(sidecar["outputs"][0]["shape"]) == 7000
