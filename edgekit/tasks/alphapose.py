"""AlphaPose: a detector finds the people, a top-down network their keypoints, pose NMS removes doubles.

with open_alphapose() as task:
    poses = task(frame)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, open_engine
from edgekit.engine.choose import BACKENDS
from edgekit.errors import InputError
from edgekit.ops.pose_nms import pose_nms, pose_scores
from edgekit.results import Detections, Frame, Poses
from edgekit.smooth import Smoother
from edgekit.tasks.grafted import file_for
from edgekit.tasks.topdown import TopDown, default_shapes, topdown_on
from edgekit.tasks.yolo import Yolo, open_yolo

if TYPE_CHECKING:
    from edgekit.engine.cuda import DeviceArray

#: Settings of `AlphaPose`; what else `open_alphapose` is given goes to `TopDown`.
OWN = ("score", "nms", "smooth", "person", "min_area", "shown")
#: Frames of a detector's call that a plan is built for: one is the rule, 8 as in AlphaPose_trt's tables.
DETECTOR_BATCH = {"best": 1, "most": 8}


def open_alphapose(
    model: str | Path = "edgekit-fastpose",
    precision: str = "fp16",
    backend: str = "auto",
    *,
    detector: str | Path | Yolo = "edgekit-person",
    shapes: ShapeRanges | None = None,
    detector_shapes: ShapeRanges | None = None,
    ops: str = "auto",
    **settings: Any,
) -> AlphaPose:
    """Open a pose network and a detector, and make an `AlphaPose` of them.

    Args:
        model, precision, backend: as of `edgekit.open_engine`; the detector gets the same two.
        detector: a model of any YOLO, or a `Yolo` that is open; both are closed with the task.
        shapes: of the pose network, as of `open_engine`; default: 1 to 64 people a call.
        detector_shapes: of the detector, where it is dynamic; default: 1 to 8 frames a call.
        ops: where the steps around both networks run, as of `Yolo` and `TopDown`. Where both are on the GPU,
            a frame is uploaded once.
        settings: as of `AlphaPose` and `TopDown`.
    """
    file = file_for(model, ops, precision, backend)
    engine = open_engine(file, precision, backend, shapes or default_shapes(file, backend))
    try:
        how: dict[str, Any] = {"precision": precision, "backend": backend, "detector_shapes": detector_shapes}
        return alphapose_on(engine, model, detector=detector, ops=ops, **how, **settings)
    except BaseException:
        engine.close()
        raise


def alphapose_on(
    engine: Engine,
    model: str | Path,
    *,
    detector: str | Path | Yolo = "edgekit-person",
    precision: str | None = None,
    backend: str | None = None,
    detector_shapes: ShapeRanges | None = None,
    ops: str = "auto",
    **settings: Any,
) -> AlphaPose:
    """An `AlphaPose` around the open engine of a pose network; its detector runs where that one does.

    On an error what was opened here is closed again; the engine is left to the caller.
    """
    own = {name: settings.pop(name) for name in OWN if name in settings}
    with ExitStack() as undo:
        pose = topdown_on(engine, model, ops=ops, **settings)
        undo.callback(pose.leave_gpu)
        if not isinstance(detector, Yolo):
            where = backend or (engine.backend if engine.backend in BACKENDS else "auto")
            file = file_for(detector, ops, precision or "fp16", where)
            shapes = detector_shapes or default_shapes(file, where, task="detect", **DETECTOR_BATCH)
            detector = open_yolo(detector, precision or "fp16", where, shapes, ops=ops)
            undo.callback(detector.close)
        task = AlphaPose(detector, pose, **own)
        undo.pop_all()
        return task


class AlphaPose:
    """Skeletons of the people in frames.

    Args:
        detector: finds the people; of one with several classes only `person` is taken, or those that it was
            opened for (its `classes`).
        pose: finds the keypoints of each. Both are closed with the task.
        score: lowest score of a box, 0 to 1; default: the detector's own (.25).
        nms: remove poses that are one person twice (`edgekit.ops.pose_nms`).
        smooth: steady the keypoints over the frames of one source (`edgekit.smooth`).
        person: the class of the detector whose boxes are taken.
        min_area: pose NMS drops poses whose extent × 1.5² is smaller, pixels² (AlphaPose's --min_box_area).
        shown: keypoints scored lower are kept, but not drawn.

    `score`, `nms`, `min_area` and `shown` may be assigned at any time; the next frame has them. A pose's
    score is the mean of its keypoints' + its box's + 1.25 × its best keypoint's, as AlphaPose reports it:
    0 to 3.25.

    Attributes:
        engine: the pose network's.
        times: seconds of the last call, both networks': "pre", "infer", "post".
        parts: the same seconds by part: "detect", "pose".
        ops, ops_why: where the steps around the networks run, and why; the detector's too, if it differs.
        controls: settings between 0 and 1 that a live view shows, with the words for them.

    Raises:
        InputError: the detector has classes, but none named `person`.
    """

    controls: ClassVar[dict[str, str]] = {"score": "lowest score of a box", "shown": "keypoints shown from"}

    def __init__(
        self,
        detector: Yolo,
        pose: TopDown,
        *,
        score: float | None = None,
        nms: bool = True,
        smooth: bool = False,
        person: str = "person",
        min_area: float = 0.0,
        shown: float = 0.2,
    ) -> None:
        if score is not None and not 0.0 <= score <= 1.0:
            raise InputError(f"score={score} is not between 0 and 1.")
        self.detector, self.pose, self.engine = detector, pose, pose.engine
        self.topology, self.names, self.skeleton = pose.topology, pose.names, pose.skeleton
        self.nms, self.min_area, self.shown = nms, min_area, shown
        if score is not None:
            self.score = score
        self._smoother = Smoother() if smooth else None
        if detector.classes is None and len(detector.names) != 1:
            detector.classes = [_number(person, detector.names)]
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self.parts = {"detect": 0.0, "pose": 0.0}
        self.ops, self.ops_why = pose.ops, pose.ops_why
        if detector.ops != pose.ops:
            self.ops_why += f"; the detector's are on {detector.ops}: {detector.ops_why}"

    @property
    def score(self) -> float:
        """Lowest score of a box."""
        return self.detector.score

    @score.setter
    def score(self, value: float) -> None:
        self.detector.score = value

    @overload
    def __call__(self, frames: Frame | NDArray[np.uint8]) -> Poses: ...
    @overload
    def __call__(self, frames: Sequence[Frame | NDArray[np.uint8]]) -> list[Poses]: ...
    def __call__(
        self, frames: Frame | NDArray[np.uint8] | Sequence[Frame | NDArray[np.uint8]]
    ) -> Poses | list[Poses]:
        """Poses of a frame (or of each of several), in pixels of that frame, best mean keypoint score first.

        The detector gets as many frames at once as its engine takes, the pose network the people of all.
        """
        single = isinstance(frames, Frame | np.ndarray)
        listed = [frames] if single else list(frames)  # type: ignore[list-item, arg-type]
        given = [f if isinstance(f, Frame) else Frame(f) for f in listed]  # type: ignore[arg-type]
        start = time.perf_counter()
        people = self.detector(given)
        found_people = time.perf_counter()
        points = self.pose.many(given, [found.xyxy for found in people], self._uploaded(given))
        posed = time.perf_counter()
        poses = [self._poses(*one) for one in zip(given, people, points, strict=True)]
        done = time.perf_counter()
        self.times = {name: self.detector.times[name] + self.pose.times[name] for name in self.times}
        self.times["post"] += done - posed
        self.parts = {"detect": found_people - start, "pose": done - found_people}
        return poses[0] if single else poses

    def _uploaded(self, frames: Sequence[Frame]) -> Sequence[DeviceArray]:
        """The frames that the detector was given last, where they lie on the pose network's GPU."""
        finder, pose = self.detector.on_gpu, self.pose.on_gpu
        if finder is None or pose is None or finder.gpu is not pose.gpu:
            return ()
        pictures = (
            finder.held.pictures
        )  # darknet's heads get others, and of many calls these are the last one's
        alike = [one.shape for one in pictures] == [frame.image.shape for frame in frames]
        return pictures if alike else ()

    def _poses(self, frame: Frame, people: Detections, points: NDArray[np.float32]) -> Poses:
        rows = np.arange(len(people))
        if self.nms:
            points, rows = pose_nms(points, people.xyxy, self.min_area)
        score = pose_scores(points, people.score[rows])
        boxes = people.xyxy[rows]
        poses = Poses(points, score, self.names, self.skeleton, boxes, threshold=self.shown)
        return poses if self._smoother is None else self._smoother(poses, frame.t)

    def close(self) -> None:
        """Close both engines, the second one also where the first one fails."""
        with ExitStack() as stack:
            stack.callback(self.detector.close)
            stack.callback(self.pose.close)

    def __enter__(self) -> AlphaPose:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _number(person: str, names: Sequence[str]) -> int:
    """Number of the detector's class of that name, in whatever case."""
    known = [name.lower() for name in names]
    if person.lower() in known:
        return known.index(person.lower())
    listed = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    raise InputError(
        f"the detector has no class {person!r} but {listed or 'none with a name'}; "
        "give person=, or a detector with its names= or classes=."
    )
