"""Fixtures of the tests of engines; those of a GPU alone need no onnx, so it is imported where it is used."""

from __future__ import annotations

import gc
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cuda_double import FakeCuda

from edgekit.engine import cuda, gpu_thread, trt_module


@pytest.fixture(params=[False, True], ids=["copies", "mapped"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    """A fake GPU behind `import pycuda.driver`, and the double behind `import tensorrt`; clean at the end."""
    from trt_double import FakeTensorRT

    fake = FakeCuda(integrated=request.param)
    package: Any = types.ModuleType("pycuda")
    package.driver = fake.driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake.driver)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeTensorRT(fake))  # type: ignore[arg-type]
    monkeypatch.setattr(cuda, "load_libcuda", lambda: fake.libcuda)
    monkeypatch.setattr(trt_module, "_loggers", {})
    monkeypatch.setattr(trt_module, "_allocators", {})
    yield fake
    gc.collect()
    fake.fail_at(None)
    assert gpu_thread._THREADS == {}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgekit-gpu")]
    fake.assert_clean()


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    """A plan with two inputs and three outputs of several types, fixed shapes."""
    from trt_plans import fixed

    return fixed(tmp_path)


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    """A plan for pictures of any size in a range."""
    from trt_plans import dynamic

    return dynamic(tmp_path)


@pytest.fixture
def data_dependent(tmp_path: Path) -> Path:
    """A plan whose output's size hangs on what comes in."""
    from trt_plans import data_dependent

    return data_dependent(tmp_path)
