"""The recorder's camera: a session that shows its frames as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edgekit.camera import SAMPLES, Source, open_source
from edgekit.camera.pictures import PICTURES
from edgekit.errors import InputError
from edgekit.results import Detections, Frame
from edgekit.run import Session


class Watch:
    """A task that finds nothing: frames pass as they are."""

    def __init__(self) -> None:
        self.engine: Any = SimpleNamespace(backend="", precision="", device="", why="")
        self.times: Mapping[str, float] = {}

    def __call__(self, frame: Frame) -> Detections:
        return Detections()

    def close(self) -> None:
        """Nothing is held."""


def watch(source: str | Path | Source | Callable[[], Source]) -> Session:
    """A session that shows `source`. A video plays in real time, again and again, as if it were a camera."""
    if isinstance(source, Source):
        return Session(_checked(source), Watch)
    if callable(source):
        return Session(lambda: _checked(source()), Watch)
    path = Path(SAMPLES.get(str(source), source)).expanduser()
    video = path.is_file() and path.suffix.lower() not in PICTURES
    play: dict[str, Any] = {"realtime": True, "loop": True} if video else {}
    session = Session(lambda: _checked(open_source(source, **play)), Watch)
    session.spec = str(source)  # so that it takes the camera over from a session that has it
    return session


def _checked(source: Source) -> Source:
    if source.live:
        return source
    source.close()
    raise InputError(f"{source.spec} gives its frames at no pace of its own; give a camera or a video.")


def direction(source: object) -> Callable[[str | None], None]:
    """Tells who is before the camera what to do, where they can be told (`edgekit.drawn_actions.DrawnActor`).

    None: whatever they like. An action that they do not know they do not do.
    """
    act = getattr(source, "act", None)

    def tell(action: str | None) -> None:
        if act is not None:
            with suppress(InputError):
                act(action)

    return tell
