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


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def two_devices(request: pytest.FixtureRequest) -> str:
    """Where two processes train: on the CPU, and on two GPUs where there are two."""
    if request.param == "cuda":
        import torch

        if torch.cuda.device_count() < 2:
            pytest.skip("this machine has one GPU")
    device: str = request.param
    return device
