"""`edgekit export slowfast`: every form answers as PyTorch does, and TensorRT-RTX builds what it can."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from slowfast_fill import boxes, clip, fill  # noqa: E402

from edgekit.cli import main  # noqa: E402
from edgekit.engine.build import build  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.train.slowfast_export import export_slowfast  # noqa: E402
from edgekit.train.slowfast_network import CONFIGS, SlowFast  # noqa: E402
from edgekit.train.slowfast_weights import load_slowfast  # noqa: E402

SMALL = replace(CONFIGS["board"], depth=(1, 1, 2, 1), timed=(1, 1, 2, 1), width=16, nonlocals=(1,), classes=3)
NAMES = ["walk", "stand", "sit"]
PEOPLE = torch.cat([boxes()[:3], torch.tensor([[-4.0, -6, 40, 50], [70, 40, 95, 70], [300, 300, 340, 330]])])


def checkpoint(folder: Path, **changed: object) -> Path:
    config = replace(SMALL, **changed)
    with torch.device("meta"):
        network = SlowFast(config)
    content = {
        "network": "slowfast",
        "config": asdict(config),
        "weights": fill(network.state_dict()),
        "names": NAMES,
        "notes": {"license": "Apache-2.0", "threshold": "0.4"},
        "size": [64, 88],
    }
    path = folder / "small.pt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("weights"))


def run(path: Path, **inputs: object) -> list[np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})


def notes(path: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(path).metadata_props}


def shapes(path: Path) -> dict[str, list]:
    graph = onnx.load(path).graph
    return {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.output]
    }


def test_the_whole_network(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "whole.onnx"
    assert main(["export", "slowfast", str(small), "--out", str(out)]) == 0
    assert shapes(out) == {
        "slow": [1, 3, 4, "height", "width"],
        "fast": [1, 3, 16, "height", "width"],
        "boxes": ["people", 4],
        "scores": ["people", 3],
    }
    model = onnx.load(out)
    assert (model.ir_version, model.opset_import[0].version) == (9, 17)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("RoiAlign") == 2
    assert not {"BatchNormalization", "If", "Loop", "Dropout", "Identity"} & set(kinds)
    found = notes(out)
    assert (found["task"], json.loads(found["names"]), found["license"]) == ("slowfast", NAMES, "Apache-2.0")
    assert (found["frames"], found["alpha"], found["span"], found["threshold"]) == ("16", "4", "64", "0.4")
    assert (found["activation"], found["aligned"], found["short_side"]) == ("sigmoid", "false", "144")
    assert json.loads(found["mean"]) == [0.45] * 3
    assert "imgsz" not in found
    network = load_slowfast(small).network
    for size in ((64, 88), (48, 70)):
        slow, fast = clip(size=size)
        for people in (0, 1, 6, 40):
            given = PEOPLE.repeat(7, 1)[:people]
            with torch.no_grad():
                wanted = network(slow, fast, given).numpy()
            np.testing.assert_allclose(run(out, slow=slow, fast=fast, boxes=given)[0], wanted, atol=2e-5)


def test_body_and_head(small: Path, tmp_path: Path) -> None:
    command = ["export", "slowfast", str(small), "--form", "split", "--out", str(tmp_path / "sf.onnx")]
    assert main(command) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sf-body.onnx", "sf-head.onnx"]
    body, head = tmp_path / "sf-body.onnx", tmp_path / "sf-head.onnx"
    assert shapes(body)["slow_features"] == [1, 512, "feature_height", "feature_width"]
    assert shapes(head) == {
        "slow_rois": ["people", 512, 7, 7],
        "fast_rois": ["people", 64, 7, 7],
        "scores": ["people", 3],
    }
    assert notes(body) == notes(head)
    network, (slow, fast) = load_slowfast(small).network, clip()
    maps = run(body, slow=slow, fast=fast)
    with torch.no_grad():
        for found, wanted in zip(maps, network.body(slow, fast), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-4)
        for people in (0, 1, 6):
            rois = network.rois(*map(torch.from_numpy, maps), PEOPLE[:people])
            scores = run(head, slow_rois=rois[0], fast_rois=rois[1])[0]
            np.testing.assert_allclose(scores, network(slow, fast, PEOPLE[:people]), atol=2e-5)


def test_the_grid(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.onnx"
    assert main(["export", "slowfast", str(small), "--form", "grid", "--out", str(out)]) == 0
    assert shapes(out)["fast"] == [1, 3, 16, 64, 88]
    assert json.loads(notes(out)["imgsz"]) == [64, 88]
    kinds = {node.op_type for node in onnx.load(out).graph.node}
    assert "GridSample" in kinds
    assert "RoiAlign" not in kinds
    network, (slow, fast) = load_slowfast(small).network, clip()
    for people in (1, 6, 40):
        given = PEOPLE.repeat(7, 1)[:people]
        with torch.no_grad():
            wanted = network(slow, fast, given).numpy()
        np.testing.assert_allclose(run(out, slow=slow, fast=fast, boxes=given)[0], wanted, atol=2e-5)


def test_the_aligned_form(tmp_path: Path) -> None:
    net = load_slowfast(checkpoint(tmp_path, aligned=True))
    slow, fast = clip()
    with torch.no_grad():
        wanted = net.network(slow, fast, PEOPLE).numpy()
    for form in ("whole", "grid"):
        (out,) = export_slowfast(net, tmp_path / f"{form}.onnx", form)
        assert notes(out)["aligned"] == "true"
        np.testing.assert_allclose(run(out, slow=slow, fast=fast, boxes=PEOPLE)[0], wanted, atol=2e-5)


def test_a_network_for_whole_clips(tmp_path: Path) -> None:
    net = load_slowfast(checkpoint(tmp_path, head="clip", dilated=False))
    (out,) = export_slowfast(net, tmp_path / "clip.onnx", size=(64, 88))
    assert shapes(out) == {"slow": [1, 3, 4, 64, 88], "fast": [1, 3, 16, 64, 88], "scores": [1, 3]}
    assert notes(out)["activation"] == "softmax"
    slow, fast = clip()
    with torch.no_grad():
        wanted = net.network(slow, fast).numpy()
    assert wanted.sum() == pytest.approx(1)
    np.testing.assert_allclose(run(out, slow=slow, fast=fast)[0], wanted, atol=2e-5)
    with pytest.raises(InputError, match="there is no form 'grid' of it"):
        export_slowfast(net, tmp_path / "x.onnx", "grid")


def test_weights_that_float16_can_hold(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    assert main(["export", "slowfast", str(small), "--half-weights", "--out", str(out)]) == 0
    for held in onnx.load(out).graph.initializer:
        value = onnx.numpy_helper.to_array(held)
        if value.dtype == np.float32:
            np.testing.assert_array_equal(value, value.astype(np.float16).astype(np.float32))
    network, (slow, fast) = load_slowfast(small).network, clip()
    with torch.no_grad():
        wanted = network(slow, fast, PEOPLE).numpy()
    found = run(out, slow=slow, fast=fast, boxes=PEOPLE)[0]
    assert 0 < np.abs(found - wanted).max() < 0.02


def test_what_cannot_be_written_leaves_nothing(small: Path, tmp_path: Path) -> None:
    net = load_slowfast(small)
    for name, settings, words in [
        ("x.engine", {}, r"x\.engine: the file to write must end in \.onnx"),
        ("x.onnx", {"form": "halves"}, "the form 'halves' is none of whole, split, grid"),
        ("x.onnx", {"size": (16, 88)}, "the size 16×88 is too small"),
    ]:
        with pytest.raises(InputError, match=words):
            export_slowfast(net, tmp_path / name, **settings)
    assert main(["export", "slowfast", str(tmp_path / "none.pkl"), "--out", str(tmp_path / "x.onnx")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_tensorrt_rtx_builds_body_head_and_grid(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(tmp_path))
    net = load_slowfast(small)
    body, head = export_slowfast(net, tmp_path / "sf.onnx", "split")
    (grid,) = export_slowfast(net, tmp_path / "grid.onnx", "grid")
    sizes, times = ((64, 64), (64, 88), (96, 128)), {"slow": 4, "fast": 16}
    channels = {"slow_rois": 512, "fast_rois": 64}
    for path, shapes in [
        (body, {name: tuple((1, 3, t, *size) for size in sizes) for name, t in times.items()}),
        (head, {name: tuple((n, c, 7, 7) for n in (1, 4, 32)) for name, c in channels.items()}),
        (grid, {"boxes": ((1, 4), (4, 4), (32, 4))}),
    ]:
        assert build(path, "fp16", shapes, target="sm86", progress=False).sidecar["layers"] > 3
