"""RoIAlign against what torchvision gives (tests/golden/make_roi_align.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.ops.roi_align import roi_align

GOLDEN = Path(__file__).parents[1] / "golden/roi_align.npz"


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
def test_equal_to_torchvision(ratio: int, aligned: bool) -> None:
    with np.load(GOLDEN) as golden:
        features, boxes = golden["features"], golden["boxes"]
        wanted = golden[f"ratio{ratio}_aligned{int(aligned)}"]
    found = roi_align(features, boxes, sampling_ratio=ratio, aligned=aligned)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert np.abs(wanted).max() > 1
