"""The CUDA twin of TrtPose's decoding, bit by bit as NumPy's, on the double and on a real GPU."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_double import FakeCuda
from drawn_people import draw_maps, standing

from edgekit.engine import gpu_thread
from edgekit.engine.cuda import Buffer
from edgekit.engine.gpu_thread import GpuThread, acquire
from edgekit.engine.resident import Tenant
from edgekit.errors import EdgekitError, InputError
from edgekit.ops import paf_cuda
from edgekit.ops.connect import parse_objects
from edgekit.ops.paf import score_links
from edgekit.ops.paf_cuda import SOURCE, CudaParser, Found, check_twin, people_of
from edgekit.ops.peaks import find_peaks, refine_peaks
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology


class Held:
    """A `CudaParser` and the maps of the host that it is given."""

    def __init__(self, gpu: GpuThread, links: np.ndarray, **how: Any) -> None:
        self.gpu, self.maps = gpu, [Buffer(gpu), Buffer(gpu)]
        self.twin = CudaParser(gpu, links, **how)

    def decode(self, cmap: np.ndarray, paf: np.ndarray, threshold: float, n: int) -> Found:
        """Place `n` of a batch whose other places hold something else."""
        batch = [np.stack([np.flip(maps)] * n + [maps]) for maps in (cmap, paf)]
        arrays = [one.put(maps, self.gpu.stream) for one, maps in zip(self.maps, batch, strict=True)]
        self.twin.enqueue(*arrays, n, threshold)
        self.gpu.stream.synchronize()
        return self.twin.found(n)

    def free(self) -> None:
        for one in (*self.maps, self.twin):
            one.free()


class Parser:
    """A `CudaParser` for maps of the host, from any thread."""

    def __init__(self, links: np.ndarray, **how: Any) -> None:
        gpu = acquire()
        try:
            self.tenant = Tenant(gpu, lambda gpu: Held(gpu, links, **how))
        finally:
            gpu.release()

    def __call__(self, cmap: np.ndarray, paf: np.ndarray, threshold: float = 0.1, n: int = 0) -> Found:
        return self.tenant.call(self.tenant.held.decode, cmap, paf, threshold, n)

    def __enter__(self) -> Parser:
        return self

    def __exit__(self, *_: Any) -> None:
        self.tenant.close()


def random_maps(seed: int, topology: Topology, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ties, plateaus, negative weights that put a peak outside of the map: whatever the seed gives."""
    rng = np.random.default_rng(seed)
    cmap = rng.random((len(topology), *size)) ** rng.choice([4, 12]) - rng.choice([0, 0.05])
    if seed % 2:
        cmap = np.round(cmap * 10) / 10  # the threshold itself, 0.1, is among these
    paf = rng.normal(0, 0.5, (2 * len(topology.skeleton), *size))
    return cmap.astype(np.float32), paf.astype(np.float32)


def check(parser: Parser, cmap: np.ndarray, paf: np.ndarray, topology: Topology, **how: Any) -> int:
    """Compare with the NumPy functions to the last bit; returns the number of peaks."""
    window, samples, most = how.get("window", 5), how.get("samples", 7), how.get("max_parts", 100)
    whole = cmap.astype(np.float32)
    wanted = find_peaks(whole, 0.1, window, most)
    places = refine_peaks(whole, wanted, window)
    scores = score_links(paf.astype(np.float32), topology.links, wanted, places, samples)
    peaks, refined, found = parser(cmap, paf, 0.1, how.get("n", 0))
    for name in ("part", "y", "x", "score", "first"):
        np.testing.assert_array_equal(getattr(peaks, name), getattr(wanted, name), err_msg=name)
        assert getattr(peaks, name).dtype == getattr(wanted, name).dtype
    np.testing.assert_array_equal(refined, places)
    assert [one.shape for one in found] == [one.shape for one in scores]
    for one, other in zip(found, scores, strict=True):
        np.testing.assert_array_equal(one, other)
    return len(peaks)


def check_many(topologies: Sequence[Topology], sizes: Sequence[tuple[int, int]], **how: Any) -> None:
    """Several skeletons, sizes and settings, one parser each, of which the later calls need more room."""
    seed = secrets.randbelow(10**6)
    print("seed", seed)  # noqa: T201
    for topology in topologies:
        with Parser(topology.links, **how) as parser:
            for turn, size in enumerate(sizes):
                maps = random_maps(seed + turn, topology, size)
                assert check(parser, *maps, topology, **how) > 20
                half = [one.astype(np.float16) for one in maps]
                assert check(parser, *half, topology, n=turn, **how) > 20
            empty = np.zeros((len(topology), 9, 9), np.float32)
            paf = np.zeros((2 * len(topology.skeleton), 9, 9), np.float32)
            assert check(parser, empty, paf, topology, **how) == 0


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("topology", "how"), [(HUMAN18, {}), (ANIMAL20, {"window": 3, "samples": 4, "max_parts": 7})]
)
def test_as_numpy(cuda_machine: FakeCuda, topology: Topology, how: dict[str, int]) -> None:
    check_many([topology], [(9, 13), (21, 17)], **how)


def check_crowd() -> None:
    """More limbs than one copy brings, and more peaks than a map may have."""
    rng = np.random.default_rng(3)
    cmap = np.zeros((2, 60, 60), np.float32)
    cmap[:, ::4, ::4] = rng.uniform(0.2, 1, (2, 15, 15))
    paf = rng.normal(0, 0.5, (2, 60, 60)).astype(np.float32)
    pair = Topology("pair", ("a", "b"), ((0, 1),))
    with Parser(pair.links, max_parts=200) as parser:
        assert check(parser, cmap, paf, pair, max_parts=200) == 400
        _, _, scores = parser(cmap, paf)
        assert sum(one.size for one in scores) > paf_cuda.FIRST


@pytest.mark.compiler
def test_a_crowd(cuda_machine: FakeCuda) -> None:
    check_crowd()


@pytest.mark.compiler
def test_people(cuda_machine: FakeCuda) -> None:
    cmap, paf = draw_maps(standing(2, (20, 30)), (20, 30), noise=0.02)
    with Parser(HUMAN18.links) as parser:
        found = people_of(parser(cmap, paf), HUMAN18.links, link_threshold=0.2)
        peaks, refined, scores = parser(cmap, paf)
        before = [one.copy() for one in (peaks.score, refined, scores[0])]
        parser(cmap[:, ::-1].copy(), np.zeros_like(paf))
        for one, other in zip(before, (peaks.score, refined, scores[0]), strict=True):
            np.testing.assert_array_equal(one, other, err_msg="what was given before stays as it is")
        assert "equal" in parser.tenant.call(check_twin, parser.tenant.gpu)
    np.testing.assert_array_equal(found, parse_objects(cmap, paf, HUMAN18, link_threshold=0.2))


@pytest.mark.compiler
def test_nothing_is_left_after_a_failure(cuda_machine: FakeCuda) -> None:
    """Whichever CUDA call fails, the error is one of the kit's, and all memory is given back."""
    cmap, paf = draw_maps(standing(1, (20, 20)), (20, 20))

    def work() -> None:
        with Parser(HUMAN18.links) as parser:
            parser(cmap, paf)

    cuda_machine.fail_at(None)
    work()
    steps = list(cuda_machine.steps)
    assert {"compile", "launch", "mem_alloc"} <= set(steps) or cuda_machine.integrated
    for step in range(steps.index("compile"), len(steps)):
        cuda_machine.fail_at(step)
        with pytest.raises(EdgekitError):
            work()
        cuda_machine.fail_at(None)
        for thread in list(gpu_thread._THREADS.values()):
            thread.end()
        cuda_machine.assert_clean()


@pytest.mark.compiler
def test_maps_that_do_not_fit(cuda_machine: FakeCuda) -> None:
    cmap, paf = draw_maps(standing(1, (20, 20)), (20, 20))
    with Parser(HUMAN18.links) as parser:
        with pytest.raises(InputError, match="21 links"):
            parser(cmap[:5], paf)
        with pytest.raises(InputError, match="float64"):
            parser(cmap.astype(float), paf)
        with pytest.raises(InputError, match="window of 5"):
            parser(cmap[:, :2], paf[:, :2])
        with pytest.raises(InputError, match="do not fit"):
            parser(cmap, paf[:, :-1])
        peaks, _, scores = parser(cmap, paf)
        assert len(peaks) == 18
        assert scores[0].shape == (1, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("how", [{}, {"window": 3, "samples": 4, "max_parts": 7}])
def test_as_numpy_on_a_gpu(real_memory: None, how: dict[str, int]) -> None:
    for _ in range(5):
        check_many([HUMAN18, COCO17, ANIMAL20], [(9, 13), (56, 56), (17, 40), (120, 92)], **how)
    for count in (1, 10, 40):
        cmap, paf = draw_maps(standing(count, (56, 56), seed=count), (56, 56), noise=0.02)
        with Parser(HUMAN18.links, **how) as parser:
            check(parser, cmap, paf, HUMAN18, **how)
            assert "equal" in parser.tenant.call(check_twin, parser.tenant.gpu)


@pytest.mark.gpu
def test_a_crowd_on_a_gpu(real_memory: None) -> None:
    check_crowd()


def test_the_kernels_travel_with_the_package() -> None:
    assert SOURCE.parent == Path(paf_cuda.__file__).parent
    assert SOURCE.is_file()
