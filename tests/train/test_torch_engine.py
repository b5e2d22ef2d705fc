"""A network in training is scored as it will be run."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.evaluate import SCORING
from edgekit.tasks.yolo import Yolo
from edgekit.train.torch_engine import TorchEngine


@pytest.mark.train
def test_boxes_come_back_in_pixels() -> None:
    """A made-up network that always sees one box: letterboxed 100×200 → 64, the box comes back in pixels."""
    import torch

    def network(x: object) -> object:
        output = torch.zeros(1, 5, 84)
        output[0, :, 7] = torch.tensor([32.0, 32.0, 20.0, 10.0, 0.9])
        return output

    found = Yolo(TorchEngine(network, 64), **SCORING)(np.zeros((100, 200, 3), np.uint8))
    np.testing.assert_allclose(found.score, [0.9])
    # scale 0.32; 16 rows of border above: centre (32, 32) is the picture's middle, (100, 50)
    np.testing.assert_allclose(found.xyxy, [[100 - 31.25, 50 - 15.625, 100 + 31.25, 50 + 15.625]], rtol=1e-5)
