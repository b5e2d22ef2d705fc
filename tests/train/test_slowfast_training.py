"""SlowFast's training on drawn squares: learns which way they go, resumes exactly, runs in two processes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytestmark = [pytest.mark.train, pytest.mark.slow]

from ava_made import FPS, write_ava  # noqa: E402
from own_process import in_a_process  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.loop import load_checkpoint  # noqa: E402
from edgekit.train.pose_curves import read_curves  # noqa: E402
from edgekit.train.slowfast import train_slowfast  # noqa: E402
from edgekit.train.slowfast_export import export_slowfast  # noqa: E402
from edgekit.train.slowfast_module import (  # noqa: E402
    SlowFastSettings,
    masked_bce,
    pathways,
    rate_at,
)
from edgekit.train.slowfast_network import SlowFast, config_named  # noqa: E402
from edgekit.train.slowfast_start import begin_with  # noqa: E402
from edgekit.train.slowfast_weights import load_slowfast  # noqa: E402

TINY = replace(
    config_named("board"),
    depth=(1, 1, 1, 1),
    timed=(1, 1, 1, 1),
    width=8,
    beta_inv=2,
    alpha=2,
    frames=4,
    span=6,
    short_side=48,
    dropout=0.0,
)
LOOK = {"jitter": (48, 52), "crop": 48}
QUICK = SlowFastSettings(epochs=8, batch=6, rate=0.2, steps=(0,), factors=(1.0,), warmup=1.0, first_rate=0.01)


def run(data: Path, out: Path, **settings: object) -> Path:
    quick = replace(QUICK, **{k: settings.pop(k) for k in list(settings) if hasattr(QUICK, k)})
    how = {"device": "cpu", "workers": 0, "fps": FPS, "look": LOOK, "cache": True, **settings}
    return train_slowfast(data, out, TINY, settings=quick, **how)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ava(tmp_path_factory.mktemp("made") / "set", videos=12)


def test_learns_which_way_squares_go(data: Path, tmp_path: Path) -> None:
    """The picture of one moment cannot tell: motion has to."""
    said: list[str] = []
    path = run(data, tmp_path, epochs=16, average=0.8, span=7, short_side=44, report=said.append)
    losses = [value for _, value in read_curves(tmp_path)["loss"]]
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["actions"].keys() == {"go left", "go right"}
    assert scores["mAP"] >= 0.6
    assert "27 key frames" in said[0]
    assert (tmp_path / "curves.png").stat().st_size > 1000
    saved = load_checkpoint(path)
    assert saved["names"] == ["go left", "go right"]
    assert [saved["config"][name] for name in ("classes", "span", "short_side")] == [2, 7, 44]


@pytest.mark.parametrize("workers", [0, 1])  # workers begin on an epoch before Lightning says which it is
def test_resumes_to_the_same_weights(data: Path, tmp_path: Path, workers: int) -> None:
    how = {"epochs": 3, "average": 0.8, "colour": 0.4, "workers": workers}
    whole = load_checkpoint(run(data, tmp_path / "whole", **how))
    run(data, tmp_path / "parts", stop=2, **how)
    last = tmp_path / "parts" / "last.ckpt"
    parts = load_checkpoint(run(data, tmp_path / "parts", resume=last, **how))
    assert parts["step"] == whole["step"] == 3 * (27 // 6)
    for name, value in whole["weights"].items():
        assert torch.equal(value, parts["weights"][name]), name
    with pytest.raises(InputError, match="begun with epochs 3"):
        run(data, tmp_path / "parts", epochs=4, average=0.8, resume=last)


def test_two_processes(data: Path, tmp_path: Path, two_devices: str) -> None:
    """DDP over two processes: half the key frames each, one checkpoint and one score of all."""
    places = f"Path({str(data)!r}), Path({str(tmp_path / 'out')!r})"
    call = f"t.run({places}, epochs=1, batch=3, device={two_devices!r}, devices=2)"
    in_a_process(tmp_path, __file__, call)
    assert load_checkpoint(tmp_path / "out" / "slowfast.pt")["step"] == 14 // 3
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["actions"]["go right"]["labelled"] == 9


def test_the_seeds_learning_rate() -> None:
    """BASE_LR 0.1, STEPS [0, 10, 15, 20], LRS [1, .1, .01, .001], WARMUP_START_LR 0.000125 over 5 epochs."""
    s = SlowFastSettings()
    assert rate_at(0, s) == pytest.approx(0.000125)
    assert rate_at(2.5, s) == pytest.approx((0.000125 + 0.1) / 2)
    assert [rate_at(e, s) for e in (5, 9.99, 10, 14.9, 15, 19.9)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )
    assert rate_at(10, replace(s, policy="cosine", warmup=0)) == pytest.approx(0.05)
    with pytest.raises(InputError, match="equally many"):
        SlowFastSettings(steps=(0, 3), factors=(1.0,))


def test_the_loss_leaves_unknown_pairs_out() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    labels, known = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    want = np.mean([np.log1p(np.exp(-2.0)), np.log1p(np.exp(-1.0)), np.log1p(np.exp(0.5))])
    assert float(masked_bce(logits, labels, known)) == pytest.approx(want, rel=1e-6)
    assert float(masked_bce(logits[:0], labels[:0], known[:0])) == 0.0


def test_pathways() -> None:
    clips = torch.arange(32.0).view(1, 1, 32, 1, 1)
    slow, fast = pathways(clips, 4)
    assert slow.flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert fast is clips


def saved(network: SlowFast, path: Path) -> Path:
    names = [f"action {n}" for n in range(network.config.classes)]
    content = {"network": "slowfast", "config": asdict(network.config), "names": names, "notes": {}}
    torch.save({**content, "weights": network.state_dict()}, path)
    return path


def shaken(classes: int) -> SlowFast:
    """A network whose batch norms are not what they were at the start."""
    network = SlowFast(TINY, classes=classes)
    with torch.no_grad():
        for value in [*network.parameters(), *network.buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return network.eval()


@pytest.mark.parametrize("kind", ["pt", "onnx"])
def test_begins_with_other_weights(tmp_path: Path, kind: str) -> None:
    """From a checkpoint or an export of it the same scores come; a head for other classes begins anew."""
    first, second, other = shaken(2), SlowFast(TINY, classes=2), SlowFast(TINY, classes=3)
    path = saved(first, tmp_path / "first.pt")
    if kind == "onnx":
        path = export_slowfast(load_slowfast(path), tmp_path / "first.onnx")[0]
    assert begin_with(second, path) == f"begun with first.{kind}"
    inputs = (torch.rand(1, 3, 2, 48, 64), torch.rand(1, 3, 4, 48, 64), torch.tensor([[4.0, 4, 40, 40]]))
    with torch.no_grad():
        torch.testing.assert_close(second.eval()(*inputs), first(*inputs), atol=1e-5, rtol=1e-4)
    assert "head begins anew" in begin_with(other, path)


def test_other_networks_are_no_start(tmp_path: Path) -> None:
    path = saved(SlowFast(replace(TINY, width=16), classes=2), tmp_path / "wide.pt")
    for file in (path, export_slowfast(load_slowfast(path), tmp_path / "wide.onnx")[0]):
        with pytest.raises(InputError, match="wide"):
            begin_with(SlowFast(TINY, classes=2), file)
    (tmp_path / "no.onnx").write_bytes(b"no")
    with pytest.raises(InputError, match=r"no\.onnx"):
        begin_with(SlowFast(TINY, classes=2), tmp_path / "no.onnx")


def test_what_cannot_be_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smaller --batch"):
        run(data, tmp_path, batch=64)
    with pytest.raises(InputError, match="to resume from"):
        run(data, tmp_path, resume=tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="head 'ava'"):
        train_slowfast(data, tmp_path, "board-clip")
