"""Train SlowFast on a set in AVA's layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from torch.utils.data import DataLoader

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.train.ava_data import AvaSet, Clips, Look, Order, collate, read_ava, truth_rows
from edgekit.train.ava_map import AvaRows
from edgekit.train.loop import load_checkpoint, save_checkpoint
from edgekit.train.pose_curves import plot_curves
from edgekit.train.run import Clock, on_gpu, quiet_trainer, trainer_rank
from edgekit.train.slowfast_module import SlowFastModule, SlowFastSettings
from edgekit.train.slowfast_network import SFConfig, SlowFast, config_named
from edgekit.train.slowfast_start import begin_with

Report = Callable[[str], None]


def train_slowfast(
    data: Path | str,
    out: Path | str,
    config: str | SFConfig = "board",
    *,
    settings: SlowFastSettings | None = None,
    look: dict[str, Any] | None = None,
    span: int | None = None,
    short_side: int | None = None,
    boxes: str = "truth",
    held_boxes: str = "truth",
    fps: int = 30,
    start: Path | str | None = None,
    resume: Path | str | None = None,
    validate: bool = True,
    check_every: int = 1,
    cache: bool = False,
    workers: int = 2,
    device: str | None = None,
    devices: int = 1,
    precision: str | None = None,
    seconds: float | None = None,
    stop: int | None = None,
    notes: dict[str, str] | None = None,
    progress: bool = False,
    report: Report = lambda line: None,
) -> Path:
    """Train, score each epoch, and write `slowfast.pt` (for `edgekit export slowfast`) into `out`.

    `out` also gets last.ckpt (to resume), log/version_N/metrics.csv, curves.png and scores.json (each AP).

    Args:
        data: folder in AVA's layout (`edgekit prepare ava`).
        config: name of a configuration or one; its classes become those of the action list.
        span, short_side: instead of the configuration's.
        look: what differs from `ava_data.Look`'s defaults.
        boxes, held_boxes: "truth", "found" or "both", as of `ava_data.read_ava`.
        fps: pictures a second of the frame lists.
        start: weights to begin with, as of `slowfast_start.begin_with`.
        resume: last.ckpt of an unfinished run.
        validate: score the split "val", after every `check_every` epochs.
        cache: keep all pictures decoded in memory.
        precision: of Lightning; default "bf16-mixed" on a GPU, "32-true" on the CPU.
        seconds, stop: end after this time or this many epochs, to be resumed.
        notes: metadata for the export, e.g. {"stride": "4"}.

    Raises:
        InputError: what cannot be; MissingError: PyTorch is absent.
    """
    s, out = settings or SlowFastSettings(), Path(out)
    config = config_named(config) if isinstance(config, str) else config
    if config.head != "ava":
        raise InputError("`edgekit train slowfast` needs the head 'ava'; the head 'clip' has no boxes.")
    cuda = on_gpu(device, devices, resume)
    taught = read_ava(data, "train", boxes=boxes, fps=fps)
    held = read_ava(data, "val", boxes=held_boxes, fps=fps, classes=len(taught.names)) if validate else None
    config = replace(
        config,
        classes=len(taught.names),
        span=span or config.span,
        short_side=short_side or config.short_side,
    )
    view = Look(config.frames, config.span, **{"short_side": config.short_side, **(look or {})})
    out.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(s.seed, verbose=False)
    network = SlowFast(config)
    if start is not None and resume is None:
        report(begin_with(network, start))
    rank = trainer_rank(devices)
    order = Order(taught, s.seed, s.balance, rank, devices)
    batches = len(order) // s.batch
    if not batches:
        raise InputError(f"{len(order)} key frames make no batch of {s.batch}; use a smaller --batch.")
    module = SlowFastModule(network, s, held, label_rows(data, "val") if held else None, batches)
    report(described(taught, held))
    if resume:  # Lightning starts the loader's workers before it says which epoch comes
        order.set_epoch(int(load_checkpoint(resume).get("epoch", -1)) + 1)
    fit(
        module,
        loaders(taught, held, view, s, order, cache, workers, rank, devices, pinned=cuda),
        out,
        cuda=cuda,
        devices=devices,
        precision=precision or ("bf16-mixed" if cuda else "32-true"),
        resume=resume,
        seconds=seconds,
        stop=stop,
        check_every=check_every,
        progress=progress,
    )
    if module.global_rank == 0:
        plot_curves(out)
        write_scores(module, out, report)
        save_checkpoint(
            out / "slowfast.pt",
            network="slowfast",
            config=plain(asdict(config)),
            names=list(taught.names),
            notes=dict(notes or {}),
            weights={k: v.cpu() for k, v in module.best.state_dict().items()},
            step=module.global_step,
            settings=plain(asdict(s)),
        )
    return out / "slowfast.pt"


def label_rows(data: Path | str, split: str) -> AvaRows:
    """The labels of a split as rows for the mAP."""
    rows = truth_rows(data, split)
    return AvaRows(
        [(row.video, row.second) for row in rows],
        np.array([row.box for row in rows], np.float64).reshape(-1, 4),
        np.array([row.action for row in rows], np.int64),
        np.ones(len(rows)),
    )


def loaders(
    taught: AvaSet,
    held: AvaSet | None,
    look: Look,
    s: SlowFastSettings,
    order: Order,
    cache: bool,
    workers: int,
    rank: int,
    ranks: int,
    pinned: bool,
) -> tuple[DataLoader, DataLoader | None]:
    """Of training and of scoring; scored pictures differ in size, so each is a batch of its own."""
    how: dict[str, Any] = {"num_workers": workers, "collate_fn": collate, "pin_memory": pinned}
    how["persistent_workers"] = workers > 0
    clips = Clips(taught, look, train=True, seed=s.seed, cache=cache)
    train = DataLoader(clips, s.batch, sampler=order, drop_last=True, **how)
    if held is None:
        return train, None
    looks = Clips(held, look, train=False, cache=cache)
    return train, DataLoader(looks, 1, sampler=range(rank, len(looks), ranks), **how)


def fit(
    module: SlowFastModule,
    data: tuple[DataLoader, DataLoader | None],
    out: Path,
    *,
    cuda: bool,
    devices: int,
    precision: str,
    resume: Path | str | None,
    seconds: float | None,
    stop: int | None,
    check_every: int,
    progress: bool,
) -> None:
    """Run Lightning's Trainer: DDP over several devices, a checkpoint each epoch."""
    with quiet_trainer(
        out,
        Clock(seconds, stop),
        cuda=cuda,
        devices=devices,
        keep={"save_on_train_epoch_end": True},
        precision=precision,
        max_epochs=module.settings.epochs,
        log_every_n_steps=1,
        check_val_every_n_epoch=check_every,
        benchmark=cuda,
        enable_progress_bar=progress,
    ) as trainer:
        trainer.fit(module, *data, ckpt_path=str(resume) if resume else None)


def write_scores(module: SlowFastModule, out: Path, report: Report) -> None:
    """scores.json of the last epoch: mAP, and AP and labels of each action."""
    scores = module.scores
    if scores is None or module.held is None:
        return
    names = module.held.names
    rows = {
        names[one - 1]: {"ap": None if np.isnan(ap) else round(ap, 4), "labelled": scores.labelled[one]}
        for one, ap in scores.ap.items()
    }
    with atomic_write(out / "scores.json") as scratch:
        scratch.write_text(json.dumps({"mAP": round(scores.mean, 4), "actions": rows}, indent=1), "utf-8")
    report(f"mAP {scores.mean:.4f} over {sum(n > 0 for n in scores.labelled.values())} labelled actions")


def described(taught: AvaSet, held: AvaSet | None) -> str:
    """One line: how much there is."""

    def one(ava: AvaSet) -> str:
        people = sum(len(key.boxes) for key in ava.key_frames)
        return f"{len(ava.frames)} videos, {len(ava.key_frames)} key frames, {people} people"

    return f"learning from {one(taught)}" + (f"; scoring {one(held)}" if held else "")


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as `load_checkpoint` takes them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
