"""Energy against float64 references: closed forms, SciPy's trapezoid, and rules that void a figure."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import sample
from scipy.integrate import quad, trapezoid

from edgekit.telemetry.energy import by_stage, energy, idle, of_work_on
from edgekit.telemetry.log import Log
from edgekit.telemetry.sample import Event


def log_of(t, watts, interval=0.5, events=(), counters=None, **fields) -> Log:
    """A log of power at times; `counters` is {meter: cumulative joules at each time}."""
    counters = counters or {}
    samples = [
        sample(
            moment, power, energy_mj={name: joules[i] * 1e3 for name, joules in counters.items()}, **fields
        )
        for i, (moment, power) in enumerate(zip(t, watts, strict=True))
    ]
    return Log.of(samples, interval, events)


def test_constant_power_is_power_times_time():
    t = np.arange(100, 121, 0.5)
    spent = energy(log_of(t, np.full(len(t), 7.0)), 103.2, 117.9)
    assert spent.joules == pytest.approx(7 * 14.7, rel=1e-12)
    assert spent.mean_w == spent.min_w == spent.max_w == pytest.approx(7)
    assert (spent.method, spent.name, spent.kind) == ("trapezoid", "VDD_IN", "input")
    assert spent.coverage == pytest.approx(1)
    assert spent.longest_gap_s == pytest.approx(0.5)
    assert spent.void == ""
    assert spent.per(49) == pytest.approx(2.1)
    assert spent.per(0) is None


def test_ends_between_samples_are_interpolated():
    t = np.arange(0.0, 10.5, 0.5)
    ramp = 2 + 0.8 * t  # the trapezoid of a straight line is exact
    for start, end in ((0.0, 10.0), (1.13, 8.77), (3.1, 3.3), (2.5, 2.9), (4.0, 4.5)):
        want = quad(lambda x: 2 + 0.8 * x, start, end)[0]
        assert energy(log_of(t, ramp), start, end).joules == pytest.approx(want, rel=1e-9), (start, end)


def test_it_is_scipys_trapezoid():
    rng = np.random.default_rng(1)
    t = np.cumsum(rng.uniform(0.4, 0.6, 400)) + 50
    watts = rng.uniform(3, 25, 400)
    spent = energy(log_of(t, watts), t[20], t[371])
    assert spent.joules == pytest.approx(trapezoid(watts[20:372], t[20:372]), rel=1e-12)
    assert spent.min_w == watts[20:372].min()
    assert spent.max_w == watts[20:372].max()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.floats(0.3, 0.7), min_size=8, max_size=40),
    watts=st.lists(st.floats(0.5, 60), min_size=41, max_size=41),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_parts_of_a_run_add_up_to_it(steps, watts, cut):
    t = 1000 + np.concatenate([[0], np.cumsum(steps)])
    log = log_of(t, watts[: len(t)])
    a, b, c = (t[0] + share * (t[-1] - t[0]) for share in sorted(cut))
    if min(b - a, c - b) < 1e-6:
        return
    parts = energy(log, a, b).joules + energy(log, b, c).joules
    assert parts == pytest.approx(energy(log, a, c).joules, rel=1e-9)


def test_a_long_gap_voids_the_figure_and_a_short_one_does_not():
    t = np.concatenate([np.arange(0, 5.5, 0.5), np.arange(6.4, 12, 0.5)])  # 1.4 s: less than three intervals
    spent = energy(log_of(t, np.full(len(t), 4.0)), 0, 11)
    assert spent.joules == pytest.approx(44)
    assert spent.longest_gap_s == pytest.approx(1.4)
    t = np.concatenate([np.arange(0, 5.5, 0.5), np.arange(6.6, 12, 0.5)])  # 1.6 s
    spent = energy(log_of(t, np.full(len(t), 4.0)), 0, 11)
    assert spent.joules is None
    assert spent.void == "no sample for 1.6 s, which is more than 3 intervals of 0.5 s"
    assert spent.per(10) is None
    assert spent.above_idle is None
    assert spent.coverage == pytest.approx((11 - 1.6) / 11)
    assert str(spent).startswith("energy unknown: no sample for 1.6 s")
    # the gap lies outside of this stretch
    assert energy(log_of(t, np.full(len(t), 4.0)), 0, 5).joules == pytest.approx(20)


@pytest.mark.parametrize(("first", "last"), [(2.0, 10.0), (0.0, 8.0)])
def test_a_run_that_the_samples_do_not_reach_is_void(first, last):
    t = np.arange(first, last + 0.01, 0.5)
    spent = energy(log_of(t, np.full(len(t), 4.0)), 0, 10)
    assert spent.joules is None
    assert "no sample for 2.0 s" in spent.void
    assert spent.coverage == pytest.approx(0.8)


def test_a_short_end_without_samples_is_said():
    t = np.arange(0.0, 9.3, 0.5)  # the last one at 9.0
    spent = energy(log_of(t, np.full(len(t), 4.0)), 0, 10)
    assert spent.joules == pytest.approx(40)
    assert spent.coverage == pytest.approx(0.9)
    assert spent.notes == ("10% of the time has no samples; the mean stands for it",)


def test_a_missing_reading_is_a_gap_in_the_power_alone():
    t = np.arange(0, 10.5, 0.5)
    watts = [None if 4 <= x < 7 else 5.0 for x in t]
    assert "no sample for" in energy(log_of(t, watts), 0, 10).void


def test_unknown_power_says_why():
    t = np.arange(0, 10.5, 0.5)
    log = log_of(t, [None] * len(t), missing={"power_total_mw": "no permission for the energy counter"})
    spent = energy(log, 0, 10)
    assert spent.joules is spent.mean_w is None
    assert spent.void == "no permission for the energy counter"
    assert energy(log_of([], []), 0, 10).void == "there are no samples"


def test_the_hardwares_counter_is_taken_and_survives_a_gap():
    t = np.concatenate([np.arange(0, 4.1, 0.5), np.arange(9, 12.1, 0.5)])
    joules = 1000 + 30 * t  # 30 W
    log = log_of(t, np.full(len(t), 25.0), counters={"gpu0": joules})
    spent = energy(log, 1.3, 11.2)
    assert spent.method == "hardware counter"
    assert spent.joules == pytest.approx(30 * 9.9)
    assert spent.mean_w == pytest.approx(30)
    assert spent.longest_gap_s == pytest.approx(5)
    two = log_of(t, np.full(len(t), 25.0), counters={"package-0": joules, "package-1": joules / 2})
    assert energy(two, 1.3, 11.2).joules == pytest.approx(45 * 9.9)


def test_a_counter_that_began_anew_is_not_believed():
    t = np.arange(0, 10.5, 0.5)
    joules = np.where(t < 5, 1000 + 30 * t, 30 * t)
    spent = energy(log_of(t, np.full(len(t), 30.0), counters={"gpu0": joules}), 0, 10)
    assert spent.method == "trapezoid"
    assert spent.joules == pytest.approx(300)


def test_a_counter_that_does_not_span_the_run_is_not_stretched():
    t = np.arange(4, 10.5, 0.5)
    spent = energy(log_of(t, np.full(len(t), 30.0), counters={"gpu0": 30 * t}), 0, 10)
    assert spent.joules is None


def test_a_change_of_the_total_within_the_run_is_noted():
    t = np.arange(0, 10.5, 0.5)
    told = Event(
        5.0, "2026-11-21T12:00:00.000Z", "total", "total power was VDD_IN, and is sum of 2 rails from here"
    )
    log = log_of(t, np.full(len(t), 4.0), events=[told])
    assert energy(log, 0, 10).notes == (told.text,)
    assert energy(log, 6, 10).notes == ()


def test_idle_is_a_median_and_leaves_its_part():
    t = np.arange(0, 20.5, 0.5)
    watts = np.where(t < 10, 3.0, 9.0)
    watts[4] = 20  # something woke up
    log = log_of(t, watts)
    base = idle(log, 0, 9.5)
    assert base == pytest.approx(3)
    spent = energy(log, 12, 20, baseline_w=base)
    assert spent.joules == pytest.approx(72)
    assert spent.above_idle == pytest.approx(48)
    assert energy(log, 12, 20).above_idle is None
    assert idle(log, 100, 200) is None


def test_stages_share_the_joules_by_their_time():
    shares = by_stage(12.0, {"pre": 1.0, "infer": 4.0, "post": 1.0})
    assert shares == pytest.approx({"pre": 2, "infer": 8, "post": 2})
    assert by_stage(None, {"pre": 1.0}) == {}
    assert by_stage(3.0, {"pre": 0.0}) == {}


def test_an_emulated_figure_says_so():
    t = np.arange(0, 10.5, 0.5)
    spent = energy(log_of(t, np.full(len(t), 4.0), emulated=True), 0, 10)
    assert spent.emulated
    assert "emulated" in str(spent)
    assert "emulated" not in str(dataclasses.replace(spent, emulated=False))


def test_no_time_is_no_energy():
    t = np.arange(0, 10.5, 0.5)
    spent = energy(log_of(t, np.full(len(t), 4.0)), 5, 5)
    assert spent.joules is None
    assert spent.void == "no time went by"


def test_a_meter_of_another_device_says_nothing_of_the_work():
    t = np.arange(0, 10.5, 0.5)
    gpu = log_of(t, np.full(len(t), 80.0), power_total_name="gpu0", power_total_kind="gpu")
    spent = energy(gpu, 0, 10)
    assert of_work_on(spent, "NVIDIA H200") is spent
    assert of_work_on(spent, "CUDA device 0") is spent
    wrong = of_work_on(spent, "x86_64 CPU, 2 threads")
    assert wrong.joules is None
    assert wrong.per(10) is None
    assert wrong.void == "gpu0 is the GPU's meter, and the network ran on the CPU"
    cpu = energy(
        log_of(t, np.full(len(t), 30.0), power_total_name="package-0", power_total_kind="cpu"), 0, 10
    )
    assert of_work_on(cpu, "x86_64 CPU, 2 threads") is cpu
    assert of_work_on(cpu, "NVIDIA H200").joules is None
    board = energy(log_of(t, np.full(len(t), 5.0)), 0, 10)  # an input holds both
    assert of_work_on(board, "x86_64 CPU, 2 threads") is board
    assert of_work_on(board, "Orin Nano") is board
