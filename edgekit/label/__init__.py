"""Pose labels for the user's own pictures, by models of the shelf; what is unsure is masked."""

from __future__ import annotations

from edgekit.label.labeller import Labeller, Labels, Limits

__all__ = ["Labeller", "Labels", "Limits"]
