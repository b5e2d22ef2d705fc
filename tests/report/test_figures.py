"""Figures show the data they are given: what is drawn is read back and compared."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import START, make_log, make_run, sample, samples

from edgekit.report import figures
from edgekit.report.chart import ALARM, COLOURS, INK, Chart
from edgekit.report.numbers import front, per_second, percentiles, rail_energy, ratios
from edgekit.telemetry.log import Log

RNG = np.random.default_rng(4)


def saved(chart: Chart) -> bytes:
    """A figure that can be drawn at all, as SVG."""
    data = io.BytesIO()
    chart.savefig(data, format="svg")
    return data.getvalue()


def words(chart: Chart) -> str:
    """All the text on a figure."""
    texts = [text.get_text() for axis in chart.axes for text in axis.texts]
    return " | ".join([*texts, *(text.get_text() for text in chart.texts)])


def finite(artist: Any) -> np.ndarray:
    x, y = artist.get_data()
    kept = np.isfinite(y)
    return np.stack([x[kept], y[kept]])


def test_power_over_time_is_the_log() -> None:
    log = make_log(20, watts=lambda t: 5 + t / 10)
    chart = figures.power_over_time(log, [(START, START + 20, "the run")])
    axis = chart.axes[0]
    x, y = finite(axis.lines[0])
    assert np.allclose(x, log.t - START), "zero is the run's start"
    assert np.allclose(y, log.power_w)
    shade = axis.patches[0].get_extents().transformed(axis.transData.inverted())
    assert (shade.x0, shade.x1) == pytest.approx((0, 20))
    assert "the run" in words(chart)
    assert "mean 6.00 W" in words(chart), "the mean of the run, in closed form"
    assert axis.lines[1].get_ydata()[0] == pytest.approx(6.0)
    assert axis.get_xlabel() == "seconds"
    assert "lowest 4.95 W" in chart.alt


@pytest.mark.parametrize(
    ("seconds", "interval", "unit"), [(60, 1, "seconds"), (600, 5, "minutes"), (9000, 60, "hours")]
)
def test_time_has_a_unit_that_suits_it(seconds: float, interval: float, unit: str) -> None:
    log = make_log(seconds, interval=interval)
    axis = figures.power_over_time(log, [(START, START + seconds, "")]).axes[0]
    assert axis.get_xlabel() == unit
    factor = {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
    assert finite(axis.lines[0])[0][-1] == pytest.approx((log.t[-1] - START) / factor)


def test_rails_are_never_stacked_on_the_input_that_holds_them() -> None:
    log = make_log(20, watts=lambda t: 8 + np.sin(t))
    chart = figures.rails(log)
    axis = chart.axes[0]
    assert not axis.collections, "nothing is stacked"
    drawn = {line.get_color(): finite(line)[1] for line in axis.lines}
    assert np.allclose(drawn[INK], log.power_w)
    assert np.allclose(drawn[COLOURS[1]], log.rails_w["VDD_CPU_GPU_CV"])
    assert max(y.max() for y in drawn.values()) == log.power_w.max(), "no line is higher than the input"


def test_rails_are_stacked_where_the_total_is_their_sum() -> None:
    log = make_log(20, watts=lambda t: 8 + t / 10, kind="sum")
    axis = figures.rails(log).axes[0]
    assert len(axis.collections) == 2
    tops = [layer.get_paths()[0].vertices[:, 1].max() for layer in axis.collections]
    assert tops[-1] == pytest.approx(log.power_w.max()), "the top of the stack is the total"
    assert tops[0] == pytest.approx(log.rails_w["VDD_CPU_GPU_CV"].max())


def test_a_total_that_changed_from_input_to_sum_is_not_stacked() -> None:
    changed = [*samples(10)[:10], *(s for s in samples(20, kind="sum") if s.t_boot_s >= START + 5)]
    chart = figures.rails(Log.of(changed, 0.5))
    assert not chart.axes[0].collections, "the input's first half would be counted twice"
    assert "VDD_IN" in words(chart)


def test_a_total_beside_its_rails_has_its_line() -> None:
    more = {
        "power_total_name": "package-0",
        "power_total_kind": "cpu",
        "rails_mw": {"core": 3000, "dram": 500},
    }
    log = make_log(10, watts=lambda t: 9, more=lambda t: more)
    chart = figures.rails(log)
    drawn = {line.get_color(): finite(line)[1][0] for line in chart.axes[0].lines}
    assert drawn[INK] == 9
    assert sorted(drawn.values()) == [0.5, 3, 9]
    assert "package-0, all" in words(chart)


def test_gaps_are_shown_as_gaps() -> None:
    taken = [s for s in samples(60) if not START + 20 < s.t_boot_s < START + 40]
    log = Log.of(taken, 0.5)
    for chart in (
        figures.power_over_time(log),
        figures.rails(log),
        figures.temperatures(log),
        figures.loads(log),
    ):
        for line in chart.axes[0].lines:
            x, y = line.get_data()
            pairs = zip(x, x[1:], y, y[1:], strict=False)
            assert max(b - a for a, b, p, q in pairs if np.isfinite(p + q)) == pytest.approx(0.5), (
                chart.heading
            )
    stacked = figures.rails(
        Log.of([s for s in samples(60, kind="sum") if not 20 < s.t_boot_s - START < 40], 0.5)
    )
    for layer in stacked.axes[0].collections:
        spans = [path.vertices[:, 0] for path in layer.get_paths()]
        assert all(x.max() <= 21 or x.min() >= 40 for x in spans), "no layer lies across the gap"


def test_throttling_is_marked_where_it_was() -> None:
    def more(t: float) -> dict[str, Any]:
        return {"throttle": ("thermal",) if 10 <= t < 15 else (), "oc_events": {"oc3": 2 if t >= 20 else 0}}

    log = make_log(30, more=more)
    chart = figures.temperatures(log)
    axis = chart.axes[0]
    marks = [p for p in axis.patches if p.get_facecolor()[:3] == pytest.approx(tuple(_rgb(ALARM)))]
    assert len(marks) == 1
    span = marks[0].get_extents().transformed(axis.transData.inverted())
    zero = log.t[0] - START
    assert (span.x0 + zero, span.x1 + zero) == pytest.approx((10, 15))
    (arrow,) = [line for line in axis.lines if line.get_marker() == "v"]
    assert arrow.get_xdata()[0] + zero == pytest.approx(20)
    assert "thermal" in words(chart)
    assert "over-current (oc3)" in words(chart)
    assert "held down for 5.0 s: thermal" in chart.alt
    assert "2 over-current events" in chart.alt


def _rgb(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def test_zones_that_are_always_the_same_are_one_line() -> None:
    log = make_log(20, more=lambda t: {"temps_c": {"cpu": 50 + t, "gpu": 50 + t, "tj": 52 + t}})
    chart = figures.temperatures(log)
    assert len(chart.axes[0].lines) == 2
    assert "cpu, 1 alike" in words(chart)
    assert "tj" in words(chart)


def test_loads_and_clocks_are_the_log() -> None:
    log = make_log(20, more=lambda t: {"gpu_load_pct": t, "gpu_freq_khz": 306_000 + 1000 * t})
    load, clock = figures.loads(log).axes
    assert np.allclose(finite(load.lines[0])[1], log.gpu_load_pct)
    assert np.allclose(finite(load.lines[1])[1], 30)
    assert np.allclose(finite(clock.lines[0])[1], log.gpu_freq_khz / 1e3)


@pytest.fixture(scope="module")
def latency() -> np.ndarray:
    """Seconds of 500 frames; the first one loads, three are far out."""
    values = RNG.gamma(9, 0.005, 500)
    values[[0, 100, 200, 300]] = 3.0, 0.9, 0.8, 0.7
    return values


def test_percentiles_are_numpys_without_the_first_frame(tmp_path: Path, latency: np.ndarray) -> None:
    run = make_run(tmp_path / "a", latency=latency)
    expected = np.percentile(1e3 * latency[1:].astype(np.float64), [50, 90, 95, 99])
    assert list(percentiles(run).values()) == pytest.approx(list(expected), rel=1e-12)
    short = make_run(tmp_path / "b", latency=latency[:3])
    assert percentiles(short)[50] == pytest.approx(1e3 * np.median(latency[:3])), "of three none is left out"
    chart = figures.latency_percentiles(run)
    dots = [line.get_xdata()[0] for line in chart.axes[0].lines if line.get_marker() == "o"]
    assert dots == pytest.approx(list(expected))


def test_the_histogram_counts_every_frame(tmp_path: Path, latency: np.ndarray) -> None:
    run = make_run(tmp_path / "a", latency=latency)
    chart = figures.latency_histogram(run)
    bars = chart.axes[0].patches
    assert sum(bar.get_height() for bar in bars) == 500
    last = bars[-1]
    assert last.get_height() == 4, "what took longer is in the last bar"
    edges = [bar.get_x() for bar in bars] + [last.get_x() + last.get_width()]
    expected = np.histogram(1e3 * latency.clip(max=edges[-1] / 1e3), edges)[0]
    assert [bar.get_height() for bar in bars] == list(expected)
    assert "4 frames longer" in chart.alt
    assert f"p95 {np.percentile(1e3 * latency[1:], 95):.1f} ms" in words(chart)


def test_outlines_of_several_runs_are_shares(tmp_path: Path, latency: np.ndarray) -> None:
    runs = [make_run(tmp_path / "a", latency=latency), make_run(tmp_path / "b", latency=latency[:100])]
    chart = figures.latency_histogram(*runs)
    for outline in chart.axes[0].patches:
        assert outline.get_data().values.sum() == pytest.approx(100)
    assert [text.get_text() for text in chart.axes[0].texts] == ["a", "b"]


def test_frames_a_second_and_drops_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", latency=np.full(600, 0.04), fps=20, dropped=lambda i: max(0, i - 299))
    edges, fps, dropped = per_second(run)
    assert (fps * edges[1]).sum() == pytest.approx(600)
    assert np.abs(fps - 20).max() <= 1 / edges[1], "a frame on the edge counts for one side"
    assert (np.diff(edges) == edges[1]).all()
    assert dropped.sum() == 300
    assert dropped[edges[:-1] < 14].sum() == 0
    upper, lower = figures.fps_and_drops(run).axes
    assert upper.patches[0].get_data().values == pytest.approx(fps)
    assert [bar.get_height() for bar in lower.patches] == pytest.approx(list(dropped))
    assert len(figures.fps_and_drops(make_run(tmp_path / "b")).axes) == 1, (
        "no empty panel where none was dropped"
    )


def test_a_pause_in_the_frames_is_no_frames(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", latency=np.full(400, 0.04), fps=20)
    t = run.frames["t_boot_s"]
    t[t > START + 10] += 5
    edges, fps, _ = per_second(run)
    inside = (edges[:-1] >= 10.6) & (edges[1:] <= 15)
    assert inside.any()
    assert (fps[inside] == 0).all()


def test_stage_shares_add_up(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    widths = [bar.get_width() for bar in figures.stage_shares(run).axes[0].patches]
    assert widths == pytest.approx([5, 2.5, 75, 2.5, 15]), "draw took no time and is left out"


def test_energy_of_stages_and_rails(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", fps=20)  # 8 W at 20 FPS: 0.4 J a frame
    by_stage = figures.energy_per_stage(run)
    assert [bar.get_width() for bar in by_stage.axes[0].patches] == pytest.approx([20, 10, 300, 10, 60])
    assert "shared out by busy time" in by_stage.heading
    live = figures.energy_per_stage(make_run(tmp_path / "b", fps=20, live=True))
    names = [label.get_text() for label in live.axes[0].get_yticklabels()]
    assert names == ["pre", "infer", "post", "encode"], "waiting for a camera costs no joules"
    assert sum(bar.get_width() for bar in live.axes[0].patches) == pytest.approx(400)
    by_rail = figures.energy_per_frame(run)
    names = [label.get_text() for label in by_rail.axes[0].get_yticklabels()]
    assert dict(
        zip(names, [bar.get_width() for bar in by_rail.axes[0].patches], strict=True)
    ) == pytest.approx({"VDD_IN (all)": 400, "VDD_CPU_GPU_CV": 200, "VDD_SOC": 100})
    assert run.log is not None
    assert rail_energy(run.log, run.start_s, run.end_s)["VDD_SOC"].joules == pytest.approx(20)
    given = figures.energy_per_stage({"infer": 2.0, "post": 0.5}, "jtop")
    assert [bar.get_width() for bar in given.axes[0].patches] == [2.0, 0.5]
    assert "2.00 J" in words(given)
    assert "<0.01 J" in words(figures.energy_per_stage({"infer": 2.0, "draw": 0.0004})), "small is no zero"


ROWS = [
    {"name": "fp32", "ms": 40.0, "mAP": 0.50, "mJ": 400.0},
    {"name": "fp16", "ms": 20.0, "mAP": 0.50, "mJ": 200.0},
    {"name": "int8", "ms": 12.0, "mAP": 0.47, "mJ": None},
    {"name": "old", "ms": 30.0, "mAP": 0.45, "mJ": 350.0},
    {"name": "void", "ms": None, "mAP": 0.6, "mJ": 1.0},
]


def test_the_front_is_what_none_beats() -> None:
    points = RNG.random((200, 2))
    for better in (("lower", "higher"), ("higher", "higher"), ("lower", "lower")):
        sign = np.array([1 if side == "lower" else -1 for side in better])
        naive = [
            i
            for i, a in enumerate(points * sign)
            if not any((b <= a).all() and (b < a).any() for b in points * sign)
        ]
        assert front([tuple(point) for point in points], better) == naive
    assert front([(1, 1), (1, 1)], ("lower", "lower")) == [0, 1], "equal points are both on it"


def test_pareto_marks_the_front_and_says_what_is_left_out() -> None:
    chart = figures.pareto(ROWS, "ms", "mAP", label="name", size="mJ", source="jtop 4.3.2, VDD_IN")
    axis = chart.axes[0]
    assert np.allclose(axis.collections[0].get_offsets(), [(40, 0.5), (20, 0.5), (12, 0.47), (30, 0.45)])
    assert sorted(zip(*axis.lines[0].get_data(), strict=True)) == [(12, 0.47), (20, 0.5)]
    assert "On the front: fp16 (20.0, 0.500), int8 (12.0, 0.470)." in chart.alt
    assert "Left out, without a figure: void." in chart.alt
    assert {text.get_text() for text in axis.texts} == {"fp32", "fp16", "int8", "old"}
    areas = axis.collections[0].get_sizes()
    assert areas[1] == pytest.approx(areas[0] / 2), "area goes with the third number"


def test_bars_leave_a_dash_where_a_figure_is_not_known() -> None:
    chart = figures.bars(ROWS, ["ms", "mJ", "nothing"], label="name")
    left, right = chart.axes
    assert [bar.get_width() for bar in left.patches] == [40, 20, 12, 30, 0]
    assert [text.get_text() for text in right.texts] == ["400", "200", "–", "350", "1.00"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["fp32", "fp16", "int8", "old", "void"]


def all_figures(run: Any, log: Log) -> list[Chart]:
    """Each figure that a report or a notebook may show."""
    spans = [(run.start_s, run.end_s, "the run")]
    return [
        figures.power_over_time(log, spans),
        figures.rails(log, spans),
        figures.temperatures(log, spans),
        figures.loads(log, spans),
        figures.latency_histogram(run),
        figures.latency_histogram(run, run),
        figures.latency_percentiles(run, run),
        figures.fps_and_drops(run),
        figures.stage_shares(run),
        figures.energy_per_stage(run),
        figures.energy_per_frame(run),
    ]


def test_an_emulated_source_is_said_in_every_title(tmp_path: Path) -> None:
    emulated = samples(10, source="emulated Orin Nano (sysfs)", emulated=True)
    run = make_run(tmp_path / "a", taken=emulated, emulated=True)
    assert run.log is not None
    for chart in all_figures(run, run.log):
        assert "emulated" in chart.title.get_text(), chart.heading
        assert chart.title.get_text() == chart.get_suptitle()
        saved(chart)


def test_an_unknown_source_is_said_and_nothing_is_drawn(tmp_path: Path) -> None:
    unknown = samples(
        10, lambda t: None, source="none", temps_c={}, gpu_load_pct=None, cpu_load_pct=None, gpu_freq_khz=None
    )
    run = make_run(tmp_path / "a", taken=unknown)
    assert run.log is not None
    for make in (figures.power_over_time, figures.rails, figures.temperatures, figures.loads):
        chart = make(run.log)
        assert not chart.axes, "no empty plot"
        assert "power unknown: there is no meter" in chart.title.get_text()
        assert "not known: " in words(chart)
        saved(chart)
    for chart in (figures.energy_per_stage(run), figures.energy_per_frame(run)):
        assert not chart.axes
        assert "there is no meter" in words(chart)


def test_runs_without_frames_or_samples_make_no_empty_plot(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", latency=np.array([]), taken=[sample(START, 0, 5.0)])
    for chart in (
        figures.latency_histogram(run),
        figures.latency_percentiles(run),
        figures.fps_and_drops(run),
    ):
        assert not chart.axes
        assert "the run has no frames" in words(chart)
    bare = make_run(tmp_path / "b", sampled=False)
    assert "no power was sampled" in figures.energy_per_frame(bare).title.get_text()
    one = make_run(tmp_path / "c", latency=np.array([0.02]))
    assert one.log is not None
    for chart in all_figures(one, one.log):
        saved(chart)


def test_ratios_are_over_the_first() -> None:
    assert ratios([2.0, 3.0, None]) == [1.0, 1.5, None]
    assert ratios([None, 3.0]) == [None, None]
    assert ratios([0.0, 3.0]) == [None, None]
    assert ratios([]) == []


def test_ten_hours_at_two_hertz_are_drawn_in_a_few_seconds() -> None:
    log = make_log(36_000, watts=lambda t: 8 + np.sin(t / 100) + (9 if t == 20_000 else 0))
    assert len(log) > 72_000
    begun = time.monotonic()
    charts = [figures.power_over_time(log), figures.rails(log), figures.temperatures(log), figures.loads(log)]
    sizes = [len(saved(chart)) for chart in charts]
    assert time.monotonic() - begun < 15, "a few seconds, with room for a slow machine"
    assert max(sizes) < 400_000
    peak = charts[0].axes[0].lines[0].get_ydata()
    assert np.nanmax(peak) == log.power_w.max()


def test_nothing_is_left_in_pyplot(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    run = make_run(tmp_path / "a")
    assert run.log is not None
    all_figures(run, run.log)
    assert plt.get_fignums() == before


def test_names_of_points_lie_apart_and_on_the_sheet_at_each_width() -> None:
    rows = [
        {"name": f"model-{i} {precision}", "ms": 5 * i * factor, "mAP": 30 + 3 * i - loss}
        for i in range(1, 6)
        for precision, factor, loss in (("fp32", 1.0, 0.0), ("fp16", 0.55, 0.1), ("int8", 0.4, 1.8))
    ]
    chart = figures.pareto(rows, "ms", "mAP", label="name")
    on_front = [
        rows[i]["name"] for i in front([(row["ms"], row["mAP"]) for row in rows], ("lower", "higher"))
    ]
    for width in (7.2, 3.7):
        chart.set_size_inches(width, 3.6)
        assert chart.fit is not None
        chart.fit()
        chart.draw_without_rendering()
        axis = chart.axes[0]
        boxes = [text.get_window_extent() for text in axis.texts]
        assert {text.get_text() for text in axis.texts} >= set(on_front), "each of the front is named"
        assert all(axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 for box in boxes)
        overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
        assert sum(overlaps) == 0
