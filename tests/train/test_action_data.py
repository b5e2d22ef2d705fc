"""Which pictures training and scoring of actions see, from folders and shards: each frame has its number."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytest.importorskip("webdataset", reason="WebDataset is not installed")
pytestmark = pytest.mark.train

from actions_made import CLASSES, spec_of, with_label_map  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.prepare.action_folders import encoded, read_actions  # noqa: E402
from edgekit.prepare.action_shards import read_shards, write_shards  # noqa: E402
from edgekit.train.action_data import (  # noqa: E402
    Order,
    ScoredClips,
    TrainingClips,
    check_classes,
    loader,
    read_clips,
    told_plainly,
)
from edgekit.train.action_reader import Wanted  # noqa: E402
from edgekit.train.action_stream import Stream, StreamLoader  # noqa: E402
from edgekit.train.actions import training_loader  # noqa: E402

PLAIN = {"dataset__augmentation_config__train_crop_type": "no_crop", "dataset__output_shape": [16, 16]}


def numbered(root: Path, lengths: dict[str, int], *, flow: bool = True, size: int = 16) -> Path:
    """Clips CLASS/NAME whose picture n is all of blue 10 n, and whose u is 10 n + 5, v 10 n + 7."""
    for name, count in lengths.items():
        for stream, ending, frames in (
            ("rgb", ".png", count),
            ("u", ".jpg", count - 1),
            ("v", ".jpg", count - 1),
        ):
            folder = root / name / stream
            folder.mkdir(parents=True)
            for n in range(frames if stream == "rgb" or flow else 0):
                grey = {"u": 10 * n + 5, "v": 10 * n + 7}.get(stream)
                picture = np.zeros((size, size, 3), np.uint8)
                picture[..., 0] = 10 * n
                full = picture if grey is None else np.full((size // 2, size // 2), grey, np.uint8)
                (folder / f"{n:06d}{ending}").write_bytes(encoded(ending, full))
    return root


def seen(item: dict[str, Any]) -> dict[str, list[int]]:
    """The frames of an item by their colours."""
    found = {}
    if "rgb" in item:
        assert item["rgb"].dtype == torch.uint8
        assert not item["rgb"][..., :2].any()  # what is blue in OpenCV's order is the last of RGB
        found["rgb"] = [int(v) // 10 for v in item["rgb"][:, 8, 8, 2]]
    if "of" in item:
        u, v = ([int(one) for one in item["of"][:, 8, 8, k]] for k in (0, 1))
        found["u"], found["v"] = [(one - 5) // 10 for one in u], [(one - 7) // 10 for one in v]
        assert [one % 10 for one in u] == [5] * len(u)
        assert [one % 10 for one in v] == [7] * len(v)
    return found


def spec_for(root: Path, kind: str = "rgb", rgb: int = 4, of: int = 4, **more: Any) -> Any:
    changes = {"model__model_type": kind, "model__rgb_seq_length": rgb, "model__of_seq_length": of}
    return spec_of(root, root.parent / "out", root, **{**PLAIN, **changes, **more})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lengths = {"left/long": 20, "left/short": 3, "right/long": 12, "right/mid": 9}
    return numbered(tmp_path_factory.mktemp("numbered") / "set", lengths)


def test_the_middle_is_scored_and_the_flow_lies_between_its_pictures(root: Path) -> None:
    """Of 12 pictures there are 11 flow fields; both streams are windows of those 11, the shorter inside."""
    data = ScoredClips(read_clips(root, spec_for(root), "here"), spec_for(root))
    assert [seen(data[n])["rgb"] for n in range(4)] == [
        [8, 9, 10, 11],
        [0, 1, 2, 0],  # a clip of 3 begins again
        [4, 5, 6, 7],
        [3, 4, 5, 6],
    ]
    spec = spec_for(root, "joint", 3, 7)
    both = seen(ScoredClips(read_clips(root, spec, "here"), spec)[2])
    assert both == {"rgb": [4, 5, 6], "u": [2, 3, 4, 5, 6, 7, 8], "v": [2, 3, 4, 5, 6, 7, 8]}
    spec = spec_for(root, "of", of=5, model__sample_rate=2)
    assert seen(ScoredClips(read_clips(root, spec, "here"), spec)[2])["u"] == [1, 3, 5, 7, 9]


def test_segments_of_a_clip(root: Path) -> None:
    spec = spec_for(root)
    data = ScoredClips(read_clips(root, spec, "here"), spec, "conv", 3)
    long = [data[n] for n in range(3)]  # 17 starts in 3 parts: their middles are 2.8, 8.5, 14.2
    assert [seen(one)["rgb"][0] for one in long] == [2, 8, 14]
    assert [one["windows"] for one in long] == [3, 3, 3]
    assert data[3]["windows"] == 1  # the short one has one window
    assert [one["label"] for one in data] == [0] * 4 + [1] * 6


@pytest.mark.parametrize(
    ("kind", "rgb", "of", "rate"), [("rgb", 4, 4, 2), ("of", 4, 5, 1), ("joint", 5, 3, 2)]
)
def test_windows_to_learn_from(root: Path, kind: str, rgb: int, of: int, rate: int) -> None:
    """By plain loops: consecutive at the rate, everywhere in the clip, flow of frame i beside picture i."""
    spec = spec_for(root, kind, rgb, of, model__sample_rate=rate)
    data = TrainingClips(read_clips(root, spec, "here"), spec)
    starts = set()
    for epoch in range(60):
        found = seen(data[(epoch, 0, 0)])
        longest = max(found.values(), key=len)
        starts.add(longest[0])
        for name, frames in found.items():
            assert all(b - a == rate for a, b in pairwise(frames))
            assert len(frames) == (rgb if name == "rgb" else of)
            assert set(frames) <= set(longest)
        if kind == "joint":  # the shorter one in the middle of the longer one
            assert found["u"] == longest[1:4] == found["v"]
    frames = 20 if kind == "rgb" else 19
    assert starts == set(
        range(frames - (max(rgb if kind != "of" else 0, of if kind != "rgb" else 0) - 1) * rate)
    )


def test_aligned_by_hand() -> None:
    """No window of a joint network reaches the last picture, which has no flow after it."""
    want = Wanted(rgb=2, of=6)
    rgb, of = want.frames(7, 6, lambda frames, length: np.arange(frames)[:length])
    assert rgb.tolist() == [2, 3]
    assert of.tolist() == [0, 1, 2, 3, 4, 5]


def test_only_the_frames_of_the_window_are_decoded(tmp_path: Path) -> None:
    root = numbered(tmp_path / "set", {"left/a": 10, "right/a": 10}, flow=False)
    spec = spec_for(root)
    for n in (0, 1, 2, 7, 8, 9):
        (root / "left/a/rgb" / f"{n:06d}.png").write_bytes(b"no picture")
    data = ScoredClips(read_clips(root, spec, "here"), spec)
    assert seen(data[0])["rgb"] == [3, 4, 5, 6]
    broken = root / "left/a/rgb/000004.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000004.png has a picture that OpenCV cannot decode"):
        data[0]
    with pytest.raises(InputError) as caught, told_plainly():
        list(loader(data, spec, batch=1))
    assert str(caught.value) == f"{broken} has a picture that OpenCV cannot decode; cut the clip again."
    broken.unlink()
    with pytest.raises(InputError, match=r"000004.png cannot be read: No such file"):
        data[0]
    odd = np.zeros((20, 16, 3), np.uint8)
    broken.write_bytes(encoded(".png", odd))
    with pytest.raises(InputError, match="pictures of several sizes"):
        data[0]


def batches(data: Any) -> list[tuple[str, list[int]]]:
    return [
        (name, [int(v) // 10 for v in rgb[:, 8, 8, 2]])
        for batch in data
        for name, rgb in zip(batch["name"], batch["rgb"], strict=True)
    ]


def test_what_is_drawn_depends_on_seed_and_epoch_alone(root: Path) -> None:
    def drawn(epoch: int, **more: Any) -> list[tuple[str, list[int]]]:
        spec = spec_for(root, dataset__clips_per_video=3, **more)
        made = training_loader(spec, 0, 1, False)
        made.sampler.set_epoch(epoch)
        return batches(made)

    first = drawn(0)
    assert first == drawn(0)
    assert first == drawn(0, dataset__workers=2)
    assert first != drawn(1)
    assert first != drawn(0, train__seed=7)
    of_one = [frames for name, frames in first if name.endswith("left/long")]
    assert len(of_one) == 3
    assert len({str(frames) for frames in of_one}) > 1  # each of its windows is drawn anew


@pytest.mark.parametrize(("clips", "copies", "ranks"), [(6, 2, 1), (6, 2, 3), (7, 3, 2)])
def test_processes_share_an_epoch(clips: int, copies: int, ranks: int) -> None:
    orders = [Order(clips, copies, 5, rank, ranks) for rank in range(ranks)]
    for order in orders:
        order.set_epoch(4)
    parts = [list(order) for order in orders]
    assert {len(part) for part in parts} == {len(orders[0])} == {-(-clips * copies // ranks)}
    counted = Counter(at for part in parts for at in part)
    assert set(counted) == {(4, clip, copy) for clip in range(clips) for copy in range(copies)}
    assert sum(counted.values()) - len(counted) < ranks  # only to make the parts equal
    orders[0].set_epoch(5)
    assert [at[1:] for at in orders[0]] != [at[1:] for at in parts[0]]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """12 clips in a folder, and in 4 shards of 3."""
    base = tmp_path_factory.mktemp("sharded")
    lengths = {f"{label}/clip_{n}": 5 + n for label in CLASSES for n in range(6)}
    folder = numbered(base / "set", lengths)
    write_shards(read_actions(folder, streams=("rgb", "of")), base / "shards", per_shard=3)
    return folder, base / "shards"


def test_shards_score_the_same_pixels_as_folders(sharded: tuple[Path, Path]) -> None:
    folder, shards = sharded
    spec = spec_for(folder, "joint", 2, 3)
    wanted = {one["name"][-12:]: one for one in ScoredClips(read_clips(folder, spec, "here"), spec)}
    found = list(Stream(read_shards(shards), spec, mode="center"))
    assert len(found) == len(wanted) == 12
    for one in found:
        other = wanted[f"/{one['name']}"[-12:]]
        assert one["label"] == other["label"]
        assert torch.equal(one["rgb"], other["rgb"])
        assert torch.equal(one["of"], other["of"])
    conv = list(Stream(read_shards(shards), spec, mode="conv", segments=3))
    assert len(conv) == sum(one["windows"] for one in {c["clip"]: c for c in conv}.values())


@pytest.mark.parametrize(("ranks", "batch"), [(1, 4), (2, 3)])
def test_shards_give_each_clip_as_often(sharded: tuple[Path, Path], ranks: int, batch: int) -> None:
    folder, shards = sharded
    spec = spec_for(folder, dataset__clips_per_video=2, dataset__workers=2, dataset__batch_size=batch)

    def epoch(number: int) -> list[list[tuple[str, list[int]]]]:
        made = []
        for rank in range(ranks):
            stream = StreamLoader(Stream(read_shards(shards), spec, rank=rank, ranks=ranks), spec)
            stream.set_epoch(number)
            some = list(stream)
            assert len(some) == len(stream)
            assert {len(part["label"]) for part in some} == {batch}
            made.append(batches(some))
        return made

    first = epoch(0)
    assert len({len(part) for part in first}) == 1
    counted = Counter(name for part in first for name, _ in part)
    assert set(counted.values()) == {2}
    assert len(counted) == 12
    assert epoch(0) == first
    again = epoch(1)
    assert again != first
    assert Counter(name for part in again for name, _ in part) == counted
    if ranks == 2:  # shards change hands from epoch to epoch
        assert len({frozenset(name for name, _ in epoch(n)[0]) for n in range(4)}) > 1


def test_unequal_shards_give_processes_equal_batches(sharded: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = sharded
    shards = write_shards(read_actions(folder), tmp_path / "shards", per_shard=5)  # 5, 5 and 2 clips
    spec = spec_for(folder, dataset__batch_size=2)
    counts = []
    for rank in (0, 1):
        stream = StreamLoader(Stream(read_shards(shards), spec, rank=rank, ranks=2), spec)
        counts.append([len(batch["label"]) for batch in stream])
    assert counts == [[2, 2, 2], [2, 2, 2]]


@pytest.mark.parametrize(
    ("workers", "batch", "shares"),
    [(1, 5, [12]), (2, 5, [5, 7]), (3, 4, [4, 4, 4]), (8, 3, [3, 3, 3, 3]), (2, 32, [12]), (3, 2, [4, 4, 4])],
)
def test_batches_are_whole(sharded: tuple[Path, Path], workers: int, batch: int, shares: list[int]) -> None:
    """12 clips in 4 shards: only one batch of an epoch is smaller than the others."""
    spec = spec_for(sharded[0], dataset__batch_size=batch)
    assert Stream(read_shards(sharded[1]), spec).shares(workers) == shares


def test_one_sentence_for_what_is_wrong_with_a_set(root: Path, tmp_path: Path) -> None:
    spec = with_label_map(spec_for(root), ("left", "right", "jump"))
    with pytest.raises(InputError, match=r"has no clip of jump; record some, or take it out of .*label_map"):
        training_loader(spec, 0, 1, False)
    with pytest.raises(InputError, match=r"right is no class of label_map \(left\)"):
        training_loader(with_label_map(spec, ("left",)), 0, 1, False)
    with pytest.raises(InputError, match=r"clips of walk, which dataset.label_map lacks"):
        check_classes({"walk": 2, "left": 1}, ("left",), root)
    empty = numbered(tmp_path / "empty", {"left/a": 4, "right/b": 0}, flow=False)
    with pytest.raises(InputError, match="right/b has no pictures in rgb/"):
        training_loader(spec_for(empty), 0, 1, False)
    with pytest.raises(InputError, match="has no flow in u/ and v/"):
        training_loader(spec_for(numbered(tmp_path / "dry", {"left/a": 4}, flow=False), "of"), 0, 1, False)
    with pytest.raises(InputError, match=r"dataset.train_dataset_dir is missing"):
        read_clips(None, spec, "dataset.train_dataset_dir")


def test_one_sentence_for_what_is_wrong_with_shards(sharded: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = sharded
    spec = spec_for(folder)
    shards = write_shards(read_actions(folder), tmp_path / "shards", per_shard=6)
    with pytest.raises(InputError, match="2 shards are too few for 3 GPUs"):
        Stream(read_shards(shards), spec, ranks=3)
    with pytest.raises(InputError, match=r"of the class left, which dataset.label_map lacks"):
        list(Stream(read_shards(shards), with_label_map(spec, ("right",))))
    dry = numbered(tmp_path / "dry", {"left/a": 5}, flow=False)
    write_shards(read_actions(dry), tmp_path / "dried")
    with pytest.raises(InputError, match=r"\(left/a\) has no pictures and optical flow"):
        list(Stream(read_shards(tmp_path / "dried"), spec_for(dry, "joint")))
    tar = shards / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"shard-000001.tar is damaged \(unexpected end of data"):
        list(Stream(read_shards(shards), spec))


def test_flow_of_another_size_is_cut_alike(tmp_path: Path) -> None:
    """TAO's flow pictures are smaller than its RGB ones: a mark stays at the same place of both."""
    rgb, u, v = (tmp_path / "set/left/a" / stream for stream in ("rgb", "u", "v"))
    picture, grey = np.zeros((80, 120, 3), np.uint8), np.full((40, 60), 128, np.uint8)
    picture[40:60, 60:90] = 255
    grey[20:30, 30:45] = 255
    for folder, image in ((rgb, picture), (u, grey), (v, grey)):
        folder.mkdir(parents=True)
        for n in range(3):
            cv2.imwrite(str(folder / f"{n:06d}.png"), image)
    changes: dict[str, Any] = {
        "model__model_type": "joint",
        "model__rgb_seq_length": 2,
        "model__of_seq_length": 2,
        "dataset__augmentation_config__horizontal_flip_prob": 0.5,
    }
    spec = with_label_map(spec_of(tmp_path / "set", tmp_path / "out", **changes), ("left",))
    data = TrainingClips(read_clips(tmp_path / "set", spec, "here"), spec)
    marks = set()
    for epoch in range(12):
        item = data[(epoch, 0, 0)]
        bright = item["rgb"][0, ..., 0].numpy() > 127
        if not bright.any():
            continue
        moved = np.abs(item["of"][0, ..., 0].numpy().astype(int) - 128) > 64
        places = [np.argwhere(some).mean(axis=0) for some in (bright, moved)]
        np.testing.assert_allclose(places[0], places[1], atol=0.8)
        marks.add(tuple(np.round(places[0])))
    assert len(marks) > 3
