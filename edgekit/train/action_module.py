"""The training of action recognition as a Lightning module: loss, learning rate, what an epoch showed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.errors import InputError
from edgekit.train.action_augment import arranged, normalised

if TYPE_CHECKING:
    from edgekit.train.action_network import ActionNet
    from edgekit.train.action_spec import Spec


def inputs_of(
    batch: dict[str, Any], spec: Spec, *, colour: float = 0.0, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """A batch of `action_data.Reader`'s pictures as the network takes them: {"rgb": …, "of": …}.

    Args:
        colour, generator: as of `action_augment.normalised`.
    """
    c, made = spec.dataset.augmentation_config, {}
    for stream, mean, std, change in (
        ("rgb", c.rgb_input_mean, c.rgb_input_std, colour),
        ("of", c.of_input_mean, c.of_input_std, 0.0),
    ):
        if stream in batch:
            clips = normalised(batch[stream], mean, std, colour=change, generator=generator)
            made[stream] = arranged(clips, spec.model.input_type)
    return made


class ActionModule(lightning.LightningModule):
    """The network and its training.

    Attributes:
        history: one row an epoch: epoch, lr, train_loss, train_acc_1, and where it was validated val_loss,
            val_acc_1. Accuracies are shares.
    """

    def __init__(self, network: ActionNet, spec: Spec, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.spec, self.names = network, spec, tuple(names)
        self.history: list[dict[str, Any]] = []
        self.row: dict[str, Any] = {}
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self.restored: dict[str, Any] | None = None

    def on_fit_start(self) -> None:
        if self.device.type == "cuda":  # convolutions are several times as fast
            deep = self.spec.model.input_type == "3d"
            self.model.to(memory_format=torch.channels_last_3d if deep else torch.channels_last)
        self.random = torch.Generator(self.device)
        self.total = self.zeros()

    def zeros(self) -> Tensor:
        """Sum of the losses, clips that were right, clips."""
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros(3, dtype=kind, device=self.device)

    def step(self, batch: dict[str, Any], colour: float = 0.0) -> Tensor:
        """The mean loss of a batch; counts it."""
        with torch.autocast(self.device.type, enabled=False):
            inputs = inputs_of(batch, self.spec, colour=colour, generator=self.random)
        logits = self.model(**inputs).float()
        labels = batch["label"]
        loss = F.cross_entropy(logits, labels)
        right = (logits.argmax(1) == labels).sum()
        self.total += torch.stack([loss.detach() * len(labels), right, labels.new_tensor(len(labels))])
        return loss

    def totals(self) -> tuple[float, float]:
        """Mean loss and accuracy of what was counted, over all processes; counts anew."""
        total = self.trainer.strategy.reduce(self.total, reduce_op="sum")
        self.total = self.zeros()
        loss, right, clips = (float(v) for v in total)
        return loss / max(clips, 1), right / max(clips, 1)

    def on_train_epoch_start(self) -> None:
        o = self.spec.train.optim
        self.total, self.row = self.zeros(), {"epoch": self.current_epoch}
        if o.lr_scheduler == "MultiStep":
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] = o.lr * o.lr_decay ** sum(self.current_epoch >= step for step in o.lr_steps)
        self.row["lr"] = self.trainer.optimizers[0].param_groups[0]["lr"]

    def training_step(self, batch: dict[str, Any], number: int) -> Tensor:
        seed = (self.spec.train.seed * 1_000_003 + self.global_step) * 64 + self.global_rank
        self.random.manual_seed(seed)
        torch.manual_seed(seed)  # dropout; a resumed run draws what the unbroken one would have drawn
        loss = self.step(batch, self.spec.dataset.augmentation_config.colour)
        self.log("train_loss", loss.detach(), prog_bar=True, logger=False, batch_size=len(batch["label"]))
        if number % 50 == 0 and not bool(torch.isfinite(loss)):
            raise InputError(f"The loss is not finite in epoch {self.current_epoch}; lower train.optim.lr.")
        return loss

    def on_validation_epoch_start(self) -> None:
        self.row["train_loss"], self.row["train_acc_1"] = self.totals()

    def validation_step(self, batch: dict[str, Any], number: int) -> None:
        self.step(batch)

    def on_validation_epoch_end(self) -> None:
        self.row["val_loss"], self.row["val_acc_1"] = self.totals()
        self.log("val_acc_1", self.row["val_acc_1"], prog_bar=True, logger=False)

    def on_train_epoch_end(self) -> None:
        if "train_loss" not in self.row:
            self.row["train_loss"], self.row["train_acc_1"] = self.totals()
        watched = self.row.get(self.spec.train.optim.lr_monitor)
        if self.plateau is not None and watched is not None:
            self.plateau.step(watched)
        self.history.append(self.row)

    def configure_optimizers(self) -> Any:
        o = self.spec.train.optim
        optimizer = torch.optim.SGD(
            self.model.parameters(), lr=o.lr, momentum=o.momentum, weight_decay=o.weight_decay
        )
        if o.lr_scheduler == "AutoReduce":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, "min", factor=o.lr_decay, patience=o.patience, min_lr=o.min_lr
            )
            if self.restored is not None and self.restored.get("plateau"):
                self.plateau.load_state_dict(self.restored["plateau"])
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["spec"], checkpoint["names"] = self.spec.to_dict(), list(self.names)
        checkpoint["history"] = self.history
        checkpoint["plateau"] = None if self.plateau is None else self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.restored, self.history = checkpoint, list(checkpoint["history"])
