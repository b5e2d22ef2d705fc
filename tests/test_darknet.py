"""Darknet → ONNX against OpenCV's importer (golden file) and against a float64 forward pass in NumPy."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

import darknet_nets as nets
import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit import darknet
from edgekit.errors import InputError

GOLDEN = Path(__file__).with_name("darknet_golden.npz")
NETWORKS = {
    "every_layer": (nets.every_layer, 32, 48),
    "yolov3_spp": (nets.yolov3_spp, 96, 96),
    "yolov3_tiny": (nets.yolov3_tiny, 96, 128),
}
SEED = 7  # of make_darknet_golden.py


def write(folder, layers, height, width, drawn=None, version=(0, 2, 0)):
    cfg, weights = folder / "net.cfg", folder / "net.weights"
    cfg.write_text(nets.cfg_text(layers, height, width))
    nets.write_weights(weights, nets.random_weights(layers, SEED) if drawn is None else drawn, version)
    return cfg, weights


def run(path, *images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": np.stack(images)})[0]


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    make, height, width = NETWORKS[request.param]
    layers, folder = make(), tmp_path_factory.mktemp(request.param)
    drawn = nets.random_weights(layers, SEED)
    out = darknet.convert(*write(folder, layers, height, width, drawn), folder / "net.onnx")
    image = nets.picture(height, width)
    return request.param, layers, drawn, image, run(out, image)[0], out


@pytest.fixture
def small(tmp_path):
    """cfg and weights of the small network."""
    return write(tmp_path, nets.every_layer(), 32, 48)


def test_equals_a_float64_forward_pass(exported):
    _, layers, drawn, image, found, _ = exported
    wanted = nets.forward(layers, drawn, image)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)
    assert np.ptp(wanted[:, 4]) > 0.1, "the random network says the same everywhere: it tests nothing"


def test_equals_opencvs_importer(exported):
    name, _, _, image, found, _ = exported
    _, height, width = image.shape
    with np.load(GOLDEN) as file:
        golden = file[name]
    mine = found[::4].astype(np.float64)
    mine[:, :4] /= [width, height, width, height]
    np.testing.assert_allclose(mine[:, :5], golden[:, :5], rtol=3e-4, atol=1e-5)
    score = mine[:, 5:] * mine[:, 4:5]
    np.testing.assert_allclose(np.where(score > 0.2, score, 0), golden[:, 5:], atol=5e-5)
    assert 0.05 < (golden[:, 5:] > 0).mean() < 0.95


def of_published_length(folder, layers, size, length):
    """cfg and weights: a sparse file as long as the published one."""
    cfg, weights = write(folder, layers, size, size, [])
    with open(weights, "ab") as file:
        file.truncate(length)
    return cfg, weights


@pytest.fixture(scope="module")
def spp608(tmp_path_factory):
    """YOLOv3-SPP at its own size with open batch."""
    folder = tmp_path_factory.mktemp("spp608")
    files = of_published_length(folder, nets.yolov3_spp(), 608, 252_209_544)
    return darknet.convert(*files, folder / "spp.onnx", dynamic_batch=True)


#: All that the exports are made of: none makes a shape of data, and every TensorRT has them.
PLAIN = {
    *("Conv", "LeakyRelu", "MaxPool", "Add", "Concat", "Resize"),
    *("Transpose", "Reshape", "Split", "Sigmoid", "Exp", "Mul"),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_yolov3_tiny_of_the_published_length(tmp_path, dynamic):
    files = of_published_length(tmp_path, nets.yolov3_tiny(), 416, 35_434_956)
    out = darknet.convert(*files, tmp_path / "tiny.onnx", dynamic_batch=dynamic)
    model = onnx.shape_inference.infer_shapes(onnx.load(out), strict_mode=True)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch" if dynamic else 1, 2535, 85]
    assert {node.op_type for node in model.graph.node} <= PLAIN
    assert rtx_plan(out, (1, 1, 8) if dynamic else None) is not None


def test_a_static_export_has_the_nodes_of_the_dynamic_one(exported, spp608, tmp_path):
    name, layers, drawn, image, _, static = exported
    dynamic = spp608
    if name != "yolov3_spp":
        dynamic = tmp_path / "dynamic.onnx"
        darknet.convert(*write(tmp_path, layers, *image.shape[1:], drawn), dynamic, dynamic_batch=True)
    graphs = [onnx.load(path).graph for path in (static, dynamic)]
    kinds = [[node.op_type for node in graph.node] for graph in graphs]
    assert kinds[0] == kinds[1]
    assert [g.input[0].type.tensor_type.shape.dim[0].dim_value for g in graphs] == [1, 0]
    if name != "every_layer":
        assert set(kinds[0]) <= PLAIN


def test_yolov3_spp_at_608_has_22743_rows(spp608):
    model = onnx.shape_inference.infer_shapes(onnx.load(spp608))
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 22743, 85]
    assert (model.ir_version, model.opset_import[0].version) == (9, 17)
    assert {node.op_type for node in model.graph.node} == PLAIN
    notes = {p.key: p.value for p in model.metadata_props}
    names = ast.literal_eval(notes.pop("names"))
    assert (names[0], names[79], len(names)) == ("person", "toothbrush", 80)
    assert notes == {"task": "detect", "recipe": "darknet", "stride": "32", "imgsz": "[608, 608]"}


def test_dynamic_batch_gives_each_picture_its_own_rows(small, tmp_path):
    out = darknet.convert(*small, tmp_path / "net.onnx", dynamic_batch=True)
    images = [nets.picture(32, 48, seed) for seed in (1, 2, 3)]
    together = run(out, *images)
    assert together.shape == (3, 1056, 7)
    for image, rows in zip(images, together, strict=True):
        np.testing.assert_allclose(run(out, image)[0], rows, rtol=1e-5, atol=1e-5)


def test_size_overrides_the_cfg(tmp_path):
    layers = nets.every_layer()
    drawn = nets.random_weights(layers, SEED)
    out = darknet.convert(*write(tmp_path, layers, 32, 48, drawn), tmp_path / "net.onnx", size=64)
    image = nets.picture(64, 64)
    np.testing.assert_allclose(run(out, image)[0], nets.forward(layers, drawn, image), rtol=2e-5, atol=2e-5)


def test_an_old_header_has_a_shorter_count(tmp_path):
    layers = nets.every_layer()
    drawn = nets.random_weights(layers, SEED)
    new = darknet.convert(*write(tmp_path, layers, 32, 48, drawn), tmp_path / "new.onnx")
    old = darknet.convert(*write(tmp_path, layers, 32, 48, drawn, (0, 1, 0)), tmp_path / "old.onnx")
    image = nets.picture(32, 48)
    np.testing.assert_array_equal(run(new, image), run(old, image))


@pytest.mark.parametrize("change", [-4, -1, 4])
def test_weights_of_another_length_name_the_bytes(small, tmp_path, change):
    cfg, weights = small
    right = weights.stat().st_size
    data = weights.read_bytes()
    weights.write_bytes(data[:change] if change < 0 else data + bytes(change))
    with pytest.raises(InputError, match=rf"has {right + change} bytes, but net.cfg wants {right}"):
        darknet.convert(cfg, weights, tmp_path / "net.onnx")
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize(
    "content", [b"", b"short", b"<html>not found</html>" * 9, b"PK\x03\x04" + bytes(100)]
)
def test_no_weights_file_at_all(small, content, tmp_path):
    cfg, weights = small
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"net\.weights"):
        darknet.convert(cfg, weights, tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[net]", "[model]", "does not begin with"),
        ("[dropout]", "[softmax]", r"\[softmax\]: this layer is not supported"),
        ("activation = mish", "activation = gelu", "activation=gelu"),
        ("filters = 8", "filters = eight", "not a whole number"),
        ("layers = -2", "layers = -99", "layer -99 does not exist"),
        ("from = -3", "from = -4", "shapes must be equal"),
        ("classes = 2", "classes = 3", "24"),
        ("mask = 1, 2, 4", "mask = 1, 2, 9", "anchors are listed"),
        ("mask = 1, 2, 4", "mask = -1, 2, 4", "anchors are listed"),
        ("scale_x_y = 1.05", "new_coords = 1", "new_coords"),
        ("scale_x_y = 1.05", "scale_x_y = wide", "not a list of numbers"),
        ("layers = -1, 4", "layers = -1, 0", "multiple of the largest stride"),
        ("width=48", "width=0", "3×32×0"),
        ("batch=1", "batch", "neither"),
    ],
)
def test_a_wrong_cfg_is_named(small, tmp_path, old, new, message):
    cfg, weights = small
    text = cfg.read_text()
    assert old in text
    cfg.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        darknet.convert(cfg, weights, tmp_path / "net.onnx")


def test_a_size_that_is_no_multiple_of_the_stride(small, tmp_path):
    with pytest.raises(InputError, match="multiple"):
        darknet.convert(*small, tmp_path / "net.onnx", size=50)


def test_a_cfg_without_yolo_layer(tmp_path):
    with pytest.raises(InputError, match=r"no \[yolo\] layer"):
        darknet.convert(*write(tmp_path, [nets.conv(8, 3)], 32, 32), tmp_path / "net.onnx")


def parse(*words):
    parser = argparse.ArgumentParser()
    darknet.add_parser(parser.add_subparsers())
    return parser.parse_args(["darknet", *map(str, words)])


def test_command_line(small, tmp_path, capsys):
    names = tmp_path / "my.names"
    names.write_text("cat\ndog\n\n")
    out = tmp_path / "net.onnx"
    args = parse(*small, "--out", out, "--size", 64, "--dynamic-batch", "--names", names)
    assert args.run(args) == 0
    assert "net.onnx" in capsys.readouterr().out
    notes = {p.key: p.value for p in onnx.load(out).metadata_props}
    assert notes["names"] == "{0: 'cat', 1: 'dog'}"
    assert notes["imgsz"] == "[64, 64]"


def test_class_names_of_the_wrong_count(small, tmp_path):
    names = tmp_path / "my.names"
    names.write_text("cat\n")
    args = parse(*small, "--out", tmp_path / "net.onnx", "--names", names)
    with pytest.raises(InputError, match="1 class names were given"):
        args.run(args)
    with pytest.raises(InputError, match=r"gone\.cfg"):
        darknet.convert(tmp_path / "gone.cfg", small[1], tmp_path / "net.onnx")


def rtx_plan(path, batches=None):
    """A TensorRT-RTX plan of an ONNX file for compute capability 8.6, built without a GPU."""
    trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has wheels for x86-64 only")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path)), parser.get_error(0).desc()
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    if batches:
        profile = builder.create_optimization_profile()
        shape = network.get_input(0).shape
        profile.set_shape("images", *[(n, *shape[1:]) for n in batches])
        config.add_optimization_profile(profile)
    return builder.build_serialized_network(network, config)


@pytest.mark.parametrize("batches", [None, (1, 2, 8)])
def test_tensorrt_rtx_builds_it(small, tmp_path, batches):
    out = darknet.convert(*small, tmp_path / "net.onnx", dynamic_batch=batches is not None)
    assert rtx_plan(out, batches) is not None


def test_tensorrt_rtx_builds_yolov3_spp_at_608(spp608):
    assert rtx_plan(spp608, (1, 1, 4)) is not None
