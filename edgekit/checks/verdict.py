"""What a self-check says: right, not right and why, or not yet."""

from __future__ import annotations

import html
from dataclasses import dataclass

_COLOURS = {"Right": "#2e7d32", "Not right": "#c62828", "Not yet": "#b26a00"}


@dataclass(frozen=True)
class Verdict:
    """What a self-check says; the last line of a cell shows it in green, red or amber.

    Attributes:
        head: "Right", "Not right" or "Not yet".
        words: why, and what to look at.
    """

    head: str
    words: str

    def __bool__(self) -> bool:
        return self.head == "Right"

    def __str__(self) -> str:
        return f"{self.head}: {self.words}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return (
            f'<p style="padding:6px 10px;border-left:6px solid {_COLOURS[self.head]}">'
            f"<b>{self.head}.</b> {html.escape(self.words)}</p>"
        )


def right(words: str) -> Verdict:
    return Verdict("Right", words)


def wrong(words: str) -> Verdict:
    return Verdict("Not right", words)


def missing(words: str) -> Verdict:
    return Verdict("Not yet", words)
