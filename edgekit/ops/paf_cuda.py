"""Peaks and scores of limbs on the GPU: the CUDA twin of `edgekit.ops.peaks` and `edgekit.ops.paf`.

The maps are read where the engine left them; peaks, their refined places and the scores of all limbs come to
the host in one copy, equal to what the NumPy functions give to the last bit. Which limbs make people is the
CPU's work (`people_of`), as there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import Buffer, DeviceArray, Kernels
from edgekit.engine.gpu_thread import GpuThread
from edgekit.errors import InputError
from edgekit.ops.connect import assign, connect_parts, keypoints_of
from edgekit.ops.paf import score_links
from edgekit.ops.peaks import Peaks, find_peaks, refine_peaks

SOURCE = Path(__file__).with_name("paf_cuda.cu")
THREADS = 1024  # at most, of a block that looks for the peaks of a map, as in the kernel
LIMBS = 128  # threads of a block that scores limbs
BLOCKS = 8  # of those blocks a link; what is more than a thread each they do one after the other
#: Scores that come to the host with the peaks: those of about 25 people. More take a second copy.
FIRST = 16384
SUFFIX = {"float32": "f32", "float16": "f16"}
Found = tuple[Peaks, NDArray[np.float32], list[NDArray[np.float32]]]


class CudaParser:
    """`find_peaks`, `refine_peaks` and `score_links` of maps on the GPU. Owner thread only.

    Args:
        gpu: the thread.
        links: int64 [L, 4], `Topology.links`.
        window, samples, max_parts: as of `parse_objects`.

    Raises:
        MissingError: no nvcc.
    """

    def __init__(
        self,
        gpu: GpuThread,
        links: NDArray[np.int64],
        *,
        window: int = 5,
        samples: int = 7,
        max_parts: int = 100,
    ) -> None:
        self.links = links
        self._gpu, self._reach, self._samples, self._most = gpu, window // 2, samples, max_parts
        self._kernels = Kernels(SOURCE)
        self._kept = Buffer(gpu)
        self._out: list[Buffer] = []  # one a picture
        self._parts = 0
        try:
            self._links = self._kept.put(links.astype(np.int32), gpu.stream)
        except BaseException:
            self.free()
            raise

    def enqueue(self, cmap: DeviceArray, paf: DeviceArray, n: int = 0, threshold: float = 0.1) -> None:
        """Start decoding the maps of picture `n`; nothing waits. `found` gives what comes of it.

        Args:
            cmap: [N, K, H, W], float32 or float16.
            paf: [N, 2·L, H, W], likewise.
            n: the picture.
            threshold: smallest value of a peak.

        Raises:
            InputError: the maps do not fit the links, or the window does not fit the maps.
        """
        if not (
            len(cmap.shape) == len(paf.shape) == 4
            and {cmap.dtype.name, paf.dtype.name} <= set(SUFFIX)
            and cmap.shape[0] == paf.shape[0] > n >= 0
            and cmap.shape[1] > self.links[:, 2:].max(initial=0)
            and paf.shape[1] > self.links[:, :2].max(initial=-1)
            and cmap.shape[2:] == paf.shape[2:]
            and min(cmap.shape[2:]) > self._reach
        ):
            raise InputError(
                f"maps of {cmap.dtype} {list(cmap.shape)} and {paf.dtype} {list(paf.shape)} do not fit "
                f"{len(self.links)} links and a window of {2 * self._reach + 1}."
            )
        self._parts, most, stream = cmap.shape[1], self._most, self._gpu.stream
        while len(self._out) <= n:
            self._out.append(Buffer(self._gpu))
        totals = self._out[n].array((self._words(),), np.int32).address
        places = totals + 4 * self._parts
        refined, values = places + 8 * self._parts * most, places + 16 * self._parts * most
        size = np.int32(cmap.shape[2]), np.int32(cmap.shape[3])
        reach, limit, samples = map(np.int32, (self._reach, most, self._samples))
        find, score = f"find_peaks_{SUFFIX[cmap.dtype.name]}", f"score_limbs_{SUFFIX[paf.dtype.name]}"
        found = totals, places, refined, values
        how = np.float32(threshold), reach, limit
        threads = min(-(-cmap.shape[2] * cmap.shape[3] // 32) * 32, THREADS)
        self._kernels(find, self._parts, threads, stream, cmap.row(n), *size, *how, *found)
        peaks = self._links, totals, refined, limit, samples
        grid, scores = (BLOCKS, len(self.links)), totals + 4 * self._head()
        self._kernels(score, grid, LIMBS, stream, paf.row(n), *size, *peaks, scores)
        self._out[n].fetch((min(self._head() + FIRST, self._words()),), np.int32, stream)

    def found(self, n: int = 0) -> Found:
        """Peaks of picture `n`, places float32 [P, 2] and scores of each link, as of the NumPy functions.

        The stream must have been synchronized. The arrays are the caller's own.
        """
        out, most, parts = self._out[n], self._most, self._parts
        counts = out.view((parts,), np.dtype(np.int32)).astype(np.int64)
        begins, ends = counts[self.links[:, 2]].tolist(), counts[self.links[:, 3]].tolist()
        starts = np.concatenate([[0], np.cumsum(np.multiply(begins, ends))]).astype(np.int64)
        words = self._head() + int(starts[-1])
        if starts[-1] > FIRST:
            out.fetch((words,), np.int32, self._gpu.stream)
            self._gpu.stream.synchronize()
        found = out.view((words,), np.dtype(np.int32))
        kept = np.arange(most) < counts[:, None]
        yx, tail = found[parts : parts + 2 * parts * most], found[parts + 2 * parts * most :].view(np.float32)
        y, x = yx.reshape(parts, most, 2)[kept].T.astype(np.int64)
        first = np.concatenate([[0], np.cumsum(counts)])
        value = tail[2 * parts * most : 3 * parts * most].reshape(parts, most)[kept]
        peaks = Peaks(np.repeat(np.arange(parts), counts), y, x, value, first)
        scores = tail[3 * parts * most :].copy()
        cut = zip(starts.tolist(), begins, ends, strict=False)
        return (
            peaks,
            tail[: 2 * parts * most].reshape(parts, most, 2)[kept],
            [scores[start : start + a * b].reshape(a, b) for start, a, b in cut],
        )

    def free(self) -> None:
        for buffer in (self._kept, *self._out):
            buffer.free()
        self._kernels.free()

    def _head(self) -> int:
        """Words before the scores: totals, places, refined places and values of all parts."""
        return self._parts * (1 + 5 * self._most)

    def _words(self) -> int:
        return self._head() + len(self.links) * self._most**2


def people_of(
    found: Found, links: NDArray[np.int64], link_threshold: float = 0.1, max_people: int = 100
) -> NDArray[np.float32]:
    """People of what a parser found, float32 [N, K, 3] as of `edgekit.ops.connect.parse_objects`."""
    peaks, refined, scores = found
    people = connect_parts(assign(scores, links, peaks, link_threshold), peaks, max_people)
    return keypoints_of(people, peaks, refined)


def check_twin(gpu: GpuThread) -> str:
    """Random maps decoded by both. Owner thread only; AssertionError where they differ."""
    rng = np.random.default_rng()
    links = np.array([[0, 1, 0, 1], [2, 3, 1, 2]])
    twin, buffers = CudaParser(gpu, links), [Buffer(gpu), Buffer(gpu)]
    try:
        for dtype, size in ((np.float32, (56, 56)), (np.float16, (17, 41))):
            cmap = (rng.random((1, 3, *size)) ** 8).astype(dtype)
            paf = rng.normal(0, 0.5, (1, 4, *size)).astype(dtype)
            twin.enqueue(buffers[0].put(cmap, gpu.stream), buffers[1].put(paf, gpu.stream))
            gpu.stream.synchronize()
            peaks, refined, scores = twin.found()
            whole = cmap[0].astype(np.float32)
            wanted = find_peaks(whole)
            places = refine_peaks(whole, wanted)
            assert np.array_equal(peaks.first, wanted.first), f"{len(peaks)} peaks, NumPy finds {len(wanted)}"
            assert np.array_equal(refined, places), f"places differ by up to {np.abs(refined - places).max()}"
            limbs = score_links(paf[0].astype(np.float32), links, wanted, places)
            equal = (np.array_equal(*pair) for pair in zip(scores, limbs, strict=True))
            assert all(equal), "scores of limbs differ from NumPy's"
    finally:
        for buffer in buffers:
            buffer.free()
        twin.free()
    return "maps of float32 and float16, equal to the last bit"
