"""The live view in JupyterLab and VS Code: the picture with its boxes, buttons, sliders and figures.

from edgekit.live import live
from edgekit.run import Session

live(Session("sample", lambda: open_yolo("edgekit-person")), open_task=open_yolo)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgekit.errors import MissingError

if TYPE_CHECKING:
    from edgekit.live.view import LiveView
    from edgekit.run import Session, Task

__all__ = ["live"]


def live(
    session: Session,
    *,
    models: Sequence[str] | None = None,
    open_task: Callable[[str, str], Task] | None = None,
    side: int = 640,
    quality: int = 80,
    power: str | None = "auto",
) -> LiveView:
    """A view of `session` with its controls; make it the last line of a cell.

    The source is freed within two seconds when Stop is pressed, the view is closed, its output cleared, its
    cell deleted or run again, the page closed, or the kernel interrupted or restarted.

    Args:
        session: it need not run yet; Start starts it.
        models: names to choose from; default: the models of the shelf that are on this machine and do what
            the session's does (`Session(…, model="edgekit-trtpose")`), else those that find objects.
        open_task: makes a task of a model's name and a precision (`open_yolo` does); without it there is
            nothing to choose.
        side: the picture's longer side in pixels at most.
        quality: JPEG quality, 1 to 100.
        power: the sampler of the line about power and temperature, as of `edgekit.telemetry.open_sampler`;
            None for no such line.

    Raises:
        MissingError: ipywidgets or anywidget is not installed.
        InputError: `side` or `quality` makes no sense.
    """
    try:
        from edgekit.live.view import LiveView
    except ImportError as error:
        raise MissingError(
            f"the live view needs {error.name}; cure: pip install ipywidgets anywidget, then reload the page."
        ) from error
    return LiveView(session, models=models, open_task=open_task, side=side, quality=quality, power=power)
