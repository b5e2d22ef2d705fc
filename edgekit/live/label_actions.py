"""Label who does what, in a notebook: the key frames of a set, one after the other, with the mouse alone.

from edgekit.live.label_actions import label_actions

label_actions("my_set")  # made by `edgekit prepare ava`
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgekit.draw import draw
from edgekit.errors import EdgekitError, MissingError
from edgekit.prepare.hand import HandLabels
from edgekit.results import Actions, Frame

if TYPE_CHECKING:
    import ipywidgets as widgets

#: Pictures are shown no wider or higher than this.
SIDE = 720


def label_actions(root: Path | str) -> widgets.VBox:
    """A widget that labels the people of a set; make it the last line of a cell.

    It begins at the first key frame that nobody has looked at. Each tick is written to `labels.csv` at once;
    Next says that a frame is right as it is, and brings AVA's files up to date.

    Args:
        root: a set of `edgekit prepare ava`.

    Raises:
        MissingError: ipywidgets is not installed.
        InputError: no such set, or nobody is in it.
    """
    try:
        import ipywidgets  # noqa: F401
    except ImportError as error:
        raise MissingError("labelling needs ipywidgets; cure: pip install ipywidgets.") from error
    return Labelling(HandLabels(root)).box


class Labelling:
    """The widget's parts and what they do.

    Attributes:
        labels: what is labelled.
        at: number of the key frame that is shown.
        chosen: the row of the person whose actions are ticked.
        box: the widget.
    """

    def __init__(self, labels: HandLabels) -> None:
        import ipywidgets as widgets

        self.labels = labels
        self.at, self.chosen = labels.first_open() or 0, 0
        self._silent = False
        self._marks: list[set[int]] = []
        self.picture = widgets.Image(format="jpeg", layout=widgets.Layout(max_width="100%"))
        self.people = widgets.ToggleButtons(style={"button_width": "64px"})
        self.people.observe(self._choose, "value")
        self.ticks = {
            number: widgets.Checkbox(
                description=name, indent=False, layout=widgets.Layout(width="210px", margin="0")
            )
            for number, name in labels.names.items()
        }
        for number, tick in self.ticks.items():
            tick.observe(self._ticked(number), "value")
        self.where, self.told, self.error = widgets.HTML(), widgets.HTML(), widgets.HTML()
        buttons = [
            self._button("Previous", "arrow-left", "Back; nothing is changed", self.previous),
            self._button("As before", "clone", "What each person did a second ago", self.as_before),
            self._button("Next", "arrow-right", "This frame is right; on to the next", self.next),
            self._button("Next open", "forward", "To the next frame that nobody looked at", self.next_open),
        ]
        self.buttons = {button.description: button for button in buttons}
        wrap = widgets.Layout(flex_flow="row wrap", max_height="240px", overflow="auto")
        grid = widgets.Box(list(self.ticks.values()), layout=wrap)
        bar = widgets.HBox(buttons, layout=widgets.Layout(flex_flow="row wrap", margin="4px 0"))
        parts = [self.where, self.picture, self.people, grid, self.told, bar, self.error]
        self.box = widgets.VBox(parts, layout=widgets.Layout(max_width=f"{SIDE + 20}px"))
        self.show()

    def _button(self, text: str, icon: str, tooltip: str, click: Callable[[], None]) -> widgets.Button:
        import ipywidgets as widgets

        button = widgets.Button(
            description=text, icon=icon, tooltip=tooltip, layout=widgets.Layout(width="auto")
        )
        button.on_click(lambda _: self._try(click))
        return button

    def _try(self, work: Callable[[], None]) -> None:
        """Do something, and show what goes wrong."""
        self.error.value = ""
        try:
            work()
        except EdgekitError as error:
            self.error.value = f'<div role="alert" style="color:#b00020">{escape(str(error))}</div>'

    # what the user does

    def _choose(self, change: dict[str, int | None]) -> None:
        if not self._silent and change["new"] is not None:
            self.chosen = int(change["new"])
            self._show_marks()
            self._draw()

    def _ticked(self, number: int) -> Callable[[dict[str, bool]], None]:
        def work(change: dict[str, bool]) -> None:
            if self._silent:
                return
            marks = [set(done) for done in self._marks]
            (marks[self.chosen].add if change["new"] else marks[self.chosen].discard)(number)
            self._try(lambda: self._put(marks))
            self._show_marks()

        return work

    def _put(self, marks: list[set[int]]) -> None:
        self.labels.put(self.at, marks)
        self._marks = marks

    def previous(self) -> None:
        """To the frame before."""
        self._go(max(0, self.at - 1))

    def as_before(self) -> None:
        """Give each person the actions of a second ago."""
        self._put(self.labels.as_before(self.at))
        self._show_marks()

    def next(self) -> None:
        """Confirm this frame, and go on to the next."""
        self._confirm()
        self._go(min(len(self.labels.keys) - 1, self.at + 1))

    def next_open(self) -> None:
        """Confirm this frame, and go on to the next that was not looked at; from the beginning at the end."""
        self._confirm()
        following = self.labels.first_open(self.at)
        found = self.labels.first_open() if following is None else following
        self._go(self.at if found is None else found)

    def _confirm(self) -> None:
        self._put(self._marks)
        self.labels.save()

    # what is shown

    def _go(self, index: int) -> None:
        self.at, self.chosen = index, 0
        self.show()

    def show(self) -> None:
        """Show the key frame `at`."""
        self._marks = self.labels.actions(self.at)
        people = self.labels.people(self.at)
        self._silent = True
        self.people.options = [(f"#{one.person}", row) for row, one in enumerate(people)]
        self.people.value = self.chosen
        self._silent = False
        self._show_marks()
        self._draw()

    def _show_marks(self) -> None:
        self._silent = True
        for number, tick in self.ticks.items():
            tick.value = number in self._marks[self.chosen]
        self._silent = False
        names = self.labels.names
        lines = [
            f"<b>#{one.person}</b> {escape(', '.join(names[n] for n in sorted(done)) or '–')}"
            for one, done in zip(self.labels.people(self.at), self._marks, strict=True)
        ]
        self.told.value = "<br>".join(lines)
        video, second = self.labels.keys[self.at]
        left = self.labels.left
        self.where.value = (
            f"<b>{escape(video)}</b>, second {second} · {self.at + 1} of {len(self.labels.keys)} · "
            + (f"{left} to look at" if left else "all looked at")
        )

    def _draw(self) -> None:
        image, people = self.labels.picture(self.at), self.labels.people(self.at)
        height, width = image.shape[:2]
        boxes = np.array([one.box for one in people], np.float32) * np.array([width, height] * 2, np.float32)
        numbers = np.array([one.person for one in people])
        bare = Actions(np.zeros((len(people), 1), np.float32), ("",), boxes, numbers, threshold=1.0)
        drawn = draw(Frame(image), bare, SIDE)
        scale = drawn.shape[1] / width
        left, top, right, bottom = (boxes[self.chosen] * scale).round().astype(int).tolist()
        cv2.rectangle(drawn, (left - 3, top - 3), (right + 3, bottom + 3), (255, 255, 255), 2)
        good, jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 85])
        assert good
        self.picture.value = jpeg.tobytes()
