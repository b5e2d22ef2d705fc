"""What a set's pictures, people and labels come to: frame lists, CSVs, action list, seconds left out.

`annotations/` and `frame_lists/` are made anew from `clips/`, `boxes/`, `labels.csv` and `segments.csv` each
time, so they always agree with each other.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from edgekit.prepare import ava_files as ava
from edgekit.prepare import labels
from edgekit.prepare.ava_files import FIRST_SECOND, FPS, SPLITS, Info, Layout, Row
from edgekit.prepare.people import People, read_people
from edgekit.prepare.text import write_lines

#: AVA's: seconds at either end of a clip that are not labelled, since the window would reach over it.
MARGIN_S = 2.0


def hand_file(root: Path) -> Path:
    """Labels given by hand: lines of AVA's CSV; an empty action is of who was looked at and does nothing."""
    return root / "labels.csv"


def segments_file(root: Path) -> Path:
    """The table given with --labels."""
    return root / "segments.csv"


def key_seconds(frames: int, margin: float = MARGIN_S) -> range:
    """The seconds of a clip that are labelled: whole ones, `margin` seconds from either end."""
    last = min(math.floor(frames / FPS - margin + 1e-6), (frames - 1) // FPS)
    return range(FIRST_SECOND + math.ceil(margin), FIRST_SECOND + last + 1)


def split_by_group(
    groups: Mapping[str, str],
    share: float = 0.2,
    seed: int = 0,
    patterns: Iterable[str] = (),
    fixed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Split videos by group: never one group on both sides.

    Args:
        groups: video → group.
        share: of the videos that are "val" at most; a larger group is passed over, but one of two or more
            groups is always taken.
        seed: another one gives another split; the same videos with the same seed always the same.
        patterns: if any: the groups with a video that matches one of them are "val", and no other.
        fixed: group → split, for those that are not drawn.
    """
    fixed = dict(fixed or {})
    patterns = list(patterns)
    names = sorted(set(groups.values()), key=lambda g: hashlib.sha256(f"{seed} {g}".encode()).hexdigest())
    if patterns:
        matched = {g for v, g in groups.items() if any(fnmatch(v, p) or fnmatch(g, p) for p in patterns)}
        fixed = {g: "val" if g in matched else "train" for g in names} | fixed
    sizes = Counter(group for group in groups.values() if group not in fixed)
    room, drawn = share * sizes.total(), dict.fromkeys(sizes, "train") | fixed
    for group in names:
        if group in sizes and sizes[group] <= room + 1e-6:
            drawn[group] = "val"
            room -= sizes[group]
    if share > 0 and len(sizes) > 1 and "val" not in drawn.values():
        drawn[min((g for g in names if g in sizes), key=lambda g: sizes[g])] = "val"
    return {video: drawn[group] for video, group in groups.items()}


@dataclass(frozen=True)
class Counts:
    """What a set holds, by split.

    Attributes:
        videos, seconds, boxes, labels: clips with key frames, key frames, people in them, actions of these.
        waiting: key frames with people that nobody has labelled.
        actions: action number → people who do it.
    """

    videos: int = 0
    seconds: int = 0
    boxes: int = 0
    labels: int = 0
    waiting: int = 0
    actions: Mapping[int, int] | None = None


def annotate(root: Path) -> dict[str, Counts]:
    """Write frame lists and annotations of a set anew, from its `dataset.json` and action list.

    In the lists of found boxes stand the people of labelled key frames: those without an action are
    negatives. Key frames without people, and those that nobody has labelled, are left out of both splits.

    Raises:
        InputError: labels name an action that the list lacks, or a file is not readable.
        EdgekitError: something cannot be written.
    """
    layout, info = Layout(root), ava.read_info(root)
    names = ava.read_labels(layout.labels)
    hand: dict[tuple[str, int], list[Row]] = {}
    for row in ava.read_csv(hand_file(root)) if hand_file(root).exists() else ():
        hand.setdefault((row.video, row.second), []).append(row)
    table = labels.read_segments(segments_file(root)) if segments_file(root).exists() else []
    counts = {}
    scores: list[float] = []
    for split in SPLITS:
        videos = {v: facts for v, facts in info.videos.items() if facts["split"] == split}
        made = _Split()
        for video, facts in videos.items():
            own = [s for s in table if labels.belongs(s, video, facts["source"])]
            made.add(video, facts, read_people(root, video) or {}, own, hand, names)
        listed = [v for v in videos if v in made.videos]  # SlowFast wants a box in each video of the list
        ava.write_frame_list(
            layout.frame_list(split),
            {v: [ava.picture_name(v, i) for i in range(videos[v]["frames"])] for v in listed},
        )
        ava.write_csv(layout.truth(split), made.truth)
        ava.write_boxes(layout.boxes(split), made.boxes if split == "train" else made.bare())
        ava.write_excluded(layout.excluded(split), made.excluded)
        counts[split] = made.counts()
        scores += [row.score or 0.0 for row in made.boxes]
    _overrides(root, info, max(names), min(scores, default=0.0))
    return counts


def _overrides(root: Path, info: Info, classes: int, score: float) -> None:
    """`slowfast.yaml`: what a configuration of SlowFast needs of this set, to be copied into it."""
    layout = Layout(root.absolute())
    truth, found, asked = (
        path.relative_to(layout.annotations).as_posix()
        for path in (layout.truth("train"), layout.boxes("train"), layout.boxes("val"))
    )
    write_lines(
        root / "slowfast.yaml",
        [
            "# for configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml and its like; slowfast/datasets/ava_helper.py:",
            f"# AVA_VALID_FRAMES = range({info.seconds.start}, {info.seconds.stop})",
            "# SlowFast needs pytorchvideo of GitHub: PyPI's lacks cat_all_gather and pytorchvideo.losses.",
            "AVA:",
            f'  FRAME_DIR: "{layout.frames}"',
            f'  FRAME_LIST_DIR: "{layout.root / "frame_lists"}"',
            f'  ANNOTATION_DIR: "{layout.annotations}"',
            f'  TRAIN_PREDICT_BOX_LISTS: ["{truth}", "{found}"]',
            f'  TEST_PREDICT_BOX_LISTS: ["{asked}"]',
            f"  DETECTION_SCORE_THRESH: {math.floor(score * 1000) / 1000}",
            "  FULL_TEST_ON_VAL: True",
            "MODEL:",
            f"  NUM_CLASSES: {classes}",
        ],
    )


class _Split:
    """The rows of one side of the split in the making."""

    def __init__(self) -> None:
        self.truth: list[Row] = []
        self.boxes: list[Row] = []
        self.excluded: list[tuple[str, int]] = []
        self.videos: dict[str, None] = {}
        self.waiting = 0

    def add(
        self,
        video: str,
        facts: Mapping[str, Any],
        people: People,
        own: list[labels.Segment],
        hand: Mapping[tuple[str, int], list[Row]],
        names: Mapping[int, str],
    ) -> None:
        first, stop = facts["seconds"]
        for second in range(first, stop):
            there = people.get(second, [])
            if rows := hand.get((video, second)):
                labelled = labels.by_hand(rows, there)
            else:
                t = facts["start"] + second - FIRST_SECOND
                labelled = labels.by_segments(own, names, t, there) if there else []
                self.waiting += bool(there and not labelled)
            if not labelled:
                self.excluded.append((video, second))
                continue
            self.videos[video] = None
            for one, actions in labelled:
                self.truth += [Row(video, second, one.box, action, one.person) for action in actions]
                self.boxes += [
                    Row(video, second, one.box, action, score=one.score) for action in (actions or (None,))
                ]

    def bare(self) -> list[Row]:
        """The boxes without their labels, each once: a validation set is not told what it is asked."""
        return list(dict.fromkeys(replace(row, action=None) for row in self.boxes))

    def counts(self) -> Counts:
        done: dict[int, int] = {}
        for row in self.truth:
            assert row.action is not None
            done[row.action] = done.get(row.action, 0) + 1
        seconds = len({(row.video, row.second) for row in self.boxes})
        return Counts(
            len(self.videos),
            seconds,
            len(self.bare()),
            len(self.truth),
            self.waiting,
            dict(sorted(done.items())),
        )


def info_of(
    states: Mapping[str, Mapping[str, Any]], splits: Mapping[str, str], margin: float = MARGIN_S
) -> Info:
    """What `dataset.json` says of the clips of a set.

    Args:
        states: as of `clips.read_states`.
        splits: video → split.
        margin: as of `key_seconds`.
    """
    videos = {}
    for name, state in states.items():
        seconds = key_seconds(state["frames"], margin)
        videos[name] = {
            "source": state["source"],
            "video": state["video"],
            "start": state["asked"]["start"],
            **{key: state[key] for key in ("frames", "width", "height")},
            "split": splits[state["video"]],
            "seconds": [seconds.start, max(seconds.start, seconds.stop)],
        }
    stop = max((v["seconds"][1] for v in videos.values()), default=FIRST_SECOND)
    return Info(range(FIRST_SECOND + math.ceil(margin), stop), videos)
