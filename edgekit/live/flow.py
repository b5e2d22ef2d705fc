"""How many pictures are on their way: the browser says what it has shown, and nothing is queued."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

#: Pictures on their way: one that is being shown and one that travels meanwhile. More only adds delay.
IN_FLIGHT = 2
#: After so many silent seconds a picture counts as lost on the way, and another one tries.
LOST_S = 10.0
#: Seconds between pictures for pages that nobody can see (another tab is in front).
HIDDEN_S = 1.0


@dataclass
class _Page:
    """One browser page that shows the picture, in one place or more.

    Attributes:
        views: places on the page.
        shown: number of the last picture it has shown.
        moved: when `shown` last changed.
        heard: when the page last said anything.
        hidden: the page is not in front.
    """

    views: int
    shown: int
    moved: float
    heard: float
    hidden: bool


class Flow:
    """Says when there is room for a picture, from what the pages have said. Safe to use from any thread.

    The slowest page sets the pace, so that nothing piles up on the way to it.

    Args:
        clock: seconds that only grow; for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._lock = threading.Lock()
        self._number = 0
        self._sent = -HIDDEN_S
        self._empty_since: float | None = None

    def views(self, page: str, count: int, hidden: bool = False) -> None:
        """A page shows the picture in `count` places; it has forgotten what was on its way."""
        with self._lock:
            now = self._clock()
            if count > 0:
                self._pages[page] = _Page(count, self._number, now, now, hidden)
                self._empty_since = None
            elif self._pages.pop(page, None) is not None and not self._pages:
                self._empty_since = now

    def shown(self, page: str, number: int, hidden: bool = False) -> None:
        """A page has shown picture `number` (or, hidden, has let it pass)."""
        with self._lock:
            now = self._clock()
            known = self._pages.get(page)
            if known is None:  # it has gone, and this was still on its way
                return
            known.shown = max(known.shown, min(number, self._number))
            known.moved = known.heard = now
            known.hidden = hidden

    def room(self) -> bool:
        """A picture may be sent now."""
        with self._lock:
            now = self._clock()
            pages = self._pages.values()
            if not pages or (all(page.hidden for page in pages) and now - self._sent < HIDDEN_S):
                return False
            for page in pages:
                if self._number - page.shown >= IN_FLIGHT and now - page.moved >= LOST_S:
                    page.shown, page.moved = self._number - 1, now
            return all(self._number - page.shown < IN_FLIGHT for page in pages)

    def send(self) -> int:
        """The number of the picture that is sent now."""
        with self._lock:
            self._number += 1
            self._sent = self._clock()
            return self._number

    def silence(self) -> float | None:
        """Seconds since any page said something; None where none has ever been there or all have gone."""
        with self._lock:
            if not self._pages:
                return None
            return self._clock() - max(page.heard for page in self._pages.values())

    def forgive(self) -> None:
        """Begin to count the silence anew: nothing could be heard until now."""
        with self._lock:
            for page in self._pages.values():
                page.heard = self._clock()

    def empty(self) -> float:
        """Seconds since the last page went; 0 while there is one, or where none has been yet."""
        with self._lock:
            return 0.0 if self._empty_since is None else self._clock() - self._empty_since
