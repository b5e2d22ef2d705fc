from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `made` is shared by the tests of this folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Batches this small train ten times slower where two threads wait for each other on busy cores."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
