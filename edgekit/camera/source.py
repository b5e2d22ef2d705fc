"""What every source offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

from edgekit.results import Frame


class Source(ABC):
    """Frames in order; iterate once, close when done (or use `with`).

    Attributes:
        spec: what was opened, as it stands in results.
        size: (width, height) of the first frame in pixels.
        fps: frames a second as the source states it, or None.
        length: number of frames as the source states it, or None (live, or unknown).
        live: frames come at their own pace and cannot be asked for again.
        note: what a reader must know of the frames given so far (a cut file), or "".
    """

    spec: str
    size: tuple[int, int]
    fps: float | None = None
    length: int | None = None
    live: bool = False
    note: str = ""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    @abstractmethod
    def close(self) -> None:
        """Give the file, camera or stream back; a second call does nothing."""

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
