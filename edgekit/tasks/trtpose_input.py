"""Pictures as TrtPose wants them: fitted, RGB, (x / 255 − mean) / std; and what a model says of itself."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.ops.letterbox import PAD, Size, Transform, byte_table, place
from edgekit.topology import HUMAN18, Topology, noted_topology, read_topology

#: ImageNet's, as in trt_pose's tasks/human_pose/live_demo.ipynb.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FITS = ("stretch", "letterbox")
Three = tuple[float, float, float]


class PoseInput:
    """BGR pictures → input tensor [N, 3, H, W], in buffers that are kept.

    Args:
        size: (height, width) of the input.
        fit: "stretch": the picture is resized to it, whatever its shape, as trt_pose does; "letterbox": its
            shape is kept, the rest is grey 114.
        mean, std: of R, G and B, as shares of 255.
        batch: places of the tensor, for engines of fixed batch; None: as many as pictures.
        dtype: float32 or float16.

    Attributes:
        tables: [3, 256] float32, or float16 as uint16 bits: what a byte of R, G and B becomes.

    Raises:
        InputError: `fit` or `dtype` is none of these.
    """

    def __init__(
        self,
        size: Size,
        fit: str = "stretch",
        mean: Three = MEAN,
        std: Three = STD,
        batch: int | None = None,
        dtype: type | np.dtype = np.float32,
    ) -> None:
        if fit not in FITS:
            raise InputError(f"fit={fit!r} is unknown; choose {' or '.join(FITS)}.")
        self.size, self.fit, self.batch = size, fit, batch
        self.tables = _tables(mean, std, np.dtype(dtype))
        self._border = self.tables[:, PAD["ultralytics"], None, None]
        self._tensor = np.empty((0, 3, *size), dtype)
        self._placed: list[Transform | None] = []
        self._resized = np.empty((*size, 3), np.uint8)
        self._planes = np.empty((3, *size), np.uint8)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> tuple[NDArray, list[Transform]]:
        """Fill the tensor; the next call overwrites it. With a fixed batch the places left over are grey.

        Args:
            images: uint8 [H, W, 3] BGR, of any sizes.

        Returns:
            float [N, 3, H, W] and how each picture was placed.

        Raises:
            InputError: no pictures, or more than a fixed batch holds.
        """
        batch = self.batch or len(images)
        if not 0 < len(images) <= batch:
            raise InputError(f"{len(images)} pictures do not fit a batch of {batch}.")
        if len(self._tensor) != batch:
            self._tensor = np.empty((batch, 3, *self.size), self._tensor.dtype)
            self._placed = [None] * batch
            self._bits()[:] = self._border
        transforms = [self.place(image) for image in images]
        for n, (image, transform) in enumerate(zip(images, transforms, strict=True)):
            self._fill(n, image, transform)
        for n in range(len(images), batch):
            if self._placed[n] is not None:
                self._bits()[n], self._placed[n] = self._border, None
        return self._tensor, transforms

    def place(self, image: NDArray[np.uint8]) -> Transform:
        """Where a picture lands in the input."""
        height, width = image.shape[:2]
        if self.fit == "letterbox":
            return place((height, width), self.size)
        scale = self.size[1] / width, self.size[0] / height
        return Transform((height, width), self.size, self.size, 0, 0, *scale)

    def _fill(self, n: int, image: NDArray[np.uint8], to: Transform) -> None:
        """Write one picture into place `n`, and the border if the last picture there lay elsewhere."""
        into = self._bits()[n]
        if self._placed[n] != to:
            into[:] = self._border
            self._placed[n] = to
        (height, width), top, left = to.content, to.top, to.left
        resized = self._resized.reshape(-1)[: height * width * 3].reshape(height, width, 3)
        cv2.resize(image, (width, height), resized, interpolation=cv2.INTER_LINEAR)
        planes = self._planes.reshape(-1)[: height * width * 3].reshape(3, height, width)
        cv2.split(resized, list(planes[::-1]))  # R, G, B
        for plane, table, target in zip(planes, self.tables, into, strict=True):
            cv2.LUT(plane, table, target[top : top + height, left : left + width])

    def _bits(self) -> NDArray:
        """The tensor as the tables have it: float16 as uint16, which every OpenCV can look up."""
        return self._tensor.view(self.tables.dtype)


def _tables(mean: Three, std: Three, dtype: np.dtype) -> NDArray:
    """[3, 256]: what a byte of each channel becomes, rounded as by torchvision's ToTensor and Normalize."""
    unit = byte_table(True, np.dtype(np.float32))
    table = (unit - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    if byte_table(True, dtype).dtype == np.float32:
        return table
    return table.astype(np.float16).view(np.uint16)


def noted_three(metadata: Mapping[str, str], name: str, default: Three) -> Three:
    """The note `name`, "[0.485, 0.456, 0.406]", or `default`.

    Raises:
        InputError: the note is no three numbers.
    """
    text = metadata.get(name)
    if not text:
        return default
    try:
        red, green, blue = (float(value) for value in ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise InputError(f"the model's note {name!r} is no three numbers: {text[:60]!r}.") from None
    if name == "std" and min(red, green, blue) <= 0:
        raise InputError(f"the model's note 'std' has a value that is not above 0: {text[:60]!r}.")
    return red, green, blue


def picture_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The one input, [B, 3, H, W].

    Raises:
        InputError: any other kind of model.
    """
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[1] in (3, None):
        return inputs[0]
    listed = ", ".join(map(str, inputs))
    raise InputError(f"a TrtPose has one picture input, batch×3×height×width; this model has {listed}.")


def maps_of(
    outputs: Sequence[TensorSpec], given: str | Path | Topology | None, metadata: Mapping[str, str]
) -> tuple[TensorSpec, TensorSpec, Topology]:
    """The outputs with confidence maps and part affinity fields, and the topology that fits both.

    They are told by their names, else (a file without names of its own) the confidence maps come first.
    """
    listed = ", ".join(map(str, outputs))
    known = {spec.name: spec for spec in outputs}
    if not {"cmap", "paf"} <= set(known):
        if len(outputs) != 2:
            raise InputError(f"a TrtPose has the outputs cmap and paf; this model has {listed}.")
        known = dict(zip(("cmap", "paf"), outputs, strict=True))
    cmap, paf = known["cmap"], known["paf"]
    if len(cmap.shape) != 4 or len(paf.shape) != 4:
        raise InputError(f"a TrtPose's outputs are batch×channels×height×width; this model has {listed}.")
    channels = cmap.shape[1], paf.shape[1]
    topology = noted_topology(metadata) if given is None else read_topology(given)
    if topology is None and channels == (len(HUMAN18), 2 * len(HUMAN18.skeleton)):
        topology = HUMAN18
    if topology is None:
        raise InputError(
            f"the model has {channels[0]} confidence maps and {channels[1]} part affinity fields, and does "
            "not say of what; give topology=, a COCO-category JSON."
        )
    wanted = len(topology), 2 * len(topology.skeleton)
    if any(have not in (None, want) for have, want in zip(channels, wanted, strict=True)):
        raise InputError(
            f"the topology {topology.name!r} has {wanted[0]} keypoints and {wanted[1] // 2} limbs, which "
            f"want {wanted[0]} and {wanted[1]} channels; the model has {channels[0]} and {channels[1]}; "
            "give its own topology."
        )
    return cmap, paf, topology
