"""What a person looks like, as a vector: by a re-identification network, or by a colour histogram.

An appearance is called with a picture and boxes, and gives float32 [N, D], one unit vector a box, so that a
scalar product is the cosine. A box without a pixel in the picture gives zeros, which resemble nothing.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, open_engine
from edgekit.errors import InputError

Vectors = NDArray[np.float32]
#: ImageNet's mean and spread of R, G and B in 0..1, with which re-identification networks are trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Crops in one engine call where the engine itself sets no bound.
MAX_BATCH = 64


class Appearance(Protocol):
    """Describes boxes of a picture.

    Attributes:
        limit: cosine distance up to which two descriptions may be one person.
    """

    limit: float

    def __call__(self, image: NDArray[np.uint8], xyxy: NDArray) -> Vectors: ...

    def close(self) -> None: ...


def open_appearance(
    model: str | Path = "histogram", precision: str = "fp16", backend: str = "auto"
) -> Appearance:
    """The colour histogram, or a network.

    Args:
        model: "histogram", or a re-identification network as of `edgekit.open_engine`: pictures [N, 3, H, W]
            in (RGB, ImageNet's mean and spread), vectors [N, D] out, as OSNet's.
        precision, backend: as of `edgekit.open_engine`.
    """
    if model == "histogram":
        return Histogram()
    from edgekit.tasks.topdown import default_shapes

    # Like a detector such a network says nothing of its task, and is dynamic in its batch alone.
    shapes = default_shapes(model, backend, task="detect", most=MAX_BATCH)
    engine = open_engine(model, precision, backend, shapes)
    try:
        return Network(engine)
    except BaseException:
        engine.close()
        raise


def _clipped(image: NDArray[np.uint8], xyxy: NDArray) -> list[NDArray[np.uint8]]:
    """The part of the picture in each box, whole pixels; empty where there is none."""
    height, width = image.shape[:2]
    box = np.asarray(xyxy, np.float64).reshape(-1, 4)
    low = np.floor(np.clip(box[:, :2], 0, (width, height))).astype(int)
    high = np.ceil(np.clip(box[:, 2:], 0, (width, height))).astype(int)
    return [image[y1:y2, x1:x2] for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True)]


def _unit(vectors: NDArray) -> Vectors:
    vectors = np.asarray(vectors, np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


class Histogram:
    """Colours of head, trunk and legs: no network, and weak where people are dressed alike.

    The middle of the box is cut into three stripes; each gives a histogram of hue × saturation (of pixels
    that have a colour) and one of brightness. Their square roots as one unit vector, so that the cosine is
    Bhattacharyya's coefficient.
    """

    #: Best of .05 to .4 on three sequences of MOT15 (TUD-Stadtmitte, TUD-Campus, KITTI-17), by IDF1.
    limit = 0.15

    HUES, SATURATIONS, LEVELS, STRIPES = 12, 4, 8, 3

    def __call__(self, image: NDArray[np.uint8], xyxy: NDArray) -> Vectors:
        """Describe boxes [N, 4] of a BGR picture."""
        size = self.STRIPES * (self.HUES * self.SATURATIONS + self.LEVELS)
        rows = [self._one(crop) if crop.size else np.zeros(size) for crop in _clipped(image, xyxy)]
        return _unit(np.sqrt(np.array(rows, np.float32).reshape(len(rows), size)))

    def _one(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Twenty-four rows of eight pixels are enough for a histogram, and the same work for every box. The
        # sides of a box are mostly background.
        side = crop.shape[1] // 5
        inner = crop[:, side : crop.shape[1] - side]
        hsv = cv2.cvtColor(cv2.resize(inner, (16, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2HSV)
        parts = []
        for stripe in np.split(hsv, self.STRIPES):
            colours = [self.HUES, self.SATURATIONS]
            parts.append(cv2.calcHist([stripe], [0, 1], None, colours, [0, 180, 0, 256]).ravel())
            parts.append(cv2.calcHist([stripe], [2], None, [self.LEVELS], [0, 256]).ravel())
        return np.concatenate(parts)

    def close(self) -> None:
        """Nothing is held open."""


class Network:
    """Vectors of a re-identification network.

    Args:
        engine: pictures [N, 3, H, W] in, vectors [N, D] out; closed with this.

    Raises:
        InputError: the engine is of another kind.
    """

    #: Best of .1 to .4 there with OSNet x0.25 trained on MSMT17.
    limit = 0.3

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        (spec, *more), outputs = engine.inputs, engine.outputs
        flat = [one for one in outputs if len(one.shape) == 2]
        if more or len(spec.shape) != 4 or spec.shape[1] != 3 or None in spec.shape[2:] or len(flat) != 1:
            listed = ", ".join(map(str, (*engine.inputs, *outputs)))
            raise InputError(
                f"a re-identification network is N×3×height×width in, N×D out; this one has {listed}."
            )
        self._input, self._output = spec, flat[0]
        self._step = spec.batch_limit or MAX_BATCH
        self.size = int(spec.shape[2] or 0), int(spec.shape[3] or 0)

    def __call__(self, image: NDArray[np.uint8], xyxy: NDArray) -> Vectors:
        """Describe boxes [N, 4] of a BGR picture; as many crops an engine call as it takes."""
        crops = _clipped(image, xyxy)
        whole = [row for row, crop in enumerate(crops) if crop.size]
        width = self._output.shape[1] or 0
        found = [np.zeros((0, width), np.float32)]
        for start in range(0, len(whole), self._step):
            feed = self.preprocess([crops[row] for row in whole[start : start + self._step]])
            given = self.engine({self._input.name: feed})[self._output.name]
            found.append(np.asarray(given, np.float32)[: len(whole) - start])
        vectors = np.concatenate(found[1:] or found)
        out = np.zeros((len(crops), vectors.shape[1]), np.float32)
        out[whole] = vectors
        return _unit(out)

    def preprocess(self, crops: list[NDArray[np.uint8]]) -> NDArray:
        """BGR crops as the input tensor; an engine of fixed batch gets zeros in the places left over."""
        rows = self._input.shape[0] or len(crops)
        tensor = np.zeros((rows, 3, *self.size), np.float32)
        for row, crop in zip(tensor, crops, strict=False):
            picture = cv2.resize(crop, self.size[::-1], interpolation=cv2.INTER_LINEAR)
            row[:] = picture[..., ::-1].transpose(2, 0, 1)
        tensor[: len(crops)] /= 255
        tensor[: len(crops)] -= np.array(MEAN, np.float32)[:, None, None]
        tensor[: len(crops)] /= np.array(STD, np.float32)[:, None, None]
        return tensor.astype(self._input.dtype, copy=False)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
