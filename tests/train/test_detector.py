"""Training on a tiny made-up set: it learns, resumes exactly, and exports what it learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = [pytest.mark.train, pytest.mark.slow]

from made import write_set  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.augment import Strength  # noqa: E402
from edgekit.train.detector import train_detector  # noqa: E402
from edgekit.train.export import export_detector, load_detector  # noqa: E402
from edgekit.train.loop import load_checkpoint  # noqa: E402
from edgekit.train.trainer import Settings  # noqa: E402

EASY = Strength(p_mosaic=0, p_mix=0, p_turn=0, colour=0.1, zoom=(-0.2, 0.2), aspect=0.1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("made") / "set")


def small(steps: int) -> Settings:
    return Settings(size=96, width=32, batch=8, steps=steps, rate=4e-3, warmup=5, calm=0, average=0.9)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train_detector(data, out, small(110), check=[data], device="cpu", held_out=0, strength=EASY)
    return out


def test_it_learns_the_made_up_people(data: Path, trained: Path, tmp_path: Path) -> None:
    train_detector(data, tmp_path, small(3), check=[data], device="cpu", held_out=0, strength=EASY)
    before, after = lines(tmp_path), lines(trained)
    assert after[0]["score"] < 0.5 * before[0]["score"]
    assert after[0]["box"] < 0.7 * before[0]["box"]
    assert before[-1]["AP50"] < 0.2
    assert after[-1]["AP50"] > 0.5


def test_export_equals_torch(trained: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    network = load_detector(trained / "detector.pt")
    x = torch.rand(3, 3, 96, 96)
    with torch.no_grad():
        expected = network(x).numpy()
    fixed = export_detector(trained / "detector.pt", tmp_path / "fixed.onnx")
    open_batch = export_detector(trained / "detector.pt", tmp_path / "open.onnx", dynamic=True)
    for file, feeds in ((fixed, [x[i : i + 1] for i in range(3)]), (open_batch, [x])):
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        got = np.concatenate([session.run(None, {"images": f.numpy()})[0] for f in feeds])
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)  # boxes are pixels up to 96
        np.testing.assert_allclose(got[:, 4], expected[:, 4], atol=1e-4)
    model = onnx.load(str(fixed))
    assert (model.ir_version, model.opset_import[0].version) == (9, 17)


def test_blend_lies_between(trained: Path, tmp_path: Path) -> None:
    import onnxruntime

    x = {"images": np.random.default_rng(0).random((1, 3, 96, 96), np.float32)}
    plain = export_detector(trained / "detector.pt", tmp_path / "plain.onnx")
    same = export_detector(trained / "detector.pt", tmp_path / "same.onnx", other=trained / "detector.pt")
    a, b = (onnxruntime.InferenceSession(str(f)).run(None, x)[0] for f in (plain, same))
    np.testing.assert_allclose(a, b, atol=1e-2, rtol=1e-3)


def test_resumed_run_equals_unbroken_run(data: Path, tmp_path: Path) -> None:
    """Stopped at once by a clock that has run out, then resumed to the end."""
    common = {"device": "cpu", "held_out": 0, "strength": EASY}
    whole = load_checkpoint(train_detector(data, tmp_path / "whole", small(6), **common))
    part = tmp_path / "part"
    first = train_detector(data, part, small(6), seconds=1e-9, **common)
    assert load_checkpoint(first)["step"] == 0
    state = load_checkpoint(train_detector(data, part, small(6), resume=first, **common))
    assert state["step"] == whole["step"] == 6
    for name, value in whole["average"].items():
        torch.testing.assert_close(state["average"][name], value, rtol=0, atol=0)


def test_checkpoint_restores_every_part(data: Path, tmp_path: Path) -> None:
    """Optimiser, averages and random state come back: the next step from a restored trainer is the same."""
    from edgekit.train.augment import Augment, PictureStore
    from edgekit.train.data import load_images, read_people
    from edgekit.train.loop import save_checkpoint
    from edgekit.train.trainer import Trainer

    pictures = read_people(data)
    store = PictureStore(load_images(pictures, 128), pictures, "cpu")

    def steps(trainer: Trainer, count: int) -> None:
        trainer.network.train()
        augment = Augment(store, 96, torch.ones(len(store)), trainer.random)
        for _ in range(count):
            trainer.learn(*augment.batch(4, Strength()))

    first = Trainer(small(10), "cpu", None, None)
    steps(first, 3)
    save_checkpoint(tmp_path / "c.pt", **first.state())
    steps(first, 2)
    second = Trainer(small(10), "cpu", None, None)
    second.restore(load_checkpoint(tmp_path / "c.pt"))
    steps(second, 2)
    assert second.step == 5
    for name, value in first.network.state_dict().items():
        torch.testing.assert_close(second.network.state_dict()[name], value, rtol=0, atol=0)


def test_wrong_checkpoints_are_refused(data: Path, trained: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.pt"):
        export_detector(bad, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
    with pytest.raises(InputError, match="No checkpoint"):
        export_detector(tmp_path / "none.pt", tmp_path / "x.onnx")
    torch.save({"code": print}, bad)
    with pytest.raises(InputError):
        load_checkpoint(bad)
    other = Settings(size=160, width=32, batch=8, steps=2)
    with pytest.raises(InputError, match="size 96"):
        train_detector(data, tmp_path / "o", other, resume=trained / "detector.pt", device="cpu")


def test_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from edgekit.cli import main

    run = ["train", "detector", "--data", str(data), "--out", str(tmp_path), "--scratch", "--device", "cpu"]
    assert main([*run, "--steps", "2", "--batch", "2", "--size", "96", "--held-out", "0.2"]) == 0
    assert main(["export", "detector", str(tmp_path / "detector.pt"), "--out", str(tmp_path / "p.onnx")]) == 0
    assert main(["evaluate", str(tmp_path / "p.onnx"), "--dataset", str(data)]) == 0
    assert "AP50" in capsys.readouterr().out
    assert (
        main(["train", "detector", "--data", str(tmp_path / "no"), "--out", str(tmp_path), "--scratch"]) == 2
    )
    assert main([*run, "--batch", "0"]) == 2
