"""What every training by Lightning shares: where it runs, what it resumes from, and a quiet Trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from edgekit.errors import InputError

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


@contextmanager
def quiet_trainer(
    out: Path, clock: Callback, *, cuda: bool, devices: int, keep: dict[str, Any], **settings: Any
) -> Iterator[lightning.Trainer]:
    """A Trainer, with DDP over several devices, checkpoints and `log/version_N/metrics.csv` in `out`.

    Args:
        out: folder of the run.
        clock: ends it.
        cuda, devices: where it runs.
        keep: when a checkpoint is kept, as of `ModelCheckpoint`.
        settings: more of `lightning.Trainer`.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no tips, no list of devices
    kept = ModelCheckpoint(out, RESUME.removesuffix(".ckpt"), enable_version_counter=False, **keep)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on loaders and devices that does not apply here
        yield lightning.Trainer(
            accelerator="gpu" if cuda else "cpu",
            devices=devices,
            strategy="ddp" if devices > 1 else "auto",
            logger=CSVLogger(out, name="log"),
            callbacks=[kept, clock],
            use_distributed_sampler=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **settings,
        )
