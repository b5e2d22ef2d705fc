"""`edgekit prepare`: a data set of one's own videos."""

from __future__ import annotations

from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `prepare` and its kinds."""
    parser = subparsers.add_parser("prepare", help="make a data set of your own videos")
    parser.add_subparsers(dest="kind", metavar="KIND", required=True)
