"""SlowFast against what facebookresearch's and pytorchvideo's code answer for the same weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from slowfast_fill import blob_names, boxes, clip, digest, fill, numbers  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.train.slowfast_blocks import NonLocal  # noqa: E402
from edgekit.train.slowfast_network import CONFIGS, SFConfig, SlowFast  # noqa: E402
from edgekit.train.slowfast_weights import torch_name  # noqa: E402

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/slowfast.json").read_text())
SMALL = replace(
    CONFIGS["board-small"], depth=(1, 1, 2, 1), timed=(1, 1, 2, 1), width=16, beta_inv=8, classes=5
)


def filled(config: SFConfig | str) -> SlowFast:
    with torch.device("meta"):
        network = SlowFast(config)
    state = fill(network.state_dict())
    network.load_state_dict(state, assign=True)
    return network.eval()


def same(answer: Any, golden: dict[str, Any], atol: float) -> None:
    found = numbers(answer)
    assert found["shape"] == golden["shape"]
    np.testing.assert_allclose(found["values"], golden["values"], atol=atol, rtol=0)
    assert found["mean"] == pytest.approx(golden["mean"], abs=atol)
    assert found["std"] == pytest.approx(golden["std"], abs=atol)
    assert golden["std"] > 100 * atol, "a comparison of constants"


@pytest.mark.parametrize("name", sorted(GOLDEN["facebookresearch"]))
def test_names_and_answers_are_facebooks(name: str) -> None:
    golden, network = GOLDEN["facebookresearch"][name], filled(name)
    assert digest(network.state_dict()) == {k: golden[k] for k in ("tensors", "names_sha256")}
    blobs = blob_names(network.state_dict())
    renamed = sorted(f"{blob} {torch_name(blob)}\n" for blob in blobs)
    assert hashlib.sha256("".join(renamed).encode()).hexdigest() == golden["blobs_sha256"]
    ava = network.config.head == "ava"
    with torch.no_grad():
        scores = network(*clip(alpha=network.config.alpha), boxes() if ava else None)
    same(scores, golden["scores"], 1e-5)


@pytest.mark.parametrize("name", sorted(GOLDEN["pytorchvideo"]))
def test_names_and_answers_are_pytorchvideos(name: str) -> None:
    golden, network = GOLDEN["pytorchvideo"][name], filled(name)
    assert digest(network.state_dict()) == {k: golden[k] for k in ("tensors", "names_sha256")}
    with torch.no_grad():
        if "scores" in golden:
            same(network(*clip(), boxes()), golden["scores"], 1e-5)
        else:
            same(network.logits(*clip()), golden["logits"], 1e-5)


@pytest.mark.parametrize("kind", ["dot_product", "softmax"])
@pytest.mark.parametrize("pool", [(2, 2, 2), (1, 2, 2), (1, 1, 1)])
def test_a_non_local_block_in_float64_and_loops(kind: str, pool: tuple[int, int, int]) -> None:
    block = NonLocal(6, pool, kind).eval()
    block.load_state_dict(fill(block.state_dict()))
    x = torch.from_numpy(np.random.RandomState(1).normal(size=(2, 6, 4, 5, 6)).astype(np.float32))
    with torch.no_grad():
        found = block(x).numpy()
    p = {name: value.double().numpy() for name, value in block.state_dict().items()}
    for b, picture in enumerate(x.double().numpy()):
        seen = np.stack(
            [
                picture[:, t : t + pool[0], y : y + pool[1], z : z + pool[2]].max(axis=(1, 2, 3))
                for t in range(0, 4 - pool[0] + 1, pool[0])
                for y in range(0, 5 - pool[1] + 1, pool[1])
                for z in range(0, 6 - pool[2] + 1, pool[2])
            ]
        )

        def line(name: str, v: np.ndarray) -> np.ndarray:
            return p[f"conv_{name}.weight"][:, :, 0, 0, 0] @ v + p[f"conv_{name}.bias"]

        for t, y, z in np.ndindex(4, 5, 6):
            here = picture[:, t, y, z]
            theta = line("theta", here)
            affinity = np.array([theta @ line("phi", other) for other in seen])
            if kind == "softmax":
                affinity = np.exp(affinity / np.sqrt(3))
                affinity /= affinity.sum()
            else:
                affinity /= len(seen)
            out = line("out", sum(a * line("g", other) for a, other in zip(affinity, seen, strict=True)))
            norm = (out - p["bn.running_mean"]) / np.sqrt(p["bn.running_var"] + 1e-5)
            wanted = here + norm * p["bn.weight"] + p["bn.bias"]
            np.testing.assert_allclose(found[b, :, t, y, z], wanted, atol=2e-5)


def test_the_ava_head_in_float64_and_loops() -> None:
    network = filled(SMALL)
    slow, fast = clip()
    with torch.no_grad():
        maps = [m.double().numpy()[0] for m in network.body(slow, fast)]
        found = network(slow, fast, boxes()).numpy()
    weight, bias = (
        network.head.projection.get_parameter(n).detach().double().numpy() for n in ("weight", "bias")
    )
    for box, scores in zip(boxes().double().numpy(), found, strict=True):
        features = np.concatenate([plain_roi(m, box / 16).max(axis=(1, 2)) for m in maps])
        np.testing.assert_allclose(scores, 1 / (1 + np.exp(-(weight @ features + bias))), atol=1e-5)


def plain_roi(features: np.ndarray, box: np.ndarray, bins: int = 7) -> np.ndarray:
    """RoIAlign with aligned=False and sampling_ratio=0, sample by sample, of a box in places."""
    height, width = features.shape[1:]
    h, w = max(box[3] - box[1], 1), max(box[2] - box[0], 1)
    ny, nx = int(np.ceil(h / bins)), int(np.ceil(w / bins))
    out = np.zeros((len(features), bins, bins))
    for i, j in np.ndindex(bins, bins):
        for a, b in np.ndindex(ny, nx):
            y = box[1] + (i + (a + 0.5) / ny) * h / bins
            x = box[0] + (j + (b + 0.5) / nx) * w / bins
            if not (-1 <= y <= height and -1 <= x <= width):
                continue
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
            y0, x0 = min(int(y), height - 2), min(int(x), width - 2)
            fy, fx = y - y0, x - x0
            patch = features[:, y0 : y0 + 2, x0 : x0 + 2]
            out[:, i, j] += np.array([1 - fy, fy]) @ patch @ np.array([1 - fx, fx]) / (ny * nx)
    return out


def test_clips_and_boxes_of_a_batch_are_told_apart() -> None:
    network = filled(SMALL)
    a, b = clip(), clip()
    b = tuple(x.flip(-1) * 0.5 for x in b)
    both = [torch.cat(pair) for pair in zip(a, b, strict=True)]
    given, owner = boxes().repeat(2, 1), torch.tensor([0] * 5 + [1] * 5)
    with torch.no_grad():
        mixed = network(*both, given, owner)
        np.testing.assert_allclose(mixed[:5], network(*a, boxes()), atol=1e-5)
        np.testing.assert_allclose(mixed[5:], network(*b, boxes()), atol=1e-5)
        assert network(*a, boxes()[:0]).shape == (0, 5)
    assert not np.allclose(mixed[:3], mixed[5:8], atol=1e-3)


def test_every_parameter_learns() -> None:
    network = filled(SMALL).train()
    network.logits(*(x.repeat(2, 1, 1, 1, 1) for x in clip()), boxes()).sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_new_network_starts_as_upstreams_does() -> None:
    network = SlowFast(replace(SMALL, nonlocals=(1,)))
    state = network.state_dict()
    assert not state["s4.pathway0_res1.branch2.c_bn.weight"].any()
    assert not state["s4.pathway0_nonlocal1.bn.weight"].any()
    assert state["s1.pathway0_stem.bn.weight"].eq(1).all()
    assert float(state["head.projection.weight"].std()) == pytest.approx(0.01, rel=0.1)
    spread = float(state["s5.pathway0_res0.branch2.b.weight"].std())
    assert spread == pytest.approx(np.sqrt(2 / (16 * 8 * 9)), rel=0.05)


def test_the_boards_network_is_small() -> None:
    counts = {}
    for name in ("board-small", "board"):
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in SlowFast(name).parameters())
    assert counts["board-small"] < counts["board"] <= 6e6


def test_settings_that_make_no_sense() -> None:
    for settings, words in [
        ({"head": "roi"}, "the head 'roi' is neither"),
        ({"frames": 30}, "30 frames are no multiple of alpha = 4"),
        ({"width": 60}, "the width 60 is no multiple of beta_inv = 8"),
        ({"nonlocal_kind": "max"}, "'max' is neither"),
        ({"dilated": False}, "needs a dilated res5"),
    ]:
        with pytest.raises(InputError, match=words):
            SFConfig(**settings)
    with pytest.raises(InputError, match=r"no SlowFast configuration 'r18'; there are ava-32x2-r101, "):
        SlowFast("r18")
    with pytest.raises(InputError, match="needs boxes"):
        filled(SMALL).logits(*clip())
