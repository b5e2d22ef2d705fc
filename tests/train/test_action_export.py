"""`export actions`: TAO's form, answers as PyTorch's, and built by TensorRT-RTX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from action_fill import CLASSES, OF, RGB, SIZE, clip, fill  # noqa: E402
from tao_nets import NOTES, save, tao_net  # noqa: E402

from edgekit.engine.build import build  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.train.action_export import export_actions, metadata  # noqa: E402
from edgekit.train.action_network import ActionNet  # noqa: E402
from edgekit.train.action_spec import Spec, read_spec  # noqa: E402
from edgekit.train.action_weights import load_actions  # noqa: E402

NAMES = ["走", "sit", "fall", "wave"]


def checkpoint(folder: Path, streams: str = "rgb", kind: str = "3d", backbone: str = "resnet18") -> Path:
    with torch.device("meta"):
        network = ActionNet(streams, backbone, kind, CLASSES, RGB, OF, width=0.125)
    state = {f"model.{name}": value for name, value in fill(network.state_dict()).items()}
    path = folder / f"{backbone}-{kind}-{streams}.pth"
    torch.save({"state_dict": state, "names": NAMES}, path)
    return path


def spec_of(path: Path, *overrides: str) -> Spec:
    backbone, kind, streams = path.stem.split("-")
    given = [
        f"model.model_type={streams}",
        f"model.backbone={backbone}",
        f"model.input_type={kind}",
        f"model.rgb_seq_length={RGB}",
        f"model.of_seq_length={OF}",
        "model.width=0.125",
        f"dataset.output_shape=[{SIZE[0]},{SIZE[1]}]",
        f"export.checkpoint={path}",
    ]
    return read_spec(None, [*given, *overrides], "export")


def answers(path: Path, out: Path, spec: Spec, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the file by ONNX Runtime, and of PyTorch."""
    network, _ = load_actions(path, spec.model)
    clips = {name: clip(network.shape(name, SIZE), batch) for name in network.streams}
    session = ort.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    found = session.run(["fc_pred"], {f"input_{name}": value.numpy() for name, value in clips.items()})[0]
    with torch.no_grad():
        return found, network(**clips).numpy()


def shapes(path: Path) -> dict[str, list]:
    graph = onnx.load(path).graph
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.output]
    }


def notes(path: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(path).metadata_props}


@pytest.mark.parametrize(
    ("kind", "streams", "backbone"),
    [
        ("2d", "rgb", "resnet18"),
        ("2d", "of", "resnet50"),
        ("2d", "joint", "resnet18"),
        ("3d", "rgb", "resnet50"),
        ("3d", "of", "resnet18"),
        ("3d", "joint", "resnet18"),
    ],
)
def test_every_form_answers_as_pytorch_does(tmp_path: Path, kind: str, streams: str, backbone: str) -> None:
    path = checkpoint(tmp_path, streams, kind, backbone)
    spec = spec_of(path)
    out = export_actions(spec)
    assert out == path.with_suffix(".onnx"), "beside the checkpoint"
    stacked = kind == "2d"
    wanted: dict[str, list] = {
        "input_rgb": ["batch", 3 * RGB, *SIZE] if stacked else ["batch", 3, RGB, *SIZE],
        "input_of": ["batch", 2 * OF, *SIZE] if stacked else ["batch", 2, OF, *SIZE],
        "fc_pred": ["batch", CLASSES],
    }
    absent = {"rgb": "input_of", "of": "input_rgb"}.get(streams)
    assert shapes(out) == {name: shape for name, shape in wanted.items() if name != absent}
    model = onnx.load(out)
    assert (model.ir_version, model.opset_import[0].version) == (9, 17)
    assert not {"BatchNormalization", "Dropout", "Identity", "If"} & {n.op_type for n in model.graph.node}
    for batch in (1, 3):
        found, torchs = answers(path, out, spec, batch)
        np.testing.assert_allclose(found, torchs, atol=1e-5)
    assert np.abs(torchs[0] - torchs[1]).max() > 1e-3


def test_one_batch_for_good_and_weights_that_float16_holds(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    spec = spec_of(
        path, "export.batch_size=2", "export.half_weights=true", f"export.onnx_file={tmp_path}/a/b.onnx"
    )
    out = export_actions(spec)
    assert out == tmp_path / "a/b.onnx"
    assert shapes(out) == {"input_rgb": [2, 3, RGB, *SIZE], "fc_pred": [2, CLASSES]}
    for held in onnx.load(out).graph.initializer:
        value = onnx.numpy_helper.to_array(held)
        if value.dtype == np.float32:
            np.testing.assert_array_equal(value, value.astype(np.float16).astype(np.float32))
    found, wanted = answers(path, out, spec, 2)
    assert 0 < np.abs(found - wanted).max() < 0.01


def test_what_the_file_says_of_itself(tmp_path: Path) -> None:
    own = ("export.notes.per=person", "export.notes.person_margin=0.25", "export.notes.license=Apache-2.0")
    path = checkpoint(tmp_path)
    found = notes(export_actions(spec_of(path, "model.sample_rate=2", *own)))
    assert (found["task"], found["crop"], found["author"]) == ("action", "resize", "edgekit")
    assert (found["per"], found["person_margin"], found["license"]) == ("person", "0.25", "Apache-2.0")
    with pytest.raises(InputError, match=r"export\.notes: names is told by the checkpoint"):
        export_actions(spec_of(path, "export.notes={names: [a]}"))
    assert json.loads(found["names"]) == NAMES
    assert json.loads(found["mean"]) == [0.485, 0.456, 0.406]
    assert (found["sample_rate"], found["smaller_edge"]) == ("2", "256")
    assert "of_mean" not in found
    settings = "dataset.augmentation_config."
    joint = spec_of(
        Path("resnet18-2d-joint.pth"),
        f"{settings}val_center_crop=true",
        f"{settings}crop_smaller_edge=48",
        f"{settings}rgb_input_mean=[0.5]",
        f"{settings}rgb_input_std=[0.25]",
    )
    found = metadata(joint, tuple(NAMES))
    assert (found["crop"], found["smaller_edge"], found["per"]) == ("center", "48", "picture")
    assert (json.loads(found["mean"]), json.loads(found["std"])) == ([0.5] * 3, [0.25] * 3)
    assert (json.loads(found["of_mean"]), json.loads(found["of_std"])) == ([0.5] * 2, [0.5] * 2)
    assert json.loads(found["flow"]) == {"scaling": "longest"}


def test_names_are_the_checkpoints_or_the_specs(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    named = "dataset.label_map={a: 0, b: 1, d: 3, c: 2}"
    with pytest.raises(
        InputError, match=r"trained for 走, sit, fall, wave, and dataset\.label_map says a, b, c"
    ):
        export_actions(spec_of(path, named))
    content = torch.load(path, weights_only=True)
    torch.save(content["state_dict"], path)  # as TAO's: no names
    with pytest.raises(InputError, match=r"the checkpoint has 4 classes, and dataset\.label_map 2"):
        export_actions(spec_of(path, "dataset.label_map={a: 0, b: 1}"))
    assert json.loads(notes(export_actions(spec_of(path, named)))["names"]) == list("abcd")
    tao = save(tao_net(RGB, SIZE, CLASSES), tmp_path / "tao.onnx")
    assert shapes(path.with_suffix(".onnx")) == shapes(tao), "the file that TAO exports"
    unnamed = notes(export_actions(spec_of(path)))["names"]
    assert json.loads(unnamed) == ["class0", "class1", "class2", "class3"]


def test_what_this_kit_did_not_export_is_not_replaced(tmp_path: Path) -> None:
    """Its own is: the test above exports twice."""
    path = checkpoint(tmp_path)
    out = path.with_suffix(".onnx")
    for other in (
        lambda: save(tao_net(RGB, SIZE, CLASSES), out),
        lambda: save(tao_net(RGB, SIZE, CLASSES, notes=NOTES), out),
        lambda: out.write_text("mine"),
    ):
        other()
        before = out.read_bytes()
        with pytest.raises(
            InputError, match=r"rgb\.onnx exists and is no earlier export .* export\.onnx_file"
        ):
            export_actions(spec_of(path))
        assert out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [out.name, path.name]


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    for overrides, words in [
        (["model.width=0.25"], r"does not fit ActionNet.*Set model\.width=0\.125"),
        (["dataset.output_shape=[16,56]"], "dataset.output_shape 16×56 is too small"),
        ([f"export.onnx_file={tmp_path}/x.plan"], r"x\.plan: export\.onnx_file must end in \.onnx"),
        ([f"export.checkpoint={tmp_path}/none.pth"], "no weights file"),
    ]:
        with pytest.raises(InputError, match=words):
            export_actions(spec_of(path, *overrides))
    with pytest.raises(InputError, match=r"export\.checkpoint is missing"):
        export_actions(Spec())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("kind", "precision"), [("3d", "fp16"), ("2d", "fp32")])
def test_tensorrt_rtx_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, precision: str
) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(tmp_path))
    out = export_actions(spec_of(checkpoint(tmp_path, "joint", kind)))
    inputs = {name: shape for name, shape in shapes(out).items() if name != "fc_pred"}
    ranges: dict[str, Any] = {name: tuple((n, *s[1:]) for n in (1, 2, 4)) for name, s in inputs.items()}
    plan = build(out, precision, ranges, target="sm86", progress=False)
    assert plan.sidecar["layers"] > 10
    assert plan.sidecar["outputs"] == [{"name": "fc_pred", "shape": [None, CLASSES], "dtype": "float32"}]
    assert json.loads(plan.sidecar["metadata"]["names"]) == NAMES
