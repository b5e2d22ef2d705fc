"""SlowFast's training as a Lightning module: loss, learning rate, held-out mAP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.errors import InputError
from edgekit.train.ava_augment import jitter_colour
from edgekit.train.ava_data import AvaSet
from edgekit.train.ava_map import AvaRows, AvaScores, ava_map, rows_of_scores
from edgekit.train.loop import Average, groups
from edgekit.train.slowfast_network import SlowFast

MEAN, STD = 0.45, 0.225  # DATA.MEAN, DATA.STD
MOMENTUM = 0.9


@dataclass
class SlowFastSettings:
    """What a training needs to know; stored in its checkpoints.

    Defaults are those of configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml; its `rate` is for 64 clips a step, of all
    GPUs together.

    Attributes:
        epochs: passes over the key frames.
        batch: clips of one GPU.
        rate: highest learning rate (SOLVER.BASE_LR).
        steps, factors: from epoch steps[n] on the rate is rate · factors[n] (SOLVER.STEPS, LRS).
        policy: "steps", or "cosine": half a wave down to 0.
        warmup: epochs of a linear rise from `first_rate`.
        decay: of the weights, none on batch norms and biases.
        average: decay of a moving average of the weights; 0: none, as upstream.
        balance: 0 draws each key frame once an epoch, 1 draws all actions equally often.
        colour: strength of the colour jitter (upstream, where it is on: 0.4).
        smooth: labels are drawn this far towards ½.
    """

    epochs: int = 20
    batch: int = 8
    rate: float = 0.1
    steps: tuple[int, ...] = (0, 10, 15, 20)
    factors: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    policy: str = "steps"
    warmup: float = 5.0
    first_rate: float = 0.000125
    decay: float = 1e-7
    average: float = 0.0
    balance: float = 0.0
    colour: float = 0.0
    smooth: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.factors) or not self.steps or self.steps[0] != 0:
            raise InputError("steps and factors must be equally many, and the first step 0.")
        if list(self.steps) != sorted(set(self.steps)):
            raise InputError(f"steps {self.steps} must rise.")
        if self.policy not in ("steps", "cosine"):
            raise InputError(f"policy {self.policy!r} is neither steps nor cosine.")
        for name in ("epochs", "batch", "rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} {getattr(self, name)} must be more than 0.")


def rate_at(epoch: float, s: SlowFastSettings) -> float:
    """Learning rate after `epoch` passes, with fractions (upstream's steps_with_relative_lrs, or cosine)."""

    def planned(at: float) -> float:
        if s.policy == "cosine":
            return s.rate * 0.5 * (1 + float(np.cos(np.pi * min(at / s.epochs, 1.0))))
        return s.rate * s.factors[sum(at >= step for step in s.steps) - 1]

    if epoch < s.warmup:
        return s.first_rate + (planned(s.warmup) - s.first_rate) * epoch / s.warmup
    return planned(epoch)


def pathways(clips: Tensor, alpha: int) -> tuple[Tensor, Tensor]:
    """Normalised float [B, 3, T, H, W] → (slow, fast): the slow pathway sees T/α of the frames, evenly."""
    frames = clips.shape[2]
    places = torch.linspace(0, frames - 1, frames // alpha, device=clips.device).long()
    return clips.index_select(2, places), clips


def masked_bce(logits: Tensor, labels: Tensor, known: Tensor, smooth: float = 0.0) -> Tensor:
    """Binary cross-entropy, mean over the pairs of box and action that are known; 0 without any."""
    target = labels * (1 - smooth) + 0.5 * smooth
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


class SlowFastModule(lightning.LightningModule):
    """The network and its training.

    Args:
        network: with the head "ava".
        held: the split that is scored after each epoch, and its labels; None: nothing is.
        steps: batches of an epoch, of one process.
    """

    def __init__(
        self,
        network: SlowFast,
        settings: SlowFastSettings,
        held: AvaSet | None,
        truth: AvaRows | None,
        steps: int,
    ) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.held, self.truth, self.epoch_steps = held, truth, max(1, steps)
        self.found: list[tuple[int, np.ndarray, np.ndarray]] = []
        self.scores: AvaScores | None = None
        self.restored: dict[str, Any] | None = None

    def on_fit_start(self) -> None:
        if self.device.type == "cuda":  # three times as fast for narrow networks
            self.network.to(memory_format=torch.channels_last_3d)
        self.random = torch.Generator(self.device)
        self.average = None
        if self.settings.average:
            self.average = Average(self.network, self.settings.average, ramp=self.epoch_steps)
            if self.restored is not None:
                self.average.network.load_state_dict(self.restored["average"])
                self.average.step = int(self.restored["average_step"])

    @property
    def best(self) -> SlowFast:
        """The network that is scored and saved: the moving average where there is one."""
        average = getattr(self, "average", None)
        return self.network if average is None else average.network

    def prepared(self, clip: Tensor, colour: float = 0.0) -> tuple[Tensor, Tensor]:
        """uint8 [B, T, H, W, 3] → the two inputs."""
        pixels = clip.permute(0, 4, 1, 2, 3).float() / 255
        if colour:
            pixels = jitter_colour(pixels, colour, self.random)
        return pathways((pixels - MEAN) / STD, self.network.config.alpha)

    def training_step(self, batch: dict[str, Any], number: int) -> Tensor:
        s = self.settings
        self.random.manual_seed((s.seed * 1_000_003 + self.global_step) * 64 + self.global_rank)
        torch.manual_seed((s.seed * 1_000_033 + self.global_step) * 64 + self.global_rank)  # dropout
        with torch.autocast(self.device.type, enabled=False):
            slow, fast = self.prepared(batch["clip"], s.colour)
        logits = self.network.logits(slow, fast, batch["boxes"], batch["owner"])
        loss = masked_bce(logits, batch["labels"], batch["known"], s.smooth)
        self.log(
            "loss", loss, on_step=False, on_epoch=True, batch_size=s.batch, sync_dist=True, prog_bar=True
        )
        return loss

    def on_train_batch_start(self, batch: Any, number: int) -> None:
        rate = rate_at(self.current_epoch + number / self.epoch_steps, self.settings)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Any, number: int) -> None:
        if self.average is not None:
            self.average.update(self.network)
        if self.global_step % 50 == 1 and not bool(torch.isfinite(outputs["loss"])):
            raise InputError(f"The loss is not finite at step {self.global_step}. Lower --rate.")

    def validation_step(self, batch: dict[str, Any], number: int) -> None:
        with torch.autocast(self.device.type, enabled=False):
            slow, fast = self.prepared(batch["clip"])
        scores = self.best.eval()(slow, fast, batch["boxes"], batch["owner"])
        owner = batch["owner"].cpu().numpy()
        for n, key in enumerate(batch["number"]):
            mine = owner == n
            self.found.append((key, batch["rows"].cpu().numpy()[mine], scores.float().cpu().numpy()[mine]))

    def on_validation_epoch_end(self) -> None:
        assert self.held is not None
        assert self.truth is not None
        found, self.found = gathered(self.found), []
        self.scores = score(self.held, self.truth, found)
        self.log("mAP", self.scores.mean, rank_zero_only=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        s = self.settings
        parts = groups(self.network, s.rate, s.decay)
        for part in parts:
            part["lr"] = part.pop("base")
        return torch.optim.SGD(parts, lr=s.rate, momentum=MOMENTUM, nesterov=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["settings"] = asdict(self.settings)
        if self.average is not None:
            checkpoint["average"] = self.average.network.state_dict()
            checkpoint["average_step"] = self.average.step

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        theirs, mine = checkpoint["settings"], asdict(self.settings)
        for name in ("epochs", "batch", "average"):
            if theirs[name] != mine[name]:
                raise InputError(
                    f"The run was begun with {name} {theirs[name]}, not {mine[name]}; use the same to resume."
                )
        self.restored = checkpoint


Found = list[tuple[int, np.ndarray, np.ndarray]]


def gathered(found: Found) -> Found:
    """What all processes found, each key frame once."""
    if not torch.distributed.is_initialized():
        return found
    parts: list[Found] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, found)
    return list({row[0]: row for part in parts for row in part}.values())


def score(ava: AvaSet, truth: AvaRows, found: Found) -> AvaScores:
    """mAP of (number of the key frame, which of its boxes, scores [N, C]); unknown pairs left out."""
    actions = np.arange(1, len(ava.names) + 1)
    parts: list[AvaRows] = []
    for number, rows, scores in found:
        key = ava.key_frames[number]
        some = rows_of_scores([(key.video, key.second)] * len(rows), key.boxes[rows], scores, actions)
        parts.append(some[key.known[rows].ravel() > 0])
    return ava_map(truth, joined(parts), ava.evaluated, ava.excluded)


def joined(parts: Sequence[AvaRows]) -> AvaRows:
    """Rows one after the other."""
    pick: Callable[[str], Any] = lambda name: np.concatenate([getattr(part, name) for part in parts])  # noqa: E731
    if not parts:
        return AvaRows([], np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    return AvaRows([k for part in parts for k in part.keys], pick("boxes"), pick("actions"), pick("scores"))
