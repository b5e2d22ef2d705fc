"""Clips written into TAO's folders and read again: pictures, flow, names, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.errors import EdgekitError, InputError
from edgekit.ops.flow import flow_to_grey, open_flow
from edgekit.prepare.action_folders import (
    all_clips,
    count_classes,
    read_actions,
    read_clip,
    read_note,
    read_videos,
    sides,
    write_clip,
)


def frames(count: int, size: tuple[int, int] = (40, 56), seed: int = 0) -> list[np.ndarray]:
    """uint8 BGR: a soft pattern that moves to the right."""
    rng = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(
        rng.integers(0, 256, (size[0], size[1] + 2 * count, 3)).astype(np.uint8), (0, 0), 3
    )
    return [np.ascontiguousarray(wide[:, 2 * i : 2 * i + size[1]]) for i in reversed(range(count))]


def as_tao_lists(root: Path) -> dict[str, list[str]]:
    """What TAO's reader finds: all in the root is a class, all in a class a clip with pictures."""
    return {
        f"{label.name}/{video.name}/{kind.name}": sorted(p.name for p in kind.iterdir())
        for label in root.iterdir()
        for video in label.iterdir()
        for kind in video.iterdir()
        if kind.name in ("rgb", "u", "v")
    }


def test_a_clip_is_what_was_given_and_the_flow_between(tmp_path: Path) -> None:
    made, dis = frames(5), open_flow("dis")
    given: Iterator[np.ndarray] = iter(made)
    folder = write_clip(tmp_path, "wave", "anna_1", given, flow=dis, fps=12.5, facts={"person": "anna"})
    assert folder == tmp_path / "wave" / "anna_1"
    names = [f"{i:06d}" for i in range(5)]
    assert as_tao_lists(tmp_path) == {
        "wave/anna_1/rgb": [f"{n}.png" for n in names],
        "wave/anna_1/u": [f"{n}.jpg" for n in names[:-1]],
        "wave/anna_1/v": [f"{n}.jpg" for n in names[:-1]],
    }
    clip = read_clip(folder, "wave", streams=("rgb", "of"))
    for path, frame in zip(clip.rgb, made, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(path)), frame)
    for i, pair in enumerate(zip(clip.u, clip.v, strict=True)):
        for path, true in zip(pair, flow_to_grey(dis(made[i], made[i + 1])), strict=True):
            grey = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert grey.ndim == 2
            assert np.abs(grey.astype(int) - true).mean() < 3  # JPEG
    assert np.median(cv2.imread(str(clip.u[0]), 0)[8:-8, 8:-8]) > 200  # to the right
    note = read_note(folder)
    assert note == {"frames": 5, "width": 56, "height": 40, "fps": 12.5, "flow": "dis", "person": "anna"}


def test_clips_are_read_in_order_by_class_and_by_what_is_asked(tmp_path: Path) -> None:
    for label, name in (("walk", "b"), ("walk", "a"), ("坐 下", "é 1")):
        write_clip(tmp_path, label, name, frames(2), flow=open_flow("dis") if name == "a" else None)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".part" / "walk" / "c" / "rgb").mkdir(parents=True)  # of a run that was killed
    found = read_actions(tmp_path)
    assert [(c.label, c.name, len(c.rgb), len(c.u)) for c in found] == [
        ("walk", "a", 2, 1),
        ("walk", "b", 2, 0),
        ("坐 下", "é 1", 2, 0),
    ]
    assert count_classes(tmp_path) == {"empty": 0, "walk": 2, "坐 下": 1}
    assert count_classes(tmp_path / "none") == {}
    assert [c.name for c in read_videos(tmp_path / "walk")] == ["a", "b"]
    assert {c.label for c in read_videos(tmp_path / "walk", "stroll")} == {"stroll"}
    assert len(read_actions(tmp_path, {"walk": 0, "坐 下": 1, "empty": 2, "more": 3})) == 3
    with pytest.raises(InputError, match=r"坐 下 is no class of label_map \(empty, walk\)"):
        read_actions(tmp_path, {"empty": 0, "walk": 1})
    with pytest.raises(InputError, match=r"walk/b has no flow in u/ and v/; make it with .*--flow dis"):
        read_actions(tmp_path, streams=("of",))
    next((tmp_path / "walk" / "a" / "u").iterdir()).unlink()
    with pytest.raises(InputError, match=r"walk/a has no flow|0 pictures in u/, but 1 in v/"):
        read_videos(tmp_path / "walk", streams=("rgb", "of"))
    (tmp_path / "walk" / "c" / "rgb").mkdir(parents=True)
    with pytest.raises(InputError, match=r"walk/c has no pictures in rgb/"):
        read_actions(tmp_path)


def test_a_split_set_is_two_sets(tmp_path: Path) -> None:
    for side, label in (("train", "walk"), ("train", "sit"), ("test", "walk")):
        write_clip(tmp_path / side, label, "a", frames(1))
    assert sides(tmp_path) == {side: tmp_path / side for side in ("train", "test")}
    with pytest.raises(InputError, match=r"is split; give .*/test\."):
        read_actions(tmp_path)
    assert [c.label for c in read_actions(tmp_path / "train")] == ["sit", "walk"]
    write_clip(tmp_path, "jump", "a", frames(1))
    told = [(side, folder.parent.name) for side, folder in all_clips(tmp_path)]
    assert told == [("", "jump"), ("test", "walk"), ("train", "sit"), ("train", "walk")]
    write_clip(tmp_path / "rail", "train", "a", frames(1))  # a class of that name
    assert sides(tmp_path / "rail") == {"": tmp_path / "rail"}
    assert [c.label for c in read_actions(tmp_path / "rail")] == ["train"]


def stops_after(count: int, error: BaseException) -> Iterator[np.ndarray]:
    yield from frames(count)
    raise error


@pytest.mark.parametrize(
    "error", [InputError("the camera is gone"), KeyboardInterrupt(), OSError(28, "full")]
)
def test_a_clip_that_breaks_off_leaves_nothing_and_the_old_one_stays(
    tmp_path: Path, error: BaseException
) -> None:
    root = tmp_path / "set"
    expected = EdgekitError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_clip(root, "wave", "a", stops_after(3, error), flow=open_flow("dis"))
    assert not root.exists() or as_tao_lists(root) == {}
    write_clip(root, "wave", "a", frames(2))
    with pytest.raises(expected):
        write_clip(root, "wave", "a", stops_after(3, error), replace=True)
    assert [p.name for p in root.iterdir()] == ["wave"]
    assert len(read_actions(root)[0].rgb) == 2
    write_clip(root, "wave", "a", frames(4), replace=True)
    assert len(read_actions(root)[0].rgb) == 4


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EdgekitError, match=f"the disk of {tmp_path} is full; free some space"):
        write_clip(tmp_path, "wave", "a", frames(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("label", "name", "given", "words"),
    [
        ("wave", "a", [], "wave/a: 0 pictures; it takes one"),
        ("", "a", frames(1), "'' is no name for a class"),
        ("a/b", "a", frames(1), "'a/b' is no name for a class"),
        (".x", "a", frames(1), "'.x' is no name for a class"),
        ("wave", "..", frames(1), "'..' is no name for a clip"),
        ("wave", "a", [np.zeros((4, 4), np.uint8)], r"frame 0 is uint8 \[4, 4\]"),
        ("wave", "a", [np.zeros((4, 4, 3), np.float32)], r"frame 0 is float32"),
        ("wave", "a", [*frames(1), *frames(1, (20, 20))], r"frame 1 is \[20, 20, 3\], the first one"),
        ("wave", "there", frames(1), "there is there already; give the clip another name"),
    ],
)
def test_what_cannot_be_a_clip_is_refused(
    tmp_path: Path, label: str, name: str, given: list[np.ndarray], words: str
) -> None:
    write_clip(tmp_path, "wave", "there", frames(1))
    with pytest.raises(InputError, match=words):
        write_clip(tmp_path, label, name, given)
    assert as_tao_lists(tmp_path) == {"wave/there/rgb": ["000000.png"]}


def test_flow_takes_two_pictures_and_notes_may_be_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 pictures; it takes one, and two for optical flow"):
        write_clip(tmp_path, "wave", "a", frames(1), flow=open_flow("dis"))
    assert list(tmp_path.iterdir()) == []
    folder = write_clip(tmp_path, "wave", "a", frames(1))
    for text in ("[]", "{", "\xff"):
        (folder / "clip.json").write_text(text, encoding="latin-1")
        assert read_note(folder) == {}
    (folder / "clip.json").write_text(json.dumps({"frames": 1}))
    assert read_note(folder) == {"frames": 1}


@pytest.mark.parametrize("words", [(), ("rgb", "x")])
def test_unknown_streams_and_places_are_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    write_clip(tmp_path, "wave", "a", frames(1))
    with pytest.raises(InputError, match="is unknown; it is rgb, of or both"):
        read_actions(tmp_path, streams=words)
    with pytest.raises(InputError, match=r"wave/a holds no clip|no clip"):
        read_actions(tmp_path / "wave" / "a" / "rgb")
    with pytest.raises(InputError, match="none is no folder"):
        read_actions(tmp_path / "none")
    with pytest.raises(InputError, match="none is no folder; give a class's folder"):
        read_videos(tmp_path / "none")
