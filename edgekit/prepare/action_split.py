"""A set of clips split into train/ and test/, so that no person and no video is on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgekit.prepare.action_folders import all_clips, read_note
from edgekit.prepare.annotate import split_by_group
from edgekit.prepare.ava import Outcome
from edgekit.prepare.clip_names import group_of


@dataclass(frozen=True)
class Division:
    """Which clips train and which test.

    Attributes:
        share: of the videos that test; 0, without patterns and words in the table: no split.
        seed: of the draw.
        patterns: of videos or groups that test, as in `cam2/*`; then nothing is drawn.
    """

    share: float = 0.0
    seed: int = 0
    patterns: tuple[str, ...] = ()

    def sides(self, groups: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, str]:
        """Video → "train" or "test"; {} where nothing is split.

        Args:
            groups: video → group; a group is never on both sides.
            fixed: group → side, for those that are not drawn.
        """
        if not (fixed or self.share or self.patterns):
            return {}
        known = {group: "val" if side == "test" else "train" for group, side in fixed.items()}
        drawn = split_by_group(groups, self.share, self.seed, self.patterns, known)
        return {key: "test" if side == "val" else "train" for key, side in drawn.items()}


def split_set(root: Path, division: Division, outcome: Outcome) -> None:
    """Move the clips of a set, split or not, into train/ and test/.

    Args:
        root: of the set.
        division: by which; its patterns see CLASS/CLIP and the groups.
        outcome: is told what was moved, what was there, and what a side lacks.
    """
    there = {folder: side for side, folder in all_clips(root)}
    groups = {str(folder): group_of(folder, read_note(folder)) for folder in there}
    keys = {f"{folder.parent.name}/{folder.name}": str(folder) for folder in there}
    drawn = division.sides({key: groups[folder] for key, folder in keys.items()}, {})
    for folder, side in there.items():
        key = f"{folder.parent.name}/{folder.name}"
        target = root / drawn[key] / key
        if side == drawn[key]:
            outcome.kept.append(key)
        elif target.exists():
            outcome.notes.append(f"{folder} stays, since {target} is there: name one of them anew")
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.replace(target)
            outcome.made.append(key)
    drop_empty(folder.parent for folder in there)
    say_missing([(side, folder.parent.name) for side, folder in all_clips(root)], outcome)


def drop_empty(folders: Iterable[Path]) -> None:
    """Delete folders of classes, and of sides, that hold nothing: TAO takes them for classes."""
    for folder in set(folders):
        for one in (folder, folder.parent):
            with suppress(OSError):  # something is in it
                one.rmdir()


def say_missing(clips: Iterable[tuple[str, str]], outcome: Outcome) -> None:
    """Tell which side of the split lacks which class: no error, but worth a word.

    Args:
        clips: (side, class) of each.
        outcome: is told.
    """
    by_side: dict[str, set[str]] = {}
    for side, label in clips:
        by_side.setdefault(side, set()).add(label)
    for side, labels in sorted(by_side.items()):
        lacking = sorted({label for some in by_side.values() for label in some} - labels)
        if lacking:
            outcome.notes.append(f"{side} has no clip of {', '.join(lacking)}; try another --seed or --test")
