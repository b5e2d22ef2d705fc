"""edgekit: TensorRT engines, pictures, poses and actions on a Jetson, and on a laptop without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgekit.camera import open_source
    from edgekit.engine import Engine, TensorSpec, open_engine
    from edgekit.errors import EdgekitError, InputError, MissingError
    from edgekit.results import Actions, Detections, Frame, Poses, Tracks
    from edgekit.run import Session

__all__ = [
    "Actions",
    "Detections",
    "EdgekitError",
    "Engine",
    "Frame",
    "InputError",
    "MissingError",
    "Poses",
    "Session",
    "TensorSpec",
    "Tracks",
    "open_engine",
    "open_source",
]

_HOME = {
    "open_source": "camera",
    "open_engine": "engine",
    "Engine": "engine",
    "TensorSpec": "engine",
    "Session": "run",
}
_HOME |= dict.fromkeys(("EdgekitError", "InputError", "MissingError"), "errors")
_HOME |= dict.fromkeys(("Actions", "Detections", "Frame", "Poses", "Tracks"), "results")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import edgekit` stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module 'edgekit' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"edgekit.{_HOME[name]}"), name)
