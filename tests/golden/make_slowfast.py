"""Make slowfast.json: what facebookresearch's SlowFast and pytorchvideo's are and answer.

    python tests/golden/make_slowfast.py tests/golden/slowfast.json --slowfast DIR --site DIR

Needs torch, a checkout of facebookresearch/SlowFast, and a folder with pytorchvideo 0.1.5, fvcore, iopath,
portalocker, simplejson, termcolor, parameterized and yacs (`pip install --no-deps --target DIR …`). Only
counts, digests and numbers are stored, of networks with the weights of `tests/train/slowfast_fill.py`.
Upstream's RoIAlign (detectron2's, torchvision's) is compiled: this kit's own stands in for it, which
`tests/train/test_slowfast_roi.py` compares with ONNX Runtime's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from slowfast_fill import BOXES, CLIP, blob_names, clip, digest, fill, numbers

from edgekit.train.slowfast_roi import roi_align

CONFIGS = {
    "ava-32x2-r101": "configs/AVA/c2/SLOWFAST_32x2_R101_50_50.yaml",
    "ava-32x2-r50": "configs/AVA/c2/SLOWFAST_32x2_R50.yaml",
    "ava-32x2-r50-short": "configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml",
    "kinetics-8x8-r50": "configs/Kinetics/SLOWFAST_8x8_R50.yaml",
    "kinetics-4x16-r50": "configs/Kinetics/SLOWFAST_4x16_R50.yaml",
}
NORMS = {"norm": "bn", "norm_a": "a_bn", "norm_b": "b_bn", "norm_c": "c_bn", "branch1_norm": "branch1_bn"}
CONVS = {
    "conv_a": "a",
    "conv_b": "b",
    "conv_c": "c",
    "branch1_conv": "branch1",
    "conv_fast_to_slow": "conv_f2s",
}


class RoIAlign(torch.nn.Module):
    """The kit's, in the form of detectron2 and torchvision: boxes [N, 5], the clip's number first."""

    def __init__(
        self, output_size: Any, spatial_scale: float, sampling_ratio: int, aligned: bool = False
    ) -> None:
        super().__init__()
        side = output_size[0] if isinstance(output_size, (list, tuple)) else output_size
        self.settings = {
            "output_size": side,
            "spatial_scale": spatial_scale,
            "sampling_ratio": sampling_ratio,
            "aligned": aligned,
        }

    def forward(self, features: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return roi_align(features, boxes[:, 1:], boxes[:, 0].long(), **self.settings)


def stub(name: str, **content: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


def package(name: str, folder: Path) -> None:
    """Make `name` importable from `folder` without running its __init__."""
    stub(name, __path__=[str(folder)])


def name_of(theirs: str) -> str:
    """The parameter's name in facebookresearch/SlowFast, of its name in pytorchvideo."""
    *path, layer, end = theirs.removeprefix("model.").split(".")
    layer = NORMS.get(layer, CONVS.get(layer, layer))
    if path[-1] == "detection_head" or layer == "proj":
        return f"head.projection.{end}"
    stage = int(path[1]) + 1
    if "multipathway_fusion" in path:
        return f"s{stage}_fuse.{layer}.{end}"
    pathway = f"pathway{path[3]}"
    if stage == 1:
        return f"s1.{pathway}_stem.{layer}.{end}"
    block = path[path.index("res_blocks") + 1]
    inner = "branch2." if "branch2" in path else ""
    return f"s{stage}.{pathway}_res{block}.{inner}{layer}.{end}"


def facebook(folder: Path) -> dict[str, Any]:
    stub("detectron2")
    stub("detectron2.layers", ROIAlign=RoIAlign)
    for name in ("slowfast", "slowfast.models", "slowfast.utils"):
        package(name, folder / name.replace(".", "/"))
    stub("slowfast.utils.logging", get_logger=lambda name: types.SimpleNamespace(info=print, warning=print))
    for name, gone in {
        "slowfast.models.attention": ["MultiScaleBlock"],
        "slowfast.models.reversible_mvit": ["ReversibleMViT"],
    }.items():
        stub(name, **dict.fromkeys(gone, object))
    from slowfast.config.defaults import get_cfg
    from slowfast.models.video_model_builder import SlowFast
    from slowfast.utils.c2_model_loading import get_name_convert_func

    rename, found = get_name_convert_func(), {}
    for name, file in CONFIGS.items():
        cfg = get_cfg()
        cfg.merge_from_file(str(folder / file))
        cfg.DATA.NUM_FRAMES = CLIP[0]
        # a whole clip is averaged whole here: upstream slides a window over larger ones
        cfg.MULTIGRID.SHORT_CYCLE = not cfg.DETECTION.ENABLE
        network = SlowFast(cfg).eval()
        network.load_state_dict(fill(network.state_dict()))
        given = torch.tensor([[0, *box] for box in BOXES]) if cfg.DETECTION.ENABLE else None
        with torch.no_grad():
            scores = network(list(clip(alpha=cfg.SLOWFAST.ALPHA)), given)
        blobs = blob_names(network.state_dict())
        renamed = sorted(f"{blob} {rename(blob)}\n" for blob in blobs)
        assert {rename(blob) for blob in blobs} == {n for n in network.state_dict() if "num_batches" not in n}
        found[name] = {
            **digest(network.state_dict()),
            "blobs_sha256": hashlib.sha256("".join(renamed).encode()).hexdigest(),
            "scores": numbers(scores),
        }
    return found


def pytorchvideo() -> dict[str, Any]:
    stub("torchvision")
    stub("torchvision.ops", RoIAlign=RoIAlign)
    package("pytorchvideo.models", Path(sys.modules["pytorchvideo"].__path__[0]) / "models")
    from pytorchvideo.models import slowfast as models

    slow, height, width = CLIP[0] // 4, CLIP[1], CLIP[2]
    places = (-(-height // 32), -(-width // 32))
    clip_head = models.create_slowfast(
        model_depth=50, head_pool_kernel_sizes=((slow, *places), (CLIP[0], *places)), head_activation=None
    )
    ava_head = models.create_slowfast_with_roi_head(
        model_depth=50,
        model_num_class=80,
        head_pool_kernel_sizes=((slow, 1, 1), (CLIP[0], 1, 1)),
        head_activation=torch.nn.Sigmoid,
    )
    found = {}
    given = torch.tensor([[0, *box] for box in BOXES])
    for name, network, rest in [("kinetics-8x8-r50", clip_head, ()), ("ava-32x2-r50", ava_head, (given,))]:
        network.eval()
        theirs = network.state_dict()
        ours = {name_of(n): value for n, value in theirs.items()}
        assert len(ours) == len(theirs)
        filled = fill(ours)
        network.load_state_dict({n: filled[name_of(n)] for n in theirs})
        with torch.no_grad():
            answer = network(list(clip()), *rest)
        found[name] = {**digest(ours), "logits" if not rest else "scores": numbers(answer)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--slowfast", type=Path, required=True)
    parser.add_argument("--site", type=Path, required=True)
    args = parser.parse_args()
    sys.path.insert(0, str(args.site))
    package("pytorchvideo", args.site / "pytorchvideo")
    golden = {
        "versions": {"torch": re.sub(r"\+.*", "", torch.__version__), "pytorchvideo": "0.1.5"},
        "pytorchvideo": pytorchvideo(),
        "facebookresearch": facebook(args.slowfast),
    }
    args.out.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
