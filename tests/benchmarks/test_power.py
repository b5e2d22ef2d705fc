"""Power and heat of a case: analytic values, and nothing invented."""

from __future__ import annotations

import numpy as np
import pytest
from bench_nets import sample

from edgekit.bench.power import Watch, figures
from edgekit.telemetry.log import Log
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import Sampler


def log_of(seconds: float = 10.0, **columns: object) -> Log:
    """Samples every quarter of a second; values may be functions of time."""
    samples = [
        sample(t, **{name: value(t) if callable(value) else value for name, value in columns.items()})
        for t in np.arange(0, seconds, 0.25)
    ]
    return Log.of(samples, 0.25)


def test_joules_of_a_ramp_are_the_integral() -> None:
    found = figures(log_of(power_total_mw=lambda t: 1000 * t), 2.1, 7.3, 26, None, False)
    joules = (7.3**2 - 2.1**2) / 2
    assert found["joules"] == pytest.approx(joules, rel=1e-9)
    assert found["j_per_frame"] == pytest.approx(joules / 26)
    assert found["watts"] == pytest.approx(joules / 5.2)
    assert (found["unclean"], found["power_unknown"]) == ([], "")
    assert (found["power"], found["power_kind"]) == ("made up, VDD_IN", "input")


def test_idle_power_is_left_out_on_request_only() -> None:
    log = log_of()
    whole, above = (figures(log, 1, 5, 10, 2.0, subtract) for subtract in (False, True))
    assert (whole["joules"], whole["watts"]) == (pytest.approx(20), pytest.approx(5))
    assert (above["joules"], above["watts"]) == (pytest.approx(12), pytest.approx(3))
    assert (whole["idle_subtracted"], above["idle_subtracted"]) == (False, True)
    unknown = figures(log, 1, 5, 10, None, True)
    assert (unknown["joules"], unknown["watts"]) == (None, None)
    assert "idle power is not known" in unknown["power_unknown"]


def test_a_throttled_stretch_is_not_clean() -> None:
    log = log_of(throttle=lambda t: ("thermal",) if 3 <= t <= 4 else ())
    assert "thermal" in figures(log, 1, 9, 1, None, False)["unclean"][0]
    assert figures(log, 5, 9, 1, None, False)["unclean"] == []


def test_over_current_events_and_another_power_mode_are_not_clean() -> None:
    log = log_of(oc_events=lambda t: {"oc3": int(t >= 5)}, power_mode=lambda t: "15W" if t < 6 else "7W")
    first, second = figures(log, 1, 9, 1, None, False)["unclean"]
    assert "over-current" in first
    assert "15W → 7W" in second


def test_unknown_power_spoils_no_milliseconds_and_has_its_reason() -> None:
    log = log_of(power_total_mw=None, power_total_name=None, missing={"power_total_mw": "no meter here"})
    found = figures(log, 1, 9, 5, None, False)
    assert found["unclean"] == []
    assert found["power_unknown"] == "no meter here"
    assert [found[key] for key in ("watts", "joules", "j_per_frame")] == [None] * 3


def test_a_gap_voids_the_joules() -> None:
    samples = [sample(t) for t in np.arange(0, 10, 0.25) if not 3 < t < 6]
    found = figures(Log.of(samples, 0.25), 1, 9, 5, None, False)
    assert (found["joules"], found["watts"]) == (None, None)
    assert "no sample" in found["power_unknown"]


def test_the_meter_of_another_device_gives_no_joules() -> None:
    log = log_of(power_total_name="GPU 0", power_total_kind="gpu")
    on_cpu = figures(log, 1, 5, 10, device="x86_64 CPU, 2 threads")
    assert (on_cpu["watts"], on_cpu["j_per_frame"]) == (None, None)
    assert "ran on the CPU" in on_cpu["power_unknown"]
    assert figures(log, 1, 5, 10, device="CUDA device 0")["watts"] == pytest.approx(5)


def test_heat_is_of_the_zone_that_ended_hottest() -> None:
    log = log_of(temps_c=lambda t: {"cpu": 50.0, "gpu": 40 + 2 * t}, gpu_load_pct=80.0, gpu_freq_khz=612000.0)
    found = figures(log, 1, 9, 1, None, False)
    assert (found["temp_zone"], found["temp_start_c"], found["temp_end_c"]) == ("gpu", 42, 58)
    assert (found["gpu_pct"], found["gpu_mhz"]) == (80, pytest.approx(612))
    assert found["temp_end_c"] > found["temp_start_c"]


def test_other_programs_on_the_cores_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.bench import power

    monkeypatch.setattr(power.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(power, "usable_cores", lambda: 4.0)
    log = log_of(cpu_load_pct=75.0)
    seconds = 8.0  # of four cores three are busy
    assert figures(log, 1, 9, 1, busy_s=2.9 * seconds)["unclean"] == []
    (said,) = figures(log, 1, 9, 1, busy_s=1.0 * seconds)["unclean"]
    assert said == "other programs took 50 % of the CPU meanwhile"
    monkeypatch.setattr(power, "usable_cores", lambda: 2.0)  # the others may have cores of their own
    assert figures(log, 1, 9, 1, busy_s=1.0 * seconds)["unclean"] == []


class Ticking:
    """A probe of 3 W."""

    name, why, emulated, paced = "ticking", "ticks", False, False

    def read(self) -> Sample:
        return Sample(
            boot_clock(),
            wall_iso(),
            "ticking",
            power_total_mw=3000.0,
            power_total_name="A",
            power_total_kind="sum",
        )

    def close(self) -> None:
        pass


def test_a_watch_covers_the_end_of_a_case_and_measures_idling() -> None:
    with Watch(Sampler(Ticking(), 0.1)) as watch:
        assert watch.idle_w(0.3) == pytest.approx(3)
        watch.sampler.wait(3)
        end = boot_clock()
        log = watch.log(end - 0.25, end)
        assert log.t[-1] >= end
        assert figures(log, end - 0.25, end, 1, None, False)["joules"] == pytest.approx(0.75, rel=1e-6)
