"""Peaks of confidence maps against plain loops in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_trtpose import around, find, refine

from edgekit.errors import InputError
from edgekit.ops.peaks import Peaks, find_peaks, refine_peaks


def places(peaks: Peaks, part: int) -> list[tuple[int, int]]:
    rows = slice(peaks.first[part], peaks.first[part + 1])
    assert (peaks.part[rows] == part).all()
    return list(zip(peaks.y[rows].tolist(), peaks.x[rows].tolist(), strict=True))


def one_map(height: int, width: int, **values: float) -> np.ndarray:
    """float32 [1, height, width] of zeros but `y_x=value`."""
    grid = np.zeros((1, height, width), np.float32)
    for name, value in values.items():
        y, x = name[1:].split("_")
        grid[0, int(y), int(x)] = value
    return grid


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 4), st.integers(4, 20), st.integers(4, 20)),
    window=st.integers(1, 7),
    steps=st.sampled_from([3, 20, 10**6]),
    most=st.sampled_from([2, 100]),
)
def test_as_plain_loops(seed: int, shape: tuple[int, int, int], window: int, steps: int, most: int) -> None:
    """Few steps make plateaus and ties; values below zero are weights too."""
    rng = np.random.default_rng(seed)
    cmap = (np.round((rng.random(shape) ** 4 - 0.05) * steps) / steps).astype(np.float32)
    peaks = find_peaks(cmap, 0.3, window, most)
    refined = refine_peaks(cmap, peaks, window)
    assert peaks.counts.sum() == len(peaks) == len(refined)
    for part, grid in enumerate(cmap):
        wanted = find(grid, 0.3, window, most)
        assert places(peaks, part) == wanted
        rows = slice(peaks.first[part], peaks.first[part + 1])
        np.testing.assert_array_equal(peaks.score[rows], [grid[place] for place in wanted])
        exact = np.array([refine(grid, place, window) for place in wanted]).reshape(-1, 2)
        weights = [[weight for *_, weight in around(grid, place, window)] for place in wanted]
        sound = [abs(sum(some)) > 0.1 * sum(map(abs, some)) for some in weights]  # else rounding decides
        np.testing.assert_allclose(refined[rows][sound], exact[sound], atol=1e-4)


def test_a_window_ends_at_its_map() -> None:
    """The maps lie one below the other in memory; the last row of one is no neighbour of the next's first."""
    cmap = np.zeros((2, 6, 6), np.float32)
    cmap[0, 5, 3], cmap[1, 0, 3] = 0.5, 0.9
    cmap[0, 2, 5], cmap[0, 3, 0] = 0.6, 0.7
    assert places(find_peaks(cmap), 0) == [(2, 5), (3, 0), (5, 3)]
    assert places(find_peaks(cmap), 1) == [(0, 3)]


@pytest.mark.parametrize("count", [1, 64, 65, 133])
def test_many_maps(count: int) -> None:
    cmap = np.random.default_rng(count).random((count, 11, 7), np.float32)
    peaks = find_peaks(cmap, 0.5)
    for part in range(count):
        assert places(peaks, part) == find(cmap[part], 0.5, 5)


def test_the_threshold_itself_is_enough() -> None:
    assert len(find_peaks(one_map(8, 8, p2_2=0.1), 0.1)) == 1
    assert len(find_peaks(one_map(8, 8, p2_2=float(np.nextafter(np.float32(0.1), np.float32(0)))), 0.1)) == 0


def test_equal_neighbours_are_peaks_both() -> None:
    assert places(find_peaks(one_map(8, 8, p2_2=0.5, p2_3=0.5, p3_2=0.4)), 0) == [(2, 2), (2, 3)]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_nothing_found(value: float) -> None:
    cmap = np.full((3, 9, 7), value, np.float32)
    peaks = find_peaks(cmap)
    assert len(peaks) == 0
    assert peaks.first.tolist() == [0, 0, 0, 0]
    assert refine_peaks(cmap, peaks).shape == (0, 2)


def test_the_first_hundred_row_by_row() -> None:
    cmap = np.zeros((3, 60, 60), np.float32)
    cmap[1, ::3, ::3] = 1.0  # 400
    cmap[2, 30, 30] = 1.0
    peaks = find_peaks(cmap, window=3)
    assert peaks.counts.tolist() == [0, 100, 1]
    assert places(peaks, 1) == [(3 * y, 3 * x) for y in range(5) for x in range(20)]
    assert places(peaks, 2) == [(30, 30)]


def test_refined_in_a_corner_by_hand() -> None:
    """Window 3 at (0, 0) mirrors row and column 1: the weights around are 1, 2, 1 / 3, 4, 3 / 1, 2, 1."""
    grid = np.zeros((1, 5, 10), np.float32)
    grid[0, :2, :2] = [[4, 3], [2, 1]]
    grid[0, 4, 9] = 4  # the far corner: nothing around it
    refined = refine_peaks(grid, find_peaks(grid, window=3), window=3)
    np.testing.assert_allclose(refined, [[0.5 / 5, 0.5 / 10], [4.5 / 5, 9.5 / 10]], rtol=1e-6)
    grid[0, 1, 0] = 0  # above and below are alike all the same
    refined = refine_peaks(grid, find_peaks(grid, window=3), window=3)
    np.testing.assert_allclose(refined[0], [0.5 / 5, 0.5 / 10], rtol=1e-6)


def test_a_peak_alone_is_refined_as_among_others() -> None:
    """To the last bit: the order of a sum must not hang on how many there are."""
    rng = np.random.default_rng(3)
    cmap = rng.random((1, 40, 40), np.float32)
    peaks = find_peaks(cmap, 0.5)
    refined = refine_peaks(cmap, peaks)
    assert len(peaks) > 20
    for n in range(len(peaks)):
        alone = Peaks(
            peaks.part[n : n + 1],
            peaks.y[n : n + 1],
            peaks.x[n : n + 1],
            peaks.score[n : n + 1],
            np.array([0, 1]),
        )
        np.testing.assert_array_equal(refine_peaks(cmap, alone)[0], refined[n])


def test_weights_that_cancel_give_no_place() -> None:
    grid = one_map(9, 9, p4_4=0.5, p4_5=-0.5)
    assert not np.isfinite(refine_peaks(grid, find_peaks(grid))).all()


@pytest.mark.parametrize(
    ("cmap", "window", "said"),
    [
        (np.zeros((3, 9, 9)), 5, "float64"),
        (np.zeros((9, 9), np.float32), 5, r"\[9, 9\]"),
        (np.zeros((3, 2, 9), np.float32), 5, "window=5"),
        (np.zeros((3, 9, 9), np.float32), 0, "window=0"),
    ],
)
def test_what_is_refused(cmap: np.ndarray, window: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_peaks(cmap, window=window)
