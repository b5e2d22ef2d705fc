"""Cases of bench_ops_gpu.py: what comes out of networks. Boxes, heat maps, limbs, features under boxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
import torch_ops
from gpu_board import Board, Case, Work, Wrap, apart, seen
from torch import Tensor

from edgekit.ops.heatmaps_cuda import CudaPoints
from edgekit.ops.paf_cuda import CudaParser
from edgekit.ops.roi_align_cuda import CudaRoiAlign
from edgekit.ops.yolo_cuda import CudaYolo
from edgekit.topology import HUMAN18


def yolo_boxes(board: Board, stack: ExitStack) -> Iterator[Case]:
    anchors, side = (210, 160) if board.small else (8400, 640)
    twin = CudaYolo(board.gpu, "yolov8")
    stack.callback(twin.free)
    rng, least, iou, most = board.numpy, 0.25, 0.45, 300
    for some in (True, False):
        output = rng.uniform(0, 0.05, (1, 84, anchors)).astype(np.float32)
        output[0, :2] = rng.uniform(0, side, (2, anchors))
        output[0, 2:4] = rng.uniform(8, 60, (2, anchors))
        sure = rng.permutation(anchors)[: 50 if some else anchors]
        label = rng.integers(0, 80, len(sure))
        if some:  # ten things, five boxes each
            label = label[np.arange(len(sure)) // 5 * 5]
            output[0, :4, sure] = output[0, :4, sure[np.arange(len(sure)) // 5 * 5]]
            output[0, :4, sure] += rng.uniform(0, 3, (len(sure), 4)).astype(np.float32)
        output[0, 4 + label, sure] = rng.uniform(0.3, 0.95, len(sure))
        given, rows = board.up(output), board.zeros(1, 1 + most, 6)
        ours = partial(twin.enqueue, seen(given), seen(rows), (side, side), score=least, iou=iou)

        def theirs(wrap: Wrap, given: Tensor = given) -> Work:
            decode = wrap(torch_ops.yolo_decode)
            return lambda: torch_ops.without_doubles(*decode(given), least, iou, most)

        def check(found: Tensor, rows: Tensor = rows, some: bool = some) -> str:
            kept = rows[0, 1 : 1 + int(rows[0, 0, 0])].cpu().numpy()
            keys = [{(round(float(r[4]), 6), int(r[5])) for r in one} for one in (kept, found.cpu().numpy())]
            shared = len(keys[0] & keys[1]) / max(map(len, keys))
            # NMS of torchvision moves classes apart by adding to the boxes, which rounds them.
            assert shared == 1 if some else shared >= 0.97, f"{shared:.1%} of the boxes are the same"
            return f"{shared:.1%} of {len(kept)}"

        yield Case(
            "yolo decode + NMS",
            f"{anchors}×84, {len(sure) if some else 'all'} candidates",
            given.nbytes + 24 * most,
            "the output once, and the rows",
            ours,
            theirs,
            check,
            torch_recordable=False,
        )


def heat_maps(board: Board, stack: ExitStack) -> Iterator[Case]:
    twin = CudaPoints(board.gpu)
    stack.callback(twin.free)
    for count in (1, 8, 32):
        maps = board.uniform(count, 17, 64, 48)
        host = torch.empty(count, 17, 3, pin_memory=board.device != "cpu")
        last: dict[str, Any] = {}

        def ours(given: Any = seen(maps), last: dict[str, Any] = last) -> None:  # noqa: B008
            last["points"] = twin.enqueue(given)

        def theirs(wrap: Wrap, maps: Tensor = maps, host: Tensor = host) -> Work:
            find = wrap(torch_ops.points)
            return lambda: host.copy_(find(maps), non_blocking=True)

        def check(found: Tensor, last: dict[str, Any] = last) -> str:
            return apart(found, last["points"].copy(), 1e-6, " cells")

        yield Case(
            "heat maps",
            f"{count} people, 17×64×48, to the host",
            maps.nbytes + host.nbytes,
            "the maps once, and the points",
            ours,
            theirs,
            check,
        )


def limb_maps(board: Board, stack: ExitStack) -> Iterator[Case]:
    side, samples = 56, 7
    links = HUMAN18.links
    grid = np.arange(side)
    for count in (1, 10):
        twin = CudaParser(board.gpu, links)
        stack.callback(twin.free)
        where = board.numpy.uniform(2, side - 3, (18, count, 2))
        bumps = [np.exp(-((grid - where[..., axis, None]) ** 2) / 4.5) for axis in (0, 1)]
        cmap = (bumps[0][..., :, None] * bumps[1][..., None, :]).max(1).astype(np.float32)
        maps = board.up(cmap[None]), board.uniform(1, 2 * len(links), side, side) - 0.5
        ours = partial(twin.enqueue, seen(maps[0]), seen(maps[1]))
        joined = board.up(links)
        ours()
        board.sync()
        pairs = sum(one.size for one in twin.found()[2])

        def theirs(wrap: Wrap, maps: tuple[Tensor, Tensor] = maps, joined: Tensor = joined) -> Work:
            peak = wrap(torch_ops.is_peak)

            def work() -> Any:
                found = torch_ops.limbs(maps[0][0], maps[1][0], joined, peak, 0.1, 5, samples)
                return torch_ops.Limbs(*(one.cpu() for one in found))

            return work

        def check(found: Any, twin: CudaParser = twin, pairs: int = pairs) -> str:
            peaks, places, scores = twin.found()
            wanted = np.stack([peaks.part, peaks.y, peaks.x], 1)
            assert np.array_equal(found.peaks.numpy(), wanted), f"{len(found.peaks)} peaks, not {len(wanted)}"
            apart(found.places, places, 1e-5)
            told, counts = [0.0], found.counts.tolist()
            for link, one in enumerate(scores):
                a, b = counts[links[link, 2]], counts[links[link, 3]]
                told += np.abs(found.scores[link, :a, :b].numpy() - one).ravel().tolist()
            # A sample on the edge of a pixel may be read beside it.
            share = float(np.mean(np.array(told) > 1e-4))
            assert share < 0.05, f"{share:.1%} of the limbs' scores differ"
            return f"peaks equal, {1 - share:.1%} of {pairs} scores"

        yield Case(
            "PAF",
            f"peaks and scores, {side}×{side}, {count} people, to the host",
            maps[0].nbytes + min(pairs * samples * 8, maps[1].nbytes) + pairs * 4,
            "confidence maps once, the fields' samples (at most all) and the scores",
            ours,
            theirs,
            check,
            torch_recordable=False,
        )


def rois(board: Board, stack: ExitStack) -> Iterator[Case]:
    high, wide, channels = 16, 29, (64, 8) if board.small else (2048, 256)
    maps = [board.uniform(1, count, high, wide) for count in channels]
    for count in (5, 20):
        low = board.numpy.uniform((0, 0), (300, 100), (count, 2))
        sides = board.numpy.uniform((40, 80), (120, 150), (count, 2))
        xyxy = np.concatenate([low, low + sides], 1).astype(np.float32)
        boxes = board.up(xyxy)
        numbered = torch.cat([board.zeros(count, 1), boxes], 1)
        outs = [board.zeros(count, one.shape[1], 7, 7) for one in maps]
        touched = np.zeros((high, wide), bool)
        for x0, y0, x1, y1 in xyxy / 16:
            touched[int(y0) : int(np.ceil(y1)) + 1, int(x0) : int(np.ceil(x1)) + 1] = True
        for aligned in (False, True):
            for ratio in (0, 2):
                twin = CudaRoiAlign(board.gpu, sampling_ratio=ratio, aligned=aligned)
                stack.callback(twin.free)
                pairs = [(seen(one), seen(out)) for one, out in zip(maps, outs, strict=True)]

                def theirs(
                    wrap: Wrap, numbered: Tensor = numbered, ratio: int = ratio, aligned: bool = aligned
                ) -> Work:
                    align = wrap(torch_ops.roi_align)
                    return lambda: [align(one, numbered, 1 / 16, ratio, aligned) for one in maps]

                def check(found: list[Tensor], outs: list[Tensor] = outs) -> str:
                    return max(apart(one, out, 1e-4) for one, out in zip(found, outs, strict=True))

                yield Case(
                    "RoIAlign",
                    f"{count} boxes, {'+'.join(map(str, channels))}×{high}×{wide}, "
                    f"{'aligned' if aligned else 'not aligned'}, sampling {ratio}",
                    int(touched.sum()) * sum(channels) * 4 + sum(out.nbytes for out in outs),
                    "features under the boxes, each once, and the results",
                    partial(twin.enqueue, seen(boxes), pairs),
                    theirs,
                    check,
                )
