"""One training run of the detector: its settings, its state and what a step does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from edgekit.errors import InputError
from edgekit.train.augment import Strength
from edgekit.train.loop import Average, cosine, groups, seed_everything
from edgekit.train.losses import Mimic, detection_loss
from edgekit.train.network import Detector, load_backbone
from edgekit.train.teacher import Teacher

# Weights of the loss terms. First the labels lead; a second, shorter run (`start`) lets the teacher lead: it
# knows far more kinds of picture than the labels show.
GAINS = {
    "labels": {
        "score": 1.0,
        "box": 4.0,
        "teach_score": 1.0,
        "teach_box": 2.0,
        "classes": 0.5,
        "features": 1.0,
    },
    "teacher": {
        "score": 0.5,
        "box": 1.5,
        "teach_score": 2.0,
        "teach_box": 5.0,
        "classes": 0.5,
        "features": 2.5,
    },
}
STRENGTHS = {
    "labels": Strength(),
    "teacher": Strength(p_mosaic=0.4, p_mix=0.15, p_plain=0.25, colour=0.7, zoom=(-1.0, 0.9)),
}


@dataclass
class Settings:
    """What a training run needs to know; stored in its checkpoints."""

    size: int = 416
    width: int = 96
    batch: int = 128
    steps: int = 12000
    rate: float = 2e-3
    decay: float = 0.05
    warmup: int = 500
    calm: float = 0.15  # share of the steps at the end without mosaic and with mild colours
    extra_share: float = 0.12  # of the pictures drawn, those from the unlabelled folder
    seed: int = 0
    long_side: int = 448
    lead: str = "labels"  # or "teacher": see GAINS
    rare: float = 0.5  # a picture is drawn in proportion to (size of its likeness group) ** -rare
    average: float = 0.9998
    hold: int = 0  # first steps in which only the helper outputs learn (with trained weights to start from)


class Trainer:
    """State of one run: network, helper outputs, average, optimiser; `state` and `restore` carry it over."""

    def __init__(
        self, settings: Settings, device: str, backbone: str | None, teacher: Teacher | None
    ) -> None:
        seed_everything(settings.seed)
        self.settings, self.device = settings, device
        layout = torch.channels_last if device == "cuda" else torch.contiguous_format
        network = Detector(settings.size, settings.width)
        if backbone:
            load_backbone(network, backbone)
        self.network = network.to(device, memory_format=layout)
        self.mimic = Mimic(settings.width).to(device, memory_format=layout) if teacher else None
        self.teacher = teacher
        self.average = Average(self.network, settings.average)
        parts = groups(
            self.network, settings.rate, settings.decay, ("stem", "blocks"), 0.5 if backbone else 1.0
        )
        if self.mimic is not None:
            parts += groups(self.mimic, settings.rate, settings.decay)
        self.optimizer = torch.optim.AdamW(parts, lr=settings.rate, fused=device == "cuda")
        self.random = torch.Generator(device).manual_seed(settings.seed)
        self.step = 0

    def learn(self, images: Tensor, boxes: Tensor, kind: Tensor) -> dict[str, Tensor]:
        """One step on one batch; the loss terms."""
        factor = cosine(self.step, self.settings.steps, self.settings.warmup)
        for part in self.optimizer.param_groups:
            part["lr"] = part["base"] * factor
        images = images.contiguous(memory_format=torch.channels_last) if self.device == "cuda" else images
        half = torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")
        answer = self.teacher(images) if self.teacher is not None else None
        with half:
            raw = self.network.raw(images)
        terms = detection_loss(self.network, raw, boxes, kind, answer, self.settings.lead == "labels")
        if self.mimic is not None:
            with half:
                terms |= self.mimic.loss(raw, answer)
        loss = sum(GAINS[self.settings.lead][name] * value for name, value in terms.items())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.step < self.settings.hold:
            self.network.zero_grad(set_to_none=True)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.average.update(self.network)
        self.step += 1
        return terms

    def state(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "average_step": self.average.step,
            "mimic": self.mimic.state_dict() if self.mimic is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.get_state(),
        }

    def start_from(self, state: dict[str, Any]) -> None:
        """Begin with another run's averaged weights and a fresh optimiser."""
        self.network.load_state_dict(state["average"])
        self.average.network.load_state_dict(state["average"])

    def restore(self, state: dict[str, Any]) -> None:
        for name in ("size", "width", "batch"):
            if state["settings"][name] != getattr(self.settings, name):
                raise InputError(
                    f"The checkpoint was trained with {name} {state['settings'][name]}, not "
                    f"{getattr(self.settings, name)}. Use the same to resume."
                )
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.step = state["average_step"]
        if self.mimic is not None:
            self.mimic.load_state_dict(state["mimic"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.set_state(state["random"].cpu())
        self.step = state["step"]
