"""Self-check of notebook 08: one action more, and a friend whom the network never saw, examined anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.action_windows import center, inner
from edgekit.checks.verdict import Verdict, missing, right, wrong
from edgekit.engine import open_engine
from edgekit.errors import EdgekitError
from edgekit.files import sha256
from edgekit.ops.resize import to_size
from edgekit.prepare.action_folders import ActionClip, read_actions, read_note
from edgekit.prepare.clip_names import group_of
from edgekit.tasks.action_nets import Net, Notes, read_notes
from edgekit.tasks.action_tape import planes_of, tables

#: Fewer clips than this of an action teach nothing, and fewer of a friend examine nothing.
FEWEST_TAUGHT, FEWEST_ASKED = 3, 5
#: Share of the friend's clips that must be right.
PASSED = 0.8


def own_action(
    added: str | None,
    friend: str | None,
    model: Path | str,
    taught: Path | str,
    asked: Path | str,
    before: Sequence[str],
) -> Verdict:
    """Notebook 08: the network knows one action more, and knows what a friend does whom it never saw.

    Everything is read from files: the network's names, who is in which clip, and each answer, for which the
    network is run on the middle of the clip, as `edgekit evaluate actions` does.

    Args:
        added: the new action.
        friend: whose clips are the exam: what their names have before the last `_`.
        model: the exported ONNX file.
        taught: folder of the set it was trained on.
        asked: folder of the set with the friend's clips.
        before: the actions of the prepared set.
    """
    if not added or not friend:
        return missing('give my_class, for example "clap", and my_friend, for example "drawn05".')
    if not isinstance(added, str) or not isinstance(friend, str):
        return wrong(f"my_class is {added!r} and my_friend {friend!r}; both are words.")
    if added in before:
        return wrong(f"{added} was there before; add an action that is not among {', '.join(before)}.")
    if not Path(model).is_file():
        return wrong(f"{model} is no file: nothing was trained and exported here (steps 4 and 6).")
    try:
        lessons, exam = read_actions(taught), read_actions(asked)
        problem = _not_taught(added, lessons) or _not_asked(added, friend, exam, before)
        problem = problem or _seen_before(friend, lessons, exam)
        if problem:
            return wrong(problem)
        with closing(open_engine(model, "fp32", "onnxruntime")) as engine:
            net = Net(engine)
            notes = read_notes(engine.metadata, net, {})
            lacking = sorted({clip.label for clip in lessons} - set(notes.names))
            if lacking:
                return wrong(
                    f"the network knows {', '.join(notes.names)}, and not {', '.join(lacking)}: it was "
                    "trained before that was recorded. Train and export again (steps 4 to 6)."
                )
            theirs = [clip for clip in exam if _who(clip) == friend]
            found = [answer(net, notes, clip) for clip in theirs]
    except EdgekitError as error:
        return wrong(str(error))
    return _marked(added, friend, [clip.label for clip in theirs], found)


def answer(net: Net, notes: Notes, clip: ActionClip) -> str:
    """What the network takes the middle of a clip for.

    Raises:
        InputError: the clip has no optical flow, and the network wants it.
    """
    lengths = {kind: stream.length for kind, stream in net.streams.items()}
    frames = min(len(clip.rgb), len(clip.u)) if "of" in lengths else len(clip.rgb)
    places = center(frames, max(lengths.values()), notes.sample_rate)
    clips = {}
    for kind, stream in net.streams.items():
        parts = (clip.u, clip.v) if kind == "of" else (clip.rgb,)
        own = tables(*((notes.of_mean, notes.of_std) if kind == "of" else (notes.mean, notes.std)))
        filled = np.empty((1, stream.channels, stream.length, *stream.size), np.float32)
        for n, place in enumerate(inner(places, stream.length)):
            planes = [plane for part in parts for plane in _planes(part[place], stream.size, notes)]
            for channel, plane in enumerate(planes):
                filled[0, channel, n] = own[channel][plane]
        clips[kind] = np.repeat(filled, net.rows or 1, axis=0)
    return notes.names[int(net(clips)[0].argmax())]


def _planes(path: Path, size: tuple[int, int], notes: Notes) -> list[NDArray[np.uint8]]:
    grey = path.parent.name in ("u", "v")
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if image is None:
        raise EdgekitError(f"{path} cannot be read; delete its clip, or record it again.")
    return planes_of(to_size(np.asarray(image, np.uint8), size, notes.crop, notes.smaller_edge))


def _who(clip: ActionClip) -> str:
    return group_of(clip.folder, read_note(clip.folder))


def _not_taught(added: str, lessons: Sequence[ActionClip]) -> str:
    """Why the new action could not be learned; "" if it could."""
    counts = Counter(clip.label for clip in lessons)
    if added not in counts:
        return f"there is no folder {added} among the clips for training: record some, or write drawn ones."
    if counts[added] < FEWEST_TAUGHT:
        return f"{counts[added]} clips of {added} teach nothing; record {FEWEST_TAUGHT} or more."
    return ""


def _not_asked(added: str, friend: str, exam: Sequence[ActionClip], before: Sequence[str]) -> str:
    """Why this is no exam; "" if it is."""
    theirs = [clip for clip in exam if _who(clip) == friend]
    people = ", ".join(sorted({_who(clip) for clip in exam}))
    if not theirs:
        return f"no clip of the exam is of {friend}; it has clips of {people}."
    if len(theirs) < FEWEST_ASKED:
        return f"{len(theirs)} clips of {friend} are too few for an exam; record {FEWEST_ASKED} or more."
    lacking = sorted({added, *before} - {clip.label for clip in theirs})
    if lacking:
        return f"{friend} never does {', '.join(lacking)} in the exam: record that, too."
    return ""


def _seen_before(friend: str, lessons: Sequence[ActionClip], exam: Sequence[ActionClip]) -> str:
    """Where the exam asks what was taught; "" if it does not."""
    if same := [clip for clip in lessons if _who(clip) == friend]:
        return (
            f"{friend} is in {len(same)} clips that the network was trained on, such as "
            f"{same[0].label}/{same[0].name}: take somebody else, or move those clips and train again."
        )
    taught = {sha256(clip.rgb[0]): clip for clip in lessons}
    for clip in exam:
        if _who(clip) == friend and (twin := taught.get(sha256(clip.rgb[0]))):
            return f"{clip.label}/{clip.name} is {twin.label}/{twin.name}, which was taught: that is no exam."
    return ""


def _marked(added: str, friend: str, true: Sequence[str], found: Sequence[str]) -> Verdict:
    """The exam's result, and where it went wrong most."""
    hits = sum(a == b for a, b in zip(true, found, strict=True))
    told = f"{hits} of {friend}'s {len(true)} clips are right, {hits / len(true):.0%}"
    slips = Counter((a, b) for a, b in zip(true, found, strict=True) if a != b)
    worst = ""
    if slips:
        (was, taken), times = slips.most_common(1)[0]
        worst = f" Most often {was} was taken for {taken} ({times} of {true.count(was)})."
    if hits / len(true) < PASSED:
        return wrong(
            f"{told}; {PASSED:.0%} are asked for.{worst} Show it more people and more takes of these, or "
            "train more epochs: one thing at a time."
        )
    if added not in [a for a, b in zip(true, found, strict=True) if a == b]:
        return wrong(f"{told}, and yet not one {added} was recognised: it needs more clips.{worst}")
    return right(f"{told}, with {added} among them, by somebody the network never saw.{worst}")
