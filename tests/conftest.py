"""Things many tests use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import make_video, moving_square
from cuda_machine import cuda_machine, real_gpu, real_memory

__all__ = ["cuda_machine", "real_gpu", "real_memory"]  # fixtures


def pytest_configure() -> None:
    """A shell's background job begins with Ctrl-C switched off; the tests press it, here and in children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A 30-frame H.264 clip, 160×120, 10 frames a second."""
    return make_video(tmp_path / "clip.mp4", moving_square(30))


@pytest.fixture
def pyplot() -> Iterator[Any]:
    """`matplotlib.pyplot` without a window; its figures are closed afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
