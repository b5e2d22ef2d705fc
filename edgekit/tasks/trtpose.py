"""TrtPose: skeletons bottom-up. Fit → engine → confidence maps and part affinity fields → people.

with open_trtpose("edgekit-trtpose") as pose:
    poses = pose(frame)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, TensorSpec, open_engine
from edgekit.errors import InputError
from edgekit.ops.connect import parse_objects
from edgekit.ops.letterbox import Transform
from edgekit.results import Frame, Poses
from edgekit.smooth import Smoother
from edgekit.tasks.trtpose_input import MEAN, STD, PoseInput, noted_three
from edgekit.tasks.yolo_settings import input_size
from edgekit.topology import HUMAN18, Topology, noted_topology, read_topology

if TYPE_CHECKING:
    from edgekit.ops.paf_cuda import CudaParser

SIDE = 224  # of trt_pose's resnet18, where neither engine nor note says more
DECODERS = ("auto", "numpy", "cuda")


def open_trtpose(
    model: str | Path = "edgekit-trtpose",
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    **settings: Any,
) -> TrtPose:
    """Open a model and make a `TrtPose` of it.

    Args:
        model, precision, backend, shapes: as of `edgekit.open_engine`.
        settings: as of `TrtPose`.
    """
    engine = open_engine(model, precision, backend, shapes)
    try:
        return trtpose_on(engine, model, **settings)
    except BaseException:
        engine.close()
        raise


def trtpose_on(engine: Engine, model: str | Path, **settings: Any) -> TrtPose:
    """A `TrtPose` around the open engine of `model`; what the shelf knows of its keypoints is used."""
    from edgekit.models import models

    one = models().get(str(model))
    if one is not None and one.topology and settings.get("topology") is None:
        noted = noted_topology(engine.metadata)
        settings = {**settings, "topology": noted or one.topology}
    return TrtPose(engine, **settings)


#: Default of the lowest score: 18 keypoints of which three have a whole map's value make 0.17.
SCORE = 0.15


class TrtPose:
    """Find the skeletons of people, or whatever the network was trained on, in frames.

    Args:
        engine: the network; closed with the task.
        topology: its keypoints and limbs, as of `read_topology` (a COCO-category JSON, a name); default: the
            model's own note, trt_pose's person for 18 keypoints and 21 limbs.
        cmap_threshold: smallest value of a keypoint in its confidence map, 0 to 1.
        link_threshold: a limb's mean part affinity must be above it, 0 to 1.
        max_people: people a picture at most.
        fit: "stretch" or "letterbox", as of `PoseInput`; default: the model's note, else "stretch".
        score: lowest score of a person kept, 0 to 1. At 0 a keypoint that no limb joins is a person too, as
            in trt_pose; the default leaves out those of fewer than about three sure keypoints.
        smooth: steady the keypoints over the frames of one source (`edgekit.smooth`).
        size: (height, width) for an engine of dynamic size; default: the model's notes, else 224×224.
        decoder: "numpy", "cuda" (peaks and scores of limbs on the GPU, see `edgekit.ops.paf_cuda`; needs
            nvcc), or "auto": NumPy.

    `cmap_threshold`, `link_threshold`, `score` and `max_people` may be assigned at any time, from any thread;
    the next frame has them. A person's score is the sum of its keypoints' values over the number a whole
    person has, 0 to 1: few or weak keypoints score low (trt_pose's evaluation counts found ones alike).

    Attributes:
        times: seconds of the last call: "pre", "infer", "post".
        decoder: what decodes, "numpy" or "cuda".
        controls: settings between 0 and 1 that a live view shows, with the words for them.

    Raises:
        MissingError: decoder="cuda" without pycuda, GPU or nvcc.
        InputError: the engine is no TrtPose, does not fit the topology, or a setting does not fit.
    """

    controls: ClassVar[dict[str, str]] = {
        "cmap_threshold": "lowest keypoint",
        "link_threshold": "lowest limb",
        "score": "lowest score",
    }

    def __init__(
        self,
        engine: Engine,
        *,
        topology: str | Path | Topology | None = None,
        cmap_threshold: float = 0.1,
        link_threshold: float = 0.1,
        max_people: int = 100,
        fit: str | None = None,
        score: float = SCORE,
        smooth: bool = False,
        size: tuple[int, int] | None = None,
        decoder: str = "auto",
    ) -> None:
        limits = {"cmap_threshold": cmap_threshold, "link_threshold": link_threshold, "score": score}
        for name, value in limits.items():
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name}={value} is not between 0 and 1.")
        if max_people < 1:
            raise InputError(f"max_people={max_people} keeps nobody; give 1 or more.")
        if decoder not in DECODERS:
            raise InputError(f"decoder={decoder!r} is unknown; choose one of {', '.join(DECODERS)}.")
        self.engine = engine
        self.cmap_threshold, self.link_threshold = cmap_threshold, link_threshold
        self.max_people, self.score = max_people, score
        self.times: dict[str, float] = {}
        notes = engine.metadata
        self._input = _picture_input(engine.inputs)
        self._cmap, self._paf, self.topology = _maps(engine.outputs, topology, notes)
        self.names, self.skeleton = self.topology.keypoints, self.topology.skeleton
        self.size = input_size(self._input, size, {"imgsz": str(SIDE), **notes})
        self._fill = PoseInput(
            self.size,
            fit or notes.get("fit") or "stretch",
            noted_three(notes, "mean", MEAN),
            noted_three(notes, "std", STD),
            batch=self._input.shape[0],
            dtype=self._input.dtype,
        )
        self.fit = self._fill.fit
        self._smoother = Smoother() if smooth else None
        self.decoder = "numpy" if decoder == "auto" else decoder
        self._parse: Callable[..., NDArray[np.float32]] = parse_objects
        self._parser: CudaParser | None = None
        if decoder == "cuda":
            from edgekit.ops.paf_cuda import CudaParser

            self._parser = CudaParser(self.topology.links)
            self._parse = self._parser.parse_objects

    @overload
    def __call__(self, frames: Frame | NDArray[np.uint8]) -> Poses: ...
    @overload
    def __call__(self, frames: Sequence[Frame | NDArray[np.uint8]]) -> list[Poses]: ...
    def __call__(
        self, frames: Frame | NDArray[np.uint8] | Sequence[Frame | NDArray[np.uint8]]
    ) -> Poses | list[Poses]:
        """Poses of a frame (or of each of several), in pixels of that frame, best score first."""
        single = isinstance(frames, Frame | np.ndarray)
        listed = [frames] if single else list(frames)  # type: ignore[list-item, arg-type]
        given = [f if isinstance(f, Frame) else Frame(f) for f in listed]  # type: ignore[arg-type]
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        step = self._input.shape[0] or len(given) or 1
        found: list[Poses] = []
        for start in range(0, len(given), step):
            found += self._batch(given[start : start + step])
        return found[0] if single else found

    def _batch(self, frames: list[Frame]) -> list[Poses]:
        start = time.perf_counter()
        feeds, transforms = self.preprocess([frame.image for frame in frames])
        ready = time.perf_counter()
        outputs = self.infer(feeds)
        inferred = time.perf_counter()
        found = self.postprocess(outputs, transforms)
        if self._smoother is not None:
            found = [self._smoother(poses, frame.t) for poses, frame in zip(found, frames, strict=True)]
        self.times["pre"] += ready - start
        self.times["infer"] += inferred - ready
        self.times["post"] += time.perf_counter() - inferred
        return found

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> tuple[dict[str, NDArray], list[Transform]]:
        """Fit BGR pictures, uint8 [H, W, 3], into the input tensor; the next call overwrites it."""
        tensor, transforms = self._fill(images)
        return {self._input.name: tensor}, transforms

    def infer(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run the engine."""
        return self.engine(feeds)

    def maps(self, outputs: Mapping[str, NDArray]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Confidence maps float32 [N, K, H, W] and part affinity fields [N, 2·L, H, W] of what `infer` gave.

        They are the engine's own arrays, which its next call may overwrite: copy what you keep.

        Raises:
            InputError: an output is missing, or has not the channels of the topology.
        """
        arrays = []
        for spec, channels in ((self._cmap, len(self.names)), (self._paf, 2 * len(self.skeleton))):
            if spec.name not in outputs:
                raise InputError(f"the outputs {list(outputs)} lack {spec.name!r}.")
            array = np.ascontiguousarray(outputs[spec.name], np.float32)
            if array.ndim != 4 or array.shape[1] != channels:
                raise InputError(
                    f"output {spec.name!r} is {list(array.shape)}; the topology {self.topology.name!r} wants "
                    f"{channels} channels."
                )
            arrays.append(array)
        return arrays[0], arrays[1]

    def postprocess(self, outputs: Mapping[str, NDArray], transforms: Sequence[Transform]) -> list[Poses]:
        """Decode the maps and bring the keypoints into source pixels; one result a transform."""
        cmap, paf = self.maps(outputs)
        return [self._one(cmap[n], paf[n], transform) for n, transform in enumerate(transforms)]

    def _one(self, cmap: NDArray[np.float32], paf: NDArray[np.float32], to: Transform) -> Poses:
        keypoints = self._parse(
            cmap,
            paf,
            self.topology,
            cmap_threshold=self.cmap_threshold,
            link_threshold=self.link_threshold,
            max_people=self.max_people,
        )
        score = np.minimum(keypoints[:, :, 2].sum(axis=1) / np.float32(len(self.names)), np.float32(1))
        order = np.argsort(-score, kind="stable")
        order = order[score[order] >= self.score]
        return Poses(_to_source(keypoints[order], to), score[order], self.names, self.skeleton)

    def close(self) -> None:
        """Close the engine, and the decoder on the GPU; a second call does nothing."""
        try:
            if self._parser is not None:
                self._parser.close()
        finally:
            self.engine.close()

    def __enter__(self) -> TrtPose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _to_source(keypoints: NDArray[np.float32], to: Transform) -> NDArray[np.float32]:
    """Fractions of the input as pixels of the source, cut at its edges; keypoints not found stay 0, 0, 0."""
    height, width = to.canvas
    x = (keypoints[:, :, 0] * width - to.left) / to.scale_x
    y = (keypoints[:, :, 1] * height - to.top) / to.scale_y
    found = keypoints[:, :, 2] > 0
    moved = np.stack([np.clip(x, 0, to.source[1]), np.clip(y, 0, to.source[0]), keypoints[:, :, 2]], axis=2)
    return np.where(found[:, :, None], moved, 0).astype(np.float32)


def _picture_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    """The one input, [B, 3, H, W]; InputError for any other kind of model."""
    if len(inputs) == 1 and len(inputs[0].shape) == 4 and inputs[0].shape[1] in (3, None):
        return inputs[0]
    listed = ", ".join(map(str, inputs))
    raise InputError(f"a TrtPose has one picture input, batch×3×height×width; this model has {listed}.")


def _maps(
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
