"""Completing labels, with a teacher that sees bright rectangles: the brighter, the surer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.evaluate.data import Picture  # noqa: E402
from edgekit.train.augment import PictureStore  # noqa: E402
from edgekit.train.losses import IGNORE, LABEL  # noqa: E402
from edgekit.train.pseudo import complete, look  # noqa: E402
from edgekit.train.teacher import PERSON  # noqa: E402

MOST = 8
#: Rectangles of the picture: x1, y1, x2, y2 and how bright it is, 0 to 1.
LABELLED, SURE, UNSURE, FAINT = (
    (10, 12, 50, 72, 0.95),
    (80, 20, 120, 80, 0.85),
    (140, 30, 170, 90, 0.6),
    (20, 90, 60, 110, 0.35),
)


class BrightTeacher:
    """Answers like `Teacher`: boxes [B, MOST, 4] in input pixels and scores [B, MOST, 80]."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, images: Any) -> dict[str, Any]:
        self.sizes.append(images.shape[-1])
        boxes, scores = torch.zeros(len(images), MOST, 4), torch.zeros(len(images), MOST, 80)
        for n, image in enumerate(images.mean(1).numpy()):
            image = np.where(np.abs(image - 114 / 255) < 1e-3, 0, image)  # the border is no person
            count, _, stats, _ = cv2.connectedComponentsWithStats((image > 0.2).astype(np.uint8))
            for i, (x, y, w, h, area) in enumerate(stats[1:count]):
                if area > 20:
                    boxes[n, i] = torch.tensor([x, y, x + w, y + h])
                    scores[n, i, PERSON] = float(np.median(image[y + 2 : y + h - 2, x + 2 : x + w - 2]))
        return {"boxes": boxes, "scores": scores}


def store(*known: tuple[float, ...], room: int = 4) -> PictureStore:
    image = np.zeros((120, 200, 3), np.uint8)
    for x1, y1, x2, y2, light in (LABELLED, SURE, UNSURE, FAINT):
        image[y1:y2, x1:x2] = round(light * 255)
    boxes = np.array([box[:4] for box in known], np.float32).reshape(-1, 4) / [200, 120, 200, 120]
    picture = Picture(Path("x"), boxes.astype(np.float32), np.zeros(len(known), bool))
    return PictureStore([image], [picture], "cpu", room=room)


def test_boxes_come_back_in_source_pixels_from_every_size_and_the_mirror() -> None:
    teacher = BrightTeacher()
    boxes, scores = look(teacher, store(LABELLED), 0, (200, 400))  # type: ignore[arg-type]
    assert teacher.sizes == [200, 400]
    assert len(boxes) == 4, "four people, seen four times each, are still four"
    order = np.argsort(-np.array([row[4] for row in (LABELLED, SURE, UNSURE, FAINT)]))
    want = np.array((LABELLED, SURE, UNSURE, FAINT))[order]
    np.testing.assert_allclose(boxes.numpy(), want[:, :4], atol=1.0)
    np.testing.assert_allclose(scores.numpy(), want[:, 4], atol=0.02)


def test_surely_seen_people_become_labels_and_unsure_ones_are_ignored() -> None:
    pictures = store(LABELLED)
    assert complete(BrightTeacher(), pictures, (200,), sure=0.65, unsure=0.4) == (1, 1)  # type: ignore[arg-type]
    assert pictures.kind[0].tolist() == [LABEL, LABEL, IGNORE] + [0] * (pictures.kind.shape[1] - 3)
    np.testing.assert_allclose(pictures.boxes[0, :3].numpy(), [LABELLED[:4], SURE[:4], UNSURE[:4]], atol=1.0)


def test_a_person_who_is_labelled_is_not_added_again() -> None:
    pictures = store(LABELLED, SURE, UNSURE, FAINT)
    assert complete(BrightTeacher(), pictures, (200,), unsure=0.25) == (0, 0)  # type: ignore[arg-type]


def test_an_unsure_find_inside_a_label_belongs_to_it() -> None:
    around = (UNSURE[0] - 20, UNSURE[1] - 25, UNSURE[2] + 25, UNSURE[3] + 25, 1.0)  # IoU with it is below 0.4
    pictures = store(LABELLED, SURE, around)
    assert complete(BrightTeacher(), pictures, (200,), unsure=0.4) == (0, 0)  # type: ignore[arg-type]


def test_a_full_store_takes_no_more() -> None:
    pictures = store(LABELLED, room=0)
    before = pictures.boxes.clone()
    assert complete(BrightTeacher(), pictures, (200,), unsure=0.25) == (0, 0)  # type: ignore[arg-type]
    assert torch.equal(pictures.boxes, before)
