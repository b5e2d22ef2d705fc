"""The layers that `network.py` lists, by TensorRT's network-definition API: 8.5 to 11 and TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.network import HandBuilt
from edgekit.errors import InputError


class TrtNet:
    """Takes layers; handles are `trt.ITensor`.

    TensorRT does not copy weights: this object must live until the plan is built.
    """

    def __init__(self, trt: Any, network: Any, half: bool) -> None:
        self._trt = trt
        self._network = network
        self._dtype = np.float16 if half else np.float32
        kinds = trt.DataType
        self._none = trt.Weights(kinds.HALF if half else kinds.FLOAT)  # no power: of the others' type
        self._kept: list[NDArray] = []

    def conv(
        self, x: Any, name: str, kernel: NDArray, bias: NDArray | None, stride: int, padding: int
    ) -> Any:
        given = {} if bias is None else {"bias": self._weights(bias)}
        size = kernel.shape[2:]
        conv = self._network.add_convolution_nd(x, len(kernel), size, self._weights(kernel), **given)
        out = self._output(conv, name)
        conv.stride_nd, conv.padding_nd = (stride, stride), (padding, padding)
        return out

    def deconv(self, x: Any, name: str, kernel: NDArray, bias: NDArray, stride: int, padding: int) -> Any:
        parts = kernel.shape[2:], self._weights(kernel), self._weights(bias)
        deconv = self._network.add_deconvolution_nd(x, kernel.shape[1], *parts)
        out = self._output(deconv, name)
        deconv.stride_nd, deconv.padding_nd = (stride, stride), (padding, padding)
        return out

    def scale(self, x: Any, name: str, scale: NDArray, shift: NDArray) -> Any:
        parts = self._weights(shift), self._weights(scale), self._none
        return self._output(
            self._network.add_scale_nd(x, self._trt.ScaleMode.CHANNEL, *parts, channel_axis=1), name
        )

    def activation(self, x: Any, name: str, kind: str) -> Any:
        kinds = {
            "RELU": self._trt.ActivationType.RELU,
            "SIGMOID": self._trt.ActivationType.SIGMOID,
            "TANH": self._trt.ActivationType.TANH,
        }
        return self._output(self._network.add_activation(x, kinds[kind]), name)

    def pool(self, x: Any, name: str, kind: str, size: int, stride: int, padding: int) -> Any:
        kinds = {"MAX": self._trt.PoolingType.MAX, "AVERAGE": self._trt.PoolingType.AVERAGE}
        pool = self._network.add_pooling_nd(x, kinds[kind], (size, size))
        out = self._output(pool, name)
        pool.stride_nd, pool.padding_nd = (stride, stride), (padding, padding)
        return out

    def combine(self, x: Any, y: Any, name: str, kind: str) -> Any:
        kinds = {
            "SUM": self._trt.ElementWiseOperation.SUM,
            "PROD": self._trt.ElementWiseOperation.PROD,
        }
        return self._output(self._network.add_elementwise(x, y, kinds[kind]), name)

    def concat(self, parts: Sequence[Any], name: str) -> Any:
        concat = self._network.add_concatenation(list(parts))
        out = self._output(concat, name)
        concat.axis = 1
        return out

    def cast(self, x: Any, name: str, dtype: Any) -> Any:
        """`x` as another type; not used where TensorRT chooses types itself."""
        return self._output(self._network.add_cast(x, dtype), name)

    def _weights(self, value: NDArray) -> NDArray:
        self._kept.append(np.ascontiguousarray(value, self._dtype))
        return self._kept[-1]

    def _output(self, layer: Any, name: str) -> Any:
        if layer is None:
            raise InputError(f"TensorRT refuses the layer {name!r}: its weights do not fit its input.")
        layer.name = name
        return layer.get_output(0)


def fill_network(trt: Any, network: Any, hand: HandBuilt, *, half: bool, dynamic: bool) -> TrtNet:
    """Put TrtPose into an empty `INetworkDefinition`: `images` → `cmap`, `paf`, all float32.

    Args:
        half: strongly typed fp16: weights and arithmetic are fp16, with casts at both ends.
        dynamic: leave the batch size open.

    Returns:
        What holds the weights: keep it until the plan is built.

    Raises:
        InputError: the weights are not TrtPose's.
    """
    net = TrtNet(trt, network, half)
    shape = (-1 if dynamic else 1, 3, *hand.size)
    x = network.add_input("images", trt.DataType.FLOAT, shape)
    if half:
        x = net.cast(x, "images to fp16", trt.DataType.HALF)
    outputs = hand.into(net, x)
    for name, (handle, _) in zip(("cmap", "paf"), outputs, strict=True):
        out = net.cast(handle, f"{name} to fp32", trt.DataType.FLOAT) if half else handle
        out.name = name
        network.mark_output(out)
    return net
