"""An ONNX file of the layers that `network.py` lists: their twin, for evaluation without TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.network import HandBuilt

if TYPE_CHECKING:
    import onnx

OPSET, IR = 17, 9
KINDS = {
    **{"RELU": "Relu", "SIGMOID": "Sigmoid", "TANH": "Tanh", "SUM": "Add", "PROD": "Mul"},
    **{"MAX": "MaxPool", "AVERAGE": "AveragePool"},
}


class OnnxNet:
    """Takes layers; handles are tensor names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def conv(
        self, x: str, name: str, kernel: NDArray, bias: NDArray | None, stride: int, padding: int
    ) -> str:
        inputs = [x, self._weight(f"{name}.weight", kernel)]
        if bias is not None:
            inputs.append(self._weight(f"{name}.bias", bias))
        return self._node("Conv", name, inputs, strides=[stride] * 2, pads=[padding] * 4)

    def deconv(self, x: str, name: str, kernel: NDArray, bias: NDArray, stride: int, padding: int) -> str:
        inputs = [x, self._weight(f"{name}.weight", kernel), self._weight(f"{name}.bias", bias)]
        return self._node("ConvTranspose", name, inputs, strides=[stride] * 2, pads=[padding] * 4)

    def scale(self, x: str, name: str, scale: NDArray, shift: NDArray) -> str:
        gained = self._node("Mul", f"{name}.scale", [x, self._weight(f"{name}.weight", scale[:, None, None])])
        return self._node("Add", name, [gained, self._weight(f"{name}.bias", shift[:, None, None])])

    def activation(self, x: str, name: str, kind: str) -> str:
        return self._node(KINDS[kind], name, [x])

    def pool(self, x: str, name: str, kind: str, size: int, stride: int, padding: int) -> str:
        sides = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [padding] * 4}
        return self._node(KINDS[kind], name, [x], **sides)

    def combine(self, x: str, y: str, name: str, kind: str) -> str:
        return self._node(KINDS[kind], name, [x, y])

    def concat(self, parts: Sequence[str], name: str) -> str:
        return self._node("Concat", name, list(parts), axis=1)

    def _weight(self, name: str, value: NDArray) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def _node(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [f"{name}:0"], name=name, **attributes))
        return f"{name}:0"


def onnx_twin(hand: HandBuilt, batch: int | str = 1) -> onnx.ModelProto:
    """The same layers as an ONNX model: `images` [N, 3, H, W] → `cmap`, `paf` [N, C, H/4, W/4].

    Args:
        batch: N, or a name for an open one.
    """
    import onnx
    from onnx import TensorProto, helper

    net = OnnxNet()
    outputs = hand.into(net, "images")
    height, width = hand.size
    infos = []
    for name, (handle, channels) in zip(("cmap", "paf"), outputs, strict=True):
        net.nodes.append(helper.make_node("Identity", [handle], [name], name=name))
        shape = [batch, channels, height // 4, width // 4]
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, height, width])
    model = helper.make_model(
        helper.make_graph(net.nodes, "trtpose", [images], infos, net.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="edgekit",
    )
    helper.set_model_props(model, hand.notes())
    onnx.checker.check_model(model, full_check=True)
    return model
