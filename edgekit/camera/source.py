"""What every source offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

from edgekit.results import Frame

#: "latest": never more than one frame behind, older ones are dropped and counted; "every": none is lost.
POLICIES = ("latest", "every")


class Source(ABC):
    """Frames in order; iterate once, close when done (or use `with`).

    `close()` may be called from any thread, also while another waits for a frame: that one's loop ends.

    Attributes:
        spec: what was opened, as it stands in results (a password in an address is masked).
        size: (width, height) of the first frame in pixels.
        fps: frames a second as the source states it, or None.
        length: number of frames as the source states it, or None (live, or unknown).
        live: frames come at their own pace and cannot be asked for again.
        how: one line: how the frames come (format, size, decoder) as it was opened, not as it was asked for.
        policy: one of `POLICIES`.
        dropped: frames thrown away so far.
        note: what a reader must know of the frames given so far (a cut file), or "".
        state: what a viewer must know now ("reconnecting in 2 s: …"); "" while frames flow.
    """

    spec: str
    size: tuple[int, int]
    fps: float | None = None
    length: int | None = None
    live: bool = False
    how: str = ""
    policy: str = "every"
    dropped: int = 0
    note: str = ""
    state: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    @abstractmethod
    def close(self) -> None:
        """Give the file, camera or stream back within 2 s; a second call does nothing."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
