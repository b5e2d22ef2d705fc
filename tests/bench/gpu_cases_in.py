"""Cases of bench_ops_gpu.py: what goes into networks. Pictures, crops of people, clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
import torch_ops
from gpu_board import Board, Case, Work, Wrap, apart, kind_of, seen
from torch import Tensor

from edgekit.ops.clip_cuda import CudaClip
from edgekit.ops.crops import MEAN, Crops
from edgekit.ops.crops_cuda import CudaCrops, inverted
from edgekit.ops.letterbox import PAD, Transform, byte_table, place
from edgekit.ops.letterbox_cuda import CudaLetterbox
from edgekit.tasks.clip_buffer import Frames, fit_short_side

LEVEL = 1 / 255  # a grey level, where pixels are 0 to 1


def rows_read(to: Transform) -> int:
    """Rows of the picture that have a weight in bilinear scaling."""
    height = to.source[0]
    middle = (np.arange(to.content[0]) + 0.5) * height / to.content[0] - 0.5
    top = np.floor(middle)
    both = np.concatenate([top, top[middle - top > 1e-6] + 1])
    return len(np.unique(np.clip(both, 0, height - 1)))


def letterboxes(board: Board, stack: ExitStack) -> Iterator[Case]:
    source, size = ((90, 160), (64, 64)) if board.small else ((1080, 1920), (640, 640))
    to = place(source, size)
    left, top, (high, wide) = to.left, to.top, to.content
    border = left, size[1] - wide - left, top, size[0] - high - top
    for dtype in (torch.float32, torch.float16):
        kind = kind_of(dtype)
        table = byte_table(True, np.dtype(kind))
        twin = CudaLetterbox(board.gpu, np.ascontiguousarray(np.broadcast_to(table, (3, 256))))
        stack.callback(twin.free)
        for batch in (1, 2 if board.small else 8):
            pictures, out = board.bytes(batch, *source, 3), board.zeros(batch, 3, *size, dtype=dtype)

            given = [seen(picture) for picture in pictures]

            def theirs(wrap: Wrap, pictures: Tensor = pictures, dtype: torch.dtype = dtype) -> Work:
                return partial(wrap(torch_ops.letterbox), pictures, to.content, border, dtype)

            def check(found: Tensor, out: Tensor = out) -> str:
                return apart(found.float() / LEVEL, out.float() / LEVEL, 1.2, " levels")

            yield Case(
                "letterbox",
                f"{source[1]}×{source[0]} → {size[1]}×{size[0]} {kind}, batch {batch}",
                batch * rows_read(to) * source[1] * 3 + out.nbytes,
                "rows with a weight, whole, and the tensor",
                partial(twin.fill_many, given, to, seen(out), pad=PAD["ultralytics"]),
                theirs,
                check,
            )


def people_crops(board: Board, stack: ExitStack) -> Iterator[Case]:
    source, most = ((120, 160), 40) if board.small else ((1080, 1920), 400)
    host = Crops((32, 24)) if board.small else Crops()
    picture = board.bytes(*source, 3)
    mean = board.up(np.float32(MEAN).reshape(1, 3, 1, 1))
    for count in (1, 8, 32):
        twin = CudaCrops(board.gpu, host)
        stack.callback(twin.free)
        sides = board.numpy.uniform((most * 0.2, most * 0.5), (most * 0.4, most), (count, 2))
        low = board.numpy.uniform(0, np.array(source[::-1]) - sides)
        matrices, grown = host.place(np.concatenate([low, low + sides], 1).astype(np.float32))
        twin.put(matrices, count)
        out = board.zeros(count, 3, *host.size)
        theta = board.up(normalised(inverted(matrices), source, host.size))
        covered = np.zeros(source, bool)
        for x0, y0, x1, y1 in np.round(grown).astype(int).clip(0):
            covered[y0:y1, x0:x1] = True

        def theirs(wrap: Wrap, theta: Tensor = theta) -> Work:
            return partial(wrap(torch_ops.crops), picture, theta, host.size, mean, torch.ones_like(mean))

        def check(found: Tensor, out: Tensor = out) -> str:
            return apart(found / LEVEL, out / LEVEL, 1.2, " levels")

        yield Case(
            "crops",
            f"{count} people of {source[1]}×{source[0]} → {host.size[1]}×{host.size[0]}",
            int(covered.sum()) * 3 + out.nbytes,
            "pixels under the boxes, each once, and the crops",
            partial(twin.fill, seen(picture), seen(out), 0, count),
            theirs,
            check,
        )


def normalised(inverse: Any, source: tuple[int, int], size: tuple[int, int]) -> Any:
    """Matrices from a crop's pixels to the picture's, [N, 6], as affine_grid takes them: [N, 2, 3]."""
    matrix = np.concatenate([inverse.reshape(-1, 2, 3), np.tile([[[0, 0, 1]]], (len(inverse), 1, 1))], 1)
    (height, width), (high, wide) = source, size
    pixel = np.array([[wide / 2, 0, (wide - 1) / 2], [0, high / 2, (high - 1) / 2], [0, 0, 1]])
    share = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    return (share @ matrix.astype(np.float64) @ pixel)[:, :2].astype(np.float32)


def clips(board: Board, stack: ExitStack) -> Iterator[Case]:
    source, side = ((72, 96), 48) if board.small else ((720, 1280), 256)
    frames = Frames(span=8, frames=4, alpha=2) if board.small else Frames()
    fit = fit_short_side(source, side)
    twin = CudaClip(board.gpu, frames.tables, frames.span)
    scaler = CudaLetterbox(board.gpu, np.tile(np.arange(256, dtype=np.uint8), (3, 1)))
    stack.callback(twin.free)
    stack.callback(scaler.free)
    twin.open(fit.canvas, fit.content)
    pictures = [board.bytes(*source, 3) for _ in range(4)]
    hosts = [picture.cpu().numpy() for picture in pictures]
    ring, own = (board.zeros(frames.span, 3, *fit.canvas, dtype=torch.uint8) for _ in range(2))
    scale = fit.content[0] / source[0], fit.content[1] / source[1]
    to = Transform(source, fit.content, fit.canvas, 0, 0, scale[1], scale[0])
    for n in range(frames.span):
        twin.add(hosts[n % 4], n)
        torch_ops.keep_frame(pictures[n % 4], ring, n)
    name = f"{source[1]}×{source[0]} → {fit.canvas[1]}×{fit.canvas[0]}"
    kept = rows_read(to) * source[1] * 3 + 3 * fit.canvas[0] * fit.canvas[1]

    def scaling(wrap: Wrap) -> Work:
        return partial(wrap(torch_ops.keep_frame), pictures[1], ring, 1)

    def same_frame(found: Tensor) -> str:
        return apart(found[1].float(), own[1].float(), 1, " levels")

    yield Case(
        "clip: scale a frame",
        name,
        kept,
        "rows with a weight, whole, and the frame in the ring",
        partial(scaler.fill, seen(pictures[1]), to, seen(own), 1),
        scaling,
        same_frame,
    )
    pinned = torch.empty(*source, 3, dtype=torch.uint8, pin_memory=board.device != "cpu")
    there = torch.empty_like(pictures[1])

    def add_theirs(wrap: Wrap) -> Work:
        keep, given = wrap(torch_ops.keep_frame), torch.from_numpy(hosts[1])

        def add() -> Tensor:
            board.sync()  # the frame before may still be read
            there.copy_(pinned.copy_(given), non_blocking=True)
            return keep(there, ring, 1)

        return add

    yield Case(
        "clip: add a frame",
        f"{name}, from the host",
        pictures[1].nbytes,
        "the frame, host to device",
        lambda: twin.add(hosts[1], 1),
        add_theirs,
        same_frame,
        recordable=False,
        torch_recordable=False,
        link="host to device",
    )
    chosen, every = board.up(frames.fast_frames), board.up(frames.every)
    for dtype in (torch.float32, torch.float16):
        fast, slow = (
            board.zeros(1, 3, count, *fit.canvas, dtype=dtype) for count in (len(chosen), len(every))
        )
        ours = partial(twin.gather, frames.fast_frames, 0, seen(fast), seen(slow), frames.every)

        def theirs(wrap: Wrap, dtype: torch.dtype = dtype) -> Work:
            return partial(wrap(torch_ops.window), ring, chosen, every, 0.45, 0.225, dtype)

        def check(found: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor] = (fast, slow)) -> str:
            level = LEVEL / 0.225
            pairs = zip(found, own, strict=True)
            return max(apart(a.float() / level, b.float() / level, 1.5, " levels") for a, b in pairs)

        yield Case(
            "clip: window",
            f"{len(chosen)} + {len(every)} frames {fit.canvas[1]}×{fit.canvas[0]}, {dtype}".replace(
                "torch.", ""
            ),
            len(chosen) * 3 * fit.canvas[0] * fit.canvas[1] + fast.nbytes + slow.nbytes,
            "the clip's bytes once, and both paths",
            ours,
            theirs,
            check,
        )
