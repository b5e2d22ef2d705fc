"""Drawn people who act: a small set of clips, and a camera, that need nobody's pictures.

Round figures in clothes, each with a body and a way of moving of their own, wave, jump, squat, walk and push
in a room before a camera that somebody holds. All of it is drawn here, from numbers: the same person, take,
room and action are the same clip again. They are there to try and to teach with; a network that knows them
knows no real people.

draw_clip("wave", person=3, take=0)
write_drawn_set("out/08/train", people=range(4), takes=range(3))
open_source = DrawnActor(person=5)
open_source.act("jump")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.painted import Painted
from edgekit.drawn_figure import View, body_of, draw_person
from edgekit.drawn_moves import MOVES, Pose, Style, blend
from edgekit.drawn_rooms import Room
from edgekit.errors import InputError

#: What the prepared set shows, and one more to add to it.
ACTIONS = ("jump", "push", "squat", "walk", "wave")
SPARE = "clap"
#: Of the prepared set: (width, height) in pixels, frames a second, frames a clip (two seconds).
SIZE, FPS, LENGTH = (128, 96), 12, 24
#: Seconds from one action to the next of a `DrawnCamera`.
CHANGE_S = 0.35
#: Seeds: what is drawn of them must not hang on what else is.
_BODY, _ROOM, _MANNER, _TAKE = range(4)


def _chance(*numbers: int) -> np.random.Generator:
    return np.random.default_rng([2026, *numbers])


def _number(action: str) -> int:
    if action not in MOVES:
        raise InputError(f"nobody can draw {action!r}; there are {', '.join(MOVES)}.")
    return list(MOVES).index(action)


def _style(person: int, take: int, action: str) -> Style:
    """How this person does it, which is much the same each time, and what this take changes."""
    number = _number(action)
    own, now = _chance(_MANNER, person, number), _chance(_TAKE, person, take, number)
    manner = np.clip(own.uniform(0, 1, 4) + now.normal(0, 0.07, 4), 0, 1)
    return Style(
        tempo=float(own.uniform(0.75, 1.3) * now.uniform(0.88, 1.14)),
        reach=float(own.uniform(0.75, 1.15) * now.uniform(0.92, 1.08)),
        hand=int(_chance(_BODY, person, 1).integers(2)),
        phase=float(now.uniform()),
        yaw=float(now.uniform(-0.6, 0.6)),
        manner=tuple(manner.tolist()),
        turn=int(now.choice([-1, 1])),
    )


class _Scene:
    """One person in one room before one camera."""

    def __init__(self, person: int, take: int, number: int, size: tuple[int, int], room: int) -> None:
        if min(size) < 32:
            raise InputError(f"size {size[0]}×{size[1]} is too small for a person; give 32×32 or more.")
        if min(person, take, room) < 0:
            raise InputError(f"person {person}, take {take}, room {room}: they are counted from 0.")
        now = _chance(_TAKE, person, take, number, 1)
        self._body = body_of(_chance(_BODY, person))
        distance = now.uniform(2.8, 3.3)
        self._view = View(
            distance=distance,
            height=now.uniform(1.2, 1.6),
            aim=0.92,
            aside=now.uniform(-0.2, 0.2),
            focal=size[1] * 1.65,
            centre=(size[0] / 2, size[1] / 2),
        )
        wall = self._view.project(np.array([[0.0, 0.0, -1.6]]))[0][0, 1] / size[1]
        self._room = Room(size, float(np.clip(wall, 0.3, 0.9)), _chance(_ROOM, room), now)

    def picture(self, pose: Pose, t: float) -> NDArray[np.uint8]:
        shake = self._room.shake(t)
        picture = self._room.behind(shake)
        draw_person(picture, self._body, pose, self._view, shake)
        return self._room.filmed(picture, t)


def draw_clip(
    action: str,
    person: int = 0,
    take: int = 0,
    *,
    length: int = LENGTH,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
    room: int = 0,
) -> list[NDArray[np.uint8]]:
    """A person doing something, `length` pictures uint8 [H, W, 3] BGR; the same for the same arguments.

    Args:
        action: of `ACTIONS`, `SPARE`, or "stand".
        person: their number, from 0: body, clothes and way of moving.
        take: the number of the try, from 0: where they stand and face, light, speed, the camera's hand.
        length: pictures.
        size: (width, height) in pixels.
        fps: pictures a second.
        room: its number, from 0: wall, floor and things.

    Raises:
        InputError: no such action; a number or a size that cannot be.
    """
    number, move = _number(action), MOVES.get(action)
    if length < 1 or not fps > 0 or move is None:
        raise InputError(f"length={length}, fps={fps:g}: give one picture or more, and a rate above 0.")
    scene, style = _Scene(person, take, number, size, room), _style(person, take, action)
    return [scene.picture(move(style, n / fps), n / fps) for n in range(length)]


def clip_name(person: int, take: int) -> str:
    """The folder of a clip: who, and which try; all of one person begin alike, up to the last `_`."""
    return f"drawn{person:02}_{take:03}"


def write_drawn_set(
    root: Path | str,
    people: Iterable[int] = range(4),
    takes: Iterable[int] = range(3),
    actions: Sequence[str] = ACTIONS,
    *,
    length: int = LENGTH,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
    room: int = 0,
) -> list[Path]:
    """Write clips as class/clip/rgb/000000.png …, the form that training reads; returns their folders.

    A clip that is there already is left as it is, in whatever room: its name does not tell.

    Args:
        root: the folder; made where it is not there.
        people, takes: the numbers of both; every person does every action in every take.
        actions: of `ACTIONS`, or others that `draw_clip` knows.
        length, size, fps, room: as of `draw_clip`.
    """
    from edgekit.prepare.action_folders import write_clip

    takes, written = list(takes), []
    for person in people:
        for action in actions:
            for take in takes:
                name = clip_name(person, take)
                folder = Path(root) / action / name
                if not folder.is_dir():
                    clip = draw_clip(action, person, take, length=length, size=size, fps=fps, room=room)
                    folder = write_clip(Path(root), action, name, clip, fps=fps)
                written.append(folder)
    return written


class DrawnCamera(Painted):
    """A person who acts before a camera, without end: one action after the other, or what `act` asks for.

    Args:
        person: their number; those of a prepared set are met again, a number from 50 on is somebody new.
        actions: done in turn, `seconds` each.
        seconds: that each takes.
        take: another light, place and speed.
        asked: an action to begin with, instead.
        size: (width, height) in pixels.
        fps: frames a second.
        room: as of `draw_clip`.
        realtime: frame n comes n / fps seconds after the first, as from a camera; else as fast as asked.
        frames: end after so many; None: go on.

    Attributes:
        action: what the person does in the newest frame.

    Raises:
        InputError: no such action; a number, rate or size that cannot be.
    """

    spec = "drawn"

    def __init__(
        self,
        person: int = 0,
        actions: Sequence[str] = ACTIONS,
        *,
        seconds: float = 4.0,
        take: int = 0,
        asked: str | None = None,
        size: tuple[int, int] = (320, 240),
        fps: float = FPS,
        room: int = 0,
        realtime: bool = True,
        frames: int | None = None,
    ) -> None:
        if not actions or not seconds > 0 or not 0 < fps <= 240:
            raise InputError(f"{len(actions)} actions of {seconds:g} s at {fps:g} FPS: each must be above 0.")
        self._styles = {action: _style(person, take, action) for action in (*actions, "stand")}
        self._person, self._take, self._turns, self._seconds = person, take, tuple(actions), seconds
        self._scene = _Scene(person, take, len(MOVES), size, room)
        super().__init__(size, fps, frames, realtime)
        self.how = f"drawn {size[0]}×{size[1]}, person {person}, at {fps:g} FPS"
        self.act(asked)
        self.action = self._before = asked or actions[0]
        self._since = 0.0

    def act(self, action: str | None) -> None:
        """Do this from the next frame on, until asked for something else; None: in turn again."""
        if action is not None:
            self._styles[action] = _style(self._person, self._take, action)
        self._asked = action

    def _pose(self, t: float) -> Pose:
        wanted = self._asked or self._turns[int(t / self._seconds) % len(self._turns)]
        if wanted != self.action:
            self._before, self.action, self._since = self.action, wanted, t
        now = MOVES[self.action](self._styles[self.action], t)
        share = (t - self._since) / CHANGE_S
        if share >= 1 or self._before == self.action:
            return now
        return blend(MOVES[self._before](self._styles[self._before], t), now, share)

    def paint(self, index: int, t: float) -> NDArray[np.uint8]:
        """The person `t` seconds after the first frame."""
        return self._scene.picture(self._pose(t), t)


class DrawnActor:
    """Somebody before the camera: call it to open the camera, as often as it takes, and tell them what to do.

    Args:
        options: of `DrawnCamera`.

    Raises:
        InputError: as `DrawnCamera`.
    """

    def __init__(self, person: int = 0, actions: Sequence[str] = ACTIONS, **options: Any) -> None:
        self._open = partial(DrawnCamera, person, actions, **options)
        self._asked: str | None = options.get("asked")
        self._camera = self._open()  # what cannot be is said now, not in a thread

    def __call__(self) -> DrawnCamera:
        """A camera that films them; the one before is closed."""
        self._camera.close()
        self._camera = self._open(asked=self._asked)
        return self._camera

    @property
    def action(self) -> str:
        """What they do in the newest frame."""
        return self._camera.action

    def act(self, action: str | None) -> None:
        """Do this from now on, also before a camera opened later; None: in turn."""
        self._camera.act(action)
        self._asked = action
