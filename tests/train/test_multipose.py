"""MoveNet MultiPose's heat maps in edgekit-trtpose, against a network written as TensorFlow's, as ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from pose_made import FIGURE  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.files import sha256  # noqa: E402
from edgekit.topology import COCO17, HUMAN18  # noqa: E402
from edgekit.train import multipose  # noqa: E402
from edgekit.train.pose_augment import NONE, PoseBatch  # noqa: E402
from edgekit.train.pose_networks import SmallTrtPose  # noqa: E402
from edgekit.train.trtpose import TrtPoseRecipe, begun  # noqa: E402

WIDTH = 8
STRIDED = (1, 3, 6, 13)  # blocks that halve the map


class Movenet(nn.Module):
    """The layers in the order of the file: bytes in, heat maps out; padding as TensorFlow's SAME."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.stem = nn.Conv2d(3, w, 3, 2)
        self.blocks = nn.ModuleList(self.block(n) for n in range(17))
        self.top = nn.Conv2d(w, 1280, 1)
        self.side = nn.ModuleList(nn.Conv2d(c, o, 1) for c, o in ((1280, 64), (w, 64), (w, 32), (w, 24)))
        self.mix = nn.ModuleList(self.separable(a, b) for a, b in ((64, 32), (32, 24), (24, 24)))
        heads = (34, 34, 17)  # regression, offset, heat maps
        self.heads = nn.ModuleList(self.separable(24, 96) for _ in heads)
        self.lasts = nn.ModuleList(nn.Conv2d(96, count, 1) for count in heads)

    def block(self, n: int) -> nn.ModuleList:
        wide = WIDTH * (6 if n else 1)
        expand = [nn.Conv2d(WIDTH, wide, 1)] if n else []
        stride = 2 if n in STRIDED else 1
        depth = nn.Conv2d(wide, wide, 3, stride, 1 if stride == 1 else 0, groups=wide)
        return nn.ModuleList([*expand, depth, nn.Conv2d(wide, WIDTH, 1)])

    def separable(self, a: int, b: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(a, a, 3, 1, 1, groups=a, bias=False), nn.Conv2d(a, b, 1), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = F.relu6(self.stem(F.pad(x / 127.5 - 1, (0, 1, 0, 1))))
        maps = []
        for n, (*first, project) in enumerate(self.blocks):
            y = x
            if len(first) > 1:
                y = F.relu6(first[0](y))
            y = F.pad(y, (0, 1, 0, 1)) if n in STRIDED else y
            y = project(F.relu6(first[-1](y)))
            x = y if n in STRIDED else x + y
            maps.append(x)
        sides = [self.side[0](F.relu6(self.top(x)))]
        sides += [side(maps[n]) for side, n in zip(self.side[1:], (9, 5, 2), strict=True)]
        x = sides[0]
        for side, mix in zip(sides[1:], self.mix, strict=True):
            x = mix(F.interpolate(x, scale_factor=2, mode="bilinear") + side)
        return tuple(last(head(x)) for head, last in zip(self.heads, self.lasts, strict=True))


@pytest.fixture(scope="module")
def movenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("movenet") / "multipose.onnx"
    network, picture = Movenet().eval(), torch.rand(1, 3, 96, 128) * 255
    network.lasts[2].weight.data *= 100  # so that the maps differ from place to place
    torch.onnx.export(network, (picture,), str(path), opset_version=17, dynamo=False)
    return path


def test_its_heat_maps_are_ours(movenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same picture, same maps, but for the border, which TensorFlow pads with another grey; by keypoint."""
    monkeypatch.setattr(multipose, "SHA256", sha256(movenet))
    network = begun(movenet, HUMAN18).eval()
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 128)).astype(np.float32)
    session = ort.InferenceSession(str(movenet), providers=["CPUExecutionProvider"])
    wanted = 1 / (1 + np.exp(-session.run(None, {session.get_inputs()[0].name: picture})[2]))
    mean, std = (
        np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        cmap, paf = network(torch.from_numpy((picture / 255 - mean) / std))
    assert paf.shape == (1, 42, 24, 32)
    assert HUMAN18.keypoints[:17] == COCO17.keypoints
    found = cmap[:, :17].numpy()
    assert np.ptp(wanted, axis=(2, 3)).max() > 0.2
    np.testing.assert_allclose(found[..., 2:-2, 2:-2], wanted[..., 2:-2, 2:-2], atol=0.01)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.pyramid.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in network.up.modules())


def test_another_movenet_gives_its_backbone_alone(movenet: Path) -> None:
    network = begun(movenet, FIGURE)
    assert len(network.backbone.blocks) == 16
    assert any(isinstance(part, nn.BatchNorm2d) for part in network.pyramid.modules())
    with pytest.raises(InputError, match="no file"):
        begun("none.onnx", FIGURE)


def test_kept_keypoints_learn_nothing() -> None:
    """The heat maps that stay get no gradient from the labels; those that are new, and the limbs, do."""
    torch.manual_seed(0)
    network = SmallTrtPose(FIGURE, (8,) * 16, (8, 8, 8, 8), norm=False)
    points = torch.tensor([[[[20.0, 20, 1], [30, 30, 1], [40, 50, 1], [25, 50, 1]]]])
    boxes, nothing = torch.tensor([[[15.0, 15, 45, 55]]]), torch.zeros(1, 1, 4)
    batch = PoseBatch(torch.rand(1, 3, 64, 64), points, boxes, nothing)
    loss = TrtPoseRecipe("x", FIGURE, NONE, kept=("head", "left_foot")).loss(network, batch)
    sum(loss.values()).backward()
    learns = network.more[1].weight.grad.abs().sum((1, 2, 3)) > 0
    assert learns.tolist() == [False, True, False, True]
    assert float(network.paf.out.weight.grad.abs().sum()) > 0
