"""Network streams by PyAV (FFmpeg)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from edgekit.camera.gstreamer import TIMEOUT_S
from edgekit.camera.gstreamer_errors import masked
from edgekit.camera.source import Source
from edgekit.camera.stream_errors import SILENT, av_error, explained
from edgekit.camera.video import pyav, reason, upright
from edgekit.errors import InputError
from edgekit.results import Frame
from edgekit.slots import Slot

#: Seconds that `close` waits for the thread that is decoding.
PATIENCE_S = 1.5


class AvStream(Source):
    """A stream by PyAV. A thread of its own reads it, since a read that waits cannot be called off.

    Args:
        url, transport, latency_ms, timeout_s: as `open_stream`.
        policy: "latest", or "every" for what has an end; `Frame.t` is then the medium's time.
    """

    def __init__(
        self,
        url: str,
        *,
        transport: str = "tcp",
        latency_ms: int = 100,
        timeout_s: float = TIMEOUT_S,
        policy: str = "latest",
    ) -> None:
        self._av = pyav()
        self.spec, self.policy, self.live = masked(url), policy, policy == "latest"
        options = {}
        if self.live:
            options = {"fflags": "nobuffer", "flags": "low_delay"}
        if url.lower().startswith("rtsp"):
            options |= {"rtsp_transport": transport, "max_delay": str(latency_ms * 1000)}
        self._timeout_s, start = timeout_s, time.monotonic()
        try:
            self._container = self._av.open(url, options=options, timeout=(timeout_s, timeout_s))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            late = time.monotonic() - start > timeout_s
            raise explained(url, av_error(url, error, reason(error), timeout_s, late)) from error
        try:
            if not self._container.streams.video:
                raise InputError(f"{self.spec} carries no video.")
            stream = self._container.streams.video[0]
            rate = stream.average_rate
            self.fps = float(rate) if rate else None
            decoder = stream.codec_context.name
        except BaseException:
            self._container.close()
            raise
        self._slot: Slot[Frame] = Slot(1, latest=True) if self.live else Slot(2)
        self._thread = threading.Thread(target=self._read, name="edgekit-stream", daemon=True)
        self._thread.start()
        try:
            self._first = self._slot.get()
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise explained(url, InputError(self.note or f"{self.spec} ended before its first picture."))
        self.size = (self._first.width, self._first.height)
        rate_text = f" at {self.fps:g} FPS" if self.fps else ""
        self.how = (
            f"PyAV {self._av.__version__}, {decoder} in software, {'×'.join(map(str, self.size))}{rate_text}"
        )

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Pictures replaced by newer ones before anybody took them."""
        return self._slot.dropped

    def _read(self) -> None:
        """Decode until the end or `close()`; the container is closed here, where nothing uses it any more."""
        index = 0
        try:
            for picture in self._pictures():
                now = time.monotonic()
                t = now if self.live or picture.time is None else float(picture.time)
                if not self._slot.put(Frame(upright(picture), index, t, self.spec, captured=now)):
                    break
                index += 1
        except self._av.FFmpegError as error:
            silent = type(error).__name__ in SILENT
            why = f"no picture for {self._timeout_s:g} s" if silent else masked(reason(error))
            self.note = f"{self.spec} broke off after {index} frames: {why}."
        except BaseException as error:
            self._slot.end(error)
        finally:
            self._container.close()
            self._slot.end()

    def _pictures(self) -> Iterator[Any]:
        """What can be decoded; who joins between two key frames gets packets that cannot."""
        for packet in self._container.demux(video=0):
            with suppress(self._av.error.InvalidDataError):
                yield from packet.decode()

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        while (frame := self._slot.get()) is not None:
            yield frame

    def close(self) -> None:
        """Close the connection; where the network is waited for, it ends within the time-out by itself."""
        self._first = None
        self._slot.close()
        self._thread.join(PATIENCE_S)
