"""Sets in AVA's layout: what is read, which pictures a window has, how clips are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.train

from ava_made import FPS, SIDE, WIDE, write_ava  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.prepare.ava_files import Layout, read_csv, write_csv, write_excluded  # noqa: E402
from edgekit.train.ava_augment import Cut, jitter_colour, people_cut, random_cut, whole  # noqa: E402
from edgekit.train.ava_data import Clips, Look, Order, collate, read_ava, taken  # noqa: E402


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_ava(tmp_path / "set")


def test_reads_labels_boxes_and_seconds(data: Path) -> None:
    ava = read_ava(data, "train", fps=FPS)
    assert ava.names == ("go left", "go right")
    assert len(ava.key_frames) == 6 * 3
    key = ava.key_frames[1]
    assert (key.video, key.second, key.frame) == ("made0", 902, 2 * FPS)
    assert key.labels.tolist() == [[1, 0]]
    assert key.known.all()
    assert ava.frames["made0"][0] == data / "frames/made0/made0_000001.jpg"
    both = read_ava(data, "train", fps=FPS, boxes="both")
    assert [len(k.boxes) for k in both.key_frames] == [2] * 18  # the sure found one came to it
    assert both.key_frames[0].labels.tolist() == [[1, 0], [0, 0]]
    assert len(read_ava(data, "val", fps=FPS, boxes="found").key_frames[0].boxes) == 1


def test_unknown_pairs_and_excluded_seconds(data: Path) -> None:
    layout = Layout(data)
    rows = read_csv(layout.truth("train"))
    other = rows[0].__class__(rows[0].video, rows[0].second, rows[0].box, 2, rows[0].person)
    write_csv(layout.annotations / "ava_train_unknown_v2.2.csv", [other])
    write_excluded(layout.excluded("train"), [("made0", 902)])
    keys = read_ava(data, "train", fps=FPS).key_frames
    assert keys[0].known.tolist() == [[1, 0]]
    assert keys[1].known.all()
    assert ("made0", 902) not in {(k.video, k.second) for k in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [rows[0].__class__("gone", 901, rows[0].box, 1)], "lacks the video gone"),
        (lambda rows: [rows[0].__class__("made0", 903, rows[0].box, 3)], "action 3 is not among"),
        (lambda rows: [], "no box"),
    ],
)
def test_what_cannot_be_is_named(data: Path, change, words: str) -> None:
    path = Layout(data).truth("train")
    write_csv(path, change(read_csv(path)))
    with pytest.raises(InputError, match=words):
        read_ava(data, "train", fps=FPS)


def test_labels_after_the_last_picture(data: Path) -> None:
    with pytest.raises(InputError, match="only 20 pictures"):
        read_ava(data, "train", fps=30)


def test_windows_are_those_of_the_seed() -> None:
    """64 pictures, 32 of them, the key frame at 32; held at the ends."""
    places = taken(100, 1000, 32, 64)
    assert places[0] == 68
    assert places[-1] == 131
    assert (places == 68 + torch.linspace(0, 63, 32).long().numpy()).all()
    assert taken(0, 10, 4, 8).tolist() == [0, 0, 0, 3]


def test_a_cut_moves_boxes_with_their_pixels() -> None:
    """A white rectangle, cut at random in every way: its box stays around its white pixels."""
    random = np.random.default_rng(0)
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[40:80, 60:90] = 255
    box = np.array([[60, 40, 90, 80]], np.float32)
    cuts = [random_cut(random, 120, 160, (100, 200), 90) for _ in range(12)]
    cuts += [people_cut(random, box[0], (20, 60), 90) for _ in range(12)]
    seen = 0
    for cut in cuts:
        got = cut.boxes(box)[0]
        white = np.argwhere(cut.frame(picture)[..., 0] > 127)
        if not len(white):
            assert (got[2:] - got[:2]).min() < 1.5
            continue
        seen += cut.mirror
        low, high = white.min(0), white.max(0) + 1
        np.testing.assert_allclose(got, [low[1], low[0], high[1], high[0]], atol=1.01)
    assert seen > 2
    for cut in cuts[12:]:
        got = cut.boxes(box)[0]
        assert 19.9 <= max(got[2] - got[0], got[3] - got[1]) <= 60.1  # all of the person, as tall as wanted


def test_the_whole_picture_as_at_run_time() -> None:
    """The scale of short side 256, equal to cv2's resize."""
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(1)
    picture = cv2.resize(random.integers(0, 256, (30, 40, 3), dtype=np.uint8), (320, 240))
    cut = whole(240, 320, 256)
    assert cut.size == (256, 341)
    want = cv2.resize(picture, (341, 256))
    assert np.abs(cut.frame(picture).astype(int) - want)[2:-2, 2:-2].mean() < 2.0
    assert Cut(2, 0, 0, (8, 8)).boxes(np.array([[1, 1, 9, 2]], np.float32)).tolist() == [[2, 2, 8, 4]]


def test_items_depend_on_epoch_number_and_seed_alone(data: Path) -> None:
    ava, look = read_ava(data, "train", fps=FPS), Look(4, 8, (48, 64), 40, tempo=1.5)
    one, two = (Clips(ava, look, train=True, cache=cache) for cache in (False, True))
    assert torch.equal(one[3, 5]["clip"], two[3, 5]["clip"])
    assert not torch.equal(one[3, 5]["clip"], one[4, 5]["clip"])
    assert one[0, 0]["clip"].shape == (4, 40, 40, 3)
    batch = collate([one[0, n] for n in range(6)])
    assert len(batch["boxes"]) == len(batch["labels"]) == len(batch["owner"])
    assert batch["clip"].dtype == torch.uint8
    plain = Clips(ava, look, train=False)[0]
    assert plain["clip"].shape == (4, 256, int(WIDE * 256 / SIDE), 3)


def test_order_is_shared_among_processes(data: Path) -> None:
    ava = read_ava(data, "train", fps=FPS)
    parts = [Order(ava, 0, rank=rank, ranks=4) for rank in range(4)]
    for part in parts:
        part.set_epoch(2)
    seen = [n for part in parts for _, n in part]
    assert set(seen) == set(range(18))
    assert len({len(list(part)) for part in parts}) == 1
    again = Order(ava, 0)
    assert list(again) != list(parts[0])


def test_balance_draws_rare_actions_as_often(data: Path) -> None:
    path = Layout(data).truth("train")
    rows = [row for row in read_csv(path) if row.action == 1 or row.video == "made1"]
    write_csv(path, rows)
    ava = read_ava(data, "train", fps=FPS)
    order, drawn = Order(ava, 0, balance=1.0), []
    for epoch in range(40):
        order.set_epoch(epoch)
        drawn += [int(ava.key_frames[n].labels[0, 1]) for _, n in order]
    assert sum(k.labels[0, 1] for k in ava.key_frames) / len(ava.key_frames) < 0.3
    assert 0.4 < np.mean(drawn) < 0.6


def test_colour_changes_a_clip_alike_in_all_frames() -> None:
    clips = torch.rand(2, 3, 1, 5, 5).expand(2, 3, 4, 5, 5)
    made = jitter_colour(clips, 0.4, torch.Generator().manual_seed(0))
    assert torch.allclose(made[:, :, 0], made[:, :, 3])
    assert (made - clips).abs().mean() > 0.02
    calm = jitter_colour(clips, 0.0, torch.Generator().manual_seed(0))
    assert (calm - clips).abs().mean() < 0.1  # only the PCA noise is left
