"""The recorder's classes: a button that records one, and a bar that shows how many clips it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

import ipywidgets as widgets

#: So many clips fill a bar, unless a class has more.
FULL = 10


class ClassRows:
    """One row for each class.

    Args:
        press: called with the class whose button was pressed.

    Attributes:
        box: the widget.
    """

    def __init__(self, press: Callable[[str], None]) -> None:
        self._press = press
        self.buttons: dict[str, widgets.Button] = {}
        self._bars: dict[str, widgets.HTML] = {}
        self.box = widgets.VBox()

    def show(self, counts: Mapping[str, int], busy: bool, now: str) -> None:
        """The clips of each class, and which one is being recorded ("": none)."""
        full = max((FULL, *counts.values()))
        for label, count in counts.items():
            if label not in self.buttons:
                self._add(label)
            button = self.buttons[label]
            # Not disabled, since a button that has the keyboard would lose it.
            (button.add_class if busy else button.remove_class)("edgekit-waits")
            button.button_style = "danger" if label == now else ""
            self._bars[label].value = (
                f'<div class="edgekit-bar" role="img" aria-label="Clips of {escape(label)}: {count}">'
                f'<div class="edgekit-bar-track"><div style="width:{100 * count / full:.0f}%"></div></div>'
                f'<span class="edgekit-bar-count">{count}</span></div>'
            )

    def _add(self, label: str) -> None:
        number = len(self.buttons) + 1
        key = str(number) if number <= 9 else ""
        button = widgets.Button(
            description=f"{key}  {label}".strip(),
            icon="circle",
            tooltip=f"Record {label}" + (f" ({key})" if key else ""),
            layout=widgets.Layout(width="190px"),
        )
        button.on_click(lambda _: self._press(label))
        self.buttons[label], self._bars[label] = button, widgets.HTML()
        row = widgets.HBox([button, self._bars[label]])
        row.add_class("edgekit-class")
        self.box.children = [*self.box.children, row]
