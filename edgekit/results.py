"""Frames and results: plain dataclasses of NumPy arrays, validated once, where they are made.

All coordinates are pixels of the source frame, x to the right and y down, float32.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, MissingError
from edgekit.result_arrays import checked, column, optional_column, rows_of, same_length

if TYPE_CHECKING:
    import supervision


def _supervision() -> Any:
    try:
        import supervision
    except ImportError as error:
        raise MissingError("supervision is not installed; cure: pip install supervision") from error
    return supervision


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: uint8 [H, W, 3], BGR.
        index: number of the frame in its source, from 0.
        t: seconds: of the medium for a file, of `time.monotonic()` for a live source.
        source: the path or spec it came from.
        captured: `time.monotonic()` when the picture was taken, as near as the source knows it (a file:
            when it was decoded). A frame's age is `time.monotonic() - frame.captured`.
    """

    image: NDArray[np.uint8]
    index: int = 0
    t: float = 0.0
    source: str = ""
    captured: float = field(default_factory=time.monotonic, compare=False)

    def __post_init__(self) -> None:
        image = self.image
        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
        ):
            found = (
                f"{image.dtype} {list(image.shape)}"
                if isinstance(image, np.ndarray)
                else type(image).__name__
            )
            raise InputError(f"a frame is a uint8 [H, W, 3] BGR picture, not {found}.")
        if 0 in image.shape:
            raise InputError(f"a frame must have pixels; this one is {list(image.shape)}.")

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of one frame, best score first.

    Attributes:
        xyxy: float32 [N, 4], left, top, right, bottom in source pixels.
        score: float32 [N], 0 to 1.
        label: int64 [N], index into `names`.
        names: class names; a label past its end is called "class<label>".
        track_id: int64 [N] or None where nothing tracks.
    """

    xyxy: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    score: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    label: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    names: tuple[str, ...] = ()
    track_id: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "xyxy", checked("xyxy", self.xyxy, np.float32, (None, 4)))
        put(self, "score", checked("score", self.score, np.float32, (None,)))
        put(self, "label", checked("label", self.label, np.int64, (None,)))
        put(self, "names", tuple(self.names))
        if self.track_id is not None:
            put(self, "track_id", checked("track_id", self.track_id, np.int64, (None,)))
        same_length("Detections", len(self.xyxy), score=self.score, label=self.label, track_id=self.track_id)
        if (self.xyxy[:, 2:] < self.xyxy[:, :2]).any():
            raise InputError("xyxy holds a box whose right or bottom is before its left or top.")
        if (self.label < 0).any():
            raise InputError("label holds a negative class.")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, rows: Any) -> Detections:
        """The detections of `rows` (a mask, a slice or indices), as Detections."""
        rows = np.atleast_1d(rows) if not isinstance(rows, slice) else rows
        ids = None if self.track_id is None else self.track_id[rows]
        return Detections(self.xyxy[rows], self.score[rows], self.label[rows], self.names, ids)

    def name(self, row: int) -> str:
        """Class name of one detection."""
        label = int(self.label[row])
        return self.names[label] if label < len(self.names) else f"class{label}"

    def to_dict(self) -> dict[str, Any]:
        """The `detections` part of a JSON line: a list with one entry a box."""
        rows = []
        for i in range(len(self)):
            row: dict[str, Any] = {
                "xyxy": [round(float(v), 2) for v in self.xyxy[i]],
                "score": round(float(self.score[i]), 4),
                "label": int(self.label[i]),
                "name": self.name(i),
            }
            if self.track_id is not None:
                row["track_id"] = int(self.track_id[i])
            rows.append(row)
        return {"detections": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], names: Sequence[str] | None = None) -> Detections:
        """Read what `to_dict` wrote. `names` gives the full class list; else it is taken from the rows."""
        rows = rows_of(data, "detections", ("xyxy", "score", "label"))
        if names is None:
            known = {int(row["label"]): str(row["name"]) for row in rows if "name" in row}
            names = [known.get(i, f"class{i}") for i in range(max(known, default=-1) + 1)]
        return cls(
            column(rows, "xyxy"),
            column(rows, "score"),
            column(rows, "label"),
            tuple(names),
            optional_column("detections", rows, "track_id"),
        )

    def to_supervision(self) -> supervision.Detections:
        """As `supervision.Detections`, class names under `data["class_name"]`."""
        supervision = _supervision()
        return supervision.Detections(
            xyxy=self.xyxy.copy(),
            confidence=self.score.copy(),
            class_id=self.label.astype(int),
            tracker_id=None if self.track_id is None else self.track_id.astype(int),
            data={"class_name": np.array([self.name(i) for i in range(len(self))], dtype=str)},
        )

    @classmethod
    def from_supervision(cls, found: supervision.Detections, names: Sequence[str] = ()) -> Detections:
        """From `supervision.Detections`; missing scores count as 1, missing classes as 0."""
        n = len(found.xyxy)
        label = np.zeros(n, np.int64) if found.class_id is None else found.class_id
        if not names and "class_name" in found.data and n:
            known = dict(zip((int(k) for k in label), found.data["class_name"], strict=True))
            names = [str(known.get(i, f"class{i}")) for i in range(max(known) + 1)]
        score = np.ones(n, np.float32) if found.confidence is None else found.confidence
        return cls(found.xyxy, score, label, tuple(names), found.tracker_id)


class Tracks(Detections):
    """Detections that a tracker has numbered: `track_id` is always set.

    A number belongs to one object for as long as the tracker follows it, and is not used again until the
    tracker's `reset`.
    """

    track_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.track_id is None:
            object.__setattr__(self, "track_id", np.zeros(0, np.int64))
        super().__post_init__()

    def __getitem__(self, rows: Any) -> Tracks:
        """The tracks of `rows` (a mask, a slice or indices), as Tracks."""
        found = super().__getitem__(rows)
        return Tracks(found.xyxy, found.score, found.label, found.names, found.track_id)


@dataclass(frozen=True, eq=False)
class Poses:
    """Skeletons of one frame.

    Attributes:
        keypoints: float32 [N, K, 3], x, y in source pixels and the keypoint's score; score 0 = not found.
        score: float32 [N], of the whole pose.
        names: the K keypoint names.
        skeleton: pairs of keypoint indices that a drawing joins.
        xyxy: float32 [N, 4] boxes, or None (bottom-up methods have none).
        track_id: int64 [N] or None where nothing tracks.
        threshold: keypoints scored lower are not drawn.
    """

    keypoints: NDArray[np.float32]
    score: NDArray[np.float32]
    names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    xyxy: NDArray[np.float32] | None = None
    track_id: NDArray[np.int64] | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        put = object.__setattr__
        keypoints = np.asarray(self.keypoints)
        if keypoints.size == 0 and keypoints.ndim < 3:
            keypoints = np.zeros((0, len(self.names), 3), np.float32)
        put(self, "keypoints", checked("keypoints", keypoints, np.float32, (None, None, 3)))
        put(self, "score", checked("score", self.score, np.float32, (None,)))
        put(self, "names", tuple(self.names))
        put(self, "skeleton", tuple((int(a), int(b)) for a, b in self.skeleton))
        if self.xyxy is not None:
            put(self, "xyxy", checked("xyxy", self.xyxy, np.float32, (None, 4)))
        if self.track_id is not None:
            put(self, "track_id", checked("track_id", self.track_id, np.int64, (None,)))
        count = len(self.keypoints)
        same_length("Poses", count, score=self.score, xyxy=self.xyxy, track_id=self.track_id)
        if self.names and len(self.names) != self.keypoints.shape[1]:
            raise InputError(f"Poses: {self.keypoints.shape[1]} keypoints, but {len(self.names)} names.")
        if any(not 0 <= k < self.keypoints.shape[1] for pair in self.skeleton for k in pair):
            raise InputError("Poses: the skeleton joins a keypoint that does not exist.")

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, rows: Any) -> Poses:
        """The poses of `rows` (a mask, a slice or indices), as Poses."""
        rows = np.atleast_1d(rows) if not isinstance(rows, slice) else rows
        boxes = None if self.xyxy is None else self.xyxy[rows]
        ids = None if self.track_id is None else self.track_id[rows]
        return replace(self, keypoints=self.keypoints[rows], score=self.score[rows], xyxy=boxes, track_id=ids)

    def to_dict(self) -> dict[str, Any]:
        """The `poses` part of a JSON line."""
        rows = []
        for i in range(len(self)):
            points = [
                [round(float(x), 2), round(float(y), 2), round(float(s), 4)] for x, y, s in self.keypoints[i]
            ]
            row: dict[str, Any] = {"keypoints": points, "score": round(float(self.score[i]), 4)}
            if self.xyxy is not None:
                row["xyxy"] = [round(float(v), 2) for v in self.xyxy[i]]
            if self.track_id is not None:
                row["track_id"] = int(self.track_id[i])
            rows.append(row)
        return {"poses": rows}

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        names: Sequence[str] = (),
        skeleton: Sequence[tuple[int, int]] = (),
    ) -> Poses:
        """Read what `to_dict` wrote."""
        rows = rows_of(data, "poses", ("keypoints", "score"))
        return cls(
            column(rows, "keypoints"),
            column(rows, "score"),
            tuple(names),
            tuple(skeleton),
            optional_column("poses", rows, "xyxy"),
            optional_column("poses", rows, "track_id"),
        )

    def to_supervision(self) -> supervision.KeyPoints:
        """As `supervision.KeyPoints`.

        The keypoints' scores are its confidence, the poses' scores stand under `data["score"]`; a keypoint
        that was not found is at (0, 0), which supervision does not draw.
        """
        supervision = _supervision()
        points = np.where(self.keypoints[..., 2:] > 0, self.keypoints[..., :2], 0).astype(np.float32)
        # The keypoints' scores have this name since supervision 0.28; before it was `confidence`.
        known = supervision.KeyPoints.__dataclass_fields__
        own = "keypoint_confidence" if "keypoint_confidence" in known else "confidence"
        return supervision.KeyPoints(
            xy=points,
            class_id=np.zeros(len(self), int),
            data={"score": self.score.copy()},
            **{own: self.keypoints[..., 2].copy()},
        )

    @classmethod
    def from_supervision(
        cls,
        found: supervision.KeyPoints,
        names: Sequence[str] = (),
        skeleton: Sequence[tuple[int, int]] = (),
    ) -> Poses:
        """From `supervision.KeyPoints`; without confidence a keypoint counts 1, or 0 where it is (0, 0)."""
        points = np.asarray(found.xy, np.float32)
        points = points if points.ndim == 3 else points.reshape(0, len(names), 2)
        known = "keypoint_confidence" if hasattr(found, "keypoint_confidence") else "confidence"
        own = getattr(found, known)
        if own is None:
            own = (points != 0).any(axis=2)
        own = np.asarray(own, np.float32).reshape(points.shape[:2])
        score = found.data.get("score", own.mean(axis=1) if own.size else np.zeros(len(points)))
        return cls(np.concatenate([points, own[..., None]], axis=2), score, tuple(names), tuple(skeleton))


@dataclass(frozen=True, eq=False)
class Actions:
    """Action scores of one frame: of the whole picture, or one row a person.

    Attributes:
        scores: float32 [N, C], probabilities.
        names: the C action names.
        xyxy: float32 [N, 4] in source pixels, or None for the whole picture.
        track_id: int64 [N], or None.
        threshold: scores below it are neither drawn nor in the JSON line.
        known: bool [N]: False for a person who has no scores yet, whose row is 0. None: all are known.
        frames: numbers of the frames that were looked at for scores that are new; () where none are new, or
            the task does not say.
    """

    scores: NDArray[np.float32]
    names: tuple[str, ...]
    xyxy: NDArray[np.float32] | None = None
    track_id: NDArray[np.int64] | None = None
    threshold: float = 0.0
    known: NDArray[np.bool_] | None = None
    frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "names", tuple(self.names))
        put(self, "scores", checked("scores", self.scores, np.float32, (None, len(self.names))))
        if self.xyxy is not None:
            put(self, "xyxy", checked("xyxy", self.xyxy, np.float32, (None, 4)))
        if self.track_id is not None:
            put(self, "track_id", checked("track_id", self.track_id, np.int64, (None,)))
        known = np.ones(len(self.scores), bool) if self.known is None else self.known
        put(self, "known", checked("known", known, np.bool_, (None,)))
        same_length("Actions", len(self.scores), xyxy=self.xyxy, track_id=self.track_id, known=self.known)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: Any) -> Actions:
        """The actions of `rows` (a mask, a slice or indices), as Actions."""
        rows = np.atleast_1d(rows) if not isinstance(rows, slice) else rows
        boxes = None if self.xyxy is None else self.xyxy[rows]
        ids = None if self.track_id is None else self.track_id[rows]
        known = None if self.known is None else self.known[rows]
        return replace(self, scores=self.scores[rows], xyxy=boxes, track_id=ids, known=known)

    def best(self, row: int, count: int = 3) -> list[tuple[str, float]]:
        """The names and scores of one row that reach the threshold, highest first, `count` at most."""
        order = np.argsort(-self.scores[row], kind="stable")[:count]
        return [(self.names[c], float(p)) for c in order if (p := self.scores[row, c]) >= self.threshold]

    def to_dict(self) -> dict[str, Any]:
        """The `actions` part of a JSON line; the `scores` of a person who has none yet is null."""
        rows = []
        known = [True] * len(self) if self.known is None else self.known.tolist()
        for i in range(len(self)):
            row: dict[str, Any] = {}
            if self.xyxy is not None:
                row["xyxy"] = [round(float(v), 2) for v in self.xyxy[i]]
            if self.track_id is not None:
                row["track_id"] = int(self.track_id[i])
            kept = np.flatnonzero(self.scores[i] >= self.threshold)
            scores = {self.names[c]: round(float(self.scores[i, c]), 4) for c in kept}
            row["scores"] = scores if known[i] else None
            rows.append(row)
        return {"actions": rows}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], names: Sequence[str] | None = None) -> Actions:
        """Read what `to_dict` wrote; a name without a score counts as 0."""
        rows = rows_of(data, "actions", ("scores",))
        if names is None:
            names = sorted({name for row in rows for name in row["scores"] or ()})
        scores = [[(row["scores"] or {}).get(name, 0.0) for name in names] for row in rows]
        return cls(
            np.array(scores, np.float32).reshape(len(rows), len(names)),
            tuple(names),
            optional_column("actions", rows, "xyxy"),
            optional_column("actions", rows, "track_id"),
            known=np.array([row["scores"] is not None for row in rows], bool),
        )


Result = Detections | Poses | Actions
