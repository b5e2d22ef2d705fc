"""What every widget over a running session shares: the picture, a thread that keeps it true, and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from edgekit.live import life
from edgekit.live.picture import Picture
from edgekit.run import Session

TICK_S = 0.25
#: JupyterLab takes an output away and puts it back when it draws it anew; what is gone longer is gone.
GRACE_S = 0.8
#: A browser that is silent for so long has lost its connection, or was killed.
SILENCE_S = 30.0


class SessionView(widgets.VBox):
    """A picture with controls; what derives from it puts them in `_arrange`, and says them in `refresh`.

    Attributes:
        session: what is shown.
        cell: id of the notebook cell that made the view, or None.
    """

    _shut = True  # until it is whole: ipywidgets closes what could not be made

    def __init__(self, session: Session, side: int, quality: int) -> None:
        self.session = session
        self._picture = Picture(side, quality)
        self._picture.moved = self._redirect
        self._busy = self._because = self._saved = ""
        self._problem: BaseException | None = None
        self._ticker: threading.Thread | None = None
        self._lock = threading.RLock()

    def _arrange(self, children: Sequence[widgets.Widget], width: int) -> None:
        """Become a widget of these parts."""
        super().__init__(list(children), layout=widgets.Layout(max_width=f"{width}px"))
        self._shut = False
        self.add_class("edgekit-live")
        self.cell = life.watch(self)

    def _button(
        self, text: str, icon: str, tooltip: str, click: Callable[[], None], **layout: str
    ) -> widgets.Button:
        place = widgets.Layout(**{"width": "auto", **layout})
        button = widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=place)
        button.on_click(lambda _: click())
        return button

    def _redirect(self) -> None:
        """Let clicks and moves, too, come where the picture's answers come now: see `Picture.reply`."""
        todo: list[widgets.Widget] = [*self.children]
        for widget in todo:
            todo += getattr(widget, "children", ())
            if getattr(widget, "description", ""):
                widget.send_state("description")

    # frames begin and end

    def _begin_ticking(self) -> None:
        """Keep the view true from now on, until the session has ended."""
        self._because = ""
        with self._lock:
            if self._ticker is None and not self._shut:
                self._ticker = threading.Thread(target=self._tick, name="edgekit-live", daemon=True)
                self._ticker.start()

    def _tick(self) -> None:
        self._frames_begin()
        while True:
            self._supervise()
            self._picture.reply(self.refresh)
            with self._lock:
                if self._shut or not self.session.running:
                    self._ticker = None
                    after = self._frames_ended()
                    break
            time.sleep(TICK_S)
        after()
        self._picture.reply(self.refresh)

    def _frames_begin(self) -> None:
        """The session has been started."""

    def _frames_ended(self) -> Callable[[], None]:
        """The session has ended, and the next run may begin at once; what takes longer is given back."""
        return lambda: None

    def _supervise(self) -> None:
        """Stop what nobody watches any more."""
        flow = self._picture.flow
        if life.cell_runs() and self._picture.heard_on_main_thread:
            flow.forgive()
        if flow.empty() >= GRACE_S:
            self._stop_now("the view was closed")
        elif (flow.silence() or 0.0) >= SILENCE_S:
            self._stop_now(f"the browser has not answered for {SILENCE_S:.0f} s")

    def _stop_now(self, because: str) -> None:
        self.stopped_because(because)
        self.session.stop()

    def stopped_because(self, because: str) -> None:
        """Say why the session, if it runs, is being stopped."""
        if self.session.running and not self._because:
            self._because = because

    def _close_parts(self) -> None:
        """Take the widgets away."""
        todo: list[widgets.Widget] = [*self.children]
        for widget in todo:
            todo += getattr(widget, "children", ())
        for widget in todo:
            widget.close()
        widgets.VBox.close(self)

    # buttons; each does its work in a thread, since the browser waits for the answer

    def _do(self, busy: str, work: Callable[[], None], undo: Callable[[], None] | None = None) -> None:
        """Do `work` with the buttons locked, and show what goes wrong."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                self._problem = error
                if undo is not None:
                    self._picture.reply(undo)
            self._busy = ""
            self._picture.reply(self.refresh)

        with self._lock:
            if self._busy:
                return
            self._busy, self._problem, self._saved = busy, None, ""
        self.refresh()
        threading.Thread(target=run, name="edgekit-button", daemon=True).start()

    def refresh(self) -> None:
        """Bring every line and button up to date."""
        raise NotImplementedError
