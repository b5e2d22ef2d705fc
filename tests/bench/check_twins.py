"""Every CUDA kernel against its NumPy twin, once, in one process: what compute-sanitizer is run over.

    compute-sanitizer --tool memcheck python tests/bench/check_twins.py    (racecheck, initcheck too)

Needs an NVIDIA GPU, pycuda and nvcc.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from edgekit.engine.gpu_thread import acquire

OPS = Path(__file__).parents[2] / "edgekit" / "ops"


def main() -> None:
    gpu = acquire()
    try:
        for file in sorted(OPS.glob("*_cuda.py")):
            twin = importlib.import_module(f"edgekit.ops.{file.stem}")
            print(f"{file.stem}: {gpu.call(twin.check_twin, gpu)}", flush=True)
    finally:
        gpu.release()


if __name__ == "__main__":
    main()
