"""The CUDA twin of TrtPose's decoding, bit by bit as NumPy's.

Its kernels run as plain C++ behind a stand-in for pycuda, and on a real GPU where there is one.
"""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from drawn_people import draw_maps, standing

from edgekit.engine import TensorSpec, gpu_thread
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.ops import paf_cuda
from edgekit.ops.connect import parse_objects
from edgekit.ops.paf import score_links
from edgekit.ops.paf_cuda import SOURCE, CudaParser
from edgekit.ops.peaks import find_peaks, refine_peaks
from edgekit.tasks.trtpose import TrtPose
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology

#: Before and after the kernels: what makes them C++ whose threads run one after the other.
BEFORE = r"""
#include <algorithm>
#include <cmath>
#include <cstdlib>
#define __global__
#define __device__ static
using std::abs; using std::max; using std::min;
static struct { int x; } blockIdx, blockDim, threadIdx;
"""
AFTER = r"""
template <class... A> void all(void (*kernel)(A...), int grid, int block, A... given) {
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++) kernel(given...);
}
typedef float *F; typedef const float *CF; typedef int *I; typedef const int *CI;
extern "C" void run_mark_peaks(int grid, int block, CF a, int b, int c, int d, float e, int f, I g, I h) {
    all(mark_peaks, grid, block, a, b, c, d, e, f, g, h);
}
extern "C" void run_refine_peaks(int grid, int block, CF a, int b, int c, int d, int e, int f, CI g, CI h,
                                 I i, I j, F k, F l) {
    all(refine_peaks, grid, block, a, b, c, d, e, f, g, h, i, j, k, l);
}
extern "C" void run_score_limbs(int grid, int block, CF a, int b, int c, CI d, int e, CI f, CI g, CF h,
                                int i, int j, F k) {
    all(score_limbs, grid, block, a, b, c, d, e, f, g, h, i, j, k);
}
"""
C_TYPES = {np.uintp: ctypes.c_void_p, np.int32: ctypes.c_int, np.float32: ctypes.c_float}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("kernels")
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text(BEFORE + SOURCE.read_text() + AFTER)
    flags = ["-O2", "-ffp-contract=off", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, "-o", str(library), str(source)], check=True, timeout=120)
    return ctypes.CDLL(str(library))


def host_module(library: ctypes.CDLL, fake: FakeCuda) -> type:
    """A stand-in for `pycuda.compiler.SourceModule`: a launch waits on its stream like a copy."""

    class SourceModule:
        def __init__(self, text: str, nvcc: str, options: list[str], no_extern_c: bool) -> None:
            fake.must("compile")
            assert text == SOURCE.read_text()
            assert "--fmad=false" in options
            assert no_extern_c

        def get_function(self, name: str) -> Callable[..., None]:
            run = getattr(library, f"run_{name}")

            def launch(*args: Any, block: tuple[int, ...], grid: tuple[int, ...], stream: Any) -> None:
                fake.must("launch")
                values = [C_TYPES[type(arg)](arg.item()) for arg in args]
                stream.add(lambda: run(grid[0], block[0], *values))

            return launch

    return SourceModule


@pytest.fixture(params=[False, True], ids=["discrete", "integrated"])
def machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL
) -> Iterator[FakeCuda]:
    fake = FakeCuda(integrated=request.param)
    package, compiler = types.ModuleType("pycuda"), types.ModuleType("pycuda.compiler")
    package.driver, package.compiler = fake.driver, compiler  # type: ignore[attr-defined]
    compiler.SourceModule = host_module(library, fake)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake.driver)
    monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    yield fake
    fake.fail_at(None)
    gc.collect()
    for thread in list(gpu_thread._THREADS.values()):
        thread.end()
    fake.assert_clean()


def random_maps(seed: int, topology: Topology, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ties, plateaus, negative weights that put a peak outside of the map: whatever the seed gives."""
    rng = np.random.default_rng(seed)
    cmap = rng.random((len(topology), *size)) ** rng.choice([4, 12]) - rng.choice([0, 0.05])
    if seed % 2:
        cmap = np.round(cmap * 10) / 10  # the threshold itself, 0.1, is among these
    paf = rng.normal(0, 0.5, (2 * len(topology.skeleton), *size))
    return cmap.astype(np.float32), paf.astype(np.float32)


def check(parser: CudaParser, cmap: np.ndarray, paf: np.ndarray, topology: Topology, **how: Any) -> int:
    """Compare with the NumPy functions to the last bit; returns the number of peaks."""
    window, samples, most = how.get("window", 5), how.get("samples", 7), how.get("max_parts", 100)
    wanted = find_peaks(cmap, 0.1, window, most)
    places = refine_peaks(cmap, wanted, window)
    scores = score_links(paf, topology.links, wanted, places, samples)
    peaks, refined, found = parser(cmap, paf, 0.1)
    for name in ("part", "y", "x", "score", "first"):
        np.testing.assert_array_equal(getattr(peaks, name), getattr(wanted, name), err_msg=name)
        assert getattr(peaks, name).dtype == getattr(wanted, name).dtype
    np.testing.assert_array_equal(refined, places)
    assert [one.shape for one in found] == [one.shape for one in scores]
    for one, other in zip(found, scores, strict=True):
        np.testing.assert_array_equal(one, other)
    return len(peaks)


def check_many(**how: Any) -> None:
    """Several skeletons, sizes and settings, one parser each, of which the later calls need more room."""
    for topology in (HUMAN18, COCO17, ANIMAL20):
        with CudaParser(topology.links, **how) as parser:
            for seed, size in enumerate([(9, 13), (56, 56), (56, 56), (17, 40), (64, 48)]):
                assert check(parser, *random_maps(seed, topology, size), topology, **how) > 20
            empty = np.zeros((len(topology), 56, 56), np.float32)
            paf = np.zeros((2 * len(topology.skeleton), 56, 56), np.float32)
            assert check(parser, empty, paf, topology, **how) == 0


@pytest.mark.compiler
@pytest.mark.parametrize("how", [{}, {"window": 3, "samples": 4, "max_parts": 7}])
def test_as_numpy(machine: FakeCuda, how: dict[str, int]) -> None:
    check_many(**how)


@pytest.mark.compiler
def test_people(machine: FakeCuda) -> None:
    cmap, paf = draw_maps(standing(6, (56, 56)), (56, 56), noise=0.02)
    with CudaParser(HUMAN18.links) as parser:
        found = parser.parse_objects(cmap, paf, HUMAN18, link_threshold=0.2)
        peaks, refined, scores = parser(cmap, paf)
        before = [one.copy() for one in (peaks.score, refined, scores[0])]
        parser(cmap[:, ::-1].copy(), np.zeros_like(paf))
        for one, other in zip(before, (peaks.score, refined, scores[0]), strict=True):
            np.testing.assert_array_equal(one, other, err_msg="what was given before stays as it is")
    np.testing.assert_array_equal(found, parse_objects(cmap, paf, HUMAN18, link_threshold=0.2))


class Drawn:
    """An engine that shows the same people whatever it sees."""

    def __init__(self, cmap: np.ndarray, paf: np.ndarray) -> None:
        self.inputs = (TensorSpec("images", (1, 3, 224, 224), np.dtype(np.float32)),)
        self.answer = {"cmap": cmap[None], "paf": paf[None]}
        self.outputs = tuple(TensorSpec(n, a.shape, a.dtype) for n, a in self.answer.items())
        self.metadata: dict[str, str] = {}
        self.closed = 0

    def __call__(self, feeds: Any) -> dict[str, np.ndarray]:
        return self.answer

    def close(self) -> None:
        self.closed += 1


def check_task() -> None:
    engine = Drawn(*draw_maps(standing(3, (56, 56)), (56, 56), noise=0.02))
    image = np.zeros((480, 640, 3), np.uint8)
    with TrtPose(engine, decoder="cuda") as task:  # type: ignore[arg-type]
        assert task.decoder == "cuda"
        task.cmap_threshold = 0.2
        found = task(image)
    assert engine.closed == 1
    plain = TrtPose(engine, cmap_threshold=0.2)(image)  # type: ignore[arg-type]
    assert len(plain) >= 3
    np.testing.assert_array_equal(found.keypoints, plain.keypoints)


@pytest.mark.compiler
def test_in_the_task(machine: FakeCuda) -> None:
    check_task()


@pytest.mark.compiler
def test_nothing_is_left_after_a_failure(machine: FakeCuda) -> None:
    """Whichever CUDA call fails, the error is one of the kit's, and all memory is given back."""
    cmap, paf = draw_maps(standing(1, (20, 20)), (20, 20))

    def work() -> None:
        with CudaParser(HUMAN18.links) as parser:
            parser(cmap, paf)

    machine.fail_at(None)
    work()
    steps = len(machine.steps)
    assert steps > 20
    for step in range(steps):
        machine.fail_at(step)
        with pytest.raises(EdgekitError):
            work()
        machine.fail_at(None)
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        machine.assert_clean()


@pytest.mark.compiler
def test_dropped_and_closed(machine: FakeCuda) -> None:
    cmap, paf = draw_maps(standing(1, (20, 20)), (20, 20))
    parser = CudaParser(HUMAN18.links)
    with pytest.raises(InputError, match="21 links"):
        parser(cmap[:5], paf)
    with pytest.raises(InputError, match="float64"):
        parser(cmap.astype(float), paf)
    peaks, _, scores = parser(cmap, paf)
    parser.close()
    parser.close()
    assert len(peaks) == 18
    assert scores[0].shape == (1, 1)
    with pytest.raises(EdgekitError, match="closed"):
        parser(cmap, paf)
    CudaParser(HUMAN18.links)  # nobody closes it: the fixture sees that it is freed


@pytest.mark.compiler
def test_without_nvcc(machine: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("nvcc")

    monkeypatch.setattr(sys.modules["pycuda.compiler"], "SourceModule", refuse)
    with pytest.raises(MissingError, match="nvcc"):
        CudaParser(HUMAN18.links)


@pytest.mark.gpu  # where one is, nvcc must be
def test_nvcc_takes_the_kernels(tmp_path: Path) -> None:
    """For Orin (8.7) and Hopper (9.0), without a warning."""
    for arch in ("sm_87", "sm_90"):
        flags = ["-cubin", "-O3", "--fmad=false", "-Werror", "all-warnings", f"-arch={arch}"]
        subprocess.run(["nvcc", *flags, "-o", str(tmp_path / arch), str(SOURCE)], check=True, timeout=300)


@pytest.fixture(scope="module")
def real_gpu() -> None:
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        pytest.skip("no NVIDIA driver")
    if libcuda.cuInit(0):
        pytest.skip("no NVIDIA GPU")


@pytest.mark.gpu
@pytest.mark.parametrize("how", [{}, {"window": 3, "samples": 4, "max_parts": 7}])
def test_as_numpy_on_a_gpu(real_gpu: None, how: dict[str, int]) -> None:
    check_many(**how)
    for count in (1, 10, 40):
        cmap, paf = draw_maps(standing(count, (56, 56), seed=count), (56, 56), noise=0.02)
        with CudaParser(HUMAN18.links, **how) as parser:
            check(parser, cmap, paf, HUMAN18, **how)
    assert gpu_thread._THREADS == {}


@pytest.mark.gpu
def test_people_on_a_gpu(real_gpu: None) -> None:
    cmap, paf = draw_maps(standing(10, (56, 56)), (56, 56), noise=0.02)
    with CudaParser(HUMAN18.links) as parser:
        for _ in range(20):
            np.testing.assert_array_equal(
                parser.parse_objects(cmap, paf, HUMAN18), parse_objects(cmap, paf, HUMAN18)
            )


@pytest.mark.gpu
def test_in_the_task_on_a_gpu(real_gpu: None) -> None:
    check_task()


def test_the_kernels_travel_with_the_package() -> None:
    assert SOURCE.parent == Path(paf_cuda.__file__).parent
    assert SOURCE.is_file()
