"""The hand-built TrtPose against PyTorch's answers, and against the network TensorRT parses from ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
pytestmark = pytest.mark.train

from pose_fill import fill  # noqa: E402

from edgekit.engine.network import HandBuilt, hand_built  # noqa: E402
from edgekit.engine.network_onnx import onnx_twin  # noqa: E402
from edgekit.engine.network_trt import fill_network  # noqa: E402
from edgekit.engine.precision import to_fp16  # noqa: E402
from edgekit.topology import HUMAN18  # noqa: E402
from edgekit.train.pose_export import PoseNet, export_pose  # noqa: E402
from edgekit.train.trtpose_network import (  # noqa: E402
    densenet121_baseline_att,
    resnet18_baseline_att,
    trtpose_from,
)

SIZE = (64, 96)
MAKERS = {"resnet": resnet18_baseline_att, "densenet": densenet121_baseline_att}


@pytest.fixture(scope="module", params=list(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[PoseNet, Path]:
    """(network in PyTorch, its .wts file): the whole backbone under a narrow head."""
    with torch.device("meta"):
        state = MAKERS[request.param](18, 42, 16).state_dict()
    net = PoseNet(trtpose_from(fill(state)), "trtpose", HUMAN18, SIZE)
    return net, export_pose(net, tmp_path_factory.mktemp("hand") / "pose.wts")


@pytest.fixture(scope="module")
def hand(made: tuple[PoseNet, Path]) -> HandBuilt:
    return replace(hand_built(made[1]), size=SIZE)


def test_the_same_layers_in_onnx_answer_as_pytorch(made: tuple[PoseNet, Path], hand: HandBuilt) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, *SIZE)).astype(np.float32)
    with torch.no_grad():
        ours = made[0].network(torch.from_numpy(x))
    session = ort.InferenceSession(
        onnx_twin(hand, "batch").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for a, b in zip(ours, session.run(["cmap", "paf"], {"images": x}), strict=True):
        np.testing.assert_allclose(b, a.numpy(), atol=1e-4 * float(a.abs().max()))


class Network:
    """A TensorRT network definition, with all that must outlive it."""

    def __init__(self) -> None:
        self.logger = trt.Logger(trt.Logger.ERROR)
        self.builder = trt.Builder(self.logger)
        self.network = self.builder.create_network(0)
        self.held: Any = None

    def layers(self, kind: str, cast: type) -> list:
        found = [self.network.get_layer(i) for i in range(self.network.num_layers)]
        found = [layer for layer in found if layer.type.name == kind]
        for layer in found:
            layer.__class__ = cast  # the bindings give ILayer, whose own class TensorRT alone knows
        return found


def parsed(model: bytes) -> Network:
    made = Network()
    made.held = trt.OnnxParser(made.network, made.logger)
    assert made.held.parse(model)
    return made


def by_hand(hand: HandBuilt, half: bool) -> Network:
    made = Network()
    made.held = fill_network(trt, made.network, hand, half=half, dynamic=False)
    return made


def norms(net: PoseNet) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scale and shift of the batch norms after the six transposed convolutions, in their order."""
    found = []
    for branch in (net.network[1].cmap_up, net.network[1].paf_up):
        for norm in (branch[1], branch[4], branch[7]):
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            found.append((scale.detach().numpy(), (norm.bias - norm.running_mean * scale).detach().numpy()))
    return found


def test_layer_by_layer_as_the_parsed_onnx(
    made: tuple[PoseNet, Path], hand: HandBuilt, tmp_path: Path
) -> None:
    import onnx

    model = onnx.load(export_pose(made[0], tmp_path / "pose.onnx"))
    compare(parsed(model.SerializeToString()), by_hand(hand, half=False), made[0], np.float32, 1e-5)
    if "0.resnet.conv1.weight" in hand.tensors:  # one network is enough to see how weights are rounded
        lowered = to_fp16(model).SerializeToString()
        compare(parsed(lowered), by_hand(hand, half=True), made[0], np.float16, 2e-3)


def compare(theirs: Network, ours: Network, net: PoseNet, kind: type, eps: float) -> None:
    """Every convolution and transposed convolution, in their order, and the outputs."""
    pairs = list(
        zip(
            ours.layers("CONVOLUTION", trt.IConvolutionLayer),
            theirs.layers("CONVOLUTION", trt.IConvolutionLayer),
            strict=True,
        )
    )
    assert len(pairs) in (24, 124)  # of TrtPose on ResNet-18 and on DenseNet-121
    for a, b in pairs:
        same_layer(a, b)
        assert a.kernel.dtype == b.kernel.dtype == kind
        np.testing.assert_allclose(a.kernel, b.kernel, atol=eps, rtol=eps, err_msg=a.name)
        np.testing.assert_allclose(a.bias, b.bias, atol=eps, rtol=eps, err_msg=a.name)
    deconvs = zip(
        ours.layers("DECONVOLUTION", trt.IDeconvolutionLayer),
        theirs.layers("DECONVOLUTION", trt.IDeconvolutionLayer),
        norms(net),
        strict=True,
    )
    for a, b, (scale, shift) in deconvs:  # theirs are followed by a batch norm, ours hold it
        same_layer(a, b)
        kernel = b.kernel.reshape(b.get_input(0).shape[1], len(scale), 4, 4) * scale[:, None, None]
        np.testing.assert_allclose(a.kernel.ravel(), kernel.ravel(), atol=eps, rtol=eps, err_msg=a.name)
        np.testing.assert_allclose(a.bias, b.bias * scale + shift, atol=eps, rtol=eps, err_msg=a.name)
    for network in (ours.network, theirs.network):
        outputs = [network.get_output(i) for i in range(network.num_outputs)]
        assert [(o.name, tuple(o.shape), o.dtype.name) for o in outputs] == [
            ("cmap", (1, 18, 16, 24), "FLOAT"),
            ("paf", (1, 42, 16, 24), "FLOAT"),
        ]


def same_layer(a: Any, b: Any) -> None:
    assert (a.num_output_maps, a.num_groups) == (b.num_output_maps, b.num_groups), a.name
    for name in ("kernel_size_nd", "stride_nd", "padding_nd", "dilation_nd"):
        assert tuple(getattr(a, name)) == tuple(getattr(b, name)), (a.name, name)
    for side in ("get_input", "get_output"):
        assert tuple(getattr(a, side)(0).shape) == tuple(getattr(b, side)(0).shape), (a.name, side)
