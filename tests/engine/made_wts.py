"""Narrow TrtPose networks as tensors by name, with random weights: names and shapes written out here."""

from __future__ import annotations

import numpy as np

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Shapes:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def head(cin: int, width: int, cmap: int, paf: int) -> Shapes:
    shapes: Shapes = {}
    for branch in ("1.cmap_up", "1.paf_up"):
        for i in (0, 3, 6):
            shapes[f"{branch}.{i}.weight"] = (cin if i == 0 else width, width, 4, 4)
            shapes[f"{branch}.{i}.bias"] = (width,)
            shapes |= norm(f"{branch}.{i + 1}", width)
    for name, out, size in [
        ("cmap_att", width, 3),
        ("paf_att", width, 3),
        ("cmap_conv", cmap, 1),
        ("paf_conv", paf, 1),
    ]:
        shapes |= {f"1.{name}.weight": (out, width, size, size), f"1.{name}.bias": (out,)}
    return shapes


def resnet_shapes(base: int = 4, width: int = 8, cmap: int = 18, paf: int = 42) -> Shapes:
    """ResNet-18 with `base` channels in its first stage."""
    shapes: Shapes = {"0.resnet.conv1.weight": (base, 3, 7, 7), **norm("0.resnet.bn1", base)}
    for stage in range(1, 5):
        cout = base << (stage - 1)
        for block in (0, 1):
            name, cin = f"0.resnet.layer{stage}.{block}", cout if block or stage == 1 else cout // 2
            shapes |= {f"{name}.conv1.weight": (cout, cin, 3, 3), **norm(f"{name}.bn1", cout)}
            shapes |= {f"{name}.conv2.weight": (cout, cout, 3, 3), **norm(f"{name}.bn2", cout)}
            if cin != cout:
                shapes[f"{name}.downsample.0.weight"] = (cout, cin, 1, 1)
                shapes |= norm(f"{name}.downsample.1", cout)
    shapes |= {"0.resnet.fc.weight": (10, base * 8), "0.resnet.fc.bias": (10,)}
    return shapes | head(base * 8, width, cmap, paf)


def densenet_shapes(growth: int = 4, width: int = 8, cmap: int = 18, paf: int = 42) -> Shapes:
    """A DenseNet with two layers a block."""
    name, channels = "0.densenet.features", 2 * growth
    shapes: Shapes = {f"{name}.conv0.weight": (channels, 3, 7, 7), **norm(f"{name}.norm0", channels)}
    for block in range(1, 5):
        for layer in (1, 2):
            part = f"{name}.denseblock{block}.denselayer{layer}"
            shapes |= norm(f"{part}.norm1", channels)
            shapes[f"{part}.conv1.weight"] = (4 * growth, channels, 1, 1)
            shapes |= norm(f"{part}.norm2", 4 * growth)
            shapes[f"{part}.conv2.weight"] = (growth, 4 * growth, 3, 3)
            channels += growth
        if block < 4:
            part = f"{name}.transition{block}"
            shapes |= {
                **norm(f"{part}.norm", channels),
                f"{part}.conv.weight": (channels // 2, channels, 1, 1),
            }
            channels //= 2
    shapes |= norm(f"{name}.norm5", channels)
    shapes |= {"0.densenet.classifier.weight": (10, channels), "0.densenet.classifier.bias": (10,)}
    return shapes | head(channels, width, cmap, paf)


def random_weights(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    rng, made = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            value = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) / 2)
        elif name.endswith(("weight", "running_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) * 0.2
        made[name] = value.astype(np.float32)
    return made
