"""The imitation losses against a re-derivation in float64, and that they can be learned."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from edgekit.train.losses import Mimic, ciou, feature_distance  # noqa: E402

WIDTH, CHANNELS, CLASSES = 6, 5, 7
MAPS = ((8, 8), (4, 4), (2, 2))


def batch() -> tuple[list[tuple[torch.Tensor, ...]], dict[str, object]]:
    """What a detector's `raw` gives (only its two feature maps are used) and a teacher's answer."""
    make = torch.Generator().manual_seed(2)
    raw = [
        (torch.empty(0), torch.empty(0), *(torch.randn(2, WIDTH, h, w, generator=make) for _ in range(2)))
        for h, w in MAPS
    ]
    cells = sum(h * w for h, w in MAPS)
    features = [[torch.randn(2, CHANNELS, h, w, generator=make) * 3 + 1 for h, w in MAPS] for _ in range(2)]
    scores = torch.rand(2, cells, CLASSES, generator=make) ** 4
    return raw, {"scores": scores, "score_features": features[0], "box_features": features[1]}


def test_mimic_equals_its_definition_in_float64() -> None:
    raw, answer = batch()
    torch.manual_seed(0)
    mimic = Mimic(WIDTH, CLASSES, CHANNELS)
    got = {name: value.detach() for name, value in mimic.loss(raw, answer).items()}

    def through(layer: torch.nn.Conv2d, x: torch.Tensor) -> np.ndarray:
        weight = layer.weight.detach().double().numpy()[:, :, 0, 0]
        out = np.einsum("oc,bchw->bohw", weight, x.double().numpy())
        return out + layer.bias.detach().double().numpy()[:, None, None]

    logits = np.concatenate(
        [through(layer, r[2]).reshape(2, CLASSES, -1) for layer, r in zip(mimic.classes, raw, strict=True)], 2
    )
    target = answer["scores"].double().numpy().transpose(0, 2, 1)  # type: ignore[attr-defined]
    p = 1 / (1 + np.exp(-logits))
    entropy = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() / target.sum()
    assert float(got["classes"]) == pytest.approx(entropy, rel=1e-5)

    distances = []
    for layers, taken, theirs in ((mimic.score, 2, "score_features"), (mimic.box, 3, "box_features")):
        for layer, r, feature in zip(layers, raw, answer[theirs], strict=True):  # type: ignore[call-overload]
            want = feature.double().numpy()
            want = (want - want.mean((0, 2, 3), keepdims=True)) / (
                want.std((0, 2, 3), keepdims=True, ddof=1) + 1e-4
            )
            distances.append(((through(layer, r[taken]) - want.clip(-6, 6)) ** 2).mean())
    assert float(got["features"]) == pytest.approx(np.mean(distances), rel=1e-5)


def test_a_feature_that_agrees_up_to_scale_and_shift_has_no_distance() -> None:
    make = torch.Generator().manual_seed(1)
    theirs = torch.randn(4, 3, 8, 8, generator=make)
    std, mean = torch.std_mean(theirs, (0, 2, 3), keepdim=True)
    assert float(feature_distance((theirs - mean) / std, theirs * 7 - 2)) < 1e-6
    assert float(feature_distance(torch.zeros_like(theirs), theirs)) == pytest.approx(1.0, abs=0.01)


def test_features_that_can_be_imitated_are() -> None:
    raw, answer = batch()
    make = torch.Generator().manual_seed(4)
    for taken, name in ((2, "score_features"), (3, "box_features")):
        mix = torch.randn(CHANNELS, WIDTH, generator=make)
        answer[name] = [torch.einsum("oc,bchw->bohw", mix, r[taken]) * 4 + 2 for r in raw]
    torch.manual_seed(0)
    mimic = Mimic(WIDTH, CLASSES, CHANNELS)
    optimizer = torch.optim.Adam(mimic.parameters(), lr=0.05)
    values = []
    for _ in range(150):
        terms = mimic.loss(raw, answer)
        optimizer.zero_grad()
        (terms["classes"] + terms["features"]).backward()
        optimizer.step()
        values.append(float(terms["features"].detach()))
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in mimic.parameters())
    assert values[0] > 0.5
    assert values[-1] < 0.02


def test_ciou_equals_its_paper_in_float64() -> None:
    """Zheng et al. 2020, "Distance-IoU loss", equations 10 and 11: IoU - d²/c² - alpha·v."""
    random = np.random.default_rng(0)
    low = random.uniform(0, 50, (2, 200, 2))
    a, b = np.concatenate([low, low + random.uniform(2, 60, (2, 200, 2))], -1)
    common = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(-1)
    area = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    iou = common / (area[0] + area[1] - common)
    box = np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2])
    d = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    ratio = [np.arctan((x[:, 2] - x[:, 0]) / (x[:, 3] - x[:, 1])) for x in (a, b)]
    v = 4 / np.pi**2 * (ratio[1] - ratio[0]) ** 2
    want = iou - (d**2).sum(-1) / (box**2).sum(-1) - v / (1 - iou + v) * v
    got = ciou(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32))
    np.testing.assert_allclose(got.numpy(), want, atol=2e-5)
