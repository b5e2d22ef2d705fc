"""From scored limbs to people, and the whole decoding, against plain loops and drawn people."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from drawn_people import STANDING, draw_maps, standing
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_trtpose import cheapest, connect, parse

from edgekit.errors import InputError
from edgekit.ops.connect import assign, connect_parts, parse_objects
from edgekit.ops.peaks import Peaks
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, Topology

SIZE = (56, 56)


def peaks_of(*counts: int) -> Peaks:
    part, none = np.repeat(np.arange(len(counts)), counts), np.zeros(sum(counts), np.int64)
    return Peaks(part, none, none, none.astype(np.float32), np.concatenate([[0], np.cumsum(counts)]))


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (4, 4), (5, 5)])
def test_the_best_of_all_assignments(shape: tuple[int, int]) -> None:
    score = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    pairs = assign([score], np.array([[0, 1, 0, 1]]), peaks_of(*shape), threshold=-100)
    found = score[pairs[:, 0], pairs[:, 1] - shape[0]].astype(float).sum()
    short = score if shape[0] <= shape[1] else score.T
    orders = permutations(range(max(shape)), min(shape))
    best = max(sum(float(short[i, j]) for i, j in enumerate(order)) for order in orders)
    assert found == pytest.approx(best, abs=1e-6)
    assert len(pairs) == min(shape)


def test_not_the_best_limb_first() -> None:
    """0.9 + 0.1 is less than 0.8 + 0.8: the strongest limb of all loses."""
    score = np.array([[0.9, 0.8], [0.8, 0.1]], np.float32)
    assert assign([score], np.array([[0, 1, 0, 1]]), peaks_of(2, 2)).tolist() == [[0, 3], [1, 2]]


def test_the_threshold_itself_is_not_enough() -> None:
    score = np.diag([0.1, 0.11]).astype(np.float32)
    assert assign([score], np.array([[0, 1, 0, 1]]), peaks_of(2, 2), 0.1).tolist() == [[1, 3]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_network_is_named(bad: float) -> None:
    score = np.full((2, 2), bad, np.float32)
    with pytest.raises(InputError, match="NaN or infinity"):
        assign([score], np.array([[0, 1, 0, 1]]), peaks_of(2, 2))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), most=st.integers(1, 12))
def test_people_as_plain_loops(seed: int, most: int) -> None:
    """Any pairs between five parts, in rings too, so that a person may get two peaks of one part."""
    rng = np.random.default_rng(seed)
    links = np.array([[0, 1, a, b] for a, b in ((0, 1), (1, 2), (2, 0), (3, 2), (4, 3), (1, 4))])
    counts = rng.integers(0, 6, 5)
    peaks = peaks_of(*counts)
    joined, pairs = [], []
    for _, _, a, b in links:
        some = list(
            zip(rng.permutation(counts[a]).tolist(), rng.permutation(counts[b]).tolist(), strict=False)
        )
        some = [pair for pair in some if rng.random() < 0.6]
        joined.append(dict(some))
        pairs += [(peaks.first[a] + i, peaks.first[b] + j) for i, j in some]
    found = connect_parts(np.array(pairs, np.int64).reshape(-1, 2), peaks, most)
    wanted = connect(counts.tolist(), joined, links.tolist(), most)
    assert [{c: r - peaks.first[c] for c, r in enumerate(row) if r >= 0} for row in found.tolist()] == wanted


def test_of_two_peaks_of_a_part_the_last_one_reached_stays() -> None:
    """0 – 1 – 2 – 0': the ring ends at another peak of its first part."""
    pairs = np.array([[0, 2], [2, 3], [3, 1]])
    assert connect_parts(pairs, peaks_of(2, 1, 1)).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("topology", [HUMAN18, COCO17, ANIMAL20], ids=["human18", "coco17", "animal20"])
@pytest.mark.parametrize("power", [6, 30])
def test_random_maps_as_plain_loops(topology: Topology, power: int) -> None:
    """In maps of 13×25 no limb from border to border has a point on the edge of a pixel."""
    rng = np.random.default_rng(power)
    cmap = rng.random((len(topology), 13, 25)).astype(np.float32) ** power
    paf = rng.normal(0, 0.5, (2 * len(topology.skeleton), 13, 25)).astype(np.float32)
    found = parse_objects(cmap, paf, topology)
    wanted = parse(cmap, paf, topology.links.tolist())
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_drawn_people_as_plain_loops(count: int, noise: float) -> None:
    cmap, paf = draw_maps(standing(count, SIZE, seed=count), SIZE, noise=noise)
    found = parse_objects(cmap, paf, HUMAN18)
    np.testing.assert_allclose(found, parse(cmap, paf, HUMAN18.links.tolist()), atol=1e-5)


def test_settings_reach_every_step() -> None:
    rng = np.random.default_rng(0)
    cmap = rng.random((18, 25, 25)).astype(np.float32) ** 8
    paf = rng.normal(0, 0.5, (42, 25, 25)).astype(np.float32)
    how = {
        "cmap_threshold": 0.3,
        "link_threshold": 0.4,
        "window": 3,
        "samples": 4,
        "max_parts": 5,
        "max_people": 9,
    }
    found = parse_objects(cmap, paf, HUMAN18, **how)  # type: ignore[arg-type]
    assert len(found) == 9
    np.testing.assert_allclose(found, parse(cmap, paf, HUMAN18.links.tolist(), **how), atol=1e-5)  # type: ignore[arg-type]


def crowd(rows: int, columns: int, size: tuple[int, int]) -> np.ndarray:
    """People side by side, none on another."""
    step = np.array([size[1] / columns, size[0] / rows])
    corners = [(c, r) for r in range(rows) for c in range(columns)]
    return (np.array(corners)[:, None] + STANDING * 0.9 + 0.03) * step


def matched(found: np.ndarray, people: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """For each person drawn the keypoints of whom was found with the nearest nose, in pixels: [N, K, 2]."""
    pixels = found[:, :, :2] * (size[1], size[0])
    apart = np.linalg.norm(pixels[None, :, 0] - people[:, None, 0], axis=2)
    assert len(set(apart.argmin(axis=1).tolist())) == len(people)
    return pixels[apart.argmin(axis=1)]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (4, 7)])
def test_a_crowd_comes_back(rows: int, columns: int) -> None:
    size = (48 * rows, 32 * columns)
    people = crowd(rows, columns, size)
    found = parse_objects(*draw_maps(people, size), HUMAN18)
    assert found.shape == (rows * columns, 18, 3)
    assert (found[:, :, 2] > 0.6).all()
    assert np.abs(matched(found, people, size) - people).max() < 0.4


def test_at_the_borders() -> None:
    """Keypoints in the outermost pixels are found where they are: the mirror keeps the mean in place.

    Those a little further in are drawn outwards, as upstream.
    """
    people = STANDING[None].copy()
    people = (people - people.min(axis=1)) / np.ptp(people, axis=1)[:, None] * (55, 55) + 0.5
    found = parse_objects(*draw_maps(people, SIZE), HUMAN18)
    assert len(found) == 1
    off = np.abs(found[:, :, :2] * 56 - people)
    outermost = (people == 0.5) | (people == 55.5)
    assert outermost.sum() == 6
    assert off[outermost].max() < 1e-4
    assert off.max() < 0.7


def test_what_is_hidden_stays_empty_and_splits() -> None:
    """Without wrist a person lacks the wrist alone; without elbow the wrist is a person of its own."""
    people = crowd(1, 2, (48, 64))
    seen = np.ones((2, 18), bool)
    seen[0, 9] = seen[1, 8] = False  # left wrist; right elbow
    found = parse_objects(*draw_maps(people, (48, 64), found=seen), HUMAN18)
    assert (found[:, :, 2] > 0).sum(axis=1).tolist() == [17, 16, 1]
    assert found[2, 10, 2] > 0
    assert (found[found[:, :, 2] == 0] == 0).all()


def test_more_peaks_than_are_looked_at() -> None:
    cmap = np.zeros((18, 90, 90), np.float32)
    cmap[:, ::6, ::6] = 1
    found = parse_objects(cmap, np.zeros((42, 90, 90), np.float32), HUMAN18)
    assert found.shape == (100, 18, 3)
    assert (found[:, 0, 2] == 1).all(), "nothing is joined, and the first part has a hundred already"
    assert parse_objects(cmap, np.zeros((42, 90, 90), np.float32), HUMAN18, max_people=7).shape == (7, 18, 3)


def test_empty_maps() -> None:
    found = parse_objects(np.zeros((18, *SIZE), np.float32), np.zeros((42, *SIZE), np.float32), HUMAN18)
    assert found.shape == (0, 18, 3)
    assert found.dtype == np.float32


def test_a_skeleton_without_limbs() -> None:
    dots = Topology("dot", ("dot",))
    cmap, _ = draw_maps(np.array([[[10.2, 20.7]], [[30.5, 40.5]]]), SIZE, dots)
    found = parse_objects(cmap, np.zeros((0, *SIZE), np.float32), dots)
    np.testing.assert_allclose(found[:, 0, :2] * 56, [[10.2, 20.7], [30.5, 40.5]], atol=0.2)


def test_a_place_that_is_none_is_not_found() -> None:
    dots = Topology("dot", ("dot",))
    cmap = np.zeros((1, 9, 9), np.float32)
    cmap[0, 4, 4], cmap[0, 4, 5] = 0.5, -0.5
    assert parse_objects(cmap, np.zeros((0, 9, 9), np.float32), dots).tolist() == [[[0, 0, 0]]]


def test_the_plain_assignment_is_itself_right() -> None:
    cost = np.random.default_rng(0).normal(size=(4, 6))
    chosen = cheapest(cost.tolist())
    best = min(sum(cost[i, j] for i, j in enumerate(order)) for order in permutations(range(6), 4))
    assert sum(cost[i, j] for i, j in chosen) == pytest.approx(best)
