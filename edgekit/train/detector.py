"""Training the person detector: one readable loop over batches made on the GPU.

A plain loop, not Lightning: there is no loader to manage (pictures, augmentation and teacher all live on the
GPU), so a framework would only add calls between steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import InputError
from edgekit.evaluate.boxes import box_figures
from edgekit.evaluate.classes import match
from edgekit.evaluate.data import Picture
from edgekit.evaluate.score import SCORING, THRESHOLD
from edgekit.tasks.yolo import Yolo
from edgekit.train.augment import CALM, Augment, PictureStore, Strength
from edgekit.train.data import PERSON, load_images, read_people, read_unlabelled
from edgekit.train.likeness import draw_weights, split
from edgekit.train.loop import append_log, load_checkpoint, save_checkpoint
from edgekit.train.network import Detector
from edgekit.train.pseudo import complete
from edgekit.train.teacher import Teacher
from edgekit.train.torch_engine import TorchEngine
from edgekit.train.trainer import STRENGTHS, Settings, Trainer

Some = tuple[Sequence[Picture], Sequence[NDArray[np.uint8]]]


def score(
    network: Detector,
    device: str,
    pictures: Sequence[Picture],
    images: Sequence[NDArray[np.uint8]],
) -> dict[str, float]:
    """Figures of a torch network on pictures; those for which there is nothing to find are left out."""
    yolo = Yolo(TorchEngine(network, network.size, device), **SCORING)
    people = match((PERSON,), (PERSON,), [0])
    figures = box_figures(pictures, [i.shape for i in images], [yolo(i) for i in images], people, THRESHOLD)
    return {name: value for name, value in figures.items() if isinstance(value, float)}


def load_teacher(file: Path | str, device: str) -> Teacher:
    """The teacher on its device, in half precision on a GPU."""
    teacher = Teacher(file).to(device)
    return teacher.half().to(memory_format=torch.channels_last) if device == "cuda" else teacher


def train_detector(
    data: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    teacher: Path | str | None = None,
    backbone: str | None = None,
    extra: Path | str | None = None,
    check: Sequence[Path | str] = (),
    resume: Path | str | None = None,
    start: Path | str | None = None,
    device: str | None = None,
    held_out: float = 0.1,
    seconds: float | None = None,
    strength: Strength | None = None,
    report: Callable[[str], Any] = lambda line: None,
) -> Path:
    """Train on a YOLO folder or COCO file and return the checkpoint `out/detector.pt`.

    Args:
        teacher: YOLOX ONNX file; without it only labels teach.
        backbone: file of ImageNet weights (`network.backbone_file()`), or None to start from nothing.
        extra: folder of pictures without labels, used with a teacher only.
        check: further data sets scored at the end, never trained on.
        resume: checkpoint of an unfinished run; goes on exactly where it stopped.
        start: checkpoint of a finished run whose averaged weights this one begins with.
        seconds: stop (with a checkpoint) after this time, to be resumed.
        report: called with a line of text now and then.
    """
    settings, out, begun = settings or Settings(), Path(out), time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    pictures = read_people(data)
    images = load_images(pictures, settings.long_side)
    group, held = split(pictures, images, out, backbone, held_out)
    taught = np.flatnonzero(~held)
    if not len(taught):
        raise InputError(
            f"{data} leaves no picture to learn from. Give more pictures or a smaller --held-out."
        )
    more = read_unlabelled(extra) if extra and teacher else []
    guide = load_teacher(teacher, device) if teacher else None
    store = PictureStore(
        [images[i] for i in taught] + load_images(more, settings.long_side),
        [pictures[i] for i in taught] + more,
        device,
        room=30 if guide else 0,
    )
    if guide is not None:
        sure, unsure = complete(guide, store)
        report(f"teacher adds {sure} people and {unsure} unsure ones to {len(store)} pictures")
    trainer = Trainer(settings, device, backbone, guide)
    if start:
        trainer.start_from(load_checkpoint(start, device))
    if resume:
        trainer.restore(load_checkpoint(resume, device))
    weights = draw_weights(group[taught], len(more), settings.extra_share, settings.rare)
    augment = Augment(store, settings.size, torch.from_numpy(weights).to(device), trainer.random)
    report(
        f"{len(taught)} pictures to learn from, {int(held.sum())} held out, {len(more)} unlabelled; {device}"
    )
    until = begun + seconds if seconds else float("inf")
    learn(trainer, augment, out, strength or STRENGTHS[settings.lead], until, report)
    sets: dict[str, Some] = {}
    if held.any():
        away = np.flatnonzero(held)
        sets["held out"] = ([pictures[i] for i in away], [images[i] for i in away])
    for name in check:
        others = read_people(name)
        sets[str(name)] = (others, load_images(others, 4096))
    for name, some in sets.items():
        figures = score(trainer.average.network, device, *some)
        append_log(out / "train.jsonl", step=trainer.step, set=name, **figures)
        report(f"{name}: " + " ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    return out / "detector.pt"


def learn(
    trainer: Trainer,
    augment: Augment,
    out: Path,
    strength: Strength,
    until: float,
    report: Callable[[str], Any],
) -> None:
    """Steps until the last one or the clock says `until`; a checkpoint every 1000 steps and at the end."""
    steps, path = trainer.settings.steps, out / "detector.pt"
    calm_from = int(steps * (1 - trainer.settings.calm))
    trainer.network.train()
    while trainer.step < steps and time.monotonic() < until:
        hard = trainer.step < calm_from
        terms = trainer.learn(*augment.batch(trainer.settings.batch, strength if hard else CALM))
        if trainer.step % 200 == 0 or trainer.step == steps:
            log_terms(trainer.step, terms, out, report)
        if trainer.step % 1000 == 0:
            save_checkpoint(path, **trainer.state())
    save_checkpoint(path, **trainer.state())


def log_terms(step: int, terms: dict[str, Tensor], out: Path, report: Callable[[str], Any]) -> None:
    """Write the loss terms to the log; `InputError` when one is not finite."""
    values = {name: float(value.detach()) for name, value in terms.items()}
    if not all(np.isfinite(v) for v in values.values()):
        raise InputError(f"The loss is not finite at step {step}: {values}. Lower --rate.")
    append_log(out / "train.jsonl", step=step, **values)
    report(f"step {step} " + " ".join(f"{k} {v:.3f}" for k, v in values.items()))
