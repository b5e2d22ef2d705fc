"""What the two pose trainings share: the Lightning module and its run.

The pictures live on the device and each step makes its own batch there, from a seed of run, step and GPU: the
loader only counts steps, a resumed run meets the batches the unbroken one would have met, and GPUs of one run
meet different ones.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.topology import Topology
from edgekit.train.loop import Average, cosine, groups, save_checkpoint
from edgekit.train.pose_augment import PoseAugment, PoseBatch, PoseStore
from edgekit.train.pose_curves import plot_curves
from edgekit.train.pose_data import PoseSettings, Some
from edgekit.train.pose_layers import folded
from edgekit.train.run import RESUME, on_gpu, quiet_trainer

CLIP = 1.0  # longest gradient
#: What `freeze` counts through; the last two are edgekit-trtpose's way to the heat maps of MultiPose.
FROZEN = (".backbone.stem.", *(f".backbone.blocks.{n}." for n in range(17)), ".pyramid.", ".cmap.")
SLOW = ("backbone.", "pyramid.", "cmap.", "0.")  # parts that begin with weights that are good already
UNUSED = (".fc.", ".classifier.")  # parameters that upstream's networks carry and never use


class Recipe(Protocol):
    """What differs between the two trainings."""

    name: str

    def batch(self, augment: PoseAugment, count: int, calm: bool) -> PoseBatch: ...
    def held(self, augment: PoseAugment, count: int, number: int) -> PoseBatch: ...
    def loss(self, network: nn.Module, batch: PoseBatch) -> dict[str, Tensor]: ...


class PoseModule(lightning.LightningModule):
    """Network, its moving average and the store of pictures, for Lightning's Trainer."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        settings: PoseSettings,
        topology: Topology,
        taught: Some,
        held: Some,
    ) -> None:
        super().__init__()
        self.network, self.recipe, self.settings, self.topology = network, recipe, settings, topology
        self.taught, self.held = taught, held
        self.restored: dict[str, Any] | None = None
        for name, value in network.named_parameters():
            value.requires_grad_(
                not any(part in f".{name}" for part in (*UNUSED, *FROZEN[: settings.freeze + 1]))
            )

    def on_fit_start(self) -> None:
        """Pictures and moving average go to the device, which is known only now."""
        device, size = self.device, self.settings.size
        self.network.to(memory_format=torch.channels_last)  # several times as fast, on a CPU as well
        self.average = Average(self.network, self.settings.average, ramp=0.1)
        if self.restored is not None:
            self.average.network.load_state_dict(self.restored["average"])
            self.average.step = int(self.restored["average_step"])
        self.random = torch.Generator(device)
        self.augments = [
            PoseAugment(
                PoseStore(some.images, some.pictures, self.topology, device, some.groups),
                size,
                self.topology,
                self.random,
            )
            for some in (self.taught, self.held)
            if some.images
        ]

    def seed(self, step: int) -> None:
        rank = self.global_rank
        self.random.manual_seed((self.settings.seed * 1_000_003 + step) * 64 + rank)

    def training_step(self, number: int) -> Tensor:
        step = self.global_step
        self.seed(step)
        calm = step >= self.settings.steps * (1 - self.settings.calm)
        with torch.autocast(self.device.type, enabled=False):  # places of keypoints need all their digits
            batch = self.recipe.batch(self.augments[0], self.settings.batch, calm)
        terms = self.recipe.loss(self.network, batch)
        loss = sum(terms.values(), torch.zeros((), device=self.device))
        self.log_dict({**terms, "loss": loss}, prog_bar=False, batch_size=self.settings.batch)
        return loss

    def validation_step(self, number: int) -> None:
        self.seed(-1 - number)
        with torch.autocast(self.device.type, enabled=False):
            batch = self.recipe.held(self.augments[1], self.settings.batch, number)
        terms = self.recipe.loss(self.average.network, batch)
        count = len(batch.images)
        self.log("held_out_loss", sum(terms.values()), batch_size=count, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        s = self.settings
        parts = groups(self.network, s.rate, s.decay, SLOW, s.slow)
        for part in parts:
            part["lr"] = part.pop("base")
        optimizer = torch.optim.AdamW(parts, fused=self.device.type == "cuda")
        plan = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step, s.steps, s.warmup))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plan, "interval": "step"}}

    def configure_gradient_clipping(self, optimizer: Any, **values: Any) -> None:
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)  # Lightning's own refuses the fused AdamW

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        done = self.average.step
        self.average.decay = min(self.settings.average, (1 + done) / (10 + done))  # begin with short memory
        self.average.update(self.network)
        loss = outputs["loss"]
        if self.global_step % 50 == 0 and not bool(torch.isfinite(loss)):
            raise InputError(f"The loss is not finite at step {self.global_step}. Lower --rate.")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["average"] = self.average.network.state_dict()
        checkpoint["average_step"] = self.average.step
        checkpoint["settings"] = asdict(self.settings)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        theirs, mine = checkpoint["settings"], asdict(self.settings)
        for name in ("size", "batch", "steps"):
            if theirs[name] != mine[name]:
                raise InputError(
                    f"The run was begun with {name} {theirs[name]}, not {mine[name]}; use the same to resume."
                )
        self.restored = checkpoint


class Clock(Callback):
    """Stops the run, with a checkpoint to go on from, when the time is up or after a number of steps."""

    def __init__(self, out: Path, seconds: float | None, stop: int | None) -> None:
        self.path, self.stop = out / RESUME, stop
        self.until = time.monotonic() + seconds if seconds else float("inf")

    def on_train_batch_end(self, trainer: Any, module: Any, *rest: Any) -> None:
        over = trainer.global_step == self.stop
        if time.monotonic() > self.until or self.until < float("inf"):
            over |= bool(trainer.strategy.reduce_boolean_decision(time.monotonic() > self.until, all=False))
        if over:
            trainer.should_stop = True
            trainer.save_checkpoint(self.path)


def fit(
    module: PoseModule,
    out: Path,
    device: str | None,
    devices: int,
    resume: Path | str | None,
    seconds: float | None,
    stop: int | None,
    progress: bool,
) -> None:
    """Run Lightning's Trainer: bfloat16 on a GPU, DDP over several, `log/version_N/metrics.csv` in `out`."""
    s = module.settings
    cuda = on_gpu(device, devices, resume)
    epoch = min(s.check_every, s.steps)
    pictures = len(module.held.images)
    looks = range(-(-pictures // s.batch)) if pictures else None
    with quiet_trainer(
        out,
        Clock(out, seconds, stop),
        cuda=cuda,
        devices=devices,
        keep={"save_top_k": 1},
        precision="bf16-mixed" if cuda else "32-true",
        max_steps=s.steps,
        max_epochs=-1,
        log_every_n_steps=max(1, min(50, s.steps // 20)),
        enable_progress_bar=progress,
    ) as trainer:
        trainer.fit(
            module,
            torch.utils.data.DataLoader(range(epoch), batch_size=None),
            None if looks is None else torch.utils.data.DataLoader(looks, batch_size=None),
            ckpt_path=str(resume) if resume else None,
        )
    if trainer.is_global_zero:
        plot_curves(out)


def save_network(module: PoseModule, path: Path, task: str, notes: Mapping[str, str]) -> Path:
    """The averaged network in the form that `edgekit export` reads."""
    weights = {k: v.cpu() for k, v in folded(module.average.network).state_dict().items()}
    save_checkpoint(
        path,
        network=module.recipe.name,
        task=task,
        topology=module.topology.note(),
        imgsz=list(module.settings.size),
        notes=dict(notes),
        weights=weights,
        step=module.global_step,
        settings={k: list(v) if isinstance(v, tuple) else v for k, v in asdict(module.settings).items()},
    )
    return path
