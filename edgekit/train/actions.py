"""Train action recognition by a spec: what `edgekit train actions` does."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.prepare.action_shards import is_shards, read_shards
from edgekit.train.action_data import (
    Order,
    ScoredClips,
    TrainingClips,
    check_classes,
    loader,
    read_clips,
    told_plainly,
)
from edgekit.train.action_history import described, write_curves, write_metrics
from edgekit.train.action_module import ActionModule
from edgekit.train.action_network import network_of
from edgekit.train.action_spec import Spec, write_spec
from edgekit.train.action_stream import Stream, StreamLoader
from edgekit.train.loop import load_checkpoint
from edgekit.train.run import Clock, quiet_trainer, trainer_rank

Report = Callable[[str], Any]
#: In train.results_dir: the newest checkpoint, from which an unfinished training goes on by itself.
LATEST = "ar_model_latest.pth"


def train_actions(
    spec: Spec,
    *,
    device: str | None = None,
    seconds: float | None = None,
    stop: int | None = None,
    progress: bool | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Train, and return the newest checkpoint, `ar_model_latest.pth` in train.results_dir.

    There too: `model_epoch_NNN.pth` of every checkpoint_interval-th epoch and of the last one, metrics.csv,
    curves.png and experiment.yaml, the spec as it counted. A training that `ar_model_latest.pth` is there of
    goes on from it, unless train.resume_training_checkpoint_path names another checkpoint.

    Args:
        spec: of `read_spec` for the task "train".
        device: "cuda" or "cpu", on which train.num_gpus counts processes; default: GPUs where there are any.
        seconds, stop: end after the epoch in which this time is up, or after this many epochs; a second call
            goes on.
        progress: a bar; default: in a terminal.
        report: is told of every epoch in a line.

    Raises:
        InputError: a setting, the clips or the checkpoint cannot be used.
    """
    out = Path(str(spec.train.results_dir))
    cuda = on_gpus(spec, device)
    ranks = len(spec.train.gpu_ids)
    rank = trainer_rank(ranks)
    say: Report = report if rank == 0 else (lambda line: None)
    resume = resumed_from(spec, out)
    done = check_resumed(resume, spec) if resume else 0
    if resume and done >= spec.train.num_epochs:
        say(f"{resume} has {done} epochs already; give more train.num_epochs, or an empty results_dir.")
        return resume
    taught = training_loader(spec, rank, ranks, cuda)
    held = held_loader(spec, rank, ranks, cuda)
    if rank == 0:
        write_spec(spec, out)
    lightning.seed_everything(spec.train.seed, verbose=False)
    module = ActionModule(network_of(spec.model, len(spec.classes)), spec, spec.classes)
    if resume:
        say(f"going on from {resume}, after {done} epochs")
        taught.sampler.set_epoch(done)  # Lightning starts its workers before it says so
    settings: dict[str, Any] = {
        "logger": False,
        "precision": spec.train.precision if cuda else "32-true",
        "max_epochs": spec.train.num_epochs,
        "check_val_every_n_epoch": spec.train.validation_interval,
        "gradient_clip_val": spec.train.clip_grad_norm or None,
        "benchmark": spec.train.cudnn.benchmark,
        "enable_progress_bar": sys.stderr.isatty() if progress is None else progress,
    }
    cudnn = torch.backends.cudnn
    devices = list(spec.train.gpu_ids) if cuda else ranks
    keep = Keep(out, spec.train.checkpoint_interval, say)
    with (
        told_plainly(),
        cudnn.flags(cudnn.enabled, spec.train.cudnn.benchmark, 0, spec.train.cudnn.deterministic, True),
        quiet_trainer(
            out, Clock(seconds, stop), cuda=cuda, devices=devices, keep=keep, **settings
        ) as trainer,
    ):
        trainer.fit(module, taught, held, ckpt_path=str(resume) if resume else None)
    return out / LATEST


def on_gpus(spec: Spec, device: str | None) -> bool:
    """Whether a training runs on GPUs.

    Raises:
        InputError: it names GPUs that this machine does not have.
    """
    if device not in (None, "cpu", "cuda"):
        raise InputError(f"device {device!r} is neither cpu nor cuda.")
    there, ids = torch.cuda.device_count(), spec.train.gpu_ids
    if device == "cpu" or (device is None and not there and len(ids) == 1):
        return False
    if absent := [n for n in ids if n >= there]:
        raise InputError(
            f"train.gpu_ids {list(ids)} names GPU {absent[0]}, but this machine has {there} GPUs, counted "
            "from 0; set train.gpu_ids and train.num_gpus."
        )
    return True


def resumed_from(spec: Spec, out: Path) -> Path | None:
    """The checkpoint that a training goes on from; None: it begins.

    Raises:
        InputError: the one that the spec names is missing.
    """
    named = spec.train.resume_training_checkpoint_path
    if named:
        if not Path(named).is_file():
            raise InputError(f"train.resume_training_checkpoint_path: there is no file {named}.")
        return Path(named)
    return out / LATEST if (out / LATEST).is_file() else None


def check_resumed(path: Path, spec: Spec) -> int:
    """How many epochs a checkpoint has behind it.

    Raises:
        InputError: it is none of such a training, or of other classes or another network.
    """
    found = load_checkpoint(path)
    if not {"spec", "names", "history", "epoch", "optimizer_states"} <= found.keys():
        raise InputError(
            f"{path} is no checkpoint that `edgekit train actions` can go on from; to begin with its "
            f"weights, set model.{spec.model.model_type}_pretrained_model_path."
        )
    theirs, mine = found["spec"]["model"], spec.to_dict()["model"]
    cure = "go on with the same, or give an empty train.results_dir"
    if list(found["names"]) != list(spec.classes):
        told = ", ".join(found["names"]), ", ".join(spec.classes)
        raise InputError(f"{path} is of the classes {told[0]}, not {told[1]}; {cure}.")
    for name, value in mine.items():
        if "pretrained" not in name and theirs.get(name, value) != value:
            raise InputError(f"{path} was begun with model.{name} {theirs[name]}, not {value}; {cure}.")
    return int(found["epoch"]) + 1


def training_loader(spec: Spec, rank: int, ranks: int, pinned: bool) -> Any:
    """The batches of one process to learn from, of a folder or of shards."""
    d = spec.dataset
    if is_shards(d.train_dataset_dir):
        shards = read_shards(str(d.train_dataset_dir))
        check_classes(shards.classes, spec.classes, str(d.train_dataset_dir))
        stream = Stream(shards, spec, rank=rank, ranks=ranks)
        return StreamLoader(stream, spec, pinned=pinned)
    clips = read_clips(d.train_dataset_dir, spec, "dataset.train_dataset_dir")
    check_classes(clips.counts, spec.classes, str(d.train_dataset_dir))
    order = Order(len(clips.clips), d.clips_per_video, spec.train.seed, rank, ranks)
    return loader(TrainingClips(clips, spec), spec, batch=d.batch_size, sampler=order, pinned=pinned)


def held_loader(spec: Spec, rank: int, ranks: int, pinned: bool) -> Any:
    """The batches of one process to validate by: the middle window of each clip; None without a set.

    Raises:
        InputError: AutoReduce wants to watch the loss of a set that is not there.
    """
    root, o = spec.dataset.val_dataset_dir, spec.train.optim
    if not root:
        if o.lr_scheduler == "AutoReduce" and o.lr_monitor == "val_loss":
            raise InputError(
                "train.optim.lr_monitor=val_loss needs dataset.val_dataset_dir; give it, or watch train_loss."
            )
        return None
    if is_shards(root):
        stream = Stream(read_shards(root), spec, rank=rank, ranks=ranks, mode="center")
        return loader(stream, spec, batch=spec.dataset.batch_size, pinned=pinned)
    clips = ScoredClips(read_clips(root, spec, "dataset.val_dataset_dir"), spec)
    mine = range(rank, len(clips), ranks)
    return loader(clips, spec, batch=spec.dataset.batch_size, sampler=mine, pinned=pinned)


class Keep(Checkpoint):
    """Keeps the checkpoints, and beside them the table and the picture of what the epochs showed."""

    def __init__(self, out: Path, interval: int, report: Report) -> None:
        self.out, self.interval, self.report = out, interval, report

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        done = trainer.current_epoch + 1
        row = module.history[-1]
        self.report(described(row, trainer.max_epochs))
        if not math.isfinite(row["train_loss"]):
            raise InputError(f"The loss is not finite in epoch {done - 1}; lower train.optim.lr.")
        if done % self.interval and done < trainer.max_epochs and not trainer.should_stop:
            return
        path = self.out / f"model_epoch_{trainer.current_epoch:03d}.pth"
        trainer.save_checkpoint(path)
        if trainer.is_global_zero:
            with atomic_write(self.out / LATEST) as scratch:
                shutil.copyfile(path, scratch)
            write_metrics(self.out / "metrics.csv", module.history)
            write_curves(self.out / "curves.png", module.history)
