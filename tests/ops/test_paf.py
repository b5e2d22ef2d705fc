"""Scores of limbs against plain loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_trtpose import score

from edgekit.errors import InputError
from edgekit.ops import paf as module
from edgekit.ops.paf import score_links
from edgekit.ops.peaks import Peaks

LINK = np.array([[0, 1, 0, 1]])


def at(*parts: list[tuple[float, float]]) -> tuple[Peaks, np.ndarray]:
    """Peaks of each part at refined places (y, x)."""
    counts = [len(part) for part in parts]
    part, none = np.repeat(np.arange(len(parts)), counts), np.zeros(sum(counts), np.int64)
    peaks = Peaks(part, none, none, none.astype(np.float32), np.concatenate([[0], np.cumsum(counts)]))
    places = [place for some in parts for place in some]
    return peaks, np.array(places, np.float32).reshape(-1, 2)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    size=st.tuples(st.integers(3, 30), st.integers(3, 30)),
    counts=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    samples=st.integers(2, 9),
    beyond=st.sampled_from([0.0, 0.6]),
    block=st.sampled_from([5, 4096]),
)
def test_as_plain_loops(
    seed: int, size: tuple[int, int], counts: list[int], samples: int, beyond: float, block: int
) -> None:
    """Also with places outside of the map, and whatever number of limbs is worked on together."""
    rng = np.random.default_rng(seed)
    links = np.array([[0, 1, 0, 1], [3, 2, 2, 0], [5, 4, 1, 2]])  # channels in any order
    paf = rng.normal(size=(6, *size)).astype(np.float32)
    parts = [rng.uniform(-beyond, 1 + beyond, (n, 2)).astype(np.float32) for n in counts]
    peaks, refined = at(*[[(y, x) for y, x in part] for part in parts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = score_links(paf, links, peaks, refined, samples)
    for (y, x, a, b), scores in zip(links, found, strict=True):
        assert scores.shape == (counts[a], counts[b])
        assert scores.dtype == np.float32
        for i, one in enumerate(parts[a].astype(float)):
            for j, other in enumerate(parts[b].astype(float)):
                if clear(one * size, other * size, samples):
                    wanted = score(paf[y], paf[x], one, other, samples)
                    np.testing.assert_allclose(scores[i, j], wanted, atol=1e-4)


def clear(a: np.ndarray, b: np.ndarray, samples: int) -> bool:
    """Whether a limb is the same in float32: no point on an edge of a pixel, and not too short."""
    points = a + np.linspace(0, 1, samples)[:, None] * (b - a)
    return bool(np.abs(points - np.round(points)).min() > 1e-4 and np.hypot(*(b - a)) > 0.1)


def test_direction() -> None:
    """The first channel is y: a field down scores a limb down 1, up -1, to the side 0."""
    paf = np.zeros((2, 20, 20), np.float32)
    paf[0] = 1
    peaks, refined = at([(0.2, 0.5)], [(0.8, 0.5), (0.1, 0.5), (0.2, 0.9), (0.2, 0.5)])
    scores = score_links(paf, LINK, peaks, refined)[0]
    np.testing.assert_allclose(scores, [[1, -1, 0, 0]], atol=1e-5)


@pytest.mark.parametrize("no_place", [[], [(0.55, np.inf), (np.nan, 0.5)]])
def test_points_outside_weaken_the_mean(no_place: list[tuple[float, float]]) -> None:
    """A limb from the middle to one width further: of 7 points 4 lie in the map."""
    paf = np.zeros((2, 10, 10), np.float32)
    paf[1] = 1
    peaks, refined = at([(0.55, 0.5)], [(0.55, 1.49), *no_place])
    wanted = [[4 / 7, *(0 for _ in no_place)]]
    np.testing.assert_allclose(score_links(paf, LINK, peaks, refined)[0], wanted, atol=1e-5)


def test_just_before_the_map_counts_as_in_it() -> None:
    """The pixel is the number cut off, as C does: -0.5 lies in pixel 0, -1.0 outside."""
    paf = np.ones((2, 10, 10), np.float32)
    peaks, refined = at([(-0.05, 0.5)], [(-0.05, 0.9)])
    np.testing.assert_allclose(score_links(paf, LINK, peaks, refined)[0], [[1]], atol=1e-5)
    peaks, refined = at([(-0.1, 0.5)], [(-0.1, 0.9)])
    np.testing.assert_allclose(score_links(paf, LINK, peaks, refined)[0], [[0]], atol=1e-5)


def test_parts_without_peaks() -> None:
    peaks, refined = at([], [(0.5, 0.5)])
    assert [scores.shape for scores in score_links(np.ones((2, 9, 9), np.float32), LINK, peaks, refined)] == [
        (0, 1)
    ]


@pytest.mark.parametrize(
    "paf", [np.zeros((1, 9, 9), np.float32), np.zeros((2, 9, 9)), np.zeros((2, 9), np.float32)]
)
def test_what_is_refused(paf: np.ndarray) -> None:
    peaks, refined = at([(0.5, 0.5)], [(0.5, 0.6)])
    with pytest.raises(InputError, match="part affinity fields"):
        score_links(paf, LINK, peaks, refined)
