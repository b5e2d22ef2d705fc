"""The self-check of notebook 04: only less energy for the same work is right."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from edgekit import open_source
from edgekit.checks import half_the_energy
from edgekit.results import Detections, Frame
from edgekit.run import Session
from edgekit.runlog import Run, RunLog, read_run
from edgekit.telemetry.emulated import open_emulated
from edgekit.telemetry.sampler import Sampler

FAST: dict[str, Any] = {"frame_s": 0.03, "watts": 9.0, "stages": {"capture": 0.003, "infer": 0.028}}


@pytest.fixture
def baseline(tmp_path: Path) -> Run:
    """6 W at 10 frames a second: 0.6 J a frame."""
    return make_run(tmp_path / "baseline")


def test_half_is_right(baseline: Run, tmp_path: Path) -> None:
    verdict = half_the_energy(make_run(tmp_path / "mine", **FAST), baseline)  # 9 W at 33 frames: 0.27 J
    assert verdict, verdict
    assert "0.27 J a frame (emulated) instead of 0.60 J, on the same 80 frames" in verdict.words
    assert "from 6.0 to 9.0 W" in verdict.words
    assert "from 100 to 30 ms" in verdict.words


def test_more_frames_and_more_found_are_right(baseline: Run, tmp_path: Path) -> None:
    assert half_the_energy(make_run(tmp_path / "mine", **FAST, found=[8] * 100), baseline)


def test_a_run_to_beat_that_dropped_frames_asks_only_for_those_it_had(tmp_path: Path) -> None:
    late = make_run(tmp_path / "late", first=10, found=[7] * 60)
    assert half_the_energy(make_run(tmp_path / "mine", **FAST), late)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"watts": 3.1}, "0.31 J a frame (emulated) instead of 0.60 J: 50% would be 0.30 J"),
        ({"watts": 5.0}, "waited for the next picture in 70% of the time"),
        (
            {"frame_s": 0.06, "stages": {"capture": 0.003, "infer": 0.03, "encode": 0.01}},
            "Drawing and writing pictures are 25% of the work",
        ),
        ({"frame_s": 0.06, "stages": {"capture": 0.003, "infer": 0.03}}, "100% of the work: try another"),
        ({**FAST, "found": [7] * 40}, "40 of the 80 frames; frame 40 is the first that is left out"),
        ({"found": [7] * 70, "dropped": 10}, "It dropped 10, since it was too slow for a camera's pace"),
        ({**FAST, "first": 1}, "79 of the 80 frames; frame 0"),
        ({**FAST, "found": [7] * 12 + [5] + [9] * 67}, "on 1 of 80 frames: 5 instead of 7 on frame 12"),
        (
            {**FAST, "config": {"source": "other.mp4"}},
            "your source is other.mp4, the run to beat had people",
        ),
        ({**FAST, "config": {"model": "yolox-nano"}}, "Keep the network"),
        ({**FAST, "watts": None}, "the energy of your run is unknown: no meter"),
        ({**FAST, "source": "jtop 4.3.2"}, "yours by jtop 4.3.2 (VDD_IN); two meters do not compare"),
        ({**FAST, "total": "sum of 3 rails"}, "(sum of 3 rails); two meters do not compare"),
        ({**FAST, "interval_s": 1.5}, "only 2 samples fell into your run"),
        ({**FAST, "finished": False}, "has no summary: the run was killed, or goes on"),
        ({**FAST, "error": "the disk is full"}, "ended with an error: the disk is full"),
    ],
)
def test_what_is_wrong_is_said(baseline: Run, tmp_path: Path, made: dict[str, Any], said: str) -> None:
    verdict = half_the_energy(make_run(tmp_path / "mine", **{"start_s": 500.0, **made}), baseline)
    assert verdict.head == "Not right"
    assert said in verdict.words, verdict


def test_a_run_to_beat_without_power_is_said_to_be_so(tmp_path: Path) -> None:
    unknown = make_run(tmp_path / "unknown", watts=None)
    verdict = half_the_energy(make_run(tmp_path / "mine", **FAST), unknown)
    assert "the energy of the run to beat is unknown" in verdict.words


def test_the_run_to_beat_does_not_beat_itself(baseline: Run) -> None:
    assert "that is the run to beat itself" in half_the_energy(baseline, baseline).words


def test_no_run_yet(baseline: Run) -> None:
    assert half_the_energy(None, baseline).head == "Not yet"


class OneBox:
    """A network of 20 ms that finds one person."""

    class engine:  # noqa: N801 the attribute of a task
        backend, precision, device, why = "onnxruntime-cpu", "fp32", "a test", "the only one"

    times = {"pre": 0.001, "infer": 0.02, "post": 0.001}  # noqa: RUF012

    def __call__(self, frame: Frame) -> Detections:
        time.sleep(0.02)
        return Detections([[0, 0, 5, 5]], [0.5], [0], ("person",))

    def close(self) -> None:
        pass


def test_real_runs_in_which_nobody_waits_for_a_camera_take_half(tmp_path: Path) -> None:
    """What the notebook does, with 30 frames: 3 s at the camera's pace, about 0.6 s without it."""
    board = open_emulated("orin-nano")
    board.load = 0.5  # so that only the time differs
    runs = []
    with Sampler(board, 0.1) as sampler:
        for realtime in (True, False):
            folder = tmp_path / f"realtime-{realtime}"
            clip, log = partial(open_source, "sample", realtime=realtime), RunLog(folder, sampler=sampler)
            with Session(clip, OneBox(), limit=30, model="one-box", log=log) as session:
                assert session.start().join().frames == 30
            runs.append(read_run(folder))
    baseline, mine = runs
    assert half_the_energy(mine, baseline), half_the_energy(mine, baseline)
    assert half_the_energy(baseline, mine).head == "Not right"
