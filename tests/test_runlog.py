from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit import EdgekitError, InputError, MissingError, Session
from edgekit.camera.synthetic import Synthetic
from edgekit.results import Detections
from edgekit.run import run
from edgekit.runlog import COLUMNS, RunLog, read_run
from edgekit.telemetry import Sampler, boot_clock
from edgekit.telemetry.sample import Sample, wall_iso


class Meter:
    """A probe with steps of power that a test knows."""

    name, why, emulated, paced = "meter", "a meter of the tests", False, False

    def __init__(self, watts=5.0):
        self.watts, self.closed = watts, False

    def read(self):
        if isinstance(self.watts, Exception):
            raise self.watts
        total = {
            "power_total_mw": self.watts * 1e3,
            "power_total_name": "VDD_IN",
            "power_total_kind": "input",
        }
        return Sample(boot_clock(), wall_iso(), self.name, temps_c={"cpu": 40.0}, **total)

    def close(self):
        self.closed = True


class FakeEngine:
    backend, precision, device, why = "onnxruntime-cpu", "fp32", "test", "only one"


class TwoBoxes:
    engine = FakeEngine()
    times = {"pre": 0.002, "infer": 0.008, "post": 0.001}  # noqa: RUF012

    def __init__(self, seconds=0.02, fail_at=None):
        self.seconds, self.fail_at = seconds, fail_at

    def __call__(self, frame):
        if frame.index == self.fail_at:
            raise RuntimeError("the network is on fire")
        time.sleep(self.seconds)
        return Detections([[0, 0, 5, 5]] * 2, [0.5, 0.4], [0, 0], ("a",))

    def close(self):
        pass


def frames(count):
    return Synthetic(size=(160, 120), frames=count, realtime=False)


def test_one_folder_tells_the_whole_run(tmp_path):
    meter = Meter()
    with Sampler(meter, 0.1) as sampler:
        log = RunLog(tmp_path / "run", sampler=sampler, asked={"precision": "fp16"})
        summary = run(frames(40), TwoBoxes(), model="two-boxes", log=log)
        assert sampler.running  # it was given running, and stays the caller's
    got = read_run(tmp_path / "run")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "run.json", "frames.jsonl", "samples.jsonl", "summary.json",
    }  # fmt: skip
    assert got.complete
    assert got.name == "run"
    assert set(got.frames) == {*COLUMNS}
    assert {"capture", "pre", "infer", "post", "draw", "encode", "age", "latency"} < set(COLUMNS)
    assert got.frames["index"].tolist() == list(range(40))
    assert (np.diff(got.frames["t_boot_s"]) > 0).all()
    assert (got.frames["infer"] == 0.008).all()
    assert (got.frames["found"] == 2).all()
    assert got.fps == pytest.approx(summary.fps, rel=0.2)
    assert got.start_s < got.frames["t_boot_s"][0] < got.end_s <= boot_clock()
    meta = got.meta
    assert meta["config"]["model"] == "two-boxes"
    assert meta["config"]["backend"] == "onnxruntime-cpu"
    assert meta["config"]["precision"] == "fp32"  # what became of it
    assert meta["asked"] == {"precision": "fp16"}
    assert meta["sampler"] == {
        "name": "meter",
        "why": "a meter of the tests",
        "interval_s": 0.1,
        "emulated": False,
    }
    assert meta["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert meta["versions"]["numpy"] == np.__version__
    assert meta["device"]["machine"] == os.uname().machine
    assert meta["schema"] == 1
    # samples before the first frame and after the last one: the energy is known from end to end
    assert got.log.t[0] <= got.start_s
    assert got.log.t[-1] >= got.end_s
    spent = got.energy()
    assert spent.joules == pytest.approx(5 * got.seconds)
    assert spent.coverage == pytest.approx(1)
    assert got.summary["energy"]["joules"] == pytest.approx(spent.joules)
    assert got.summary["energy"]["joules_per_frame"] == pytest.approx(spent.joules / 40)
    assert got.summary["frames"] == 40
    assert got.summary["stages"]["infer"]["median_ms"] == pytest.approx(8)
    assert "J a frame, 5.00 W on average (meter, VDD_IN, trapezoid)" in summary.table()


def test_the_revision_is_noted_with_whether_files_differ():
    from edgekit.runlog import where_and_what

    top = Path(__file__).resolve().parents[1]
    revision = where_and_what()["git"]
    if not (top / ".git").exists():
        assert revision is None
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=top, capture_output=True, text=True, check=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=top, capture_output=True, text=True, check=True
    )
    assert revision == {"revision": head.stdout.strip(), "changed": bool(changed.stdout.strip())}


def test_a_step_of_power_is_in_the_energy(tmp_path):
    meter = Meter(3.0)

    class Heavier(TwoBoxes):
        def __call__(self, frame):
            if frame.index == 20:
                meter.watts = 9.0
                self.at = boot_clock()
            return super().__call__(frame)

    task = Heavier(0.05)
    with Sampler(meter, 0.1) as sampler:
        run(frames(40), task, log=RunLog(tmp_path, sampler=sampler))
    got = read_run(tmp_path)
    want = 3 * (task.at - got.start_s) + 9 * (got.end_s - task.at)
    assert got.energy().joules == pytest.approx(want, abs=6 * 0.1)  # the step falls between two samples


def test_without_a_sampler_the_run_is_told_all_the_same(tmp_path):
    summary = run(frames(5), TwoBoxes(), log=RunLog(tmp_path, sampler=None))
    got = read_run(tmp_path)
    assert got.log is None
    assert got.energy().joules is None
    assert got.meta["sampler"] is None
    assert summary.energy is None
    assert "energy" not in summary.table()


def test_unknown_power_is_said_and_no_figure_made(tmp_path):
    summary = run(frames(5), TwoBoxes(), log=RunLog(tmp_path, sampler="none", interval=0.1))
    assert "energy     unknown: " in summary.table()
    assert read_run(tmp_path).summary["energy"]["joules"] is None


def test_a_second_run_replaces_the_first(tmp_path):
    session = Session(
        "synthetic",
        lambda: TwoBoxes(0.0),
        limit=20,
        log=lambda: RunLog(tmp_path, sampler="none", interval=0.1),
    )
    for _ in range(2):
        session.start()
        session.join(20)
        assert len(read_run(tmp_path).frames["index"]) == 20
    assert not threading.enumerate()[1:] or not [t for t in threading.enumerate() if "sampler" in t.name]


def test_a_run_that_fails_says_why_and_frees_its_sampler(tmp_path):
    with pytest.raises(RuntimeError, match="on fire"):
        run(frames(40), TwoBoxes(fail_at=7), log=RunLog(tmp_path, sampler="none", interval=0.1))
    got = read_run(tmp_path)
    assert got.summary["error"] == "the network is on fire"
    assert len(got.frames["index"]) == 7
    assert not [t for t in threading.enumerate() if t.name == "edgekit-sampler"]


KILLED = """
import sys, time
sys.path[:0] = {paths!r}
from test_runlog import Meter, TwoBoxes, frames
from edgekit.run import run
from edgekit.runlog import RunLog
from edgekit.telemetry import Sampler
with Sampler(Meter(), 0.1) as sampler:
    run(frames(10_000), TwoBoxes(), log=RunLog(sys.argv[1], sampler=sampler))
"""


def test_it_is_readable_after_a_kill(tmp_path):
    top = Path(__file__).resolve().parents[1]
    code = KILLED.format(paths=[str(top), str(top / "tests")])
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        end = time.monotonic() + 30
        while (
            not (tmp_path / "frames.jsonl").exists()
            or (tmp_path / "frames.jsonl").read_bytes().count(b"\n") < 30
        ):
            assert time.monotonic() < end
            assert child.poll() is None
            time.sleep(0.05)
        growing = read_run(tmp_path)  # also while it goes on
        assert not growing.complete
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    got = read_run(tmp_path)
    assert not got.complete
    assert got.summary is None
    assert len(got.frames["index"]) >= 30
    assert got.frames["index"].tolist() == list(range(len(got.frames["index"])))
    assert len(got.log) >= 5
    spent = got.energy()
    assert spent.joules == pytest.approx(5 * got.seconds, rel=1e-6)


def test_a_cut_last_line_is_left_out_and_a_damaged_one_is_named(tmp_path):
    run(frames(10), TwoBoxes(0.0), log=RunLog(tmp_path, sampler=None))
    file = tmp_path / "frames.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    assert len(read_run(tmp_path).frames["index"]) == 9
    lines = whole.splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"{broken\n", *lines[3:]]))
    with pytest.raises(InputError, match=r"frames\.jsonl, line 4"):
        read_run(tmp_path)
    row = json.loads(lines[0])
    del row["infer"]
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match="infer"):
        read_run(tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="newer edgekit"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.run cannot be written"):
        run(frames(3), TwoBoxes(), log=RunLog(tmp_path / "file" / "run"))


def test_a_sampler_that_is_not_here_ends_the_run_before_its_first_frame(tmp_path):
    task = TwoBoxes()
    with pytest.raises((MissingError, EdgekitError)):
        run(frames(3), task, log=RunLog(tmp_path, sampler="nvml", interval=0.1))
    with pytest.raises(InputError, match="no sampler"):
        run(frames(3), task, log=RunLog(tmp_path, sampler="wattmeter"))


def test_a_full_disk_costs_frames_of_the_log_and_no_frame_of_the_run(tmp_path, monkeypatch):
    log = RunLog(tmp_path, sampler=None)
    begin = log.begin

    class Full:
        """The file on a disk that takes a part of one line, then nothing, then all again."""

        def __init__(self, file):
            self.file, self.calls = file, 0

        def write(self, line):
            self.calls += 1
            if self.calls == 5:
                return self.file.write(line[:10])
            if self.calls == 6:
                raise OSError(28, "No space left on device")
            return self.file.write(line)

        def __getattr__(self, name):
            return getattr(self.file, name)

    def begin_full(summary):
        begin(summary)
        log._frames = Full(log._frames)

    monkeypatch.setattr(log, "begin", begin_full)
    summary = run(frames(12), TwoBoxes(0.0), log=log)
    assert summary.frames == 12
    got = read_run(tmp_path)
    assert got.frames["index"].tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    assert "lacks frames" in got.summary["log_note"]
