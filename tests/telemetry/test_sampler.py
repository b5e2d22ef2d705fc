from __future__ import annotations

import threading
import time
from collections import deque

import numpy as np
import pytest
from probes import Scripted, sample

from edgekit.errors import InputError, MissingError
from edgekit.telemetry import Event, Sample, Sampler, boot_clock, open_sampler
from edgekit.telemetry.sample import POWER_KINDS, total_of
from edgekit.telemetry.sampler import ProbeError


@pytest.fixture(autouse=True)
def no_thread_stays():
    yield
    assert not [t for t in threading.enumerate() if t.name == "edgekit-sampler"]


def heard(sampler: Sampler) -> list[Sample | Event]:
    told: list[Sample | Event] = []
    sampler.add(told.append)
    return told


def events(told: list) -> list[tuple[str, str]]:
    return [(e.event, e.text) for e in told if isinstance(e, Event)]


def test_samples_come_at_their_pace_however_long_a_reading_takes():
    def slow() -> Sample:
        time.sleep(0.03)
        return sample()

    with Sampler(Scripted(slow), 0.1) as sampler:
        assert sampler.wait(12)
    t = np.array([s.t_boot_s for s in sampler.samples])
    assert len(t) >= 12
    # the grid is kept on average: the time of reading does not add up
    assert (t[-1] - t[0]) / (len(t) - 1) == pytest.approx(0.1, abs=0.02)
    assert [s.seq for s in sampler.samples] == list(range(len(t)))


def test_stop_is_exact_and_frees_the_probe():
    probe = Scripted()
    sampler = Sampler(probe, 0.1)
    told = heard(sampler)
    with sampler:
        sampler.wait(2)
    count = len(told)
    time.sleep(0.3)
    assert len(told) == count >= 2
    assert probe.closed.is_set()
    assert not sampler.running
    sampler.stop()  # again


def test_a_listener_that_left_hears_no_more():
    with Sampler(Scripted(), 0.1) as sampler:
        told = heard(sampler)
        left: deque[Sample | Event] = deque()
        sampler.add(left.append)
        sampler.wait(1)
        sampler.remove(left.append)  # a bound method is made anew each time it is named
        seen = len(left)
        assert seen >= 1
        sampler.wait(2)
    assert len(left) == seen
    assert len(told) >= sampler.count - 1 > seen  # the first one may have come before it listened


def test_a_silence_is_a_gap_that_is_told_and_ends():
    broken = threading.Event()

    def read() -> Sample:
        if broken.is_set():
            raise ProbeError("the service is gone")
        return sample()

    with Sampler(Scripted(read), 0.1) as sampler:
        told = heard(sampler)
        sampler.wait(2)
        broken.set()
        time.sleep(1.0)
        assert sampler.note == "test: the service is gone"
        assert sampler.running
        broken.clear()
        assert sampler.wait(1, 6)
        assert sampler.note == ""
    kinds = [kind for kind, _ in events(told)]
    assert kinds == ["gap", "back"]
    text = dict(events(told))
    assert text["gap"] == "test: the service is gone"
    t = [s.t_boot_s for s in told if isinstance(s, Sample)]
    assert float(text["back"].split()[3]) == pytest.approx(max(np.diff(t)), abs=0.06)


def test_a_gap_that_ends_before_the_next_attempt_is_told_too():
    """The pauses between attempts grow, and the outage is over when the last one ends."""
    fails = iter([False, True, True, True])  # attempts at 0.0, 0.0 and 0.5 s, the good one at 1.5 s

    def read() -> Sample:
        if next(fails, False):
            raise ProbeError("restarted")
        return sample()

    with Sampler(Scripted(read), 0.3) as sampler:
        told = heard(sampler)
        assert sampler.wait(3, 10)
    assert [kind for kind, _ in events(told)] == ["gap", "back"]
    gap = next(e for e in told if isinstance(e, Event))
    assert gap.t_boot_s < next(s for s in told[1:] if isinstance(s, Sample) and s.seq == 1).t_boot_s


def test_one_failed_reading_is_no_gap():
    fail = iter([False, True, False, False, True, False])

    def read() -> Sample:
        if next(fail, False):
            raise OSError(121, "Remote I/O error")  # what an i2c sensor gives now and then
        return sample()

    with Sampler(Scripted(read), 0.1) as sampler:
        told = heard(sampler)
        assert sampler.wait(6)
    assert events(told) == []


def test_stale_and_repeated_readings_are_dropped():
    start = boot_clock()
    readings = [
        sample(start, age_s=0.0),
        sample(start, age_s=0.1),  # the same moment again
        sample(start + 0.05, age_s=0.31),  # older than three intervals
        sample(start - 5),  # from before
        sample(start + 0.2),
    ]
    rest = iter(readings)

    def read() -> Sample:
        return next(rest, sample(boot_clock() + 100))

    with Sampler(Scripted(read), 0.1) as sampler:
        sampler.wait(2)
    kept = [s.t_boot_s for s in sampler.samples][:2]
    assert kept == [start, start + 0.2]
    assert sampler.dropped == 3


def test_what_a_reader_must_know_is_told():
    changes = iter(
        [
            sample(oc_events={"oc1": 3}),
            sample(oc_events={"oc1": 3}),
            sample(oc_events={"oc1": 5}, throttle=("thermal",)),
            sample(oc_events={"oc1": 5}, throttle=("thermal",), power_total_name="sum of 2 rails"),
        ]
    )
    last: list[Sample] = []

    def read() -> Sample:
        now = next(changes, None)
        if now is not None:
            last[:] = [now]
        fields = {**last[0].__dict__, "t_boot_s": boot_clock()}
        return Sample(**fields)

    with Sampler(Scripted(read), 0.1) as sampler:
        told = heard(sampler)
        sampler.wait(6)
    assert events(told) == [
        ("throttle", "oc1: 2 over-current events more"),
        ("throttle", "clocks held down: thermal"),
        ("total", "total power was VDD_IN, and is sum of 2 rails from here"),
    ]


def test_a_probe_that_throws_anything_does_not_end_the_log():
    turn = iter(range(100))

    def read() -> Sample:
        if next(turn) % 2:
            raise ZeroDivisionError("a driver's bug")
        return sample()

    with Sampler(Scripted(read), 0.1) as sampler:
        assert sampler.wait(4)


def test_an_interval_that_is_none_is_refused():
    for interval in (0.0, 0.05, 4000, float("nan")):
        with pytest.raises(InputError, match="interval"):
            Sampler(Scripted(), interval)
    with pytest.raises(InputError, match="interval"):
        open_sampler("none", 0.01)


def test_names_of_samplers():
    with pytest.raises(InputError, match="there is no sampler 'wattmeter'"):
        open_sampler("wattmeter")
    sampler = open_sampler("none", 0.1)
    with sampler:
        assert sampler.wait(1)
        assert sampler.latest.power_total_mw is None
        assert sampler.latest.missing["power_total_mw"]
    assert sampler.latest.source == "none"


def test_the_choice_says_why(tmp_path):
    sampler = open_sampler("auto", root=tmp_path)  # no board in there
    sampler.close()
    assert sampler.name in ("nvml", "host")
    for absent in ("jtop", "sysfs"):
        assert f"no {absent}: " in sampler.why
    with pytest.raises(MissingError):
        open_sampler("sysfs", root=tmp_path)


def test_otherwise_is_opened_where_nothing_measures_power(monkeypatch):
    def nothing(interval, root):
        return Scripted(lambda: sample(watts=None, missing={"power_total_mw": "no meter"}))

    monkeypatch.setattr(
        "edgekit.telemetry.choose._OPENERS", dict.fromkeys(("jtop", "sysfs", "nvml", "host", "none"), nothing)
    )
    with open_sampler(otherwise="emulated:orin-nano", interval=0.1) as sampler:
        assert sampler.wait(1)
    assert sampler.emulated
    assert sampler.latest.emulated
    assert "a probe of the tests" in sampler.why
    plain = open_sampler()
    plain.close()
    assert not plain.emulated


def test_a_total_is_the_input_or_the_sum_and_never_both():
    rails = {"VDD_IN": 4900.0, "VDD_SOC": 1400.0, "VDD_CPU_GPU_CV": 900.0}
    order = ("VIN", "POM_5V_IN", "VDD_IN")
    assert total_of(rails, order) == (4900.0, "VDD_IN", "input")
    assert total_of({**rails, "VIN": 9000.0}, order) == (9000.0, "VIN", "input")
    assert total_of({"GPU": 570.0, "CPU": 760.0}, order) == (1330.0, "sum of 2 rails", "sum")
    assert total_of({}, order) == (None, None, None)
    assert {"input", "sum"} < set(POWER_KINDS)


def test_a_sample_goes_through_a_line_of_a_log():
    one = sample(
        12.5, throttle=("thermal",), oc_events={"oc1": 1}, temps_c={"tj": 51.2}, missing={"fan_pct": "no fan"}
    )
    row = one.to_dict()
    assert Sample.from_dict({**row, "throttle": list(row["throttle"]), "of_tomorrow": 1}) == one
