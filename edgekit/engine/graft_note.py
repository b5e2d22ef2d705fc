"""What a grafted file notes of itself: the network it was made of, and the steps that are inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekit.engine import TensorSpec
from edgekit.errors import InputError

NOTE = "graft"
#: Raised when the graph or the note changes: files grafted before are then refused.
VERSION = 1
#: Names of what goes into a grafted network and comes out of it.
PICTURES, ROWS, POINTS = "pictures", "rows", "points"
#: Columns of a row: left, top, right, bottom, score, class, and the number of its anchor, so that equal
#: scores can be put in the host's order.
COLUMNS = 7


@dataclass(frozen=True)
class Pixels:
    """How the bytes of a picture become a network's input.

    Attributes:
        rgb: the channels turned from BGR to RGB.
        unit: divided by 255.
        dark: not so a picture without a byte above 1 (AlphaPose's `im_to_torch`).
        mean, std: of the channels in the network's order, after dividing; empty: none.
    """

    rgb: bool = True
    unit: bool = True
    dark: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def words(self) -> str:
        parts = ["BGR bytes to RGB" if self.rgb else "BGR bytes"]
        if self.unit:
            parts.append("÷ 255 where a byte is above 1" if self.dark else "÷ 255")
        if self.mean:
            parts.append("mean and std")
        return ", ".join(parts)


@dataclass(frozen=True)
class GraftNote:
    """What is inside a grafted file.

    Attributes:
        kind: of task: "yolo", "trtpose" or "topdown".
        entry: the network's own input.
        pixels: how it is filled.
        leave: the network's own output that steps follow; None where its outputs are as they were.
        head: of a YOLO, a name of `yolo_heads.HEADS`.
        first: of a YOLO: the anchors are the last axis of the output.
        rows: best boxes that come out; 0 where boxes are not grafted.
        size: (height, width) of the network's input, where the steps after it need them.
    """

    kind: str
    entry: TensorSpec
    pixels: Pixels
    leave: TensorSpec | None = None
    head: str = ""
    first: bool = True
    rows: int = 0
    size: tuple[int, int] = (0, 0)

    def words(self) -> str:
        """One line: which steps are inside."""
        after = f"; best class, {self.rows} best boxes, corners" if self.rows else ""
        after = "; highest cell and quarter" if self.leave and self.kind == "topdown" else after
        return self.pixels.words() + after

    def text(self) -> str:
        """As JSON, for a model's notes."""
        data = {"version": VERSION, "steps": self.words(), **asdict(self)}
        for name in ("entry", "leave"):
            spec: TensorSpec | None = getattr(self, name)
            data[name] = spec and {"name": spec.name, "shape": spec.shape, "dtype": str(spec.dtype)}
        return json.dumps(data, ensure_ascii=False)


def noted_graft(metadata: Mapping[str, str]) -> GraftNote | None:
    """The note of a model's metadata; None for a plain file.

    Raises:
        InputError: it cannot be read, or is of another version.
    """
    if NOTE not in metadata:
        return None
    try:
        data: dict[str, Any] = json.loads(metadata[NOTE])
        if data.pop("version") != VERSION:
            raise ValueError
        del data["steps"]
        pixels: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.pop("pixels").items()
        }
        entry, leave = _spec(data.pop("entry")), data.pop("leave")
        size = (int(data["size"][0]), int(data.pop("size")[1]))
        return GraftNote(
            entry=entry, pixels=Pixels(**pixels), leave=leave and _spec(leave), size=size, **data
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise InputError(
            f"the model's note {NOTE!r} is not of this version of edgekit; graft the plain file again."
        ) from None


def _spec(data: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(data["name"], tuple(data["shape"]), np.dtype(data["dtype"]))
