"""A bounded hand-over between two threads: the only queue of the kit."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Hand things from one thread to another; never more than `room` of them wait.

    Args:
        room: how many may wait.
        latest: a full slot throws its oldest away for the newest (counted in `dropped`); else `put` waits.

    Attributes:
        dropped: things thrown away.
    """

    def __init__(self, room: int = 1, latest: bool = False) -> None:
        self._room, self._latest = room, latest
        self._inside: deque[T] = deque()
        self._changed = Condition()
        self._ended = False
        self._error: BaseException | None = None
        self.dropped = 0

    def put(self, thing: T) -> bool:
        """Put `thing` in, waiting for room unless `latest`. False: the slot is over and did not take it."""
        with self._changed:
            if self._latest and not self._ended and len(self._inside) >= self._room:
                self._inside.popleft()
                self.dropped += 1
            self._changed.wait_for(lambda: self._ended or len(self._inside) < self._room)
            if self._ended:
                return False
            self._inside.append(thing)
            self._changed.notify_all()
            return True

    def wait_for_room(self) -> bool:
        """Wait until something could be put in. False: the slot is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._inside) < self._room)
            return not self._ended

    def get(self) -> T | None:
        """The oldest thing inside, waiting for it; None when the slot is over and empty.

        Raises:
            BaseException: what `end` was given, once everything inside has been taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ended or bool(self._inside))
            if self._inside:
                thing = self._inside.popleft()
                self._changed.notify_all()
                return thing
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; what is inside may still be taken, then `error` is raised."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """End at once: what is inside is thrown away, and everybody who waits goes on."""
        with self._changed:
            self._ended, self._error = True, None
            self._inside.clear()
            self._changed.notify_all()
