"""Pose labels for pictures nobody has labelled, made by models that look at each person several times.

A label that is wrong teaches worse than one that is missing. So every person is looked at in several views
(as is, mirrored, in crops of other sizes); a keypoint counts as sure when its mean score is high and the
views agree on its place, and what is not sure is masked instead of guessed.

with open_yolo("edgekit-person", score=0.15) as detector, open_topdown("edgekit-fastpose") as pose:
    labels = Labeller(pose, detector)(image)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.label.views import around, known, pair, settle

if TYPE_CHECKING:
    from edgekit.tasks.topdown import TopDown
    from edgekit.tasks.trtpose import TrtPose
    from edgekit.tasks.yolo import Yolo

#: Views in their order: what the box is scaled by (0.84 makes the usual crop of 1.25 boxes one
#: of 1.05), whether the picture is mirrored, whether the surroundings are seen in spite of `margin`.
VIEWS = (
    (1.0, False, False),
    (1.0, True, False),
    (0.84, True, False),
    (0.84, False, False),
    (0.8, False, True),
    (0.8, True, True),
)
#: A keypoint farther outside of its box than this share of the box belongs to somebody else.
BEYOND = 0.1


@dataclass(frozen=True)
class Labels:
    """What is known of one picture, N people and regions.

    Attributes:
        xyxy: float32 [N, 4] boxes in pixels.
        score: float32 [N], the detector's; 1 for boxes that were given.
        keypoints: float32 [N, K, 3] x, y in pixels and mean score; zeros where nobody looked.
        agreement: float32 [N, K], how alike the views are, 0 to 1 (mean OKS of the point between views).
        sure: bool [N, K]; false keypoints are masked.
        crowd: bool [N]; a region with people of whom no pose is sure: neither a person nor background.
    """

    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    agreement: NDArray[np.float32]
    sure: NDArray[np.bool_]
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.xyxy)


@dataclass(frozen=True)
class Limits:
    """What counts as sure.

    Attributes:
        score: lowest detector score of a person; weaker ones become regions that are ignored.
        sure: lowest mean score of a keypoint.
        agree: lowest agreement of the views on a keypoint.
        least: sure keypoints that a person needs; with fewer it becomes an ignored region.
        smallest: longer side in pixels below which a person is ignored unseen.
    """

    score: float = 0.4
    sure: float = 0.2
    agree: float = 0.5
    least: int = 3
    smallest: float = 32.0

    def __post_init__(self) -> None:
        for name in ("score", "sure", "agree"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InputError(f"{name}={getattr(self, name)} is not between 0 and 1.")
        if self.least < 1:
            raise InputError(f"least={self.least} would keep people without a keypoint; give 1 or more.")


class Labeller:
    """Labels the people of a picture.

    Args:
        pose: a top-down network, or TrtPose.
        detector: finds the people of a top-down network; TrtPose finds its own, and a detector besides
            shows which people it missed. It should be opened with a low score, as the weak ones are ignored.
        limits: what counts as sure.
        views: how often each person is looked at, 1 to 6 (TrtPose: 1 or 2); from 2 on, keypoints that the
            mirrored picture puts elsewhere are masked.
        margin: what a top-down network sees around the box, as a share of its longer side (half on each
            side); the rest is black, which keeps neighbours out of it. None: everything its crop holds.

    Raises:
        InputError: a setting does not fit.
    """

    def __init__(
        self,
        pose: TopDown | TrtPose,
        detector: Yolo | None = None,
        *,
        limits: Limits | None = None,
        views: int = 2,
        margin: float | None = None,
    ) -> None:
        from edgekit.tasks.topdown import TopDown

        self.topdown = isinstance(pose, TopDown)
        most = len(VIEWS) if self.topdown else 2
        if not 1 <= views <= most:
            raise InputError(f"views={views} is not between 1 and {most} for this pose model.")
        if margin is not None and (margin < 0 or not self.topdown):
            raise InputError(f"margin={margin} must be 0 or more, and is for top-down pose models only.")
        self.pose: Any = pose
        self.detector, self.limits = detector, limits or Limits()
        self.views, self.margin = VIEWS[:views], margin
        self.topology = pose.topology

    def __call__(
        self, image: NDArray[np.uint8], boxes: NDArray | None = None, regions: NDArray | None = None
    ) -> Labels:
        """Label one picture.

        Args:
            image: uint8 [H, W, 3] BGR.
            boxes: [N, 4] people that are known (x1 y1 x2 y2 pixels); whom the detector finds besides is
                ignored. Top-down networks only.
            regions: [N, 4] to be ignored, besides those boxes.

        Raises:
            InputError: there are neither boxes nor a detector for a top-down network.
        """
        found, score = self._detect(image)
        if not self.topdown:
            if boxes is not None:
                raise InputError("given boxes are for top-down pose models; TrtPose finds people itself.")
            return self._bottom_up(image, found, score)
        if boxes is None:
            if self.detector is None:
                raise InputError("a top-down pose model needs a detector, or boxes.")
            people = score >= self.limits.score
            xyxy, sureness, others, weak = found[people], score[people], found[~people], score[~people]
        else:
            xyxy = np.asarray(boxes, np.float32).reshape(-1, 4)
            sureness = np.ones(len(xyxy), np.float32)
            given = np.zeros((0, 4), np.float32) if regions is None else np.asarray(regions, np.float32)
            new = ~known(found, np.concatenate([xyxy, given]))
            others = np.concatenate([given, found[new]])
            weak = np.concatenate([np.ones(len(given), np.float32), score[new]])
        large = (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1, initial=0) >= self.limits.smallest
        others = np.concatenate([xyxy[~large], others])
        weak = np.concatenate([sureness[~large], weak])
        xyxy, sureness = xyxy[large], sureness[large]
        looks = np.stack([self._look(image, xyxy, *view) for view in self.views])
        keypoints, agreement = settle(looks, xyxy, self.topology.sigmas)
        return self._judge(xyxy, sureness, keypoints, agreement, others, weak)

    def _detect(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self.detector is None:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        found = self.detector(image)
        return found.xyxy, found.score

    def _look(
        self, image: NDArray[np.uint8], xyxy: NDArray[np.float32], scale: float, mirrored: bool, whole: bool
    ) -> NDArray[np.float32]:
        """Keypoints [N, K, 3] of one view."""
        parts, corners, boxes = [], [], []
        for box in xyxy:
            part, corner = (image, np.zeros(2, np.int64)) if whole else self._part(image, box)
            place = _scaled(box, scale) - np.tile(corner, 2)
            if mirrored:
                part = np.ascontiguousarray(part[:, ::-1])
                place = np.array([part.shape[1] - place[2], place[1], part.shape[1] - place[0], place[3]])
            parts.append(part)
            corners.append(corner)
            boxes.append(place[None])
        found = self.pose.many(parts, boxes)
        points = np.concatenate([np.zeros((0, len(self.topology), 3), np.float32), *found])
        for row, part, corner in zip(points, parts, corners, strict=True):
            if mirrored:
                row[:] = _mirrored(row, part.shape[1], self.topology.flip)
            row[:, :2] += corner
        return points

    def _part(self, image: NDArray[np.uint8], box: NDArray[np.float32]) -> tuple[NDArray, NDArray[np.int64]]:
        """What of the picture the network may see of one person, and its corner."""
        if self.margin is None:
            return image, np.zeros(2, np.int64)
        reach = float((box[2:] - box[:2]).max()) * self.margin / 2
        high, wide = image.shape[:2]
        left, top = (int(v) for v in np.clip(box[:2] - reach, 0, [wide - 1, high - 1]))
        right, bottom = int(max(left + 1, box[2] + reach)), int(max(top + 1, box[3] + reach))
        return image[top:bottom, left:right], np.array([left, top])

    def _bottom_up(
        self, image: NDArray[np.uint8], found: NDArray[np.float32], score: NDArray[np.float32]
    ) -> Labels:
        """TrtPose's people; those that only the mirrored picture or only the detector shows are ignored."""
        plain = self.pose(image).keypoints
        xyxy = around(plain, image.shape)
        looks, missed = plain[None], np.zeros((0, 4), np.float32)
        if len(self.views) > 1:
            turned = self.pose(np.ascontiguousarray(image[:, ::-1])).keypoints.copy()
            for row in turned:
                row[:] = _mirrored(row, image.shape[1], self.topology.flip)
            partner, alone = pair(plain, turned, xyxy, self.topology.sigmas)
            looks = np.stack([plain, partner])
            missed = around(turned[alone], image.shape)
        keypoints, agreement = settle(looks, xyxy, self.topology.sigmas)
        missed = missed[~known(missed, xyxy)]
        new = ~known(found, np.concatenate([xyxy, missed]))
        others = np.concatenate([missed, found[new]])
        weak = np.concatenate([np.zeros(len(missed), np.float32), score[new]])
        return self._judge(xyxy, np.ones(len(xyxy), np.float32), keypoints, agreement, others, weak)

    def _judge(
        self,
        xyxy: NDArray[np.float32],
        score: NDArray[np.float32],
        keypoints: NDArray[np.float32],
        agreement: NDArray[np.float32],
        others: NDArray[np.float32],
        weak: NDArray[np.float32],
    ) -> Labels:
        """Sure keypoints and people; `others` are regions that nobody looked at, `weak` their scores."""
        limits, count = self.limits, len(others)
        slack = (xyxy[:, 2:] - xyxy[:, :2])[:, None] * np.float32(BEYOND)
        low, high = xyxy[:, None, :2] - slack, xyxy[:, None, 2:] + slack
        inside = ((keypoints[..., :2] >= low) & (keypoints[..., :2] <= high)).all(axis=2)
        given = keypoints[..., 2]
        sure = (given >= limits.sure) & (given > 0) & (agreement >= limits.agree) & inside
        crowd = sure.sum(axis=1) < limits.least
        blank = np.zeros((count, *keypoints.shape[1:]), np.float32)
        return Labels(
            np.concatenate([xyxy, others]),
            np.concatenate([score, weak]),
            np.concatenate([keypoints, blank]),
            np.concatenate([agreement, blank[..., 2]]),
            np.concatenate([sure, blank[..., 2] > 0]),
            np.concatenate([crowd, np.ones(count, bool)]),
        )


def _scaled(box: NDArray[np.float32], scale: float) -> NDArray[np.float64]:
    centre = (box[:2].astype(np.float64) + box[2:]) / 2
    half = (box[2:].astype(np.float64) - box[:2]) / 2 * scale
    return np.concatenate([centre - half, centre + half])


def _mirrored(points: NDArray[np.float32], width: int, flip: NDArray[np.int64]) -> NDArray[np.float32]:
    """Keypoints of a mirrored picture as of the picture itself."""
    back = points[flip].copy()
    back[:, 0] = np.where(back[:, 2] > 0, width - 1 - back[:, 0], back[:, 0])
    return back
