"""The live view's widget: the picture, its buttons, and a thread that keeps them true while frames flow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape

import ipywidgets as widgets

from edgekit.clocks import Stats
from edgekit.live.controls import Choice, Settings, shelf_models
from edgekit.live.picture import ToBrowser
from edgekit.live.power import PowerLine
from edgekit.live.record import Recording, snapshot
from edgekit.live.session_view import SessionView
from edgekit.live.text import clock, figures, line, sentence
from edgekit.run import Session, Task


class LiveView(SessionView):
    """See `edgekit.live.live`, which makes it.

    Attributes:
        session: what is shown.
        cell: id of the notebook cell that made the view, or None.
    """

    def __init__(
        self,
        session: Session,
        *,
        models: Sequence[str] | None = None,
        open_task: Callable[[str, str], Task] | None = None,
        side: int = 640,
        quality: int = 80,
        power: str | None = "auto",
    ) -> None:
        SessionView.__init__(self, session, side, quality)
        self._open_task = open_task
        self._power = None if power is None else PowerLine(power)
        self._screen = ToBrowser(self._picture)
        self._settings = Settings()
        self._recording: Recording | None = None

        self._start = self._button("Start", "play", "Open the source and begin", self._on_start)
        self._stop = self._button("Stop", "stop", "End, and free the source", self._on_stop)
        self._snap = self._button("Snapshot", "camera", "Save this picture in out/live", self._on_snapshot)
        self._rec = self._button("Record", "circle", "Save a video in out/live", self._on_record)
        bar: list[widgets.Widget] = [self._start, self._stop, self._snap, self._rec]
        self._choice: Choice | None = None
        if open_task is not None:
            model = getattr(session, "model", "")
            names = shelf_models(model) if models is None else models
            self._choice = Choice(names, model, self._on_choice)
            bar.append(self._choice.box)
        self._figures, self._power_line, self._state, self._engine, self._error = (
            widgets.HTML(layout=widgets.Layout(display="none")) for _ in range(5)
        )
        row = widgets.Layout(flex_flow="row wrap", grid_gap="2px 4px", margin="4px 0", align_items="center")
        above = [self._picture, self._figures, self._error, widgets.HBox(bar, layout=row)]
        children = [*above, self._settings.box, self._state, self._engine, self._power_line]
        self._arrange(children, max(side, 480))
        session.add(self._open_screen)
        self.refresh()

    # frames begin and end

    def _open_screen(self) -> ToBrowser:
        """The session asks for the sink at the beginning of each run."""
        self._begin_ticking()
        return self._screen

    def _frames_begin(self) -> None:
        if self._power is not None:
            self._power.start()

    def _frames_ended(self) -> Callable[[], None]:
        meter = None if self._power is None else self._power.detach()

        def rest() -> None:
            self._end_recording()
            self._picture.reply(self.refresh)  # now, since a meter takes a while to stop
            if meter is not None:
                meter.stop()

        return rest

    def close(self) -> None:
        """Stop the session, free its source, and take the view away."""
        if self._shut:
            return
        self._shut = True
        self.session.remove(self._open_screen)
        self.session.stop()
        self._end_recording()
        self._close_parts()

    # buttons

    def _on_start(self) -> None:
        def work() -> None:
            self.session.start()

        self._do("starting …", work)

    def _on_stop(self) -> None:
        # Not through `_do`: a model that is being built must not keep the camera.
        self._problem = None
        threading.Thread(target=self.session.stop, name="edgekit-button", daemon=True).start()

    def _on_snapshot(self) -> None:
        if self._screen.last is None:
            return
        frame, result = self._screen.last

        def work() -> None:
            self._saved = f"saved {snapshot(frame, result)}"

        self._do("saving the picture …", work)

    def _on_record(self) -> None:
        def begin() -> None:
            source = self.session.source
            recording = Recording(source.fps if source else None)
            self.session.add(recording)
            self._recording = recording

        if self._recording is None:
            self._do("starting to record …", begin)
        else:
            self._do("finishing the video …", self._end_recording)

    def _end_recording(self) -> None:
        with self._lock:
            recording, self._recording = self._recording, None
        if recording is None:
            return
        self.session.remove(recording)
        recording.close()
        if recording.error is None:
            self._saved = f"saved {recording.path} ({clock(recording.seconds)})"
        else:
            self._problem = recording.error
            self._saved = f"the recording ended early; {recording.path} holds what was written"

    def _on_choice(self, model: str, precision: str) -> None:
        choice, open_task = self._choice, self._open_task
        assert choice is not None
        assert open_task is not None

        def work() -> None:
            self.session.use(lambda: open_task(model, precision))
            choice.settle()

        self._do(f"switching to {model}, {precision} …", work, undo=choice.revert)

    # what is shown

    def refresh(self) -> None:
        """Bring every line and button up to date."""
        with self._lock:
            if self._shut:
                return
            stats, task = self.session.stats(), self.session.task
            if task is not None:
                self._settings.adopt(task)
                self._say_what_is_open(task)
            if self._recording is not None and self._recording.closed:
                self._end_recording()
            running, free = stats.running, not self._busy
            self._start.disabled = running or not free
            self._stop.disabled = not running
            self._snap.disabled = self._screen.last is None or not free
            self._rec.disabled = not (running and stats.frames and free)
            self._rec.description = "Record" if self._recording is None else "End recording"
            self._rec.button_style = "" if self._recording is None else "danger"
            if self._choice is not None:
                self._choice.lock(not free)
            self._picture.hint = "" if stats.frames else "Starting …" if running else "Press Start"
            line(self._figures, figures(stats) if stats.frames else "")
            watts = self._power.text() if running and self._power is not None else ""
            line(self._power_line, escape(watts), "quiet")
            line(self._state, escape(self._state_now(stats)), "quiet", role="status")
            problem = self._problem or stats.error
            line(self._error, escape(sentence(problem)) if problem else "", "error", role="alert")

    def _say_what_is_open(self, task: Task) -> None:
        lines = [f"Engine: {escape(task.engine.why)}"]
        if (source := self.session.source) is not None:
            self._picture.label = f"Live picture of {source.spec}"
            lines[:0] = [f"Source: {escape(source.how)}"] if source.how else []
        line(self._engine, "<br>".join(lines), "quiet")
        if self._choice is not None:
            self._choice.begin_with(task.engine.precision)

    def _state_now(self, stats: Stats) -> str:
        """One line: what goes on, or why nothing does."""
        parts = [self._busy, stats.state]
        if not any(parts):
            if stats.running:
                parts.append("running" if stats.frames else "opening the source …")
            elif self._because:
                parts.append(f"stopped: {self._because}")
            elif stats.frames and stats.error is None:
                parts.append("stopped" if self.session.join(0).interrupted else "the source has ended")
        parts.append(stats.note)
        if self._recording is not None:
            parts.append(f"recording {self._recording.path}, {clock(self._recording.seconds)}")
        parts.append(self._saved)
        text = " · ".join(part for part in parts if part)
        return text[:1].upper() + text[1:]
