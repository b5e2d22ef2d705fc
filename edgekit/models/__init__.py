"""The shelf: a model by its name becomes a verified file.

    model("yolox-nano")     what the shelf knows of it: task, licence, recipe, class names, figures
    find("yolox-nano")      the path of its file, SHA-256 checked
    fetch("yolox-nano")     the same, downloaded first where needed

`find` never touches the network.
"""

from __future__ import annotations

from edgekit.models.download import offline
from edgekit.models.shelf import Figure, Model, model, models
from edgekit.models.store import add, fetch, find, ready, verified

__all__ = ["Figure", "Model", "add", "fetch", "find", "model", "models", "offline", "ready", "verified"]
