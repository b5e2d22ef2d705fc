"""Settings of a network: as given, else as its ONNX metadata notes them, else a default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.errors import InputError


@dataclass(frozen=True)
class Noted:
    """Where a setting is looked for.

    Attributes:
        metadata: of the model, each note JSON or a plain word.
        given: settings by name; None: not given.
    """

    metadata: Mapping[str, str]
    given: Mapping[str, Any]

    def pick(self, name: str, default: Any, read: Callable[[Any], Any] | None = None) -> Any:
        """As given, which is not checked here, else as `note` finds it."""
        own = self.given.get(name)
        return own if own is not None else self.note(name, default, read)

    def note(self, name: str, default: Any, read: Callable[[Any], Any] | None = None) -> Any:
        """One note; its kind is that of `default`: a word; a list (a tuple); else a number or a list of them.

        Args:
            read: makes a value of that kind of what stands there, where it may be of another.

        Raises:
            InputError: the note is of another kind.
        """
        if name not in self.metadata:
            return default
        try:
            value = json.loads(self.metadata[name])
        except ValueError:
            value = self.metadata[name]
        if read is not None:
            value = read(value)
        kind: Any = (int, float, list)
        if isinstance(default, str | tuple):
            kind = str if isinstance(default, str) else list
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InputError(f"the model's note {name!r} is {self.metadata[name]!r}; export it again.")
        return value

    def channels(self, name: str, default: float, count: int = 3) -> tuple[float, ...]:
        """A number for each of `count` channels, of one or of so many.

        Raises:
            InputError: they are more or fewer, or no numbers.
        """
        value = self.pick(name, default)
        found = np.asarray(value, float).ravel()
        if len(found) not in (1, count) or not np.isfinite(found).all():
            raise InputError(f"{name} is {value}; give one number, or {count}: one for each channel.")
        return tuple(np.broadcast_to(found, count).tolist())
