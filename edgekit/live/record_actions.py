"""Record clips of actions in a notebook: a class of students before one camera, a button for each action.

from edgekit.live.record_actions import record_actions

record_actions("0", "my_actions", labels=("wave", "jump", "squat"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.camera import Source
from edgekit.errors import MissingError
from edgekit.prepare.clip_names import person_of

if TYPE_CHECKING:
    from edgekit.live.recorder_view import RecorderView

__all__ = ["person_of", "record_actions"]


def record_actions(
    source: str | Path | Source | Callable[[], Source],
    root: Path | str,
    labels: Sequence[str] = ("wave", "jump", "squat"),
    *,
    seconds: float = 2.0,
    countdown: float = 3.0,
    person: str = "",
    fps: float | None = None,
    size: int | None = 256,
    side: int = 640,
    quality: int = 80,
) -> RecorderView:
    """A widget that records labelled clips; make it the last line of a cell.

    A class's button counts down on the picture, records `seconds` of it, and writes
    ROOT/label/PERSON_N/rgb/000000.png and on, as `read_actions` and TAO read it. A clip has
    round(seconds × rate) frames, at the rate that the camera states, or gives where that is another.

    Everything can be done by code as well: `record("wave")`, which waits and gives the clip's folder,
    `counts`, `delete_last()`, `play_last()`, `add_label("sit")`, `close()`. The camera is freed as by
    `edgekit.live.live`.

    Args:
        source: a camera ("0", "csi", an address), as `open_source` takes it, an open `Source`, or a callable
            that opens one. A video, and "sample", plays in real time again and again. Somebody drawn
            (`edgekit.drawn_actions.DrawnActor`) does what is recorded.
        root: the set's folder; it need not be there.
        labels: the classes; those that the folder has are added.
        seconds: of each clip, 0.1 to 600.
        countdown: seconds before each clip; 0: none.
        person: who performs; it becomes the name of the clips (`person_of` gives it back), so that those of
            one person can be kept for the test.
        fps: frames a second to keep at most; None: all that the camera gives.
        size: the shorter side of the saved pictures in pixels at most (256: `smaller_edge` of TAO's
            action_recognition, to which it shrinks them before it crops); None: as the camera gives them.
        side: the longer side of the picture in the page, in pixels at most.
        quality: its JPEG quality, 1 to 100.

    Raises:
        MissingError: ipywidgets or anywidget is not installed.
        InputError: a name, a time or a size makes no sense, or a label is there twice.
    """
    try:
        from edgekit.live.recorder_view import RecorderView
    except ImportError as error:
        raise MissingError(
            f"recording needs {error.name}; cure: pip install ipywidgets anywidget, then reload the page."
        ) from error
    return RecorderView(
        source,
        root,
        labels,
        seconds=seconds,
        countdown=countdown,
        person=person,
        fps=fps,
        size=size,
        side=side,
        quality=quality,
    )
