"""GStreamer pipelines as sources, however cv2 was built: PyGObject where it is here, else a child.

EDGEKIT_GSTREAMER=gst-launch takes the child also where PyGObject is here, so that a crash in a driver
ends the child and not the notebook.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator

from edgekit.camera.gstreamer_appsink import Appsink, load_gst
from edgekit.camera.gstreamer_errors import masked, told
from edgekit.camera.gstreamer_launch import Launch
from edgekit.camera.source import POLICIES, Source
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.results import Frame

TIMEOUT_S = 10.0
#: (PATH, element) that gst-inspect-1.0 has found.
_FOUND: set[tuple[str, str]] = set()
INSTALL = (
    "GStreamer is not here; cure: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"
)
# A pipeline that reads a file or ends after a number of buffers can wait for us; no picture should be lost.
FILES = re.compile(r"\b(multi|split)?filesrc\b|\bfile://|\bimagesequencesrc\b|\bnum-buffers=")


def route() -> str:
    """How pipelines run here: "PyGObject", "gst-launch" or "" (GStreamer is not here)."""
    if os.environ.get("EDGEKIT_GSTREAMER") != "gst-launch" and load_gst():
        return "PyGObject"
    return "gst-launch" if shutil.which("gst-launch-1.0") else ""


def has_element(*names: str) -> bool:
    """Whether GStreamer here has all the elements `names`."""
    way = route()
    if way == "PyGObject":
        factory = load_gst().ElementFactory
        return all(factory.find(name) is not None for name in names)
    if not way or not shutil.which("gst-inspect-1.0"):
        return False
    return all(_inspect(name) for name in names)


def _inspect(name: str) -> bool:
    """Ask gst-inspect-1.0 for an element. What is there is remembered; what is not may be installed yet."""
    known = (os.environ.get("PATH", ""), name)
    if known not in _FOUND:
        answer = subprocess.run(["gst-inspect-1.0", "--exists", name], check=False, timeout=60)
        if answer.returncode != 0:
            return False
        _FOUND.add(known)
    return True


def version() -> str:
    """GStreamer's version as "1.22", or "" where it does not say."""
    if route() == "PyGObject":
        return "{}.{}".format(*load_gst().version()[:2])
    return _launch_version(os.environ.get("PATH", ""))


@functools.cache
def _launch_version(path: str) -> str:
    try:
        answer = subprocess.run(["gst-launch-1.0", "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(rb"GStreamer (\d+\.\d+)", answer.stdout)
    return found[1].decode() if found else ""


def start(spec: str, words: list[str], drop: bool, clocked: bool = True) -> Appsink | Launch:
    """Run a pipeline by the best way that is here.

    Raises:
        MissingError: GStreamer or an element is not here.
        InputError: the pipeline cannot be made or does not start.
    """
    way = route()
    if not way:
        raise MissingError(INSTALL)
    if way == "PyGObject":
        return Appsink(load_gst(), spec, words, drop, clocked)
    if not has_element("gdppay"):
        raise told(spec, 'no element "gdppay"')
    return Launch(spec, words, drop)


class Pipeline(Source):
    """Frames of a GStreamer pipeline; the base of what has one.

    Args:
        spec: what was opened; a password in it is masked.
        words: the pipeline without its sink, as command-line words.
        policy: "latest": pictures that nobody has taken when a newer one comes are dropped; "every": the
            pipeline waits.
        timeout_s: seconds without a picture after which it has failed.
        clocked: a live picture's time stamp is the pipeline's, not what a sender wrote into the stream.

    Raises:
        InputError: the pipeline cannot be made, or gives no picture in time. MissingError: GStreamer or an
            element is not here. While iterating: EdgekitError when it fails or falls silent.
    """

    def __init__(
        self,
        spec: str,
        words: list[str],
        *,
        policy: str = "latest",
        timeout_s: float = TIMEOUT_S,
        clocked: bool = True,
    ) -> None:
        if policy not in POLICIES:
            raise InputError(f"policy={policy!r} is unknown; give one of {', '.join(POLICIES)}.")
        if not timeout_s > 0:
            raise InputError(f"timeout_s={timeout_s!r} must be a number of seconds above 0.")
        self.spec, self.policy, self._timeout_s = masked(spec), policy, timeout_s
        self.live = policy == "latest"
        self._index, self._start = 0, 0.0
        try:
            self._pipeline = start(self.spec, words, self.live, clocked)
        except EdgekitError as error:
            raise self._told(error) from error
        try:
            first = self._pull()
            if first is None:
                reason = told(self.spec, self._pipeline.log)
                ended = InputError(f"{self.spec} ended before its first picture.")
                raise self._told(reason if isinstance(reason, MissingError) else ended)
        except BaseException:
            self._pipeline.close()
            raise
        self._first: Frame | None = first
        self.size, self.fps = (first.width, first.height), self._pipeline.fps
        way = f"GStreamer {version()} ({'gst-launch' if isinstance(self._pipeline, Launch) else 'PyGObject'})"
        self._how = way

    @property
    def how(self) -> str:  # type: ignore[override]
        """The way the pictures come, their size and rate, and what decodes them."""
        rate = f" at {self.fps:g} FPS" if self.fps else ""
        parts = [self._how, f"{self.size[0]}×{self.size[1]}{rate}"]
        if decoder := self._pipeline.decoder:
            hard = re.match(r"nv|v4l2|va|omx|msdk|qsv", decoder)
            parts.insert(1, f"{decoder} in {'hardware' if hard else 'software'}")
        return ", ".join(parts)

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Pictures that GStreamer threw away to stay fresh (the child does not count them)."""
        return self._pipeline.dropped

    def _told(self, error: EdgekitError) -> EdgekitError:
        """A kind of source may know more about `error`."""
        return error

    def _pull(self) -> Frame | None:
        try:
            picture = self._pipeline.pull(self._timeout_s)
        except TimeoutError:
            silent = f"{self.spec} has given no picture for {self._timeout_s:g} s."
            raise self._told(InputError(silent)) from None
        except EdgekitError as error:
            raise self._told(error) from error
        if picture is None:
            return None
        t = picture.captured
        if not self.live and picture.pts is not None:
            self._start = picture.pts if self._index == 0 else self._start
            t = picture.pts - self._start
        frame = Frame(picture.image, self._index, t, self.spec, captured=picture.captured)
        self._index += 1
        return frame

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        while (frame := self._pull()) is not None:
            yield frame

    def close(self) -> None:
        """End the pipeline."""
        self._first = None
        self._pipeline.close()


class GstPipeline(Pipeline):
    """A pipeline in GStreamer's own words, as for gst-launch-1.0, up to before its sink.

    Args:
        text: for example "videotestsrc is-live=true ! video/x-raw,width=640,height=480".
        policy: default: "every" where the text reads a file or names num-buffers, else "latest".
        timeout_s: seconds without a picture after which it has failed.

    Raises:
        InputError, MissingError: as `Pipeline`; also a text with a sink of its own.
    """

    def __init__(self, text: str, *, policy: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        words = words_of(text)
        chosen = policy or ("every" if FILES.search(text) else "latest")
        super().__init__(f"gst: {text}", words, policy=chosen, timeout_s=timeout_s)


def words_of(text: str) -> list[str]:
    """The words of a pipeline text, split as a shell would.

    Raises:
        InputError: there is none, a quote is open, or the text ends in a sink or "!".
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"gst: {masked(text)} is no pipeline: {str(error).lower()}.") from error
    if not words:
        raise InputError("gst: needs a pipeline, as in gst: videotestsrc ! video/x-raw,width=640,height=480")
    if words[-1] == "!":
        raise InputError(f"gst: {masked(text)} ends in '!'; leave it out, the sink is added here.")
    if words[0].startswith("-"):
        raise InputError(f"gst: {masked(text)} begins with the option {words[0]}; give the pipeline alone.")
    last = [word for word in words if "=" not in word and word != "!"][-1:]
    if last and re.search(r"sink(bin)?$", last[0]):
        raise InputError(
            f"gst: {masked(text)} has its own sink, {last[0]}; end before it, the kit takes the pictures."
        )
    return words
