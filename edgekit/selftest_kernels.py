"""Steps of the self-test about the CUDA kernels: each beside the NumPy function whose twin it is.

A kernel's module `edgekit.ops.<name>_cuda` has a function `check_twin(gpu)`, which is called on the GPU's
owner thread, compares the two on random input, and says in words how near they are; AssertionError where
they are not.
"""

from __future__ import annotations

import importlib
import shutil

from edgekit.device import describe
from edgekit.engine.cuda import find_nvcc
from edgekit.engine.gpu_thread import acquire
from edgekit.errors import MissingError
from edgekit.selftest_worker import Case, Found, here, say


def twin(case: Case, name: str) -> Found:
    """One kernel beside its twin."""
    if describe().gpu is None:
        raise MissingError("this machine has no NVIDIA GPU")
    if shutil.which(find_nvcc()) is None:
        raise MissingError("nvcc is not here, which compiles the kernels (cure: install the CUDA toolkit)")
    module = importlib.import_module(f"edgekit.ops.{name}_cuda")
    gpu = acquire()
    try:
        say(f"compiling and running {name}")
        with here():
            words = gpu.call(module.check_twin, gpu)
        return f"{words} ({gpu.name})", {"gpu": gpu.name}
    finally:
        gpu.release()
