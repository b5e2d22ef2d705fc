"""Weights of ActionRecognitionNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.train.action_network import ActionNet

if TYPE_CHECKING:
    from edgekit.train.action_spec import Model


def begin_with(network: ActionNet, model: Model) -> list[str]:
    """Nothing yet."""
    return []
