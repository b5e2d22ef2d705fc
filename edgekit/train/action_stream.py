"""Clips of action recognition from WebDataset shards: a set larger than the memory streams by.

Each process reads its own shards and each of its workers some of those, in an order of the epoch. As a clip
passes, a window is drawn and mixed with those of the clips around it; for clips_per_video windows the shards
pass as many times. Every process makes equally many batches: a worker whose shards hold fewer clips than its
share goes through them once more, one with more stops early; where batches divide evenly and shards are of
one size, each clip comes exactly clips_per_video times an epoch.

Nothing but the clips' pictures and their JSON is read from a shard, and no code.
"""

from __future__ import annotations

import json
import random
import tarfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from edgekit.errors import InputError, MissingError
from edgekit.prepare.action_shards import Shards
from edgekit.train.action_data import Loader, start_worker
from edgekit.train.action_reader import Reader, Window, label_map, wanted

if TYPE_CHECKING:
    from edgekit.train.action_spec import Spec

MIXED = 64  # windows that a worker keeps, encoded, to mix: some 150 MB of 16 PNGs each


class Stream(IterableDataset):
    """Windows of the shards of one process, to learn from or to score.

    Args:
        shards: of the set.
        rank, ranks: of the processes.
        mode: None: to learn from; else the windows that clips are scored by, "center", "conv" or "all".
        segments: windows of "conv".

    Raises:
        InputError: there are fewer shards than processes; MissingError: WebDataset is not installed.
    """

    def __init__(
        self,
        shards: Shards,
        spec: Spec,
        *,
        rank: int = 0,
        ranks: int = 1,
        mode: str | None = None,
        segments: int = 10,
    ) -> None:
        if find_spec("webdataset") is None:
            raise MissingError("Reading shards needs WebDataset: pip install 'edgekit[train]'.")
        if len(shards.files) < ranks:
            raise InputError(
                f"{len(shards.files)} shards are too few for {ranks} GPUs; write more, with fewer clips each."
            )
        self.shards, self.rank, self.ranks, self.mode, self.segments = shards, rank, ranks, mode, segments
        self.want, self.read, self.labels = wanted(spec), Reader(spec), label_map(spec)
        self.copies, self.seed, self.epoch = spec.dataset.clips_per_video, spec.train.seed, 0
        self.batch = spec.dataset.batch_size

    def shares(self, workers: int) -> list[int]:
        """How many windows each worker of a process makes in an epoch, to learn from.

        Whole batches, but for the last worker's last one: a batch is one worker's, and small ones teach batch
        norms badly. Workers without a shard or without a whole batch have nothing to do.
        """
        full, rest = divmod(-(-sum(self.shards.clips) * self.copies // self.ranks), self.batch)
        busy = min(max(1, workers), len(self.shards.files) // self.ranks, max(1, full))
        shares = [(full // busy + (n < full % busy)) * self.batch for n in range(busy)]
        shares[-1] += rest
        return shares

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if self.mode is not None:
            files = self.shards.files[self.rank :: self.ranks][worker::workers]
            return map(self.read, self.scored(self.samples(files)))
        shares = self.shares(workers)
        if worker >= len(shares):
            return iter(())
        return map(self.read, islice(self.mixed(worker, len(shares)), shares[worker]))

    def mixed(self, worker: int, workers: int) -> Iterator[Window]:
        """Windows without end: pass after pass over this worker's shards."""
        from webdataset import shuffle

        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.shards.files))
        mine = order[self.rank :: self.ranks][worker::workers]
        for turn in count():
            draw = np.random.default_rng((self.seed, self.epoch, self.rank, worker, turn))
            files = [self.shards.files[n] for n in draw.permutation(mine)]
            mix = shuffle(MIXED, initial=MIXED, rng=random.Random(int(draw.integers(2**62))))
            passed = 0
            for window in mix(self.drawn(self.samples(files), turn)):
                passed += 1
                yield window
            if not passed:
                raise InputError(f"{', '.join(f.name for f in files)}: no clips; write the shards again.")

    def samples(self, files: Iterable[Path]) -> Iterator[dict[str, Any]]:
        """The clips of shards, as WebDataset groups their members, encoded."""
        from webdataset.tariterators import group_by_keys, tar_file_expander

        for file in files:
            with open(file, "rb") as stream:  # WebDataset's own opener leaves files open, and runs "pipe:"
                try:
                    yield from group_by_keys(tar_file_expander([{"url": file.name, "stream": stream}]))
                except (tarfile.TarError, OSError, EOFError, ValueError) as error:
                    raise InputError(
                        f"{file} is damaged ({error.args[0]}); write the shards again."
                    ) from error

    def drawn(self, samples: Iterable[dict[str, Any]], turn: int) -> Iterator[Window]:
        """A window to learn from of each clip that passes."""
        for sample in samples:
            number, label, name, rgb, u, v = self.clip(sample)
            seed = (self.seed, self.epoch, number, turn)
            frames = self.want.drawn(len(rgb), len(u), np.random.default_rng((*seed, 0)))
            yield self.window(sample, number, name, label, (rgb, u, v), frames, (*seed, 1))

    def scored(self, samples: Iterable[dict[str, Any]]) -> Iterator[Window]:
        """The windows that each clip is scored by."""
        for sample in samples:
            number, label, name, rgb, u, v = self.clip(sample)
            some = self.want.scored(len(rgb), len(u), self.mode or "center", self.segments)
            for frames in some:
                window = self.window(sample, number, name, label, (rgb, u, v), frames, ())
                yield window._replace(windows=len(some))

    def window(
        self,
        sample: dict[str, Any],
        number: int,
        name: str,
        label: int,
        fields: tuple[list[str], list[str], list[str]],
        frames: tuple[Any, Any],
        seed: tuple[int, ...],
    ) -> Window:
        rgb, u, v = (
            [sample[some[n]] for n in those]
            for some, those in zip(fields, (frames[0], frames[1], frames[1]), strict=True)
        )
        return Window(number, name, label, rgb, u, v, seed)

    def clip(self, sample: dict[str, Any]) -> tuple[int, int, str, list[str], list[str], list[str]]:
        """Number, label, name and the names of the pictures of a sample, in order.

        Raises:
            InputError: it is none of `edgekit prepare actions`, has no frames, or is of an unknown class.
        """
        where = f"{sample.get('__url__', 'a shard')}: {sample['__key__']}"
        try:
            note = json.loads(sample["json"])
            number, label = int(sample["__key__"]), str(note["label"])
            name = f"{label}/{note['name']}"
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where} is no clip of `edgekit prepare actions` ({error!r}).") from error
        if label not in self.labels:
            raise InputError(f"{where} is of the class {label}, which dataset.label_map lacks.")
        rgb, u, v = (
            sorted(key for key in sample if key.partition(".")[2].partition(".")[0] == kind)
            for kind in ("rgb", "u", "v")
        )
        if ("rgb" in self.want.streams and not rgb) or (self.want.of and not (u and len(u) == len(v))):
            what = {"rgb": "pictures", "of": "optical flow"}
            needed = " and ".join(what[stream] for stream in self.want.streams)
            raise InputError(f"{where} ({name}) has no {needed}; write the shards again, with them.")
        return number, self.labels[label], name, rgb, u, v


class StreamLoader:
    """Batches of a `Stream` to learn from; Lightning tells it the epoch as it tells a sampler."""

    def __init__(self, stream: Stream, spec: Spec, *, pinned: bool = False) -> None:
        self.stream, self.workers, self.pinned = stream, spec.dataset.workers, pinned

    @property
    def sampler(self) -> StreamLoader:
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.stream.epoch = epoch

    def __len__(self) -> int:
        return sum(-(-share // self.stream.batch) for share in self.stream.shares(self.workers))

    def __iter__(self) -> Iterator[Any]:
        begun = start_worker if self.workers else None
        return iter(
            Loader(
                self.stream,
                self.stream.batch,
                num_workers=self.workers,
                pin_memory=self.pinned,
                worker_init_fn=begun,
            )
        )
