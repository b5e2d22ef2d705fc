"""The picture of the live view: JPEG bytes to the browser, as fast as it shows them and no faster."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import traitlets
from anywidget import AnyWidget
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.live.flow import Flow
from edgekit.results import Frame, Result

HERE = Path(__file__).resolve().parent


# anywidget, since a custom message carries binary buffers and can be answered when the picture is on the
# screen. ipywidgets.Image is told everything and answers nothing: on slow Wi-Fi its pictures pile up.
# jupyter_rfb answers too, but draws from an asyncio loop of the main thread, which a running cell stops,
# and ends each pause with a lossless picture that a camera has no use for.
class Picture(AnyWidget):
    """A canvas in the page.

    Args:
        side: the picture's longer side in pixels at most.
        quality: JPEG quality, 1 to 100.

    Attributes:
        flow: what the browser has said, and whether it has room for a picture.
        heard_on_main_thread: the browser's messages come on the main thread, so that they wait while a cell
            runs (kernels without subshells).
        moved: called when the browser's messages begin to come on another thread.

    Raises:
        InputError: `side` or `quality` makes no sense.
    """

    _esm = HERE / "picture.js"
    _css = HERE / "picture.css"
    label = traitlets.Unicode("Live picture").tag(sync=True)
    hint = traitlets.Unicode("").tag(sync=True)
    side = traitlets.Int(640).tag(sync=True)
    address = traitlets.Dict().tag(sync=True)

    def __init__(self, side: int = 640, quality: int = 80) -> None:
        if not 16 <= side <= 8192:
            raise InputError(f"side={side} makes no sense; give 16 to 8192 pixels.")
        if not 1 <= quality <= 100:
            raise InputError(f"quality={quality} makes no sense; give 1 to 100.")
        self.flow = Flow()
        self.moved: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        self._quality = quality
        self._jpeg: bytes | None = None
        self._context = contextvars.copy_context()
        super().__init__(side=side)
        self.address = {"kernel": _kernel_id(), "comm": self.model_id}
        self.on_msg(self._hear)

    @property
    def heard_on_main_thread(self) -> bool:
        return self._thread is threading.main_thread()

    def reply(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call something that sends to the browser, as a reply to what it said last.

        ipykernel 7 directs the browser's answers to the shell that sent last. Sent from a thread, everything
        would count as the main shell's, and a click on Stop would wait for the cell that runs there.
        """
        return self._context.copy().run(call, *args)

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        self._context = contextvars.copy_context()
        before, self._thread = self._thread, threading.current_thread()
        if before is not None and before is not self._thread:
            self.moved()
        page, hidden = str(message.get("page")), bool(message.get("hidden"))
        if message.get("kind") == "shown":
            self.flow.shown(page, int(message.get("number", 0)), hidden)
        elif message.get("kind") == "views":
            self.flow.views(page, int(message.get("views", 0)), hidden)
            if self._jpeg is not None and message.get("views"):  # a page that comes late sees it too
                self._deliver(self._jpeg)

    def _deliver(self, jpeg: bytes) -> None:
        self.send({"kind": "picture", "number": self.flow.send()}, [jpeg])

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Encode a picture, uint8 [H, W, 3] BGR, and send it."""
        done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        assert done
        self._jpeg = jpeg.tobytes()
        self.reply(self._deliver, self._jpeg)


def _kernel_id() -> str:
    """The kernel's id as Jupyter's server knows it: a part of its connection file's name; "" outside."""
    from IPython.core.getipython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:  # type: ignore[no-untyped-call]
        return ""
    from ipykernel.connect import get_connection_file

    try:
        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except RuntimeError:  # a kernel inside another program has none
        return ""


class ToBrowser:
    """The sink that feeds a `Picture`. It wants a drawing only when the browser has room for one, so that
    nothing is drawn or encoded in vain.

    Attributes:
        last: the newest frame with its result, shown or not; None before the first.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.last: tuple[Frame, Result] | None = None

    @property
    def picture_side(self) -> int | None:
        """The side wanted of the next drawing; None while the browser is busy with the last ones."""
        return self._picture.side if self._picture.flow.room() else None

    def write(self, frame: Frame, result: Result, picture: NDArray[np.uint8] | None) -> None:
        """Send the drawing, if one was wanted."""
        self.last = frame, result
        if picture is not None:
            self._picture.show(picture)

    def close(self) -> None:
        """The picture stays on display."""
