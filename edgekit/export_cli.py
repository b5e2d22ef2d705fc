"""`edgekit export`: write a trained or Darknet model as ONNX."""

from __future__ import annotations

from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `export` and its kinds. The trainer's kinds import PyTorch only when they run."""
    from edgekit import darknet
    from edgekit.train import cli as train

    kinds = subparsers.add_parser("export", help="write a trained or Darknet model as ONNX").add_subparsers(
        dest="kind", metavar="KIND", required=True
    )
    darknet.add_parser(kinds)
    train.add_export_parser(kinds)
