"""What spoils a figure is said, in words that name it; what is not known is not said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import START, WALL, make_log, make_run, samples

from edgekit.report.clean import held_down, over_current, throttled, throttling_unknown, unclean, verdict
from edgekit.telemetry.log import Log
from edgekit.telemetry.sample import Event

END = START + 30


def between(name: str, value: Any, start: float, end: float, otherwise: Any) -> Any:
    """A field of the samples that is `value` for some seconds."""
    return lambda t: {name: value if start <= t < end else otherwise}


def test_a_quiet_run_is_clean() -> None:
    assert unclean(make_log(30), START, END) == []


def test_clocks_held_down_are_said_with_reason_and_time() -> None:
    log = make_log(30, more=between("throttle", ("thermal", "power cap"), 10, 12, ()))
    assert unclean(log, START, END) == [
        "clocks were held down for about 2.0 s: thermal, power cap",
    ]
    assert unclean(log, START + 13, END) == [], "before this stretch"
    assert len(throttled(log, START + 10.6, START + 10.7)) == 1, "a stretch between two samples"
    apart = make_log(
        30, more=lambda t: {"throttle": ("a",) if 10 <= t < 12 else ("b",) if 12 <= t < 20 else ()}
    )
    assert throttled(apart, START, END) == [
        "clocks were held down for about 2.0 s: a",
        "clocks were held down for about 8.0 s: b",
    ]
    assert held_down(log) == [(START + 10, START + 12, "thermal, power cap")]


def test_over_current_is_the_difference_of_the_counters() -> None:
    log = make_log(
        30, more=lambda t: {"oc_events": {"oc1": 7, "oc3": 3 + (2 if t >= 10 else 0) + (1 if t >= 20 else 0)}}
    )
    assert unclean(log, START, END) == ["3 over-current events more (oc3)"]
    assert unclean(log, START + 15, END) == ["1 over-current event more (oc3)"]
    assert unclean(log, START + 21, END) == [], "counters that stood before do not count"
    assert [(name, rise) for _, name, rise in over_current(log)] == [("oc3", 2), ("oc3", 1)]
    edge = make_log(30, more=lambda t: {"oc_events": {"oc3": 1 if t >= 30.2 else 0}})
    assert unclean(edge, START, END + 0.3) == ["1 over-current event more (oc3)"], (
        "seen by the sample after the end"
    )


def test_a_counter_that_begins_anew_is_no_event() -> None:
    log = make_log(30, more=lambda t: {"oc_events": {"oc3": 9 if t < 10 else 0}})
    assert unclean(log, START, END) == []


def test_a_gap_and_unknown_power_are_said() -> None:
    gap = Log.of([s for s in samples(30) if not START + 5 < s.t_boot_s < START + 10], 0.5)
    (reason,) = unclean(gap, START, END)
    assert "energy is not known: no sample for 5.0 s" in reason
    (reason,) = unclean(make_log(30, watts=lambda t: None), START, END)
    assert reason == "energy is not known: there is no meter"
    (reason,) = unclean(make_log(30), END + 100, END + 110)
    assert "energy is not known" in reason


def test_a_gap_that_a_counter_of_the_hardware_survives_is_said_all_the_same() -> None:
    counted = samples(30, more=lambda t: {"energy_mj": {"gpu0": 8000 * t}})
    log = Log.of([s for s in counted if not START + 5 < s.t_boot_s < START + 10], 0.5)
    (reason,) = unclean(log, START, END)
    assert reason == "no sample for 5.0 s: what happened then is not known"


def test_a_total_of_another_meter_is_said() -> None:
    change = Event(START + 9, WALL, "total", "total power was VDD_IN, and is sum of 2 rails from here")
    log = make_log(30, events=[change])
    assert unclean(log, START, END) == [change.text]
    assert unclean(log, START + 10, END) == []


def test_another_power_mode_is_said() -> None:
    log = make_log(30, more=lambda t: {"power_mode": "15W" if t < 10 else "25W"})
    assert unclean(log, START, END) == ["the power mode changed: 15W → 25W"]


@pytest.mark.parametrize(
    ("clock", "load", "expected"),
    [
        (lambda t: 1000 if t < 15 else 600, lambda t: 95, 1),  # held down, whoever did it
        (lambda t: 1000 if t < 15 else 600, lambda t: 95 if t < 15 else 20, 0),  # less to do
        (lambda t: 1000, lambda t: 95, 0),
        (lambda t: 600 if t < 15 else 1000, lambda t: 95, 0),  # rising
        (lambda t: 1000 - 20 * (t % 3), lambda t: 95, 0),  # wobbling
    ],
)
def test_clocks_that_fall_under_load_are_said(clock: Any, load: Any, expected: int) -> None:
    log = make_log(30, more=lambda t: {"gpu_freq_khz": 1e3 * clock(t), "gpu_load_pct": load(t)})
    found = unclean(log, START, END)
    assert len(found) == expected
    if found:
        assert found[0] == "the GPU's clock fell from 1000 to 600 MHz while its load stayed at 95 %"


def test_whether_throttling_can_be_known_is_told() -> None:
    assert throttling_unknown(make_log(5)) == ""
    assert throttling_unknown(None) == "nothing was sampled"
    blind = make_log(5, oc_events={}, missing={"oc_events": "not a Jetson"}, source="host")
    assert throttling_unknown(blind) == "not a Jetson"


def test_the_verdict_on_a_run(tmp_path: Path) -> None:
    assert verdict(make_run(tmp_path / "good")) == []
    damaged = make_run(
        tmp_path / "damaged", summary={"note": "the file breaks off after frame 7", "error": "no room"}
    )
    assert verdict(damaged) == ["the run failed: no room", "the file breaks off after frame 7"]
    (killed,) = verdict(make_run(tmp_path / "killed", killed=True))
    assert "it was killed" in killed
    assert verdict(make_run(tmp_path / "bare", sampled=False)) == ["energy is not known: nothing was sampled"]
    assert "the run has no frames" in verdict(make_run(tmp_path / "empty", latency=np.array([])))
    hot = samples(10, more=lambda t: {"throttle": ("thermal",)})
    (throttling,) = verdict(make_run(tmp_path / "hot", taken=hot))
    assert "thermal" in throttling
