"""Average precision and the teacher's runner against known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.train.data import Picture
from edgekit.train.evaluate import SCORING, TorchEngine, at_threshold, average_precision, people

BOXES = np.array([[0.1, 0.1, 0.3, 0.5], [0.5, 0.2, 0.9, 0.9]], np.float32)
PICTURE = Picture(Path("x"), BOXES, np.zeros(2, bool))
SCALE = np.array([200, 100, 200, 100], np.float32)


@pytest.mark.train
def test_perfect_half_and_no_answers() -> None:
    sizes = [(100, 200, 3)]
    sure = np.array([0.9, 0.8], np.float32)
    perfect = average_precision([PICTURE], sizes, [(BOXES * SCALE, sure)])
    half = average_precision([PICTURE], sizes, [(BOXES[:1] * SCALE, sure[:1])])
    assert perfect["AP"] == pytest.approx(1.0)
    assert half["AP50"] == pytest.approx(51 / 101)  # COCO's 101 recall points up to 0.5
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert average_precision([PICTURE], sizes, [nothing])["AP50"] == 0


def test_precision_and_recall_at_a_threshold() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    boxes = np.concatenate([BOXES[:1], BOXES[:1], [[0.6, 0.0, 0.7, 0.1]]]).astype(np.float32) * SCALE
    found = (boxes, np.array([0.9, 0.5, 0.2], np.float32))
    assert at_threshold([PICTURE], [image], [found], 0.25) == {"precision": 0.5, "recall": 0.5}


@pytest.mark.train
def test_a_network_in_training_is_scored_as_it_will_be_run() -> None:
    """A made-up network that always sees one box: letterboxed 100×200 → 64, the box comes back in pixels."""
    import torch

    from edgekit.tasks.yolo import Yolo

    def network(x: object) -> object:
        output = torch.zeros(1, 5, 84)
        output[0, :, 7] = torch.tensor([32.0, 32.0, 20.0, 10.0, 0.9])
        return output

    boxes, scores = people(Yolo(TorchEngine(network, 64), **SCORING))(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(scores, [0.9])
    # scale 0.32; 16 rows of border above: centre (32, 32) is the picture's middle, (100, 50)
    np.testing.assert_allclose(boxes, [[100 - 31.25, 50 - 15.625, 100 + 31.25, 50 + 15.625]], rtol=1e-5)
