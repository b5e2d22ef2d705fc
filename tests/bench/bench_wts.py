"""TrtPose parsed from ONNX and built layer by layer from .wts: sizes, layers and build times of both.

    python tests/bench/bench_wts.py [WEIGHTS.pth] [--target sm86] [--repeat 3]

Without weights it takes random ones of both networks. Needs PyTorch, and TensorRT with a GPU or
TensorRT-RTX with --target. Times are the fastest of the repeats; `all` holds reading the file too.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from edgekit.engine.build import build
from edgekit.topology import HUMAN18
from edgekit.train.pose_export import PoseNet, export_pose, load_pose
from edgekit.train.trtpose_network import densenet121_baseline_att, resnet18_baseline_att

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))

COLUMNS = {
    "network": -30,
    "from": -7,
    "file MB": 8,
    "precision": -11,
    "plan MB": 8,
    "layers": 8,
    "build s": 9,
}
HEAD = "".join(f"{name:{'<' if n < 0 else '>'}{abs(n)}}" for name, n in COLUMNS.items()) + "  all s"


def random_net(make: type, side: int) -> PoseNet:
    from pose_fill import fill

    network = make()
    network.load_state_dict(fill(network.state_dict()))
    return PoseNet(network.eval(), "trtpose", HUMAN18, (side, side))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--target")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    if args.weights:
        nets = {Path(args.weights).stem: load_pose(args.weights, "trtpose")}
    else:
        nets = {
            "resnet18_baseline_att 224": random_net(resnet18_baseline_att, 224),
            "densenet121_baseline_att 256": random_net(densenet121_baseline_att, 256),
        }
    print(f"{platform.processor() or platform.machine()}, PyTorch {torch.__version__}, {time.strftime('%F')}")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name, net in nets.items():
            for suffix in (".onnx", ".wts"):
                start = time.perf_counter()
                source = export_pose(net, Path(folder) / f"net{suffix}")
                print(
                    f"  {name}: written as {suffix} in {time.perf_counter() - start:.1f} s", file=sys.stderr
                )
                for precision in ("fp32", "fp16"):
                    runs = []
                    for _ in range(args.repeat):
                        start = time.perf_counter()
                        plan = build(
                            source,
                            precision,
                            target=args.target,
                            force=True,
                            progress=False,
                            timing_cache=False,
                            out=Path(folder) / "net.plan",
                            size=net.size[0] if suffix == ".wts" else None,
                        )
                        runs.append((plan.sidecar["seconds"], time.perf_counter() - start))
                    notes = plan.sidecar
                    print(
                        f"{name:<30}{suffix:<7}{source.stat().st_size / 1e6:>8.1f}{precision:<11}"
                        f"{notes['plan_bytes'] / 1e6:>8.1f}{notes['layers']:>8}"
                        f"{min(r[0] for r in runs):>9.2f}{min(r[1] for r in runs):>7.2f}"
                    )
    print(f"{notes['module']} {notes['tensorrt']}, {notes['sm']} ({notes['gpu']})")


if __name__ == "__main__":
    main()
