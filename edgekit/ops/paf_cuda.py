"""Peaks and scores of limbs on the GPU: the CUDA twin of `edgekit.ops.peaks` and `edgekit.ops.paf`.

    with CudaParser(topology.links) as parser:
        peaks, refined, scores = parser(cmap, paf)

The kernels (paf_cuda.cu) give what the NumPy functions give, to the last bit. All CUDA work is done by the
GPU's owner thread. They are compiled by nvcc when a parser is first made; pycuda keeps the result.
"""

from __future__ import annotations

import shutil
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine.cuda import NON_BLOCKING, Buffer
from edgekit.engine.gpu_thread import GpuThread, acquire, load_driver
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.ops.connect import assign, connect_parts, keypoints_of
from edgekit.ops.peaks import Peaks
from edgekit.topology import Topology

SOURCE = Path(__file__).with_name("paf_cuda.cu")
NVCC = "/usr/local/cuda/bin/nvcc"  # where JetPack has it, though not on PATH
THREADS = 64  # a block; there are about a thousand rows of maps
KERNELS = ("mark_peaks", "refine_peaks", "score_limbs")
Found = tuple[Peaks, NDArray[np.float32], list[NDArray[np.float32]]]


class CudaParser:
    """`find_peaks`, `refine_peaks` and `score_links` in one call.

    Args:
        links: int64 [L, 4], `Topology.links`.
        window, samples, max_parts: as of `parse_objects`.
        device: number of the GPU.

    Raises:
        MissingError: no pycuda, no GPU, or no nvcc.
    """

    def __init__(
        self,
        links: NDArray[np.int64],
        *,
        window: int = 5,
        samples: int = 7,
        max_parts: int = 100,
        device: int = 0,
    ) -> None:
        gpu = acquire(device)
        try:
            session = gpu.call(_Session, gpu, links, window // 2, samples, max_parts)
        except BaseException:
            gpu.release()
            raise
        self._gpu, self._session = gpu, session
        self._window = window
        self._close = weakref.finalize(self, gpu.abandon, session)
        self._close.atexit = False  # the owner thread frees what is open when the interpreter ends

    def __call__(self, cmap: NDArray[np.float32], paf: NDArray[np.float32], threshold: float = 0.1) -> Found:
        """Peaks, their refined places float32 [P, 2] and the scores of each link, as of the NumPy functions.

        Args:
            cmap: float32 [K, H, W].
            paf: float32 [2·L, H, W].
            threshold: smallest value of a peak.

        Raises:
            InputError: the maps do not fit the links, or the window does not fit the maps.
            EdgekitError: the GPU failed, or this parser is closed.
        """
        if not self._close.alive:
            raise EdgekitError("this parser is closed; make a new one.")
        links = self._session.links
        if not (
            cmap.ndim == paf.ndim == 3
            and cmap.dtype == paf.dtype == np.float32
            and len(cmap) > links[:, 2:].max(initial=0)
            and len(paf) > links[:, :2].max(initial=-1)
            and min(cmap.shape[1:]) > self._window // 2
        ):
            raise InputError(
                f"maps of {cmap.dtype} {list(cmap.shape)} and {paf.dtype} {list(paf.shape)} do not fit "
                f"{len(links)} links and a window of {self._window}."
            )
        return self._gpu.call(self._session.run, cmap, paf, threshold)

    def parse_objects(
        self,
        cmap: NDArray[np.float32],
        paf: NDArray[np.float32],
        topology: Topology,
        *,
        cmap_threshold: float = 0.1,
        link_threshold: float = 0.1,
        max_people: int = 100,
    ) -> NDArray[np.float32]:
        """As `edgekit.ops.connect.parse_objects`; the assignment and what follows is the CPU's."""
        peaks, refined, scores = self(cmap, paf, cmap_threshold)
        people = connect_parts(assign(scores, topology.links, peaks, link_threshold), peaks, max_people)
        return keypoints_of(people, peaks, refined)

    def close(self) -> None:
        """Free everything; a second call does nothing."""
        if self._close.detach() is not None:
            self._gpu.give_up(self._session)

    def __enter__(self) -> CudaParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Session:
    """What lives on the GPU's owner thread: made, run and freed there."""

    def __init__(self, gpu: GpuThread, links: NDArray[np.int64], reach: int, samples: int, most: int) -> None:
        self.links = links
        self._gpu, self._drv = gpu, load_driver()
        self._reach, self._samples, self._most = reach, samples, most
        self._undo = ExitStack()  # frees in the reverse order of what follows
        self._undo.callback(self._forget)
        self._buffers: dict[str, Buffer] = {}
        try:
            self._module: Any = _compile()
            self._kernels = [self._module.get_function(name) for name in KERNELS]
            self._stream: Any = self._drv.Stream(NON_BLOCKING)
        except self._drv.Error as error:
            raise EdgekitError(f"the CUDA decoder cannot be made ({error}).") from error
        for name in ("cmap", "paf", "rows", "peaks", "links", "starts", "scores"):
            self._buffers[name] = Buffer(gpu)
            self._undo.callback(self._buffers[name].free)
        gpu.kept.append(self)

    def free(self) -> None:
        """Free the buffers, then the stream and the kernels."""
        with suppress(ValueError):
            self._gpu.kept.remove(self)
        self._undo.close()

    def _forget(self) -> None:
        self._kernels.clear()
        self._stream = self._module = None

    def run(self, cmap: NDArray[np.float32], paf: NDArray[np.float32], threshold: float) -> Found:
        """Upload, peaks, then the scores of the limbs that there are."""
        try:
            try:
                peaks, refined = self._peaks(cmap, threshold)
                return peaks, refined, self._scores(paf, peaks)
            finally:
                self._stream.synchronize()  # on failure too: nothing may still write when buffers move
        except self._drv.Error as error:
            raise EdgekitError(f"CUDA failed while decoding poses ({error}); open the task again.") from error

    def _peaks(self, cmap: NDArray[np.float32], threshold: float) -> tuple[Peaks, NDArray[np.float32]]:
        parts, height, width = (np.int32(n) for n in cmap.shape)
        most, count = self._most, len(cmap)
        rows, shape = int(parts * height), (parts, height, width)
        self._send("cmap", cmap)
        columns = self._room("rows", rows * (int(width) + 1))
        out = self._room("peaks", count * (1 + 5 * most))
        totals, places = out, out + 4 * count
        refined, values = places + 8 * count * most, places + 16 * count * most
        reach, counts = np.int32(self._reach), columns + 4 * rows * int(width)
        source = self._buffers["cmap"].address
        self._launch(0, rows, source, *shape, np.float32(threshold), reach, columns, counts)
        limits = (reach, np.int32(most), columns, counts)
        self._launch(1, rows, source, *shape, *limits, totals, places, refined, values)
        found = self._fetch("peaks", count * (1 + 5 * most))
        first = np.concatenate([[0], np.cumsum(found[:count])])
        kept = np.arange(most) < found[:count, None]
        yx, tail = found[count : count + 2 * count * most], found[count + 2 * count * most :].view(np.float32)
        y, x = yx.reshape(count, most, 2)[kept].T.astype(np.int64)
        part = np.repeat(np.arange(count), found[:count])
        value = tail[2 * count * most :].reshape(count, most)[kept]
        return Peaks(part, y, x, value, first), tail[: 2 * count * most].reshape(count, most, 2)[kept]

    def _scores(self, paf: NDArray[np.float32], peaks: Peaks) -> list[NDArray[np.float32]]:
        counts = peaks.counts
        begins, ends = counts[self.links[:, 2]].tolist(), counts[self.links[:, 3]].tolist()
        starts = np.concatenate([[0], np.cumsum(np.multiply(begins, ends))]).astype(np.int32)
        total = int(starts[-1])
        if total:
            self._send("paf", paf)
            self._send("links", self.links.astype(np.int32))
            self._send("starts", starts)
            scores = self._room("scores", total)
            paf_at, links, starts_at, out = (
                self._buffers[n].address for n in ("paf", "links", "starts", "peaks")
            )
            refined = out + 4 * len(counts) * (1 + 2 * self._most)
            size = (np.int32(paf.shape[1]), np.int32(paf.shape[2]))
            limits = (np.int32(self._most), np.int32(self._samples))
            count = np.int32(len(self.links))
            self._launch(2, total, paf_at, *size, links, count, starts_at, out, refined, *limits, scores)
        flat = self._fetch("scores", total).view(np.float32).copy()
        cut = zip(starts.tolist(), begins, ends, strict=False)
        return [flat[start : start + a * b].reshape(a, b) for start, a, b in cut]

    def _send(self, name: str, array: NDArray) -> None:
        buffer = self._buffers[name]
        buffer.grow(array.nbytes)
        np.copyto(buffer.view(array.shape, array.dtype), array)
        buffer.upload(array.nbytes, self._stream)

    def _room(self, name: str, words: int) -> int:
        """Address of room for so many words of four bytes."""
        self._buffers[name].grow(4 * words)
        return self._buffers[name].address

    def _fetch(self, name: str, words: int) -> NDArray[np.int32]:
        """What the kernels wrote, as int32 [words], a view that the next call overwrites."""
        self._buffers[name].download(4 * words, self._stream)
        self._stream.synchronize()
        return self._buffers[name].view((words,), np.dtype(np.int32))

    def _launch(self, kernel: int, threads: int, *args: Any) -> None:
        """Start a kernel; whole numbers of Python are addresses."""
        packed = [np.uintp(value) if isinstance(value, int) else value for value in args]
        grid = (-(-threads // THREADS), 1)
        self._kernels[kernel](*packed, block=(THREADS, 1, 1), grid=grid, stream=self._stream)


def _compile() -> Any:
    """The kernels for this thread's GPU."""
    from pycuda.compiler import SourceModule

    nvcc = shutil.which("nvcc") or NVCC
    text = SOURCE.read_text(encoding="utf-8")
    try:
        return SourceModule(text, nvcc=nvcc, options=["-O3", "--fmad=false"], no_extern_c=True)
    except OSError as error:
        raise MissingError(
            f"the CUDA decoder is compiled by nvcc, which cannot be run ({error}); put the CUDA toolkit's "
            'bin on PATH, or take decoder="numpy".'
        ) from error
