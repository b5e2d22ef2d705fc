"""TrtPose: skeletons bottom-up. Fit → engine → confidence maps and part affinity fields → people.

with open_trtpose("edgekit-trtpose") as pose:
    poses = pose(frame)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, open_engine
from edgekit.engine.resident import Tenant, resident
from edgekit.errors import EdgekitError, InputError
from edgekit.ops.connect import parse_objects
from edgekit.ops.letterbox import Transform
from edgekit.results import Frame, Poses
from edgekit.smooth import Smoother
from edgekit.tasks.grafted import Canvases, file_for, seen, settle
from edgekit.tasks.trtpose_input import MEAN, STD, PoseInput, maps_of, noted_three, picture_input
from edgekit.tasks.yolo_settings import input_size
from edgekit.topology import Topology, noted_topology

if TYPE_CHECKING:
    from edgekit.tasks.trtpose_gpu import TrtPoseOnGpu

SIDE = 224  # of trt_pose's resnet18, where neither engine nor note says more


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
    file = file_for(model, settings.get("ops", "auto"), precision, backend)
    engine = open_engine(file, precision, backend, shapes)
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
        ops: where pictures are fitted and maps decoded: "host", "cuda" (`edgekit.tasks.trtpose_gpu`), or
            "auto": on the GPU where the engine keeps its tensors there and nvcc is found. "graft": bytes
            become numbers inside the network (`edgekit.engine.graft`), the rest is the host's.

    `cmap_threshold`, `link_threshold`, `score` and `max_people` may be assigned at any time, from any thread;
    the next frame has them. A person's score is the sum of its keypoints' values over the number a whole
    person has, 0 to 1: few or weak keypoints score low (trt_pose's evaluation counts found ones alike).

    Attributes:
        times: seconds of the last call: "pre", "infer", "post".
        ops, ops_why: where those steps run, "host", "graft" or "cuda", and why, in words.
        on_gpu: what is kept on the GPU's thread; None elsewhere.
        controls: settings between 0 and 1 that a live view shows, with the words for them.

    Raises:
        MissingError: ops="cuda" cannot be.
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
        ops: str = "auto",
    ) -> None:
        limits = {"cmap_threshold": cmap_threshold, "link_threshold": link_threshold, "score": score}
        for name, value in limits.items():
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name}={value} is not between 0 and 1.")
        if max_people < 1:
            raise InputError(f"max_people={max_people} keeps nobody; give 1 or more.")
        self.engine = engine
        self.cmap_threshold, self.link_threshold = cmap_threshold, link_threshold
        self.max_people, self.score = max_people, score
        self.times: dict[str, float] = {}
        notes = engine.metadata
        self._input = picture_input(seen(engine).inputs)
        self._cmap, self._paf, self.topology = maps_of(engine.outputs, topology, notes)
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
        self.ops, self.ops_why = settle(ops, engine)
        grafted = self.ops == "graft"
        self._canvases = Canvases(self.size, self._fill.batch, placed=self._fill.place) if grafted else None
        self.on_gpu: Tenant[TrtPoseOnGpu] | None = None
        if self.ops == "cuda":
            self._move_to_gpu(must=ops == "cuda")

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
        images = [frame.image for frame in frames]
        found, done = self._by_host(images) if self.on_gpu is None else self._by_gpu(self.on_gpu, images)
        if self._smoother is not None:
            found = [self._smoother(poses, frame.t) for poses, frame in zip(found, frames, strict=True)]
        self.times["post"] += time.perf_counter() - done
        return found

    def _by_host(self, images: list[NDArray[np.uint8]]) -> tuple[list[Poses], float]:
        start = time.perf_counter()
        feeds, transforms = self.preprocess(images)
        ready = time.perf_counter()
        outputs = self.infer(feeds)
        inferred = time.perf_counter()
        self.times["pre"] += ready - start
        self.times["infer"] += inferred - ready
        return self.postprocess(outputs, transforms), inferred

    def _by_gpu(
        self, on_gpu: Tenant[TrtPoseOnGpu], images: list[NDArray[np.uint8]]
    ) -> tuple[list[Poses], float]:
        from edgekit.ops.paf_cuda import people_of

        found, transforms, times = on_gpu.call(on_gpu.held.run, images, self.cmap_threshold)
        done = time.perf_counter()
        for part, seconds in times.items():
            self.times[part] += seconds
        limits = self.topology.links, self.link_threshold, self.max_people
        poses = zip(found, transforms, strict=True)
        return [self._poses(people_of(one, *limits), to) for one, to in poses], done

    def _move_to_gpu(self, must: bool) -> None:
        """Make the kernels; where that fails and they need not be, it is the host's, as `ops_why` says."""
        from edgekit.tasks.trtpose_gpu import TrtPoseOnGpu

        how = self._fill, self._input, (self._cmap, self._paf), self.topology.links
        try:
            inside = resident(self.engine)
            self.on_gpu = Tenant(inside.gpu, lambda gpu: TrtPoseOnGpu(gpu, inside, *how))
        except EdgekitError as error:
            if must:
                raise
            self.ops, self.ops_why = "host", str(error)

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> tuple[dict[str, NDArray], list[Transform]]:
        """Fit BGR pictures, uint8 [H, W, 3], into the input tensor; the next call overwrites it."""
        fill = self._canvases or self._fill
        tensor, transforms = fill(images)
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
        found = []
        for one_cmap, one_paf, transform in zip(cmap, paf, transforms, strict=False):
            people = parse_objects(
                one_cmap,
                one_paf,
                self.topology,
                cmap_threshold=self.cmap_threshold,
                link_threshold=self.link_threshold,
                max_people=self.max_people,
            )
            found.append(self._poses(people, transform))
        return found

    def _poses(self, keypoints: NDArray[np.float32], to: Transform) -> Poses:
        score = np.minimum(keypoints[:, :, 2].sum(axis=1) / np.float32(len(self.names)), np.float32(1))
        order = np.argsort(-score, kind="stable")
        order = order[score[order] >= self.score]
        return Poses(_to_source(keypoints[order], to), score[order], self.names, self.skeleton)

    def close(self) -> None:
        """Close the engine, and what is the task's own on the GPU; a second call does nothing."""
        try:
            if self.on_gpu is not None:
                self.on_gpu.close()
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
