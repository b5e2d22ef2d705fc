"""Make pose_networks.json: what upstream's own pose networks are and answer.

    python tests/golden/make_pose_networks.py tests/golden/pose_networks.json --trt-pose DIR --alphapose DIR

Needs torch, torchvision and checkouts of NVIDIA-AI-IOT/trt_pose and MVIG-SJTU/AlphaPose. Only counts,
digests and numbers are stored: the names of the state dict, and the outputs of the networks with weights
that `tests/train/pose_fill.py` makes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

from pose_fill import answer, digest, fill


def package(name: str, folder: Path) -> None:
    """Make `name` importable from `folder` without running its __init__."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--trt-pose", type=Path, required=True)
    parser.add_argument("--alphapose", type=Path, required=True)
    args = parser.parse_args()
    import torch
    import torchvision

    package("trt_pose", args.trt_pose / "trt_pose")
    package("trt_pose.models", args.trt_pose / "trt_pose/models")
    package("alphapose", args.alphapose / "alphapose")
    package("alphapose.models", args.alphapose / "alphapose/models")
    builder = types.ModuleType("alphapose.models.builder")  # the real one imports compiled layers
    builder.SPPE = types.SimpleNamespace(register_module=lambda kind: kind)
    sys.modules["alphapose.models.builder"] = builder
    resnet = importlib.import_module("trt_pose.models.resnet")
    densenet = importlib.import_module("trt_pose.models.densenet")
    for depth in (50, 101):  # FastPose fetches ImageNet weights: it gets the same network without them
        make = getattr(torchvision.models, f"resnet{depth}")
        setattr(torchvision.models, f"resnet{depth}", lambda pretrained=False, make=make: make(weights=None))
    fastpose = importlib.import_module("alphapose.models.fastpose").FastPose
    networks = {
        "resnet18_baseline_att": resnet.resnet18_baseline_att(18, 42, pretrained=False),
        "resnet18_baseline_att, 20 keypoints": resnet.resnet18_baseline_att(20, 40, 128, pretrained=False),
        "densenet121_baseline_att": densenet.densenet121_baseline_att(18, 42, pretrained=False),
        "fast_res50": fastpose(PRESET={"NUM_JOINTS": 17}, NUM_LAYERS=50),
        "fast_res101, 26 keypoints": fastpose(PRESET={"NUM_JOINTS": 26}, NUM_LAYERS=101, CONV_DIM=256),
    }
    golden: dict = {"versions": {"torch": torch.__version__, "torchvision": torchvision.__version__}}
    for name, network in networks.items():
        network.load_state_dict(fill(network.state_dict()), strict=True)
        golden[name] = {**digest(network.state_dict()), "outputs": answer(network)}
    args.out.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
