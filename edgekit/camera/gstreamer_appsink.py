"""A GStreamer pipeline in this process, by PyGObject; no GLib main loop runs or is needed."""

from __future__ import annotations

import ctypes
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from edgekit.camera.gstreamer_errors import told
from edgekit.camera.gstreamer_picture import Picture, SenderClock, bgr_rows
from edgekit.errors import EdgekitError

#: Seconds between two looks at the bus while no picture comes.
SLICE_S = 0.05
#: Seconds that `close` grants the pipeline.
PATIENCE_S = 1.8


def load_gst() -> Any:
    """The `Gst` module, started, or None where PyGObject, GStreamer's or appsink's description is missing."""
    # GStreamer brings libunwind along. Mixed with libgcc's unwinding it ends the process at the first C++
    # exception (seen in srtsrc); with libgcc's in front everybody uses that one.
    with suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp  # noqa: F401 - GstApp gives appsink its methods
    except (ImportError, ValueError):
        return None
    return Gst if Gst.init_check(None)[0] else None


class Appsink:
    """Run `words` and an appsink; the arguments, `pull` and `close` are those of `Launch`.

    `log` stays empty: in this process, elements talk to the terminal. `clocked`: a live picture's stamp is
    the pipeline's time, not what a sender wrote into the stream.
    """

    log = ""

    def __init__(self, gst: Any, spec: str, words: list[str], drop: bool, clocked: bool) -> None:
        self._gst, self._spec, self._drop = gst, spec, drop
        self.size = (0, 0)
        self.fps: float | None = None
        self.decoder = ""
        self._lock, self._closed = threading.Lock(), False
        self._taken, self._dropped = 0, 0
        self._clock = SenderClock()
        room = "drop=true max-buffers=1" if drop else "drop=false max-buffers=2"
        tail = (
            "! capsfilter caps=video/x-raw ! videoconvert ! video/x-raw,format=BGR "
            f"! appsink name=edgekit_sink sync=false {room}"
        )
        try:
            self._pipeline = gst.parse_launchv([*words, *tail.split()])
        except Exception as error:  # GLib.Error, whose module need not be imported for it
            raise told(spec, f"erroneous pipeline: {getattr(error, 'message', error)}") from error
        self._sink = self._pipeline.get_by_name("edgekit_sink")
        self._bus = self._pipeline.get_bus()
        try:
            # A pipeline that is live says so by having nothing to show while it is paused.
            live = self._set(gst.State.PAUSED) == gst.StateChangeReturn.NO_PREROLL
            self._clocked = clocked and live
            self._set(gst.State.PLAYING)
        except BaseException:
            self.close()
            raise

    def _set(self, state: Any) -> Any:
        answer = self._pipeline.set_state(state)
        if answer == self._gst.StateChangeReturn.FAILURE:
            raise self._error() or told(self._spec, "")
        return answer

    def _error(self) -> EdgekitError | None:
        """What the bus holds of errors, as one error in our words."""
        lines = []
        while message := self._bus.pop_filtered(self._gst.MessageType.ERROR):
            error, debug = message.parse_error()
            path = message.src.get_path_string() if message.src else "pipeline"
            lines.append(f"ERROR: from element {path}: {error.message}\nAdditional debug info:\n{debug}")
        return told(self._spec, "\n".join(lines)) if lines else None

    def pull(self, timeout_s: float) -> Picture | None:
        """The next picture; None when the pipeline has ended or was closed. Errors as `Launch.pull`."""
        deadline = time.monotonic() + timeout_s
        while not self._closed:
            sample = self._sink.try_pull_sample(int(SLICE_S * 1e9))
            if sample is not None:
                return self._picture(sample)
            if self._closed:
                break
            if error := self._error():
                raise error
            if self._sink.is_eos():
                break
            if time.monotonic() > deadline:
                raise TimeoutError
        return None

    def _picture(self, sample: Any) -> Picture:
        self._taken += 1
        caps, buffer = sample.get_caps().get_structure(0), sample.get_buffer()
        self.size = (caps.get_int("width")[1], caps.get_int("height")[1])
        _, rate, per = caps.get_fraction("framerate")
        self.fps = rate / per if rate and per else None
        if not self.decoder and self._taken == 1:
            self.decoder = self._find_decoder()
        # extract_dup, not map: what map returns depends on whether GStreamer's own Python package is there
        data = np.frombuffer(buffer.extract_dup(0, buffer.get_size()), np.uint8)
        image = bgr_rows(self._spec, data, *self.size)
        pts = None if buffer.pts == self._gst.CLOCK_TIME_NONE else buffer.pts
        return Picture(
            image if image.flags.writeable else image.copy(),
            None if pts is None else pts / 1e9,
            self._captured(sample, pts),
        )

    def _captured(self, sample: Any, pts: int | None) -> float:
        """The moment of a picture; GStreamer's system clock is CLOCK_MONOTONIC, as ours."""
        now = time.monotonic()
        clock = self._pipeline.get_clock()
        if pts is not None and self._clocked and isinstance(clock, self._gst.SystemClock):
            running = sample.get_segment().to_running_time(self._gst.Format.TIME, pts)
            stamp = (self._pipeline.get_base_time() + running) / 1e9
            if now - 60.0 < stamp < now + 1.0:  # else a camera with a clock of its own
                return min(stamp, now)  # what was due later has been seen now
        return self._clock.captured(None if pts is None else pts / 1e9)

    def _find_decoder(self) -> str:
        elements = self._pipeline.iterate_recurse()
        while True:
            answer, element = elements.next()
            if answer != self._gst.IteratorResult.OK:
                return ""
            factory = element.get_factory()
            kind = factory.get_metadata("klass") if factory else ""
            if "Decoder" in kind and ("Video" in kind or "Image" in kind):
                return str(factory.get_name())

    @property
    def dropped(self) -> int:
        """Pictures that appsink replaced by newer ones (GStreamer 1.18 and later count them)."""
        if self._drop and not self._closed and self._sink.find_property("stats"):
            shown = self._sink.get_property("stats").get_uint64("rendered")[1]
            self._dropped = max(self._dropped, shown - self._taken - 1)
        return self._dropped

    def close(self) -> None:
        """Stop the pipeline: 2 s at most."""
        with self._lock:
            if self._closed:
                return
            _ = self.dropped  # the last count
            self._closed = True
        # A driver or server that does not answer may hold this up; nobody shall wait for it.
        stop = threading.Thread(target=self._pipeline.set_state, args=(self._gst.State.NULL,), daemon=True)
        stop.start()
        stop.join(PATIENCE_S)
