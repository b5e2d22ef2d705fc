"""The kinds of top-down networks: what each is fed, and how its output is read.

| head    | input                                     | output                                             |
|---------|-------------------------------------------|----------------------------------------------------|
| heatmap | [N, 3, H, W] RGB, crop of aspect W : H     | [N, K, h, w] heat maps (FastPose, SimpleBaseline)  |
| grafted | [N, H, W, 3] BGR bytes of the same crop   | [N, K, 3] the points of such maps (`engine.graft`) |
| movenet | [N, S, S, 3] RGB bytes, square crop        | [N, 1, K, 3] y, x in shares of the crop, and score |

N people, K keypoints.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, TensorSpec
from edgekit.errors import InputError
from edgekit.ops.crops import MEAN, Crops, SquareCrops, to_source
from edgekit.ops.heatmaps import decode
from edgekit.tasks.grafted import ByteCrops, seen
from edgekit.topology import COCO17, Topology, noted_topology, read_topology

NAMES = ("heatmap", "movenet")


class HeatmapHead:
    """AlphaPose's FastPose and what has its contract; mean, std and size as the model notes them.

    Attributes (of both heads):
        input, output: the tensors it works on.
        count: keypoints of a person.
        mirrors: whether its outputs can be averaged with those of the mirrored crop.
        crops: (pictures, boxes [N, 4]) → input tensor and the boxes as cropped.
    """

    name, mirrors = "heatmap", True

    def __init__(self, entry: TensorSpec, leave: TensorSpec, metadata: Mapping[str, str]) -> None:
        self.input, self.output = entry, leave
        height, width = _noted(metadata, "imgsz", (256, 192))
        size = int(entry.shape[2] or height), int(entry.shape[3] or width)
        mean, std = _noted(metadata, "mean", MEAN), _noted(metadata, "std", (1.0, 1.0, 1.0))
        self.crops = Crops(size, mean=mean, std=std, batch=entry.shape[0], dtype=entry.dtype)
        if leave.shape[1] is None:
            raise InputError(f"the output {leave} does not say how many keypoints it has; export it so.")
        self.count = leave.shape[1]

    def decode(self, output: NDArray, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, K, 3] in source pixels; `boxes` as cropped."""
        return to_source(decode(output), boxes, (output.shape[2], output.shape[3]))


class GraftedHead(HeatmapHead):
    """A heat map network whose crops' numbers and maps' points are made inside; told its own tensors."""

    name, mirrors = "grafted", False

    def __init__(self, entry: TensorSpec, leave: TensorSpec, metadata: Mapping[str, str]) -> None:
        super().__init__(entry, leave, metadata)
        self.crops = ByteCrops(self.crops)

    def decode(self, output: NDArray, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, K, 3] in source pixels; `boxes` as cropped."""
        return to_source(output, boxes, (self.output.shape[2] or 0, self.output.shape[3] or 0))


class MoveNetHead:
    """Google's single-pose MoveNet (tfhub.dev/google/movenet/singlepose): it normalises by itself."""

    name, mirrors = "movenet", False

    def __init__(self, entry: TensorSpec, leave: TensorSpec, metadata: Mapping[str, str]) -> None:
        self.input, self.output = entry, leave
        side, count = entry.shape[1], leave.shape[2]
        if side is None or count is None:
            raise InputError(f"the sizes of {entry} and {leave} must be fixed; export it so.")
        self.crops = SquareCrops(side, batch=entry.shape[0], dtype=entry.dtype)
        self.count = count

    def decode(self, output: NDArray, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [N, K, 3] in source pixels; `boxes` as cropped."""
        found = np.array(output[:, 0][..., [1, 0, 2]], np.float32)
        sides = boxes[:, 2:] - boxes[:, :2]
        # A share is of areas, a keypoint is counted from pixel centre to pixel centre.
        found[..., :2] = boxes[:, None, :2] + found[..., :2] * sides[:, None] - 0.5
        return found


Head = HeatmapHead | MoveNetHead


def pick_head(engine: Engine, wanted: str = "auto") -> Head:
    """The head of a network, by its tensors.

    Args:
        wanted: "auto" or one of `NAMES`.

    Raises:
        InputError: `wanted` is unknown or does not fit, or the network is of another kind.
    """
    if wanted not in ("auto", *NAMES):
        raise InputError(f"head {wanted!r} is unknown; choose one of auto, {', '.join(NAMES)}.")
    if (task := engine.metadata.get("task", "topdown")) != "topdown":
        raise InputError(f"this model is made for {task!r}; here crops of single people go in.")
    kinds: dict[str, type[Head]] = {}
    plain = seen(engine)
    entry, leave = plain.inputs[0], plain.outputs[0]
    if len(plain.inputs) == 1 and len(plain.outputs) == 1 and len(entry.shape) == len(leave.shape) == 4:
        if entry.shape[1] == 3 and entry.dtype.kind == "f":
            kinds["heatmap"] = HeatmapHead if plain is engine else GraftedHead
        if entry.shape[3] == 3 and leave.shape[3] == 3 and leave.shape[1] in (1, None):
            kinds["movenet"] = MoveNetHead
    for name, kind in kinds.items():
        if wanted in ("auto", name):
            return kind(entry, leave, engine.metadata)
    listed = ", ".join(map(str, (*engine.inputs, *engine.outputs)))
    kind_of = "top-down pose" if wanted == "auto" else wanted
    raise InputError(f"this is no {kind_of} network that the kit knows: it has {listed}.")


def topology_of(given: str | Path | Topology | None, metadata: Mapping[str, str], count: int) -> Topology:
    """The keypoints' names of a network of `count`: as given, as noted, or COCO's.

    Raises:
        InputError: they are not known, or not as many.
    """
    topology = noted_topology(metadata) if given is None else read_topology(given)
    if topology is None and count == len(COCO17):
        topology = COCO17
    if topology is None:
        raise InputError(f"the model has {count} keypoints and does not say which; give topology=.")
    if len(topology) != count:
        raise InputError(
            f"the topology {topology.name!r} has {len(topology)} keypoints, the model {count}; give its own."
        )
    return topology


def _noted(metadata: Mapping[str, str], key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """A note of numbers ("[0.406, 0.457, 0.48]"), as many as the default has."""
    text = metadata.get(key)
    if not text:
        return default
    try:
        numbers = tuple(float(n) for n in ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError):
        numbers = ()
    if len(numbers) != len(default):
        raise InputError(f"the model's note {key!r} is no list of {len(default)} numbers: {text[:60]!r}.")
    return numbers
