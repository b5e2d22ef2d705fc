"""A GStreamer pipeline in a child, `gst-launch-1.0`, whose pictures come through a pipe."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np

from edgekit.camera.gstreamer_errors import told
from edgekit.camera.gstreamer_picture import Picture, SenderClock, bgr_rows
from edgekit.errors import EdgekitError, MissingError

# The frame of the GStreamer Data Protocol 1.0 as gdppay writes it (gst-plugins-bad, gst/gdp/dataprotocol.c):
# version, flags, padding; then type, length, PTS, duration, two offsets and buffer flags, in network order.
HEADER = struct.Struct(">4xHIQ44x")
BUFFER, CAPS = 1, 2
NO_TIME = 2**64 - 1
DECODER = re.compile(r"/\w+:([\w-]+)\.GstPad:src: caps = video/x-raw")


class Launch:
    """Run `words` and a tail that sends BGR pictures; `pull` gives them.

    The child dies with this process, also when that is killed: its standard input is a pipe that nobody
    else holds, read by an element that fails when it ends.

    Args:
        spec: what was opened, for errors.
        words: the pipeline without its sink, as command-line words.
        drop: throw old pictures away where nobody takes them (live), or make the pipeline wait.
    """

    def __init__(self, spec: str, words: list[str], drop: bool) -> None:
        self._spec = spec
        self._clock = SenderClock()  # when the child's pipeline began is not known here
        self._log: deque[str] = deque(maxlen=200)
        self._closed = False
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self.size = (0, 0)
        self.fps: float | None = None
        self.decoder, self.dropped = "", 0
        room = "leaky=downstream max-size-buffers=1" if drop else "max-size-buffers=2"
        self._pipe, theirs = os.pipe()
        tail = (
            f"! capsfilter caps=video/x-raw ! queue {room} max-size-bytes=0 max-size-time=0 ! videoconvert "
            f"! video/x-raw,format=BGR ! gdppay ! fdsink fd={theirs} sync=false fdsrc fd=0 ! typefind"
        )
        try:
            # -f: a child that crashes shall end, not wait for a debugger. -v names the decoder.
            self._child = subprocess.Popen(
                ["gst-launch-1.0", "-v", "-f", *words, *tail.split()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                env={**os.environ, "LC_ALL": "C", "GST_DEBUG_NO_COLOR": "1"},
                start_new_session=True,  # Ctrl-C is for us; we end the child
            )
        except OSError as error:
            os.close(self._pipe)
            raise MissingError(f"gst-launch-1.0 does not start: {error.strerror or error}.") from error
        finally:
            os.close(theirs)
        self._text = threading.Thread(target=self._read_text, name="edgekit-gst-text", daemon=True)
        self._text.start()
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def _read_text(self) -> None:
        """All that the child says, so that it never waits for us; the last lines are kept."""
        with self._child.stdout as text:  # type: ignore[union-attr]
            for raw in iter(lambda: text.readline(4096), b""):
                line = raw.decode(errors="replace").rstrip()
                if not line.startswith("/Gst"):
                    self._log.append(line)
                elif (found := DECODER.search(line)) and "dec" in found[1] and not self.decoder:
                    self.decoder = re.sub(r"-\d+$|(?<!\d)\d$", "", found[1])

    @property
    def log(self) -> str:
        """The last lines that the child has said."""
        return "\n".join(self._log.copy())

    def pull(self, timeout_s: float) -> Picture | None:
        """The next picture; None when the pipeline has ended or was closed.

        Raises:
            TimeoutError: nothing came for `timeout_s` seconds.
            EdgekitError: the pipeline failed.
        """
        deadline = time.monotonic() + timeout_s
        with self._reading:
            while not self._closed:
                header = self._exactly(HEADER.size, deadline)
                kind, length, pts = HEADER.unpack(header) if header is not None else (0, 0, 0)
                payload = self._exactly(length, deadline)
                if header is None or payload is None:
                    self._raise_if_failed()
                    break
                if kind == CAPS:
                    self._take_caps(payload.tobytes().decode(errors="replace"))
                elif kind == BUFFER:
                    seconds = None if pts == NO_TIME else pts / 1e9
                    image = bgr_rows(self._spec, payload, *self.size)
                    return Picture(image, seconds, self._clock.captured(seconds))
        return None

    def _exactly(self, count: int, deadline: float) -> Any:
        """uint8 [count], or None at the end of the pipe."""
        got = np.empty(count, np.uint8)
        rest = memoryview(got)  # type: ignore[arg-type]
        while len(rest):
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
                raise TimeoutError
            read = os.readv(self._pipe, [rest])
            if read == 0:
                return None
            rest = rest[read:]
        return got

    def _take_caps(self, caps: str) -> None:
        width, height = (re.search(rf"{side}=\(int\)(\d+)", caps) for side in ("width", "height"))
        if width and height:
            self.size = (int(width[1]), int(height[1]))
        rate = re.search(r"framerate=\(fraction\)(\d+)/(\d+)", caps)
        self.fps = int(rate[1]) / int(rate[2]) if rate and int(rate[1]) and int(rate[2]) else None

    def _raise_if_failed(self) -> None:
        """After the end of the pipe: nothing at a clean end or when closed, else the reason."""
        if self._closed:
            return
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        self._text.join(1.0)
        code, log = self._child.poll(), self.log
        if self._closed or (code == 0 and "ERROR:" not in log):
            return
        if code is not None and code < 0 and "ERROR:" not in log:
            name = signal.Signals(-code).name
            raise EdgekitError(f"{told(self._spec, log)} Its gst-launch-1.0 ended by {name}.")
        raise told(self._spec, log)

    def close(self) -> None:
        """End the child and give everything back: 2 s at most."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for sign, patience in ((signal.SIGINT, 1.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 0.3)):
            with suppress(subprocess.TimeoutExpired, ProcessLookupError):
                if self._child.poll() is None:
                    os.killpg(self._child.pid, sign)  # with its plug-in scanner, where one runs
                self._child.wait(patience)
                break
        with suppress(OSError):
            self._child.stdin.close()  # type: ignore[union-attr]
        self._text.join(0.1)
        if self._reading.acquire(timeout=0.2):  # the reader has seen the end of the pipe by now
            os.close(self._pipe)
            self._reading.release()
