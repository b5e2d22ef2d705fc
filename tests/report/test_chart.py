"""Lines keep their peaks and stop at gaps; words at their ends stay apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.files import PACKAGE
from edgekit.report.chart import BINS, COLOURS, FAINT, INK, PAPER, Chart, envelope, line, spread, stretches


def test_a_series_is_cut_at_silences_and_at_what_is_not_known() -> None:
    t = np.array([0.0, 1, 2, 5, 6, 10, 11, 12])
    values = np.array([1.0, 2, 3, 4, 5, 6, np.nan, 8])
    parts = [(list(a), list(b)) for a, b in stretches(t, values, 1.0)]
    assert parts == [([0, 1, 2, 5, 6], [1, 2, 3, 4, 5]), ([10], [6]), ([12], [8])], "3 intervals are no gap"
    assert stretches(t, np.full(8, np.nan), 1.0) == []
    even = np.array([0.0, 1, 2, 3, 10, 11])
    assert len(stretches(even, np.ones(6), 0.0)) == 2, "the median pause stands for an unknown interval"


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4000),
    st.integers(1, 200),
)
@settings(max_examples=50, deadline=None)
def test_a_thinned_line_keeps_its_extremes_its_ends_and_its_order(values: list[float], bins: int) -> None:
    y = np.array(values)
    t = np.arange(len(y), dtype=float)
    thin_t, thin = envelope(t, y, bins)
    assert len(thin) <= max(2 * bins, min(len(y), 2 * bins + 2))
    assert (thin.min(), thin.max()) == (y.min(), y.max())
    assert (thin_t[0], thin_t[-1]) == (0, len(y) - 1)
    assert (np.diff(thin_t) > 0).all() if len(thin_t) > 1 else True
    assert np.array_equal(thin, y[thin_t.astype(int)]), "only values that were there"


def test_a_spike_of_one_sample_survives_ten_hours() -> None:
    t = np.arange(72_000) * 0.5
    values = np.full(len(t), 5.0)
    values[41_234] = 14.9
    axis = Chart("a").axis()
    line(axis, t, values, 0.5)
    drawn = axis.lines[0].get_ydata()
    assert np.nanmax(drawn) == 14.9
    assert len(drawn) < 3 * BINS


def test_no_stroke_crosses_a_gap_and_a_lone_sample_is_seen() -> None:
    t = np.concatenate([np.arange(10.0), [30.0], np.arange(50.0, 60)])
    axis = Chart("a").axis()
    line(axis, t, np.ones(len(t)), 1.0, color=COLOURS[0])
    x, y = axis.lines[0].get_data()
    strokes = [b - a for a, b, p, q in zip(x, x[1:], y, y[1:], strict=False) if np.isfinite(p + q)]
    assert max(strokes) == 1.0
    assert np.nansum(y) == 21
    assert axis.lines[1].get_xdata().tolist() == [30.0]


@given(st.lists(st.floats(0, 1), max_size=8).map(sorted), st.floats(0.01, 0.4))
@settings(deadline=None)
def test_words_are_apart_in_order_and_inside(wanted: list[float], step: float) -> None:
    places = spread(wanted, step)
    assert len(places) == len(wanted)
    room = min(step, 1 / max(1, len(wanted) - 1))
    assert all(b - a >= room - 1e-9 for a, b in itertools.pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_words_that_have_room_stay_where_they_belong() -> None:
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("text", "sheet"), [(INK, PAPER), (FAINT, PAPER), ("#e8eaee", "#16181d"), ("#9aa1ac", "#16181d")]
)
def test_text_has_the_contrast_that_reading_needs(text: str, sheet: str) -> None:
    high, low = sorted((luminance(text), luminance(sheet)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5
    style = (PACKAGE / "report/page.css").read_text(encoding="utf-8")
    assert text in style
    assert sheet in style
