"""The last step to a set in AVA's layout: the split, the actions, and the files that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.prepare import annotate, labels
from edgekit.prepare import ava_files as ava
from edgekit.prepare.ava import Outcome
from edgekit.prepare.ava_files import FPS
from edgekit.prepare.clips import read_states
from edgekit.prepare.people import read_people


@dataclass(frozen=True)
class Division:
    """Which videos are for training and which for validation.

    Attributes:
        share: of the videos that validate, whole groups (one video each, where a table says nothing else).
        seed: of the draw.
        patterns: of videos that validate, as in `cam2/*`; then nothing is drawn.
        margin: seconds at either end of a clip without a key frame.
    """

    share: float = 0.2
    seed: int = 0
    patterns: tuple[str, ...] = ()
    margin: float = annotate.MARGIN_S


def make_lists(
    root: Path,
    division: Division,
    outcome: Outcome,
    *,
    table: Sequence[labels.Segment] | None = None,
    names: Mapping[int, str] | None = None,
) -> dict[str, annotate.Counts]:
    """Split the videos, and write `dataset.json`, the action list and all that `annotate` writes.

    Args:
        root: the set.
        division: the split.
        outcome: takes the notes.
        table: labels from now on; None: those that the set has.
        names: the actions; None: the set's own, else those of the table, else AVA's 80.

    Raises:
        InputError: there is no clip, a table names an action or a split that does not fit, or hand labels
            have another list of actions.
    """
    states = read_states(root)
    if not states:
        raise InputError(f"{root} holds no clip; run `edgekit prepare ava VIDEOS --out {root}`.")
    layout = ava.Layout(root)
    names = dict(names or _default_names(layout, table))
    _check_hand(root, names)
    if table is None and annotate.segments_file(root).exists():
        table = labels.read_segments(annotate.segments_file(root), "group")
    groups, fixed = _groups(root, states, table or (), division.margin)
    for segment in table or ():
        labels.number_of(names, segment.action)
    unknown = _unknown(states, table or ())
    if unknown:
        outcome.notes.append(
            f"{len(unknown)} videos of the table are not in the set, the first: {unknown[0]}"
        )
    splits = annotate.split_by_group(groups, division.share, division.seed, division.patterns, fixed)
    if table is not None:
        labels.write_segments(annotate.segments_file(root), table)
    ava.write_labels(layout.labels, names)
    info = annotate.info_of(states, splits, division.margin)
    for name, facts in info.videos.items():
        if facts["seconds"][0] == facts["seconds"][1]:
            outcome.notes.append(
                f"{name} has no key frame: it is {facts['frames'] / FPS:.1f} s long and --margin "
                f"{division.margin:g} leaves out as much at either end; give a smaller --margin"
            )
    ava.write_info(root, info, settings=asdict(division))
    return annotate.annotate(root)


def _groups(
    root: Path, states: Mapping[str, Mapping[str, Any]], table: Sequence[labels.Segment], margin: float
) -> tuple[dict[str, str], dict[str, str]]:
    """video → group, and group → split where that is settled: by the table, or since nobody is in it."""
    groups: dict[str, str] = {}
    fixed: dict[str, str] = {}
    peopled = set()
    for name, state in states.items():
        own = [s for s in table if labels.belongs(s, name, state["source"])]
        group = groups[state["video"]] = next((s.group for s in own if s.group), state["video"])
        for said in {s.split for s in own if s.split}:
            if fixed.setdefault(group, said) != said:
                raise InputError(f"the table has {state['source']} (or its group) in both splits.")
        people = read_people(root, name) or {}
        if any(people.get(second) for second in annotate.key_seconds(state["frames"], margin)):
            peopled.add(group)
    if peopled:  # a validation set of empty rooms would say nothing
        fixed = {group: "train" for group in groups.values() if group not in peopled} | fixed
    return groups, fixed


def _unknown(states: Mapping[str, Mapping[str, Any]], table: Sequence[labels.Segment]) -> list[str]:
    """The videos of a table that the set has not."""
    known = {
        word for name, s in states.items() for word in (name, s["source"], *labels.words_of(s["source"]))
    }
    return sorted({segment.video for segment in table} - known)


def _default_names(layout: ava.Layout, table: Sequence[labels.Segment] | None) -> dict[int, str]:
    if table is not None:
        return labels.names_of(table)
    if layout.labels.exists():
        return ava.read_labels(layout.labels)
    from edgekit.action_names import AVA80

    return dict(enumerate(AVA80, 1))


def _check_hand(root: Path, names: Mapping[int, str]) -> None:
    """Labels given by hand hold numbers: these must go on meaning the same."""
    if not annotate.hand_file(root).exists():
        return
    before = ava.read_labels(ava.Layout(root).labels)
    for number in sorted({row.action for row in ava.read_csv(annotate.hand_file(root)) if row.action}):
        if names.get(number) != before.get(number):
            raise InputError(
                f"{annotate.hand_file(root)} uses action {number} ({before.get(number, 'unknown')}), which "
                f"is {names.get(number, 'missing')} in the new list; add new actions at the list's end."
            )
