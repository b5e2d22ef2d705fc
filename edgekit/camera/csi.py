"""A CSI camera of a Jetson, by NVIDIA's nvarguscamerasrc."""

from __future__ import annotations

from fractions import Fraction

from edgekit.camera.gstreamer import INSTALL, TIMEOUT_S, Pipeline, has_element, route
from edgekit.camera.gstreamer_errors import ARGUS_CURE
from edgekit.camera.reconnect import Reconnecting
from edgekit.camera.source import Source
from edgekit.errors import EdgekitError, InputError, MissingError

#: nvvidconv's flip-method: what each number does. The odd turns swap width and height.
FLIPS = {
    0: "as it is",
    1: "a quarter turn to the left",
    2: "upside down",
    3: "a quarter turn to the right",
    4: "mirrored left to right",
    5: "mirrored at the diagonal to the upper right",
    6: "mirrored top to bottom",
    7: "mirrored at the diagonal to the upper left",
}
SWAPPED = (1, 3, 5, 7)


def open_csi(
    sensor: int = 0,
    *,
    size: tuple[int, int] = (1280, 720),
    fps: float = 30,
    mode: int | None = None,
    flip: int = 0,
    timeout_s: float = TIMEOUT_S,
) -> Source:
    """A `CsiCamera` that is opened again when it breaks off; arguments and errors are the same."""
    return Reconnecting(
        lambda: CsiCamera(sensor, size=size, fps=fps, mode=mode, flip=flip, timeout_s=timeout_s)
    )


def pipeline(
    sensor: int = 0,
    size: tuple[int, int] = (1280, 720),
    fps: float = 30,
    mode: int | None = None,
    flip: int = 0,
) -> list[str]:
    """The camera's pipeline up to pictures in ordinary memory, as command-line words.

    The sensor writes NV12 into NVMM memory; nvvidconv (the VIC engine, not the CPU) turns it and brings it
    into ordinary memory as BGRx, from which BGR is one cheap step.

    Raises:
        InputError: an option is out of range.
    """
    width, height = _checked_size(size)
    if not isinstance(sensor, int) or not 0 <= sensor <= 255:
        raise InputError(f"sensor={sensor!r} must be the number of a CSI camera, 0 and up.")
    if mode is not None and (not isinstance(mode, int) or not 0 <= mode <= 255):
        raise InputError(f"mode={mode!r} must be one of the sensor's modes, 0 and up, or None.")
    if flip not in FLIPS:
        listed = ", ".join(f"{n} {what}" for n, what in FLIPS.items())
        raise InputError(f"flip={flip!r} is unknown; give {listed}.")
    if not isinstance(fps, int | float) or not 1 <= fps <= 1000:
        raise InputError(f"fps={fps!r} must be a number of frames a second between 1 and 1000.")
    rate = Fraction(fps).limit_denominator(100)
    if rate.denominator > 1 and abs(fps - round(fps) / 1.001) < 0.01:  # 29.97 is 30000/1001
        rate = Fraction(round(fps) * 1000, 1001)
    out_width, out_height = (height, width) if flip in SWAPPED else (width, height)
    source = ["nvarguscamerasrc", f"sensor-id={sensor}"]
    if mode is not None:
        source.append(f"sensor-mode={mode}")
    return [
        *source,
        "!",
        f"video/x-raw(memory:NVMM),format=NV12,width={width},height={height},"
        f"framerate={rate.numerator}/{rate.denominator}",
        "!",
        "nvvidconv",
        f"flip-method={flip}",
        "!",
        f"video/x-raw,format=BGRx,width={out_width},height={out_height}",
    ]


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in size)
    except (TypeError, ValueError):
        raise InputError(f"size={size!r} must be (width, height) in pixels.") from None
    if not (16 <= width <= 16384 and 16 <= height <= 16384) or width % 2 or height % 2:
        raise InputError(f"size={size!r} must be two even numbers of pixels, 16 and more (NV12).")
    return width, height


class CsiCamera(Pipeline):
    """Camera `sensor` of the board; always the newest picture.

    Args:
        sensor: number of the camera (sensor-id).
        size: (width, height) that the sensor gives, before it is turned.
        fps: frames a second.
        mode: number of the sensor's mode (sensor-mode); None: the driver chooses one that fits.
        flip: how the picture is turned, a key of `FLIPS`.
        timeout_s: seconds without a picture after which the camera has failed.

    Raises:
        InputError: an option is out of range. MissingError: this is no Jetson, or the camera is absent,
            busy or stuck, with the cure.
    """

    def __init__(
        self,
        sensor: int = 0,
        *,
        size: tuple[int, int] = (1280, 720),
        fps: float = 30,
        mode: int | None = None,
        flip: int = 0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        words = pipeline(sensor, size, fps, mode, flip)
        if not route():
            raise MissingError(INSTALL)
        for element in ("nvarguscamerasrc", "nvvidconv"):
            if not has_element(element):
                raise MissingError(
                    f"csi:{sensor}: GStreamer here has no {element}; it is in nvidia-l4t-gstreamer, which "
                    "only a Jetson has (JetPack; in a container: --runtime nvidia). A USB camera is 0."
                )
        super().__init__(f"csi:{sensor}", words, timeout_s=timeout_s)

    def _told(self, error: EdgekitError) -> EdgekitError:
        if isinstance(error, MissingError) or "nvargus-daemon" in str(error):
            return error
        # In this process the driver writes its reason to the terminal, and the pipeline merely ends.
        return MissingError(
            f"{str(error).rstrip('.')}: no camera at that connector, a mode that it has not, or its service "
            f"hangs; {ARGUS_CURE}."
        )
