"""What every training by Lightning shares: where it runs, what it resumes from, and a quiet Trainer."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from edgekit.errors import EdgekitError, InputError
from edgekit.files import atomic_write

#: In the folder of a run: what an unfinished one goes on from.
RESUME = "last.ckpt"


def on_gpu(device: str | None, devices: int, resume: Path | str | None) -> bool:
    """Whether a training runs on GPUs; `device` None: where there is one.

    Raises:
        InputError: there are fewer GPUs than `devices`, or no file to resume from.
    """
    cuda = (device or ("cuda" if torch.cuda.is_available() else "cpu")) == "cuda"
    if cuda and devices > torch.cuda.device_count():
        raise InputError(f"--devices {devices}, but this machine has {torch.cuda.device_count()} GPUs.")
    if resume and not Path(resume).is_file():
        raise InputError(f"There is no {resume} to resume from; it is {RESUME} of the unfinished run.")
    return cuda


def trainer_rank(devices: int) -> int:
    """Which process of a DDP run this is; the first starts the others with LOCAL_RANK set."""
    return int(os.environ.get("LOCAL_RANK", 0)) if devices > 1 else 0


class Clock(Callback):
    """Ends the run after an epoch, when the time is up or after a number of epochs."""

    def __init__(self, seconds: float | None, stop: int | None) -> None:
        self.stop = stop
        self.until = time.monotonic() + seconds if seconds else float("inf")

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        over = bool(trainer.strategy.reduce_boolean_decision(time.monotonic() > self.until, all=False))
        if over or trainer.current_epoch + 1 == self.stop:
            trainer.should_stop = True


class SafeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there, and run nothing when they are read."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            with atomic_write(path) as scratch:
                torch.save(checkpoint, scratch)
        except (OSError, RuntimeError) as error:  # of torch's writer, when the disk is full
            raise EdgekitError(
                f"{path} cannot be written ({error}); the checkpoints before it stay."
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", **rest: Any) -> dict[str, Any]:
        return dict(torch.load(path, map_location=map_location, weights_only=True))


@contextmanager
def quiet_trainer(
    out: Path,
    clock: Callback,
    *,
    cuda: bool,
    devices: int | list[int],
    keep: dict[str, Any] | Callback,
    **settings: Any,
) -> Iterator[lightning.Trainer]:
    """A Trainer, with DDP over several devices, checkpoints and `log/version_N/metrics.csv` in `out`.

    Args:
        out: folder of the run.
        clock: ends it.
        cuda, devices: where it runs; devices is how many, or which.
        keep: when a checkpoint is kept, as of `ModelCheckpoint`, or what keeps them instead.
        settings: more of `lightning.Trainer`, or instead of what is set here.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no tips, no list of devices
    if isinstance(keep, dict):
        keep = ModelCheckpoint(out, RESUME.removesuffix(".ckpt"), enable_version_counter=False, **keep)
    count = devices if isinstance(devices, int) else len(devices)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on loaders and devices that does not apply here
        yield lightning.Trainer(
            **{
                "accelerator": "gpu" if cuda else "cpu",
                "devices": devices,
                "strategy": "ddp" if count > 1 else "auto",
                "logger": CSVLogger(out, name="log"),
                "callbacks": [keep, clock],
                "plugins": [SafeCheckpoints()],
                "use_distributed_sampler": False,
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,
                **settings,
            }
        )
