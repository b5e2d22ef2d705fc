"""Training of actions on drawn squares: learning, learning rates, checkpoints, a killed run that goes on."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
lightning = pytest.importorskip("lightning", reason="Lightning is not installed")
pytest.importorskip("webdataset", reason="WebDataset is not installed")
pytestmark = [pytest.mark.train, pytest.mark.slow]

from actions_made import CLASSES, spec_of, with_label_map, write_set  # noqa: E402
from own_process import in_a_process  # noqa: E402

from edgekit.errors import EdgekitError, InputError  # noqa: E402
from edgekit.prepare.action_folders import read_actions  # noqa: E402
from edgekit.prepare.action_shards import write_shards  # noqa: E402
from edgekit.train import action_module  # noqa: E402
from edgekit.train.action_network import network_of  # noqa: E402
from edgekit.train.action_weights import load_actions  # noqa: E402
from edgekit.train.actions import LATEST, on_gpus, train_actions  # noqa: E402


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("made")
    write_set(base / "train", 3, flow=True)
    write_set(base / "held", 2, flow=True, seed=50)
    return base


def run(root: Path, out: Path, *, held: bool = True, **changes: Any) -> Path:
    how = {name: changes.pop(name) for name in ("stop", "seconds", "report", "device") if name in changes}
    spec = spec_of(root / "train", out, root / "held" if held else None, **changes)
    return train_actions(spec, progress=False, **how)


def table(out: Path) -> list[dict[str, float]]:
    with open(out / "train" / "metrics.csv", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def loaded(path: Path) -> dict[str, Any]:
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, with what is inside."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for n, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}/{n}")
    else:
        assert one == other, where


def test_learns_and_writes_what_the_page_says(root: Path, tmp_path: Path) -> None:
    """No single picture tells left from right: motion has to."""
    said: list[str] = []
    write_set(tmp_path / "more", 12)
    path = run(
        root,
        tmp_path,
        dataset__train_dataset_dir=str(tmp_path / "more"),
        dataset__batch_size=24,
        dataset__clips_per_video=4,
        model__dropout_ratio=0.0,
        train__optim={"lr": 0.02, "momentum": 0.5},
        train__num_epochs=5,
        train__checkpoint_interval=2,
        train__validation_interval=2,
        report=said.append,
    )
    assert sorted(p.name for p in path.parent.iterdir()) == [
        LATEST,
        "curves.png",
        "experiment.yaml",
        "metrics.csv",
        *(f"model_epoch_{n:03d}.pth" for n in (1, 3, 4)),  # every second one, and the last
    ]
    rows = table(tmp_path)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert ["val_loss" in row for row in rows] == [False, True, False, True, False]
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert rows[-1]["train_acc_1"] >= 0.9
    assert len(said) == 5
    assert said[3].startswith("epoch 3 of 0 to 4: lr 0.02; train loss 0.")
    assert (path.parent / "curves.png").stat().st_size > 5000
    found = loaded(path)  # weights_only
    assert found["names"] == list(CLASSES)
    assert found["spec"]["model"]["rgb_seq_length"] == 4
    assert all(name.startswith("model.") for name in found["state_dict"])
    same(found["state_dict"], loaded(path.parent / "model_epoch_004.pth")["state_dict"])
    network, names = load_actions(path, spec_of(root, tmp_path).model)
    assert names == CLASSES
    assert network.width == 0.125


HARD = {
    "dataset__clips_per_video": 2,
    "dataset__augmentation_config__horizontal_flip_prob": 0.5,
    "dataset__augmentation_config__colour": 0.3,
    "model__model_type": "joint",
    "train__num_epochs": 3,
    "train__optim__lr_scheduler": "AutoReduce",
    "train__optim__patience": 1,
    "train__optim__min_lr": 1e-6,
}


def be_killed(root: Path, tmp_path: Path, hard: dict[str, Any]) -> None:
    """Train in a process that SIGKILL ends in the middle of the second epoch."""
    killed = (
        "import os, signal\n"
        "t.torch.set_num_threads(1)\n"
        "def killed(self, outputs, batch, number):\n"
        "    if self.global_step == 5:\n"  # 3 batches an epoch
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.action_module.ActionModule.on_train_batch_end = killed\n"
    )
    call = f"t.run(Path({str(root)!r}), Path({str(tmp_path / 'parts')!r}), **{hard!r})"
    in_a_process(tmp_path, __file__, call, before=killed, ends=-signal.SIGKILL)


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_a_killed_training_goes_on_to_the_same_weights(root: Path, tmp_path: Path, kind: str) -> None:
    """Killed in the middle of the second epoch; then the same call again: equal to the last bit."""
    data = root / "train"
    if kind == "shards":
        clips = read_actions(data, streams=("rgb", "of"))
        data = write_shards(clips, tmp_path / "shards", per_shard=3)
    hard = {**HARD, "dataset__train_dataset_dir": str(data)}
    whole = loaded(run(root, tmp_path / "whole", **hard))
    if kind == "shards":  # ends after an epoch
        run(root, tmp_path / "parts", stop=1, **hard)
    else:
        be_killed(root, tmp_path, hard)
    names = sorted(p.name for p in (tmp_path / "parts" / "train").iterdir())
    assert names == [LATEST, "curves.png", "experiment.yaml", "metrics.csv", "model_epoch_000.pth"]
    said: list[str] = []
    parts = loaded(run(root, tmp_path / "parts", report=said.append, **hard))
    assert said[0].endswith(f"{LATEST}, after 1 epochs")
    assert len(said) == 3
    for key in ("state_dict", "optimizer_states", "plateau", "history", "epoch", "global_step"):
        same(whole[key], parts[key], key)
    assert table(tmp_path / "whole") == table(tmp_path / "parts")


def test_learning_rates_are_pytorchs(root: Path, tmp_path: Path) -> None:
    """MultiStep and AutoReduce against PyTorch's own schedulers, fed with the losses of the run."""
    optim = {"lr": 0.004, "momentum": 0.9, "weight_decay": 5e-4}
    common = {"train__num_epochs": 5, "dataset__batch_size": 8}
    run(
        root,
        tmp_path / "steps",
        held=False,
        train__optim={**optim, "lr_steps": [1, 3], "lr_decay": 0.5},
        **common,
    )
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.004)
    plan: Any = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], 0.5)
    want = []
    for _ in range(5):
        want.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    assert [row["lr"] for row in table(tmp_path / "steps")] == pytest.approx(want, rel=1e-12)

    reduce = {"lr_scheduler": "AutoReduce", "lr_monitor": "val_loss", "patience": 1, "min_lr": 0.0015}
    run(root, tmp_path / "plateau", train__optim={**optim, "lr": 0.05, "lr_decay": 0.3, **reduce}, **common)
    rows = table(tmp_path / "plateau")
    optimizer = torch.optim.SGD([weight], lr=0.05)
    plan = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1, min_lr=0.0015)
    for row in rows:
        assert row["lr"] == optimizer.param_groups[0]["lr"]
        plan.step(row["val_loss"])


def test_autoreduce_reduces_once_patience_is_over(root: Path, tmp_path: Path) -> None:
    """A loss that never falls: the rate falls after each patience + 1 epochs, down to min_lr."""
    spec = spec_of(root / "train", tmp_path, train__optim={"lr": 0.1, "lr_scheduler": "AutoReduce"})
    module = action_module.ActionModule(torch.nn.Linear(1, 1), spec, CLASSES)  # type: ignore[arg-type]
    optimizer = module.configure_optimizers()
    assert module.plateau is not None
    rates = []
    for _ in range(9):
        module.plateau.step(1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 1e-4, 1e-4, 1e-4])


def test_clip_grad_norm_and_weight_decay(root: Path, tmp_path: Path) -> None:
    """Clipped to next to nothing, the weights stay where the seed put them."""
    still = {"lr": 0.005, "momentum": 0.9, "weight_decay": 1e-12}
    common = {"train__num_epochs": 1, "held": False}
    spec = spec_of(root / "train", tmp_path)
    lightning.seed_everything(spec.train.seed, verbose=False)
    first = network_of(spec.model, 2).state_dict()["fc_cls.weight"]
    for out, clip, moves in (("free", 0.0, True), ("clipped", 1e-9, False)):
        path = run(root, tmp_path / out, train__optim=still, train__clip_grad_norm=clip, **common)
        moved = (loaded(path)["state_dict"]["model.fc_cls.weight"] - first).abs().max()
        assert (float(moved) > 1e-4) == moves
        assert moves or float(moved) < 1e-7


def test_an_interrupted_checkpoint_leaves_the_old_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run(root, tmp_path, held=False, train__num_epochs=3, stop=1)
    before = path.read_bytes()

    def torn(content: object, file: Path) -> None:
        Path(file).write_bytes(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("edgekit.train.run.torch.save", torn)
        with pytest.raises(EdgekitError, match=r"model_epoch_001.pth cannot be written .*No space left"):
            run(root, tmp_path, held=False, train__num_epochs=3)
    assert path.read_bytes() == before
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == [LATEST, "curves.png", "experiment.yaml", "metrics.csv", "model_epoch_000.pth"]
    run(root, tmp_path, held=False, train__num_epochs=3)
    assert len(table(tmp_path)) == 3


def test_what_a_training_goes_on_from(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = run(root, tmp_path / "one", held=False, train__num_epochs=1)
    kept = first.read_bytes()
    assert run(root, tmp_path / "one", held=False, train__num_epochs=1, report=said.append) == first
    assert "has 1 epochs already; give more train.num_epochs" in said[0]
    assert first.read_bytes() == kept
    # another checkpoint by name, into a new folder, instead of the latest one there
    other = {"train__resume_training_checkpoint_path": str(first), "train__num_epochs": 2}
    run(root, tmp_path / "two", held=False, **other)
    assert [row["epoch"] for row in table(tmp_path / "two")] == [0, 1]
    assert not (tmp_path / "two" / "train" / "model_epoch_000.pth").exists()
    with pytest.raises(InputError, match=r"begun with model.width 0.125, not 0.25; go on with the same"):
        run(root, tmp_path / "one", held=False, train__num_epochs=2, model__width=0.25)
    turned = spec_of(root / "train", tmp_path / "one", train__num_epochs=2)
    with pytest.raises(InputError, match="of the classes left, right, not right, left"):
        train_actions(with_label_map(turned, ("right", "left")))
    torch.save({"state_dict": {}}, tmp_path / "bare.pth")
    with pytest.raises(InputError, match=r"bare.pth is no checkpoint .* set model.rgb_pretrained_model_path"):
        run(root, tmp_path, held=False, train__resume_training_checkpoint_path=str(tmp_path / "bare.pth"))
    with pytest.raises(InputError, match=r"resume_training_checkpoint_path: there is no file"):
        run(root, tmp_path, held=False, train__resume_training_checkpoint_path=str(tmp_path / "none.pth"))


def test_what_cannot_be_trained(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The loss is not finite in epoch 0; lower train.optim.lr"):
        run(root, tmp_path / "a", held=False, train__optim={"lr": 1e30})
    assert not (tmp_path / "a" / "train" / LATEST).exists()
    with pytest.raises(InputError, match=r"lr_monitor=val_loss needs dataset.val_dataset_dir"):
        run(root, tmp_path / "b", held=False, train__optim={"lr_scheduler": "AutoReduce"})
    spec = spec_of(root, tmp_path, train__gpu_ids=[0, 77], train__num_gpus=2)
    with pytest.raises(InputError, match=r"train.gpu_ids \[0, 77\] names GPU (0|77), but this machine has"):
        on_gpus(spec, None)
    assert not on_gpus(spec, "cpu")
    with pytest.raises(InputError, match="device 'tpu'"):
        on_gpus(spec, "tpu")


def test_two_processes(root: Path, tmp_path: Path, two_devices: str) -> None:
    """DDP over two processes: half of the clips each, one table, one score of all."""
    changes = {
        "train__gpu_ids": [0, 1],
        "train__num_gpus": 2,
        "train__num_epochs": 1,
        "dataset__batch_size": 2,
        "dataset__clips_per_video": 2,
    }
    places = f"Path({str(root)!r}), Path({str(tmp_path / 'out')!r})"
    call = f"t.run({places}, device={two_devices!r}, report=print, **{changes!r})"
    done = in_a_process(tmp_path, __file__, call)
    assert done.stdout.count("epoch 0 of 0 to 0") == 1  # the first process speaks
    found = loaded(tmp_path / "out" / "train" / LATEST)
    assert found["global_step"] == 3  # 12 windows, 2 processes, batches of 2
    row = found["history"][0]
    assert row["train_acc_1"] * 12 == pytest.approx(round(row["train_acc_1"] * 12), abs=1e-9)
    assert row["val_acc_1"] * 4 == pytest.approx(round(row["val_acc_1"] * 4), abs=1e-9)
    assert np.isfinite(row["val_loss"])
