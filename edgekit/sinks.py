"""Where results go: JSON lines, an MP4 that plays in a browser, annotated pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.results import Frame, Result

TICKS = 90_000  # time base of H.264 in MP4, 1/s


class Sink(Protocol):
    """Takes each frame with its result and, where it wants one, the drawing.

    Attributes:
        picture_side: the drawing's longer side in pixels at most; 0: as large as the frame; None: no drawing
            is wanted (asked for at each frame).
    """

    @property
    def picture_side(self) -> int | None: ...

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None: ...

    def close(self) -> None: ...


def line_of(frame: Frame, result: Result) -> dict[str, Any]:
    """One JSON line: the frame, then the result's own list. All tasks share this schema.

    `{"source", "index", "t", "width", "height", "detections": [{"xyxy", "score", "label", "name",
    "track_id"?}], "poses": [{"keypoints": [[x, y, score], …], "score", "xyxy"?}],
    "actions": [{"xyxy"?, "track_id"?, "scores": {name: p}}]}`; absent lists are left out,
    coordinates are pixels of the source frame, `t` is seconds.
    """
    head = {"source": frame.source, "index": frame.index, "t": round(frame.t, 4)}
    return {**head, "width": frame.width, "height": frame.height, **result.to_dict()}


class JsonLines:
    """One line a frame, flushed at once, so that a killed run leaves whole lines."""

    picture_side = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_for_writing(path)

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Append the frame's line."""
        try:
            self._file.write(json.dumps(line_of(frame, result), ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_lines(path: Path | str) -> list[dict[str, Any]]:
    """Read JSON lines back; a last line cut by a kill is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number} is not JSON: {error}.") from error
    return rows


class Video:
    """H.264 in MP4, written in one-second fragments: playable at every moment, also after a kill.

    Frames of another size than the first are fitted into it; odd sizes lose no pixel (one line is
    repeated, since H.264's 4:2:0 colour wants even sides).
    """

    picture_side = 0

    def __init__(self, path: Path, fps: float | None = None) -> None:
        import av

        self.path = path
        self._fps = fps if fps and 0 < fps <= 240 else 25.0
        codec = next((c for c in ("libx264", "libopenh264", "libvpx-vp9") if c in av.codecs_available), None)
        if codec is None:
            raise MissingError("this PyAV has no video encoder; cure: pip install --force-reinstall av")
        self._codec = codec
        # A file of our own, since FFmpeg's keeps what a full disk refuses to itself.
        self._file = open_for_writing(path, binary=True)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream: Any = None
        self._start: float | None = None
        self._last = -1

    def _open_stream(self, height: int, width: int) -> None:
        fast = {"preset": "veryfast", "crf": "23"} if self._codec == "libx264" else {}
        rate = Fraction(self._fps).limit_denominator(1001)
        self._stream = self._container.add_stream(self._codec, rate=rate, options=fast)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)
        self._stream.codec_context.gop_size = max(1, round(self._fps))
        self._stream.codec_context.max_b_frames = 0

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Encode the drawing at the frame's own time."""
        import av

        assert picture is not None
        if self._stream is None:
            self._open_stream(*picture.shape[:2])
        fitted = _fit(picture, self._stream.height, self._stream.width)
        coded = av.VideoFrame.from_ndarray(fitted, format="bgr24")
        self._start = frame.t if self._start is None else self._start
        # A still picture or a clock that stands gets the next frame's place; time never runs back.
        step = max(1, round(TICKS / self._fps))
        due = round((frame.t - self._start) * TICKS)
        self._last = due if due > self._last else self._last + step
        coded.pts, coded.time_base = self._last, Fraction(1, TICKS)
        self._mux(coded)

    def _mux(self, coded: Any) -> None:
        import av

        try:
            for packet in self._stream.encode(coded):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error

    def close(self) -> None:
        """Finish the file; one without a frame is removed."""
        if self._container is None:
            return
        import av

        container, self._container = self._container, None
        try:
            if self._stream is not None:
                for packet in self._stream.encode():
                    container.mux(packet)
            container.close()
        except (av.FFmpegError, OSError) as error:
            raise EdgekitError(f"{self.path} cannot be written: {error.strerror or error}.") from error
        finally:
            self._file.close()
        if self._stream is None:
            self.path.unlink(missing_ok=True)


def _fit(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """`picture` at exactly height×width: one repeated line where it is one short, else scaled on black."""
    h, w = picture.shape[:2]
    if (h, w) == (height, width):
        return picture
    if 0 <= height - h <= 1 and 0 <= width - w <= 1:
        return cv2.copyMakeBorder(picture, 0, height - h, 0, width - w, cv2.BORDER_REPLICATE)
    scale = min(height / h, width / w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    y, x = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[y : y + size[1], x : x + size[0]] = cv2.resize(picture, size)
    return canvas


class PictureFolder:
    """Annotated pictures under their own names, as JPEG, in a folder."""

    picture_side = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._taken: set[str] = set()

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Write one picture; a second one of the same stem gets its frame number."""
        assert picture is not None
        stem = Path(frame.source).stem or "frame"
        stem = stem if stem not in self._taken else f"{stem}-{frame.index}"
        self._taken.add(stem)
        target = self.path / f"{stem}.jpg"
        if not cv2.imwrite(str(target), picture, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise EdgekitError(f"{target} cannot be written; is the disk full?")

    def close(self) -> None:
        """Nothing is held open."""


def open_for_writing(path: Path, binary: bool = False) -> Any:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb", buffering=0) if binary else open(path, "w", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; choose another --out."
        ) from error


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` as indented JSON, aside and renamed."""
    from edgekit.files import atomic_write

    with atomic_write(path) as scratch:
        scratch.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
