"""The three forms of a SlowFast, made of a small one: equal answers, and builds by TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.cli import main
from edgekit.engine.build import build
from edgekit.engine.roi_files import convert
from edgekit.engine.roi_forms import RoiForm, form_of, join, roi_nodes, rois_as_grid, split_at_rois
from edgekit.errors import InputError

SIZE = (144, 256)  # 9×16 places
SLOW, FAST, CLASSES = 6, 4, 5
TIMES = {"slow": 2, "fast": 8}
CHANNELS = {"slow_rois": SLOW, "fast_rois": FAST}
OLD, ALIGNED, TWO = RoiForm(), RoiForm(aligned=True), RoiForm(ratio=2)
#: inside, the picture, a point, tiny, over two edges, outside, exactly 7 places, 1.2 times the picture
BOXES = np.array(
    [
        [20, 10, 100, 140],
        [0, 0, 256, 144],
        [50, 50, 50, 50],
        [60, 30, 61, 33],
        [-30, -20, 60, 90],
        [200, 90, 290, 170],
        [400, 10, 500, 90],
        [16, 32, 128, 144],
        [-25, -14, 282, 158],
    ],
    np.float32,
)


def tensor(name: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes: list, inputs: list, outputs: list, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "part", inputs, outputs, initializer=held),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    helper.set_model_props(made, {"task": "slowfast", "aligned": "false"})
    onnx.checker.check_model(made, full_check=True)
    return made


def parts(size: tuple[int, int] | None = None) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A body of two convolutions and a lateral one, and a head; they share names of tensors."""
    rng = np.random.RandomState(0)
    height, width = size or ("height", "width")
    places = [-(-side // 16) for side in size] if size else ["feature_height", "feature_width"]

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))

    step = {"kernel_shape": [1, 16, 16], "strides": [1, 16, 16], "pads": [0, 0, 0, 0, 15, 15]}
    body = model(
        [
            helper.make_node("Conv", ["fast", "w"], ["y"], "fast_conv", **step),
            helper.make_node("Conv", ["y", "side"], ["z"], "lateral", strides=[4, 1, 1]),
            helper.make_node("Conv", ["slow", "v"], ["x"], "slow_conv", **step),
            helper.make_node("Concat", ["x", "z"], ["both"], "both", axis=1),
            helper.make_node("ReduceMean", ["both"], ["slow_features"], "mean", axes=[2], keepdims=0),
            helper.make_node("ReduceMean", ["y"], ["fast_features"], "mean_fast", axes=[2], keepdims=0),
        ],
        [tensor("slow", [1, 3, 2, height, width]), tensor("fast", [1, 3, 8, height, width])],
        [tensor("slow_features", [1, SLOW, *places]), tensor("fast_features", [1, FAST, *places])],
        {
            "w": weight(FAST, 3, 1, 16, 16),
            "v": weight(SLOW - 2, 3, 1, 16, 16),
            "side": weight(2, FAST, 1, 1, 1),
        },
    )
    head = model(
        [
            helper.make_node("ReduceMax", ["slow_rois"], ["x"], "max", axes=[2, 3], keepdims=0),
            helper.make_node("ReduceMax", ["fast_rois"], ["y"], "max_fast", axes=[2, 3], keepdims=0),
            helper.make_node("Concat", ["x", "y"], ["both"], "both", axis=1),
            helper.make_node("Gemm", ["both", "w", "b"], ["logits"], "linear", transB=1),
            helper.make_node("Sigmoid", ["logits"], ["scores"], "sigmoid"),
        ],
        [tensor("slow_rois", ["people", SLOW, 7, 7]), tensor("fast_rois", ["people", FAST, 7, 7])],
        [tensor("scores", ["people", CLASSES])],
        {"w": 3 * weight(CLASSES, SLOW + FAST), "b": weight(CLASSES, 1)[:, 0]},
    )
    return body, head


def run(made: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def clip(size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(2)
    return {
        name: rng.normal(size=(1, 3, t, *size)).astype(np.float32) for name, t in (("slow", 2), ("fast", 8))
    }


def plain_roi(features: np.ndarray, box: np.ndarray, form: RoiForm) -> np.ndarray:
    """RoIAlign sample by sample in float64: [C, H, W] and one box in pixels → [C, 7, 7]."""
    features, (x1, y1, x2, y2) = features.astype(np.float64), box.astype(np.float64) / 16 - 0.5 * form.aligned
    _, height, width = features.shape
    h, w = (y2 - y1, x2 - x1) if form.aligned else (max(y2 - y1, 1), max(x2 - x1, 1))
    ny, nx = (form.ratio or int(np.ceil(side / 7)) for side in (h, w))
    out = np.zeros((len(features), 7, 7))
    for i, j, a, b in np.ndindex(7, 7, ny, nx):
        y, x = y1 + (i + (a + 0.5) / ny) * h / 7, x1 + (j + (b + 0.5) / nx) * w / 7
        if -1 <= y <= height and -1 <= x <= width:
            y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            down, right = np.array([top + 1 - y, y - top]), np.array([left + 1 - x, x - left])
            out[:, i, j] += down @ features[:, top : top + 2, left : left + 2] @ right / (ny * nx)
    return out


def plain(form: RoiForm, boxes: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    """The scores by way of body, loops and head."""
    body, head = parts()
    rois = [
        np.stack([plain_roi(features[0], box, form) for box in boxes]).astype(np.float32)
        for features in run(body, **clip(size))
    ]
    return run(head, slow_rois=rois[0], fast_rois=rois[1])[0]


@pytest.mark.parametrize("form", [OLD, ALIGNED, TWO], ids=["old", "aligned", "two samples"])
def test_all_forms_answer_alike(form: RoiForm) -> None:
    whole, wanted = join(*parts(), form), plain(form, BOXES)
    assert wanted.std(0).min() > 0.02
    np.testing.assert_allclose(run(whole, **clip(), boxes=BOXES)[0], wanted, atol=2e-6)
    grid = rois_as_grid(whole, SIZE)
    assert "RoiAlign" not in {node.op_type for node in grid.graph.node}
    np.testing.assert_allclose(run(grid, **clip(), boxes=BOXES)[0], wanted, atol=2e-6)
    body, head = split_at_rois(whole)
    again = join(body, head, form_of(roi_nodes(whole)[0]))
    np.testing.assert_array_equal(run(again, **clip(), boxes=BOXES)[0], run(whole, **clip(), boxes=BOXES)[0])
    for made in (whole, grid, body, head):
        assert (made.ir_version, made.opset_import[0].version) == (9, 17)
        assert {p.key: p.value for p in made.metadata_props}["task"] == "slowfast"


@pytest.mark.parametrize("people", [1, 40])
def test_any_count_of_people(people: int) -> None:
    boxes = np.random.RandomState(4).uniform(0, 140, (people, 2, 2)).astype(np.float32)
    boxes = np.concatenate([boxes.min(1), boxes.max(1)], 1)
    whole, wanted = join(*parts()), plain(OLD, boxes)
    for made in (whole, rois_as_grid(whole, SIZE)):
        np.testing.assert_allclose(run(made, **clip(), boxes=boxes)[0], wanted, atol=2e-6)


def test_nobody() -> None:
    """The grid refuses: ONNX Runtime pools no empty maps."""
    nobody, whole = np.zeros((0, 4), np.float32), join(*parts())
    assert run(whole, **clip(), boxes=nobody)[0].shape == (0, CLASSES)
    _, head = split_at_rois(whole)
    rois = {
        f"{path}_rois": np.zeros((0, n, 7, 7), np.float32) for path, n in (("slow", SLOW), ("fast", FAST))
    }
    assert run(head, **rois)[0].shape == (0, CLASSES)


def test_a_box_far_longer_than_the_picture_is_sampled_more_coarsely() -> None:
    boxes = np.array([[-900, -800, 1200, 1000]], np.float32)
    whole = join(*parts())
    found = run(rois_as_grid(whole, SIZE), **clip(), boxes=boxes)[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, run(whole, **clip(), boxes=boxes)[0], atol=0.2)


def test_open_sides_and_a_fixed_size() -> None:
    """The body stays open, the whole takes each size, the grid its own."""
    whole = join(*parts())
    other = (96, 130)
    np.testing.assert_allclose(run(whole, **clip(other), boxes=BOXES)[0], plain(OLD, BOXES, other), atol=2e-6)
    grid = rois_as_grid(whole, other)
    assert [[d.dim_value for d in v.type.tensor_type.shape.dim][3:] for v in grid.graph.input[:2]] == [
        [96, 130]
    ] * 2
    some = BOXES[:4] / 2
    np.testing.assert_allclose(run(grid, **clip(other), boxes=some)[0], plain(OLD, some, other), atol=2e-6)
    assert whole.graph.input[0].type.tensor_type.shape.dim[3].dim_param == "height", "left as it was"
    fixed = join(*parts(SIZE))
    body, _ = split_at_rois(fixed)
    assert [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in body.graph.output] == [
        [1, SLOW, 9, 16],
        [1, FAST, 9, 16],
    ]
    with pytest.raises(InputError, match="takes slow of another size than 96×130"):
        rois_as_grid(fixed, other)


def test_the_order_of_the_roi_aligns_does_not_matter() -> None:
    whole = join(*parts())
    nodes = list(whole.graph.node)
    aligns = [n for n, node in enumerate(nodes) if node.op_type == "RoiAlign"]
    nodes[aligns[0]], nodes[aligns[1]] = nodes[aligns[1]], nodes[aligns[0]]
    turned = onnx.ModelProto()
    turned.CopyFrom(whole)
    del turned.graph.node[:]
    turned.graph.node.extend(nodes)
    body, head = split_at_rois(turned)
    assert [v.name for v in body.graph.output] == ["slow_features", "fast_features"]
    np.testing.assert_array_equal(
        run(join(body, head), **clip(), boxes=BOXES)[0], run(whole, **clip(), boxes=BOXES)[0]
    )
    rois_as_grid(turned, SIZE)


def test_models_that_are_no_slowfast() -> None:
    body, head = parts()
    whole = join(body, head)
    with pytest.raises(InputError, match="has 0 RoiAlign; a SlowFast with its head has two"):
        split_at_rois(body)
    with pytest.raises(InputError, match="has 0 RoiAlign"):
        rois_as_grid(rois_as_grid(whole, SIZE), SIZE)
    with pytest.raises(InputError, match="a body gives slow_features and fast_features, a head takes"):
        join(head, body)
    _, wide = parts()
    wide.graph.input[0].type.tensor_type.shape.dim[1].dim_value = SLOW + 1
    with pytest.raises(InputError, match=r"the body gives \[6, 4\] channels, the head takes \[7, 4\]"):
        join(body, wide)
    maximum = onnx.ModelProto()
    maximum.CopyFrom(whole)
    node = roi_nodes(maximum)[0]
    next(a for a in node.attribute if a.name == "mode").s = b"max"
    with pytest.raises(InputError, match="is not the mean over square bins"):
        split_at_rois(maximum)
    leak = onnx.ModelProto()
    leak.CopyFrom(whole)
    next(node for node in leak.graph.node if node.op_type == "Gemm").input[2] = "boxes"
    with pytest.raises(InputError, match="the head of the model also needs boxes"):
        split_at_rois(leak)


def test_a_file_as_another_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command, which needs no PyTorch for it."""
    whole, out = tmp_path / "net.onnx", tmp_path / "out"
    out.mkdir()
    onnx.save(join(*parts()), whole)
    command = ["export", "slowfast", str(whole), "--out", str(out / "sf.onnx"), "--form"]
    for rest, words in [
        (["grid"], "net.onnx takes every size, a grid only one: give --size H W"),
        (["whole"], "net.onnx is a whole network already"),
        (["split", "--half-weights"], "--config and --half-weights are for weights"),
    ]:
        assert main([*command, *rest]) == 2
        assert words in capsys.readouterr().err
    with pytest.raises(InputError, match=r"sf\.plan: the file to write must end in \.onnx"):
        convert(whole, out / "sf.plan", "split")
    with pytest.raises(InputError, match="the form 'half' is none of whole, split, grid"):
        convert(whole, out / "sf.onnx", "half")
    onnx.save(parts()[0], tmp_path / "body.onnx")
    with pytest.raises(InputError, match="has 0 RoiAlign"):
        convert(tmp_path / "body.onnx", out / "sf.onnx", "split")
    assert list(out.iterdir()) == []
    assert main([*command, "split"]) == 0
    assert main([*command, "grid", "--size", "144", "256"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["sf-body.onnx", "sf-head.onnx", "sf.onnx"]
    grid = onnx.load(out / "sf.onnx")
    assert {p.key: p.value for p in grid.metadata_props}["imgsz"] == "[144, 256]"
    wanted = plain(OLD, BOXES)
    np.testing.assert_allclose(run(grid, **clip(), boxes=BOXES)[0], wanted, atol=2e-6)
    again = join(onnx.load(out / "sf-body.onnx"), onnx.load(out / "sf-head.onnx"))
    np.testing.assert_allclose(run(again, **clip(), boxes=BOXES)[0], wanted, atol=2e-6)
    onnx.save(join(*parts(SIZE)), whole)
    assert convert(whole, out / "fixed.onnx", "grid") == [out / "fixed.onnx"]


def test_body_head_and_grid_build_with_tensorrt_rtx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_ENGINES", str(tmp_path))
    whole = join(*parts())
    body, head = split_at_rois(whole)
    sizes = ((96, 128), SIZE, (160, 288))
    open_sides = {name: tuple((1, 3, t, *size) for size in sizes) for name, t in TIMES.items()}
    people = {name: tuple((n, c, 7, 7) for n in (1, 4, 32)) for name, c in CHANNELS.items()}
    for name, made, shapes in [
        ("body", body, open_sides),
        ("head", head, people),
        ("grid", rois_as_grid(whole, SIZE), {"boxes": ((1, 4), (4, 4), (32, 4))}),
    ]:
        path = tmp_path / f"{name}.onnx"
        onnx.save(made, path)
        for precision in ("fp32", "fp16"):
            plan = build(path, precision, shapes, target="sm86", progress=False)
            assert plan.sidecar["layers"] > 2
