"""Make actions.npz: what the networks of NVIDIA's action_recognition are called and answer.

    python tests/golden/make_actions.py tests/golden/actions.npz CHECKOUT

Needs torch and a checkout of NVIDIA/tao_pytorch_backend. Only digests of names and logits are stored, of
networks with the weights of `tests/train/action_fill.py`. What the networks import besides and don't use here
(torchvision's downloads, decryption) is stood in for.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

import numpy as np
import torch
from action_fill import CLASSES, OF, RGB, SIZE, clip, digest, fill

OWNER = "nvidia_tao_pytorch"


def stub(name: str, **content: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


def upstream(checkout: Path) -> Any:
    """Its module ar_model, without running a package's __init__."""
    for name in ("", ".cv", ".cv.action_recognition", ".cv.action_recognition.model"):
        stub(OWNER + name, __path__=[str(checkout / (OWNER + name).replace(".", "/"))])
    stub("torchvision")
    stub("torchvision._internally_replaced_utils", load_state_dict_from_url=None)
    stub(f"{OWNER}.core")
    stub(f"{OWNER}.core.utilities", patch_decrypt_checkpoint=None)
    stub(f"{OWNER}.core.cookbooks")
    stub(f"{OWNER}.core.cookbooks.tlt_pytorch_cookbook", TLTPyTorchCookbook=None)
    from nvidia_tao_pytorch.cv.action_recognition.model import ar_model

    return ar_model


def network(theirs: Any, backbone: str, kind: str, streams: str) -> Any:
    channels = {"rgb": 3 * RGB, "of": 2 * OF}
    if streams == "joint":
        return theirs.JointModel(OF, RGB, CLASSES, backbone=backbone, input_type=kind)
    if kind == "2d":
        return theirs.get_basemodel(backbone, channels[streams], CLASSES)
    return theirs.get_basemodel3d(backbone, CLASSES, modality=streams)


def clips(kind: str) -> dict[str, Any]:
    lengths = {"rgb": (3, RGB), "of": (2, OF)}
    return {n: clip((c, d, *SIZE) if kind == "3d" else (c * d, *SIZE)) for n, (c, d) in lengths.items()}


@torch.no_grad()
def main() -> None:
    theirs, found = upstream(Path(sys.argv[2])), {}
    for backbone in ("resnet_18", "resnet_34", "resnet_50", "resnet_101"):
        for kind in ("2d", "3d"):
            for streams in ("rgb", "of", "joint"):
                key = f"{backbone.replace('_', '')}-{kind}-{streams}"
                net = network(theirs, backbone, kind, streams).eval()
                found[f"{key}-names"] = np.array(digest(net.state_dict()))
                if backbone in ("resnet_34", "resnet_101"):
                    continue
                net.load_state_dict(fill(net.state_dict()))
                given = clips(kind)
                answer = net(tuple(given.values()) if streams == "joint" else given[streams])
                found[f"{key}-logits"] = answer.numpy()
    flat = network(theirs, "resnet_18", "2d", "rgb").state_dict()
    flat["conv1.weight"] = flat["conv1.weight"][:, :3]
    deep = network(theirs, "resnet_18", "3d", "rgb").eval()
    deep.load_state_dict(fill(deep.state_dict()))
    deep.inflate_weights(fill({name: value for name, value in flat.items() if "fc" not in name}))
    found["inflated-logits"] = deep(clips("3d")["rgb"]).numpy()
    np.savez_compressed(sys.argv[1], **found)


if __name__ == "__main__":
    main()
