"""Records labelled clips from a running session into a set's folders. Knows nothing of widgets."""

from __future__ import annotations

import atexit
import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.pace import Pace
from edgekit.camera.pictures import read_picture
from edgekit.errors import EdgekitError, InputError
from edgekit.live.clip_take import CancelledError, Mark, Rate, Take
from edgekit.prepare.action_folders import count_classes, write_clip
from edgekit.prepare.clip_names import NOBODY, free_name, plain_name
from edgekit.prepare.clips import DiskFullError
from edgekit.results import Frame, Result
from edgekit.run import PATIENCE_S, Session

Show = Callable[[NDArray[np.uint8], "Mark | None"], None]


@dataclass(frozen=True)
class Clip:
    """A clip that was recorded.

    Attributes:
        label: the class.
        folder: holds `rgb`.
        count: of its frames.
        fps: frames a second.
    """

    label: str
    folder: Path
    count: int
    fps: float


class ClipRecorder:
    """A sink of a session that keeps what is asked for, one clip at a time.

    Args:
        session: gives the frames; it is started when a clip is to be recorded.
        root: the set's folder.
        labels: the classes; those that the folder has come after them.
        seconds, countdown: of each clip, and before it.
        fps: frames a second to keep at most; None: all.
        size: the shorter side of the saved pictures at most, in pixels; None: as they come.
        clock: seconds that only grow; for tests.

    Attributes:
        counts: clips of each class.
        last: the clip recorded last, as long as it is there.
        take: the clip in the making.
        show: gets each picture with what is to stand on it.
        tell: gets the class when its countdown begins, and None after the clip.

    Raises:
        InputError: a name, a time or a size makes no sense.
    """

    picture_side = None  # no drawing of the session's

    def __init__(
        self,
        session: Session,
        root: Path | str,
        labels: Sequence[str],
        *,
        seconds: float = 2.0,
        countdown: float = 3.0,
        fps: float | None = None,
        size: int | None = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _within("seconds", seconds, 0.1, 600)
        _within("countdown", countdown, 0, 60)
        _within("fps", 1 if fps is None else fps, 0.1, 1000)
        _within("size", 32 if size is None else size, 32, 8192)
        self.root = Path(root).expanduser()
        self.seconds, self.countdown = seconds, countdown
        self._session, self._fps, self._size, self._clock = session, fps, size, clock
        self._work = Lock()
        self._over = ""  # why nothing may begin any more
        self._rate = Rate()
        self._pace: Pace | None = None  # of the replay
        self.last: Clip | None = None
        self.take: Take | None = None
        self.show: Show = lambda picture, mark: None
        self.tell: Callable[[str | None], None] = lambda action: None
        self.counts: dict[str, int] = {}
        for label in labels:
            self.add_label(label)
        self.counts |= count_classes(self.root)
        _recorders.add(self)

    def add_label(self, label: str) -> str:
        """One class more; returns its name as it is kept.

        Raises:
            InputError: there is such a class, or its name is no folder's.
        """
        name = plain_name(label, "class")
        for known in self.counts:
            if known.casefold() == name.casefold():
                raise InputError(f"{known!r} is a class already; give another name.")
        self.counts[name] = 0
        return name

    # the session's sink

    def begin(self) -> ClipRecorder:
        """The session asks for the sink at the beginning of each run."""
        self._rate = Rate()
        return self

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """A frame has come."""
        self._rate.add(self._clock())
        take = self.take
        if take is not None:
            source = self._session.source
            take.offer(frame.image, self._rate.value(source.fps if source else None))
        if self._pace is None:
            self.show(frame.image, take.mark() if take else None)

    def close(self) -> None:
        """The session has ended; a clip in the making sees that for itself."""

    # what is asked for, by a button's thread or by code; each waits until it is done

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._work.acquire(blocking=False):
            raise EdgekitError("a clip is being recorded, played or deleted; wait for its end, or cancel it.")
        try:
            yield
        finally:
            self._work.release()

    def record(self, label: str, person: str = "") -> Clip:
        """Count down, record a clip of class `label`, write it; the camera is opened if it is not yet.

        Raises:
            InputError: no such class, or a name that is no folder's.
            EdgekitError: the camera failed, the folder cannot be written, or it was cancelled. Nothing of
                the clip is left then.
        """
        if label not in self.counts:
            raise InputError(f"{label!r} is no class here; it is one of {', '.join(self.counts)}.")
        who = plain_name(person, "person") if person.strip() else NOBODY
        with self._alone():
            alive, clock = self._frames_come, self._clock
            take = Take(label, self.seconds, self.countdown, self._fps, self._size, alive, clock)
            self.take = take
            try:
                if self._over:
                    raise CancelledError(self._over)
                self.tell(label)
                self._session.start()
                self.last = self._write(take, label, who)
            except EdgekitError:
                self._blame_the_camera()
                raise
            finally:
                self.take = None
                self.tell(None)
            self.counts[label] += 1
            return self.last

    def _write(self, take: Take, label: str, who: str) -> Clip:
        take.wait()
        source = self._session.source  # its own name, which has no password
        facts = {"person": "" if who == NOBODY else who, "source": source.spec if source else ""}
        name = free_name(self.root / label, who)
        try:
            folder = write_clip(self.root, label, name, take.frames(), fps=round(take.rate, 3), facts=facts)
        except DiskFullError:
            raise EdgekitError(
                f"the disk of {self.root} is full; nothing of the clip was kept: free some space."
            ) from None
        return Clip(label, folder, take.taken, take.rate)

    def _frames_come(self) -> bool:
        return self._session.running

    def _blame_the_camera(self) -> None:
        """Say what ended the session, where that is why there is no clip."""
        if not self._session.running and self._session.error is not None:
            raise self._session.error

    def cancel(self, why: str = "cancelled; nothing was kept.") -> None:
        """End the clip in the making, or the replay."""
        take, pace = self.take, self._pace
        if take is not None:
            take.cancel(why)
        if pace is not None:
            pace.stop()

    def delete_last(self) -> Clip:
        """Remove the folder of the clip recorded last; no other can be removed before another is recorded.

        Raises:
            InputError: there is none.
            EdgekitError: it cannot be removed.
        """
        with self._alone():
            clip = self._last("delete")
            gone = clip.folder.with_name(
                f".{clip.folder.name}"
            )  # at once no clip any more, however long it takes
            try:
                clip.folder.rename(gone)
                shutil.rmtree(gone)
            except OSError as error:
                why = error.strerror or error
                raise EdgekitError(f"{clip.folder} cannot be deleted: {why}.") from error
            with suppress(OSError):
                clip.folder.parent.rmdir()
            self.last = None
            self.counts[clip.label] -= 1
            return clip

    def play_last(self) -> None:
        """Show the clip recorded last, from its files, at its own rate; the live picture waits meanwhile.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        with self._alone():
            clip = self._last("play")
            pace = self._pace = Pace()
            try:
                paths = sorted((clip.folder / "rgb").iterdir())
                for index, path in enumerate(paths):
                    picture = read_picture(path)
                    if not pace.wait(index / clip.fps):
                        break
                    whole = len(paths) / clip.fps
                    self.show(picture, Mark("replay", whole - index / clip.fps, whole))
            except OSError as error:
                raise InputError(f"{clip.folder} cannot be read: {error.strerror or error}.") from error
            finally:
                self._pace = None

    def _last(self, do: str) -> Clip:
        if self.last is None:
            raise InputError(f"there is no clip to {do}; record one first.")
        return self.last

    def end(self, why: str) -> None:
        """Cancel what goes on, and begin nothing any more."""
        self._over = why
        self.cancel(why)

    def wait(self) -> None:
        """Until nothing of what was cancelled is left, but not for long."""
        if self._work.acquire(timeout=PATIENCE_S):
            self._work.release()


_recorders: weakref.WeakSet[ClipRecorder] = weakref.WeakSet()


@atexit.register  # before the one that stops the sessions; threads would be cut off in the middle of a clip
def _end_all() -> None:
    for recorder in list(_recorders):
        recorder.end("the kernel stopped; nothing of the clip was kept.")
        recorder.wait()


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name}={value:g} makes no sense; give {low:g} to {high:g}.")
