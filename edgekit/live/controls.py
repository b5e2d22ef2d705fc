"""What can be set while the picture runs: sliders, the class filter, model and precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from edgekit.engine import PRECISIONS

WIDE = {"description_width": "115px"}
NARROW = {"description_width": "initial"}


class Settings:
    """Sliders for `task.controls` and a filter for `task.names`, made when a task is there.

    What the user has set outlives the task: the next one gets it too, as far as it has such a setting.

    Attributes:
        box: the widget.
    """

    def __init__(self) -> None:
        self._sliders = widgets.VBox(layout=widgets.Layout(flex="1 1 300px"))
        self._classes = widgets.SelectMultiple(
            description="Classes",
            tooltip="Show only these; with none chosen, all. Ctrl adds one, Shift a range.",
            rows=4,
            style=NARROW,
            layout=widgets.Layout(flex="0 1 220px", width="auto"),
        )
        self._classes.observe(self._filter, "value")
        self.box = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap", grid_gap="0 16px"))
        self._task: Any = None
        self._chosen: dict[str, float] = {}
        self._wanted: tuple[str, ...] = ()

    def adopt(self, task: Any) -> None:
        """Show and set what this task has; nothing happens if it is the one already."""
        if task is self._task:
            return
        self._task = None  # what is filled in now is not the user's wish
        controls = dict(getattr(task, "controls", {}))
        for name in controls:
            if name in self._chosen:
                setattr(task, name, self._chosen[name])
        names = tuple(getattr(task, "names", ())) if hasattr(task, "classes") else ()
        if self._classes.options != names:
            self._classes.options = names
        self._classes.value = tuple(name for name in self._wanted if name in names)
        if self._classes.value:
            task.classes = list(self._classes.value)
        self._sliders.children = [self._slider(task, name, label) for name, label in controls.items()]
        self.box.children = [self._sliders] * bool(controls) + [self._classes] * (len(names) > 1)
        self._task = task

    def _slider(self, task: Any, name: str, label: str) -> widgets.FloatSlider:
        words = label[:1].upper() + label[1:]
        low, high, step = getattr(task, "ranges", {}).get(name, (0.0, 1.0, 0.01))
        slider = widgets.FloatSlider(
            value=getattr(task, name),
            min=low,
            max=high,
            step=step,
            description=words,
            readout_format=".2f" if step < 1 else ".0f",
            style=WIDE,
            layout=widgets.Layout(width="auto"),
        )

        def moved(change: dict[str, Any]) -> None:
            self._chosen[name] = change["new"]
            if self._task is not None:
                setattr(self._task, name, change["new"])

        slider.observe(moved, "value")
        return slider

    def _filter(self, change: dict[str, Any]) -> None:
        if self._task is not None:
            self._wanted = change["new"]
            self._task.classes = list(change["new"]) or None


class Choice:
    """Which model and which precision.

    Args:
        models: names to choose from.
        changed: called with the model and the precision that the user chose.

    Attributes:
        box: the widget.
    """

    def __init__(self, models: Sequence[str], model: str, changed: Callable[[str, str], None]) -> None:
        names = list(dict.fromkeys([*([model] if model else []), *models]))
        self._model = widgets.Dropdown(
            options=names, description="Model", style=NARROW, layout=widgets.Layout(width="auto")
        )
        self._precision = widgets.Dropdown(
            options=PRECISIONS, description="Precision", style=NARROW, layout=widgets.Layout(width="auto")
        )
        self._changed = changed
        self._silent = self._touched = False
        self._settled = (self._model.value, self._precision.value)
        for dropdown in (self._model, self._precision):
            dropdown.observe(self._chosen, "value")
        self.box = widgets.HBox([self._model, self._precision])

    def _chosen(self, _: Any) -> None:
        if not self._silent:
            self._touched = True
            self._changed(self._model.value, self._precision.value)

    def begin_with(self, precision: str) -> None:
        """Show the precision of the task that is open, as long as nothing was chosen."""
        if not self._touched and precision in PRECISIONS:
            self._show(self._model.value, precision)
            self.settle()

    def settle(self) -> None:
        """The choice took effect."""
        self._settled = (self._model.value, self._precision.value)

    def revert(self) -> None:
        """Back to what was in effect before."""
        self._show(*self._settled)

    def _show(self, model: str, precision: str) -> None:
        self._silent = True
        try:
            self._model.value, self._precision.value = model, precision
        finally:
            self._silent = False

    def lock(self, locked: bool) -> None:
        """Let nothing be chosen meanwhile."""
        self._model.disabled = self._precision.disabled = locked


def shelf_models(like: str) -> list[str]:
    """Models of the shelf that are on this machine and do what `like` does; "" finds objects."""
    from edgekit.models import models
    from edgekit.tasks.choose import recipe_kind

    shelf = models()
    kind = recipe_kind(shelf[like].recipe) if like in shelf else "yolo"
    return [one.name for one in shelf.values() if one.available and recipe_kind(one.recipe) == kind]
