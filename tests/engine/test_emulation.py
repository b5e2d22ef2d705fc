"""The CPU's stand-in for CUDA: it does what a GPU promises, and catches what a GPU does not promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from cuda_machine import Bench

from edgekit.engine.cuda import Kernels
from edgekit.errors import EdgekitError

pytestmark = pytest.mark.compiler

KERNELS = r"""
#include <cuda_fp16.h>
#define THREADS 96
extern "C" __global__ void reverse(const int *in, int *out) {  // each block turns its part round
    __shared__ int kept[THREADS];
    kept[threadIdx.x] = in[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    out[blockIdx.x * THREADS + threadIdx.x] = kept[THREADS - 1 - threadIdx.x];
}
extern "C" __global__ void sums(const float *in, float *warps, unsigned *above, int n, float limit) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x % 32;
    float value = i < n ? in[i] : 0.f;
    unsigned votes = __ballot_sync(0xffffffffu, value > limit);
    for (int by = 16; by; by /= 2) value += __shfl_down_sync(0xffffffffu, value, by);
    if (lane == 0) { warps[i / 32] = value; atomicAdd(above, (unsigned)__popc(votes)); }
}
extern "C" __global__ void halves(const float *in, __half *out, float *back, long long n) {
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) {
        out[i] = __float2half_rn(in[i]);
        back[i] = __half2float(out[i]);
    }
}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "some.cu"
    path.write_text(KERNELS)
    return path


def check(source: Path) -> None:
    rng = np.random.default_rng()
    values = rng.normal(0, 3, 1000).astype(np.float32)
    odd = np.array([0, -0.0, 1e-8, 6e-8, 6.1e-5, 65504, 65520, 1e9, -np.inf, np.nan, 2049, 2051], np.float32)
    small = rng.normal(0, 1e-6, 3000)
    floats = np.concatenate([odd, (rng.random(4000) * 10.0 ** rng.integers(-9, 6, 4000)), small])
    floats = floats.astype(np.float32)
    numbers = rng.integers(-1000, 1000, 5 * 96).astype(np.int32)

    def work(gpu: Bench) -> list[np.ndarray]:
        kernels = Kernels(source)
        turned = gpu.room(numbers.shape, np.int32)
        kernels("reverse", 5, 96, gpu.stream, gpu.up(numbers), turned)
        warps, above = gpu.room((32,), np.float32), gpu.up(np.zeros(1, np.uint32))
        kernels("sums", 8, 128, gpu.stream, gpu.up(values), warps, above, np.int32(1000), np.float32(1))
        half, back = gpu.room(floats.shape, np.float16), gpu.room(floats.shape, np.float32)
        kernels("halves", 3, 64, gpu.stream, gpu.up(floats), half, back, np.int64(len(floats)))
        kernels("halves", 0, 64, gpu.stream, gpu.up(floats), half, back, np.int64(0))
        found = [gpu.down(one) for one in (turned, warps, above, half, back)]
        kernels.free()
        return found

    with Bench() as gpu:
        turned, warps, above, half, back = gpu(work)
    np.testing.assert_array_equal(turned, numbers.reshape(5, 96)[:, ::-1].ravel())
    padded = np.concatenate([values, np.zeros(24, np.float32)]).reshape(32, 32).astype(np.float64)
    np.testing.assert_allclose(warps, padded.sum(axis=1), rtol=0, atol=1e-4)
    assert above[0] == (values > 1).sum()
    with np.errstate(over="ignore"):
        wanted = floats.astype(np.float16)
    np.testing.assert_array_equal(half, wanted)
    np.testing.assert_array_equal(back, wanted.astype(np.float32))


def test_kernels_run(cuda_machine: FakeCuda, source: Path) -> None:
    check(source)


@pytest.mark.gpu
def test_kernels_run_on_a_gpu(real_gpu: None, source: Path) -> None:
    check(source)


def run(text: str, tmp_path: Path, threads: int = 64) -> np.ndarray:
    path = tmp_path / "bad.cu"
    path.write_text(text)

    def work(gpu: Bench) -> Any:
        kernels = Kernels(path)
        out = gpu.up(np.zeros(64, np.int32))
        kernels("bad", 1, threads, gpu.stream, out)
        found = gpu.down(out)
        kernels.free()
        return found

    with Bench() as gpu:
        return gpu(work)


def test_a_race_shows(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    """Without the barrier a thread reads what its neighbour has not written yet."""
    race = r"""extern "C" __global__ void bad(int *out) {
        __shared__ int kept[64];
        kept[threadIdx.x] = 0;
        __syncthreads();
        kept[threadIdx.x] = 1 + threadIdx.x;
        BARRIER
        out[threadIdx.x] = kept[63 - threadIdx.x];
    }"""
    good = run(race.replace("BARRIER", "__syncthreads();"), tmp_path)
    np.testing.assert_array_equal(good, 64 - np.arange(64))
    assert not np.array_equal(run(race.replace("BARRIER", ""), tmp_path), good)


def test_a_write_outside_is_a_fault(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    run('extern "C" __global__ void bad(int *out) { out[threadIdx.x] = 1; }', tmp_path, threads=65)
    assert "wrote outside" in cuda_machine.faults.pop()


def test_threads_that_miss_a_barrier_end_the_process(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from cuda_double import FakeCuda
from cuda_machine import stand_in
from test_emulation import run
stand_in(FakeCuda(), sys.modules.__setitem__)
waits = "if (threadIdx.x < 32) __syncthreads(); else __syncwarp(1);"
run('extern "C" __global__ void bad(int *out) {' + waits + "}", Path(sys.argv[1]))
"""
    here = Path(__file__).parent
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, cwd=here,
        env={"PYTHONPATH": f"{here}:{here.parent}:{here.parents[1]}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert ended.returncode < 0, ended.stderr
    assert "wait for each other" in ended.stderr


def test_what_does_not_compile_is_named(cuda_machine: FakeCuda, tmp_path: Path) -> None:
    with pytest.raises((EdgekitError, AssertionError), match="bad"):
        run('extern "C" __global__ void bad(int *out) { bad(1, 2); }', tmp_path)
