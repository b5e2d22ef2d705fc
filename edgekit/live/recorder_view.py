"""The recorder's widget: the picture, a button and a bar for each class, and what can be set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets
from anywidget import AnyWidget
from numpy.typing import NDArray

from edgekit.camera import Source
from edgekit.live.class_rows import ClassRows
from edgekit.live.clip_camera import direction, watch
from edgekit.live.clip_marks import marked
from edgekit.live.clip_recorder import Clip, ClipRecorder
from edgekit.live.clip_take import CancelledError, Mark
from edgekit.live.session_view import SessionView
from edgekit.live.text import line, sentence

HERE = Path(__file__).resolve().parent
NARROW = {"description_width": "initial"}


class Keys(AnyWidget):
    """Tells which of the `wanted` keys is pressed in the recorder, and shows `description`."""

    _esm = HERE / "record_actions.js"
    _css = HERE / "record_actions.css"
    description = traitlets.Unicode("").tag(sync=True)
    wanted = traitlets.List(traitlets.Unicode()).tag(sync=True)


class RecorderView(SessionView):
    """See `edgekit.live.record_actions.record_actions`, which makes it.

    Attributes:
        recorder: does the work.
    """

    def __init__(
        self,
        source: str | Path | Source | Callable[[], Source],
        root: Path | str,
        labels: Sequence[str],
        *,
        seconds: float,
        countdown: float,
        person: str,
        fps: float | None,
        size: int | None,
        side: int,
        quality: int,
    ) -> None:
        SessionView.__init__(self, watch(source), side, quality)
        self.recorder = ClipRecorder(
            self.session, root, labels, seconds=seconds, countdown=countdown, fps=fps, size=size
        )
        self.recorder.show, self.recorder.tell = self._show, direction(source)
        self._round = ""
        self._rows = ClassRows(self._on_class)
        self._camera = self._button("Start camera", "video-camera", "See yourself", self._on_camera)
        self._play = self._button("Play last", "play", "See the last clip again (P)", self._on_play)
        self._delete = self._button(
            "Delete last", "trash", "Remove the last clip at once (Delete)", self._on_delete
        )
        self._cancel = self._button("Cancel", "times", "Keep nothing of this clip (Esc)", self._on_cancel)
        self._new = widgets.Text(placeholder="another action", layout=widgets.Layout(width="180px"))
        self._new.on_msg(self._on_text)
        self._add = self._button("Add", "plus", "A class more", self._on_add)
        self._person = self._field(widgets.Text, "Person", "190px", value=person, placeholder="who performs")
        self._times = self._field(widgets.BoundedIntText, "Repeat", "110px", value=1, min=1, max=100)
        self._seconds = self._field(
            widgets.BoundedFloatText, "Seconds", "125px", value=seconds, min=0.1, max=600, step=0.5
        )
        self._countdown = self._field(
            widgets.BoundedFloatText, "Countdown", "140px", value=countdown, min=0, max=60, step=1
        )
        self._state, self._error, self._total = (widgets.HTML() for _ in range(3))
        self._keys = Keys()
        self._keys.on_msg(lambda _, message, __: self._on_key(str(message.get("key"))))
        row = widgets.Layout(flex_flow="row wrap", grid_gap="0 6px", margin="1px 0", align_items="center")
        bar = widgets.HBox([self._camera, self._play, self._delete, self._cancel], layout=row)
        more = widgets.HBox([self._new, self._add], layout=row)
        settings = widgets.HBox([self._person, self._times, self._seconds, self._countdown], layout=row)
        above = [self._picture, self._state, self._error, self._rows.box, more]
        self._arrange([*above, bar, settings, self._total, self._keys], max(side, 480))
        self.add_class("edgekit-record")
        self.session.add(self._open_sink)
        self.refresh()

    def _field(self, kind: type, words: str, width: str, **keys: Any) -> Any:
        return kind(description=words, style=NARROW, layout=widgets.Layout(width=width), **keys)

    def _open_sink(self) -> ClipRecorder:
        """The session asks for the sink at the beginning of each run."""
        self._begin_ticking()
        return self.recorder.begin()

    def _show(self, picture: NDArray[np.uint8], mark: Mark | None) -> None:
        if self._picture.flow.room():
            self._picture.show(marked(picture, mark, self._picture.side))

    def close(self) -> None:
        """Keep nothing of a clip in the making, free the camera, and take the widget away."""
        if self._shut:
            return
        self._shut = True
        self.recorder.end("the recorder was closed; nothing of the clip was kept.")
        self.session.remove(self._open_sink)
        self.session.stop()
        self.recorder.wait()
        self._close_parts()

    # by code

    @property
    def counts(self) -> dict[str, int]:
        """Clips of each class."""
        return dict(self.recorder.counts)

    @property
    def person(self) -> str:
        """Who performs; "" where nobody is named."""
        return str(self._person.value)

    @person.setter
    def person(self, name: str) -> None:
        self._person.value = name

    def record(self, label: str, repeat: int = 1) -> Path:
        """Record `repeat` clips of a class, each after its countdown; waits, and gives the last one's folder.

        Raises:
            InputError: no such class, or a name that is no folder's.
            EdgekitError: the camera failed, or the folder cannot be written; nothing of that clip is left.
        """
        self.recorder.seconds, self.recorder.countdown = self._seconds.value, self._countdown.value
        try:
            for number in range(1, repeat + 1):
                self._round = f"clip {number} of {repeat}" if repeat > 1 else ""
                clip = self.recorder.record(label, self.person)
                self._saved = f"saved {_words(clip)}"
                self._picture.reply(self.refresh)
        finally:
            self._round = ""
            self._picture.reply(self.refresh)
        return clip.folder

    def delete_last(self) -> None:
        """Remove the folder of the clip recorded last. No other can be removed before another is recorded.

        Raises:
            InputError: there is none.
            EdgekitError: it cannot be removed.
        """
        self._saved = f"deleted {_words(self.recorder.delete_last())}"
        self._picture.reply(self.refresh)

    def play_last(self) -> None:
        """Show the clip recorded last in the picture; waits for its end.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        self.recorder.play_last()

    def add_label(self, label: str) -> None:
        """One class more.

        Raises:
            InputError: there is such a class, or its name is no folder's.
        """
        self.recorder.add_label(label)
        self.refresh()

    # buttons and keys

    def _on_camera(self) -> None:
        if self.session.running:
            threading.Thread(target=self.session.stop, name="edgekit-button", daemon=True).start()
        else:
            self._do("opening the camera …", self._open_camera)

    def _open_camera(self) -> None:
        self.session.start()

    def _on_class(self, label: str) -> None:
        def work() -> None:
            try:
                self.record(label, self._times.value)
            except CancelledError as told:
                self._saved = str(told)

        self._do(f"recording {label} …", work)

    def _on_play(self) -> None:
        self._do("playing the last clip", self.play_last)

    def _on_delete(self) -> None:
        self._do("deleting …", self.delete_last)

    def _on_cancel(self) -> None:
        self.recorder.cancel()

    def _on_text(self, _: widgets.Text, message: dict[str, Any], __: Any) -> None:
        if message.get("event") == "submit":  # Enter
            self._on_add()

    def _on_add(self) -> None:
        def work() -> None:
            self.add_label(self._new.value)
            self._new.value = ""

        self._do("adding a class …", work)

    def _on_key(self, key: str) -> None:
        if key.isdigit():
            labels = list(self.recorder.counts)
            if 1 <= int(key) <= len(labels):
                self._on_class(labels[int(key) - 1])
        elif key == "Escape":
            self._on_cancel()
        elif self.recorder.last is not None:
            self._on_play() if key in "pP" else self._on_delete()

    # what is shown

    def refresh(self) -> None:
        """Bring every line, bar and button up to date."""
        with self._lock:
            if self._shut:
                return
            stats, take = self.session.stats(), self.recorder.take
            busy = bool(self._busy or take)
            self._rows.show(self.recorder.counts, busy, take.label if take else "")
            keys = min(9, len(self.recorder.counts))
            self._keys.wanted = [*map(str, range(1, keys + 1)), "p", "P", "Delete", "Backspace", "Escape"]
            first = {0: "", 1: "1 records, "}.get(keys, f"1–{keys} record, ")
            self._keys.description = f"Keys: {first}P plays, Delete deletes the last clip, Esc cancels"
            running, nothing = stats.running, self.recorder.last is None
            self._camera.description = "Stop camera" if running else "Start camera"
            self._play.disabled = self._delete.disabled = busy or nothing
            self._cancel.disabled = not busy
            self._add.disabled = busy
            self._picture.hint = "" if stats.frames else "Starting …" if running else "Press an action"
            line(self._state, self._state_now(stats.running, stats.state), role="status")
            problem = self._problem or stats.error
            line(self._error, escape(sentence(problem)) if problem else "", "error", role="alert")
            total = sum(self.recorder.counts.values())
            clips = f"{total} clip{'' if total == 1 else 's'}"
            line(self._total, f"{clips} in {escape(str(self.recorder.root))}", "quiet")

    def _state_now(self, running: bool, state: str) -> str:
        """One line, HTML: what goes on, or what can be done."""
        take, parts = self.recorder.take, []
        if take is not None:
            parts = [f"<b>{escape(take.label)}</b>: {take.words()}", escape(self._round)]
        elif self._busy:
            parts = [escape(self._busy)]
        elif self._saved:
            parts = [escape(self._saved)]
        elif self._because and not running:
            parts = [escape(f"stopped: {self._because}")]
        else:
            parts = ["press an action: it counts down, then records"]
        text = " · ".join(part for part in (*parts, escape(state)) if part)
        return text if text.startswith("<") else text[:1].upper() + text[1:]


def _words(clip: Clip) -> str:
    place = "/".join(clip.folder.parts[-2:])
    return f"{place}: {clip.count} frames, {clip.count / clip.fps:.1f} s"
