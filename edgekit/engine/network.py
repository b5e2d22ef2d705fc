"""TrtPose built layer by layer from a `.wts` file, without an ONNX file.

One function, `trtpose_layers`, lists the layers. It drives whatever takes layers: TensorRT's
network-definition API (`network_trt`), or an ONNX file of the same layers (`network_onnx`), which ONNX
Runtime can evaluate anywhere. The networks are resnet18_baseline_att (or 34) and densenet121_baseline_att
(or another depth and growth) of NVIDIA-AI-IOT/trt_pose; every width comes from the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.topology import HUMAN18, Topology
from edgekit.wts import read_wts

#: How pictures become TrtPose's input: RGB 0..1, minus mean, over std (ImageNet's), the picture stretched
#: as in trt_pose's live demo.
PREPARED = {"mean": "[0.485, 0.456, 0.406]", "std": "[0.229, 0.224, 0.225]", "fit": "stretch"}
#: Side of the input of upstream's release, by a tensor that only the one network has.
SIDES = {"0.resnet.conv1.weight": 224, "0.densenet.features.conv0.weight": 256}
EPSILON = 1e-5  # of batch normalisation, PyTorch's and Paddle's default
UPSAMPLES = (0, 3, 6)  # numbers of the three transposed convolutions among the modules of a branch
#: Tensors of the state dict that no layer uses: the ImageNet classifier and PyTorch's counters.
UNUSED = ("0.resnet.fc.", "0.densenet.classifier.", "num_batches_tracked")
#: Paddle's names of a batch norm's mean and variance.
PADDLE = {"running_mean": "_mean", "running_var": "_variance"}


class Tensor(NamedTuple):
    """What flows between layers: the adapter's own handle, and its channels."""

    handle: Any
    channels: int


class Net(Protocol):
    """Takes layers one by one; every method returns the handle of the layer's output."""

    def conv(
        self, x: Any, name: str, kernel: NDArray, bias: NDArray | None, stride: int, padding: int
    ) -> Any:
        """`kernel` [out, in, k, k]."""

    def deconv(self, x: Any, name: str, kernel: NDArray, bias: NDArray, stride: int, padding: int) -> Any:
        """`kernel` [in, out, k, k]."""

    def scale(self, x: Any, name: str, scale: NDArray, shift: NDArray) -> Any:
        """x · scale [C] + shift [C]."""

    def activation(self, x: Any, name: str, kind: str) -> Any:
        """`kind`: RELU, SIGMOID or TANH."""

    def pool(self, x: Any, name: str, kind: str, size: int, stride: int, padding: int) -> Any:
        """`kind`: MAX or AVERAGE."""

    def combine(self, x: Any, y: Any, name: str, kind: str) -> Any:
        """`kind`: SUM or PROD."""

    def concat(self, parts: Sequence[Any], name: str) -> Any:
        """Along the channels."""


class Weights:
    """The flat tensors of a `.wts` file, taken by name in the shape a layer wants."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]], file: str) -> None:
        self.tensors, self.file = tensors, file
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str, *shape: int) -> NDArray[np.float32]:
        """The tensor as `shape`, of which one size may be -1."""
        short, _, last = name.rpartition(".")
        paddle = f"{short}.{PADDLE.get(last, last)}"
        found = self.tensors.get(name, self.tensors.get(paddle))
        if found is None:
            raise InputError(f"{self.file} lacks the tensor {name!r}; it is not TrtPose's, or is cut short.")
        self.used |= {name, paddle}
        known = -int(np.prod(shape)) if -1 in shape else int(np.prod(shape))
        if not found.size or (found.size % known if -1 in shape else found.size != known):
            wanted = "×".join("?" if n < 0 else str(n) for n in shape)
            raise InputError(
                f"{self.file}: the tensor {name!r} has {found.size} values; {wanted} are wanted."
            )
        return found.reshape(shape)

    def norm(self, name: str, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale [C] and shift [C] of a batch norm, in float64."""
        parts = ("weight", "bias", "running_mean", "running_var")
        gain, bias, mean, var = (self.take(f"{name}.{part}", channels).astype(np.float64) for part in parts)
        scale = gain / np.sqrt(var + EPSILON)
        return scale, bias - mean * scale

    def left(self) -> list[str]:
        """Names that no layer took, and that are not known to be superfluous."""
        return [n for n in self.tensors if n not in self.used and not any(part in n for part in UNUSED)]


@dataclass
class Layers:
    """Modules of the network, as layers of `net`."""

    net: Net
    weights: Weights

    def conv(
        self, x: Tensor, name: str, size: int, stride: int = 1, norm: str | None = None, bias: bool = False
    ) -> Tensor:
        """Convolution with padding size // 2; a batch norm that follows goes into kernel and bias."""
        kernel = self.weights.take(f"{name}.weight", -1, x.channels, size, size)
        count = len(kernel)
        shift = self.weights.take(f"{name}.bias", count) if bias else None
        if norm is not None:
            scale, moved = self.weights.norm(norm, count)
            kernel = (kernel * scale[:, None, None, None]).astype(np.float32)
            shift = moved.astype(np.float32)
        return Tensor(self.net.conv(x.handle, name, kernel, shift, stride, size // 2), count)

    def relu(self, x: Tensor, name: str) -> Tensor:
        return Tensor(self.net.activation(x.handle, name, "RELU"), x.channels)

    def norm(self, x: Tensor, name: str) -> Tensor:
        scale, shift = self.weights.norm(name, x.channels)
        handle = self.net.scale(x.handle, name, scale.astype(np.float32), shift.astype(np.float32))
        return Tensor(handle, x.channels)

    def pool(self, x: Tensor, name: str, kind: str, size: int, padding: int) -> Tensor:
        return Tensor(self.net.pool(x.handle, name, kind, size, 2, padding), x.channels)

    def upsample(self, x: Tensor, name: str) -> Tensor:
        """Three times: 4×4 transposed convolution of stride 2 with its batch norm in it, ReLU."""
        for i in UPSAMPLES:
            kernel = self.weights.take(f"{name}.{i}.weight", x.channels, -1, 4, 4)
            bias = self.weights.take(f"{name}.{i}.bias", kernel.shape[1])
            scale, shift = self.weights.norm(f"{name}.{i + 1}", len(bias))
            kernel = (kernel * scale[:, None, None]).astype(np.float32)
            bias = (bias * scale + shift).astype(np.float32)
            x = Tensor(self.net.deconv(x.handle, f"{name}.{i}", kernel, bias, 2, 1), len(bias))
            x = self.relu(x, f"{name}.{i + 2}")
        return x

    def attend(self, x: Tensor, name: str, kind: str) -> Tensor:
        weight = self.conv(x, name, 3, bias=True)
        handle = self.net.activation(weight.handle, f"{name}.{kind.lower()}", kind)
        return Tensor(self.net.combine(x.handle, handle, f"{name}.product", "PROD"), x.channels)

    def resnet(self, x: Tensor, name: str) -> Tensor:
        x = self.relu(self.conv(x, f"{name}.conv1", 7, 2, f"{name}.bn1"), f"{name}.relu")
        x = self.pool(x, f"{name}.maxpool", "MAX", 3, 1)
        for stage in range(1, 5):
            for block in range(count(self.weights, f"{name}.layer{stage}.{{}}.conv1.weight", 0)):
                x = self.basic_block(x, f"{name}.layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
        return x

    def basic_block(self, x: Tensor, name: str, stride: int) -> Tensor:
        short = x
        if f"{name}.downsample.0.weight" in self.weights:
            short = self.conv(x, f"{name}.downsample.0", 1, stride, f"{name}.downsample.1")
        x = self.relu(self.conv(x, f"{name}.conv1", 3, stride, f"{name}.bn1"), f"{name}.relu1")
        x = self.conv(x, f"{name}.conv2", 3, 1, f"{name}.bn2")
        total = self.net.combine(x.handle, short.handle, f"{name}.sum", "SUM")
        return self.relu(Tensor(total, x.channels), f"{name}.relu2")

    def densenet(self, x: Tensor, name: str) -> Tensor:
        x = self.relu(self.conv(x, f"{name}.conv0", 7, 2, f"{name}.norm0"), f"{name}.relu0")
        x = self.pool(x, f"{name}.pool0", "MAX", 3, 1)
        for number in range(1, 5):
            block = f"{name}.denseblock{number}.denselayer"
            for layer in range(1, 1 + count(self.weights, f"{block}{{}}.conv1.weight", 1)):
                x = self.dense_layer(x, f"{block}{layer}")
            change = f"{name}.transition{number}"
            if f"{change}.conv.weight" in self.weights:
                x = self.conv(
                    self.relu(self.norm(x, f"{change}.norm"), f"{change}.relu"), f"{change}.conv", 1
                )
                x = self.pool(x, f"{change}.pool", "AVERAGE", 2, 0)
        return self.norm(x, f"{name}.norm5")

    def dense_layer(self, x: Tensor, name: str) -> Tensor:
        new = self.relu(self.norm(x, f"{name}.norm1"), f"{name}.relu1")
        new = self.relu(self.conv(new, f"{name}.conv1", 1, 1, f"{name}.norm2"), f"{name}.relu2")
        new = self.conv(new, f"{name}.conv2", 3)
        joined = self.net.concat([x.handle, new.handle], f"{name}.concat")
        return Tensor(joined, x.channels + new.channels)


def count(weights: Weights, name: str, first: int) -> int:
    """How many tensors `name` there are, numbered from `first` on."""
    number = first
    while name.format(number) in weights:
        number += 1
    return number - first


def trtpose_layers(net: Net, weights: Weights, images: Any) -> tuple[Tensor, Tensor]:
    """Put all layers into `net`, from the handle of its input on; returns cmap and paf.

    Raises:
        InputError: a tensor is missing, has another size, or belongs to no layer.
    """
    layers, x = Layers(net, weights), Tensor(images, 3)
    if "0.densenet.features.conv0.weight" in weights:
        x = layers.densenet(x, "0.densenet.features")
    else:
        x = layers.resnet(x, "0.resnet")
    cmap, paf = layers.upsample(x, "1.cmap_up"), layers.upsample(x, "1.paf_up")
    cmap = layers.attend(cmap, "1.cmap_att", "SIGMOID")
    paf = layers.attend(paf, "1.paf_att", "TANH")
    outputs = layers.conv(cmap, "1.cmap_conv", 1, bias=True), layers.conv(paf, "1.paf_conv", 1, bias=True)
    if left := weights.left():
        raise InputError(
            f"{weights.file} holds {left[0]!r}, which no layer of TrtPose uses: it is of another network."
        )
    return outputs


@dataclass(frozen=True)
class HandBuilt:
    """TrtPose from a `.wts` file, ready to become a network.

    Attributes:
        path: the file.
        tensors: {name: float32 [n]} of it.
        topology: of its outputs.
        size: height and width of its input.
    """

    path: Path
    tensors: Mapping[str, NDArray[np.float32]]
    topology: Topology
    size: tuple[int, int]

    def into(self, net: Net, images: Any) -> tuple[Tensor, Tensor]:
        """The layers into `net`; cmap and paf.

        Raises:
            InputError: the weights are not TrtPose's, or have other channels than the topology.
        """
        outputs = trtpose_layers(net, Weights(self.tensors, self.path.name), images)
        wanted = len(self.topology), 2 * len(self.topology.skeleton)
        found = outputs[0].channels, outputs[1].channels
        if found != wanted:
            raise InputError(
                f"{self.path.name} gives {found[0]} and {found[1]} channels, but the topology "
                f"{self.topology.name!r} has {wanted[0]} and {wanted[1]}: name the right one with --topology."
            )
        return outputs

    def words(self) -> str:
        """What a plan of it depends on beside the file."""
        return f"{self.size[0]}×{self.size[1]}, {self.topology.note()}"

    def notes(self) -> dict[str, str]:
        """What a model file of it notes, as the ONNX export does."""
        own = {"task": "trtpose", "topology": self.topology.note(), "imgsz": str(list(self.size))}
        return {**own, **PREPARED}


def hand_built(path: Path | str, topology: Topology | None = None, size: int | None = None) -> HandBuilt:
    """Read a `.wts` file of TrtPose.

    Args:
        topology: upstream's person with 18 keypoints by default.
        size: side of the square input in pixels; by default upstream's (224, DenseNet 256).

    Raises:
        InputError: the file cannot be read, is no TrtPose, or the size is no multiple of 32.
    """
    path = Path(path)
    tensors = read_wts(path)
    side = next((side for name, side in SIDES.items() if name in tensors), None)
    if side is None:
        raise InputError(f"{path.name} is no TrtPose: it has neither {' nor '.join(SIDES)}.")
    side = side if size is None else size
    if side < 32 or side % 32:
        raise InputError(f"the size {side} must be a multiple of 32.")
    return HandBuilt(path, tensors, topology or HUMAN18, (side, side))
