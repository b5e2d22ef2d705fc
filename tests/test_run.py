from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tqdm
from clips import moving_square

from edgekit import Detections, EdgekitError, Frame, InputError, Session
from edgekit.camera import Source
from edgekit.clocks import AGES, STAGES
from edgekit.run import run, stop_all


class Reel(Source):
    """Frames from a list, or without end where it is a camera."""

    spec, size = "reel", (160, 120)

    def __init__(self, frames, fail_at=None, period=0.0, live=False):
        self.frames, self.fail_at, self.period, self.live = frames, fail_at, period, live
        self.length = None if live else len(frames)
        self.closed = threading.Event()

    def __iter__(self):
        i = 0
        while self.live or i < len(self.frames):
            if i == self.fail_at:
                raise RuntimeError("camera on fire")
            if self.closed.wait(self.period):
                return
            yield Frame(self.frames[i % len(self.frames)], i, i / 10, "reel")
            i += 1

    def close(self):
        self.closed.set()


class FakeEngine:
    backend, precision, device, why = "onnxruntime-cpu", "fp32", "test", "only one"


class OneBox:
    engine = FakeEngine()
    times = {"pre": 0.001, "infer": 0.004, "post": 0.002}  # noqa: RUF012

    def __init__(self, fail_at=None, seconds=0.0):
        self.fail_at, self.seconds, self.closed = fail_at, seconds, 0

    def __call__(self, frame):
        if frame.index == self.fail_at:
            raise RuntimeError("the network is on fire")
        time.sleep(self.seconds)
        return Detections([[0, 0, 5, 5]], [0.5], [0], ("a",))

    def close(self):
        self.closed += 1


class Memory:
    def __init__(self, side=None, fail_at=None, seconds=0.0, fail_at_close=False):
        self.picture_side, self.fail_at, self.seconds = side, fail_at, seconds
        self.fail_at_close = fail_at_close
        self.rows, self.pictures, self.ages, self.closed = [], [], [], 0

    def write(self, frame, result, picture):
        if frame.index == self.fail_at:
            raise OSError("disk gone")
        time.sleep(self.seconds)
        self.rows.append((frame.index, result))
        self.pictures.append(picture)
        self.ages.append(time.monotonic() - frame.captured)

    def close(self):
        self.closed += 1
        if self.fail_at_close:
            raise OSError("disk gone at the end")


def camera(period=0.01):
    return Reel(moving_square(20), period=period, live=True)


def edgekit_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("edgekit")]


def eventually(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    stop_all()
    assert edgekit_threads() == []


# run(): the loop that the command line uses


def test_every_frame_reaches_every_sink_in_order():
    sinks = [Memory(), Memory(side=0)]
    summary = run(Reel(moving_square(7)), OneBox(), sinks, model="m")
    for sink in sinks:
        assert [i for i, _ in sink.rows] == list(range(7))
        assert sink.closed == 1
    assert all(p is not None for p in sinks[1].pictures)
    assert (summary.frames, summary.found, summary.dropped, summary.interrupted) == (7, 7, 0, False)
    assert summary.fps == pytest.approx(7 / summary.seconds)


def test_a_drawing_is_made_once_for_each_size_that_is_wanted():
    none, whole, small, twin = Memory(), Memory(side=0), Memory(side=80), Memory(side=80)
    run(Reel(moving_square(2)), OneBox(), [none, whole, small, twin])
    assert none.pictures == [None, None]
    assert whole.pictures[0].shape == (120, 160, 3)
    assert small.pictures[0].shape == (60, 80, 3)
    assert small.pictures[1] is twin.pictures[1]


def test_a_limit_is_kept_exactly():
    source, sink = Reel(moving_square(9)), Memory()
    summary = run(source, OneBox(), [sink], limit=4)
    assert (summary.frames, len(sink.rows), summary.interrupted) == (4, 4, False)
    assert source.closed.is_set()


def test_stop_ends_it_in_the_middle_and_what_was_inferred_is_written():
    stop, task, sink = threading.Event(), OneBox(seconds=0.01), Memory()
    threading.Timer(0.2, stop.set).start()
    summary = run(camera(), task, [sink], stop=stop)
    assert summary.interrupted
    assert summary.frames == len(sink.rows) > 3
    assert (sink.closed, task.closed) == (1, 0)  # an open task stays the caller's


@pytest.mark.parametrize(
    ("source", "task", "sink"),
    [
        (Reel(moving_square(9), fail_at=3), OneBox(), Memory()),
        (Reel(moving_square(9)), OneBox(fail_at=3), Memory()),
        (Reel(moving_square(9)), OneBox(), Memory(fail_at=3)),
    ],
    ids=["source", "task", "sink"],
)
def test_an_error_in_any_thread_closes_everything_and_is_told(source, task, sink):
    others = Memory()
    with pytest.raises((RuntimeError, OSError), match=r"fire|gone"):
        run(source, task, [others, sink])
    assert others.closed == sink.closed == 1
    assert source.closed.is_set()
    assert [i for i, _ in sink.rows] == [0, 1, 2][: len(sink.rows)]  # in order, none twice


def test_a_sink_that_fails_to_close_is_told_and_the_others_are_closed():
    first, bad, last = Memory(), Memory(fail_at_close=True), Memory()
    with pytest.raises(OSError, match="at the end"):
        run(Reel(moving_square(2)), OneBox(), [first, bad, last])
    assert (first.closed, last.closed) == (1, 1)


def test_the_bar_counts_to_the_end(capsys, monkeypatch):
    # a test that has made an IPython shell leaves tqdm.auto with the bar of notebooks
    monkeypatch.setattr("tqdm.auto.tqdm", tqdm.std.tqdm)
    run(Reel(moving_square(3)), OneBox(seconds=0.2), progress=True)  # it refreshes ten times a second
    assert "3/3" in capsys.readouterr().err


def test_the_summary_reads_as_a_table_and_as_json():
    summary = run(Reel(moving_square(6)), OneBox(), [Memory(0)], model="edgekit-person")
    text = summary.table()
    for word in (*STAGES, *AGES, "edgekit-person", "onnxruntime-cpu", "fp32", "only one", "6 in"):
        assert word in text
    assert summary.to_dict()["frames"] == 6
    assert run(Reel([]), OneBox()).table()


# Session: what a notebook uses


def test_recipes_are_opened_at_start_and_closed_at_the_end_of_each_run():
    opened = []

    def make(what):
        return lambda: opened.append(what()) or opened[-1]

    session = Session(make(camera), make(OneBox), [make(Memory)])
    assert opened == []
    for turn in (1, 2):
        session.start()
        eventually(lambda: session.stats().frames > 2)
        session.stop()
        assert not session.running
        assert len(opened) == 3 * turn
        sink, source, task = opened[-3:]
        assert (sink.closed, source.closed.is_set(), task.closed) == (1, True, 1)
    assert (session.source, session.task) == (None, None)
    assert session.join().interrupted


def test_start_and_stop_may_be_called_twice_and_in_any_order():
    with Session(camera, OneBox) as session:
        session.stop()
        assert session.start() is session.start()
        eventually(lambda: session.stats().frames)
        session.stop()
        session.stop()
    assert session.stats().running is False
    with pytest.raises(EdgekitError, match="not started"):
        Session(camera, OneBox).join()


def test_an_open_source_serves_one_run():
    session = Session(Reel(moving_square(3)), OneBox())
    assert session.start().join().frames == 3
    with pytest.raises(InputError, match="give its name"):
        session.start()


def test_what_cannot_be_opened_is_told_by_join_and_in_stats():
    session = Session("nothing/here.mp4", OneBox).start()
    with pytest.raises(InputError, match=r"here\.mp4 is not there"):
        session.join()
    assert "here.mp4" in str(session.stats().error)
    assert not session.running


def test_a_task_that_cannot_be_made_frees_the_camera():
    source = camera()

    def no_task():
        raise EdgekitError("no such network")

    with pytest.raises(EdgekitError, match="no such network"):
        Session(lambda: source, no_task).start().join()
    assert source.closed.is_set()


def test_stats_tell_rate_latency_and_drops_while_it_runs():
    with Session(lambda: camera(period=0.005), lambda: OneBox(seconds=0.03), [Memory()]).start() as session:
        eventually(lambda: session.stats().frames > 15)
        stats = session.stats()
        assert stats.running
        assert 10 < stats.fps < 40
        assert stats.dropped > stats.frames
        assert stats.found == 1
        assert set(stats.stages) == {*STAGES, *AGES}
    assert session.join().dropped >= stats.dropped


@pytest.mark.parametrize("slow", ["task", "sink"])
def test_a_live_picture_does_not_grow_old_behind_a_slow_stage(slow):
    """Age at display ≤ two frame times and the work itself, however slow a stage is (frame time 10 ms)."""
    work = 0.05
    task = OneBox(seconds=work if slow == "task" else 0)
    sink = Memory(seconds=work if slow == "sink" else 0)
    with Session(lambda: camera(period=0.01), lambda: task, [sink]).start() as session:
        eventually(lambda: len(sink.ages) > 15)
        session.stop()
    # One more `work`: a frame may wait for the sink that has the one before.
    bound = 2 * 0.01 + work + (work if slow == "sink" else 0)
    assert np.median(sink.ages) < bound + 0.02  # and a scheduler's breath


def test_stages_overlap():
    """Capture, task and sink of 20 ms each: together they take far less than their sum."""
    frames = 30
    summary = run(Reel(moving_square(frames), period=0.02), OneBox(seconds=0.02), [Memory(seconds=0.02)])
    assert summary.frames == frames
    assert summary.seconds < 0.75 * frames * 0.06


def test_another_task_takes_over_between_two_frames():
    first, second, sink = OneBox(), OneBox(), Memory()
    second.engine = type("Other", (FakeEngine,), {"precision": "int8"})()
    with Session(camera, lambda: first, [sink]).start() as session:
        eventually(lambda: session.stats().frames > 2)
        session.use(lambda: second)
        eventually(lambda: session.task is second and first.closed)
        before = session.stats().frames
        eventually(lambda: session.stats().frames > before)
        session.stop()
        assert (first.closed, second.closed) == (1, 1)
        assert [i for i, _ in sink.rows] == sorted({i for i, _ in sink.rows})
        assert session.join().precision == "int8"
        session.start()  # the choice stays for the next run
        eventually(lambda: session.task is second)


def test_a_task_that_cannot_be_swapped_in_leaves_the_old_one_at_work():
    def broken():
        raise EdgekitError("no such model")

    with Session(camera, OneBox).start() as session:
        eventually(lambda: session.stats().frames)
        with pytest.raises(EdgekitError, match="no such model"):
            session.use(broken)
        before = session.stats().frames
        eventually(lambda: session.stats().frames > before + 2)
        assert session.error is None


def test_sinks_come_and_go_while_it_runs():
    stays, guest, made = Memory(), Memory(), []
    with Session(camera, OneBox, [stays]).start() as session:
        recipe = lambda: made.append(Memory()) or made[-1]  # noqa: E731
        session.add(recipe)
        session.add(guest)
        eventually(lambda: len(guest.rows) > 2 and made[0].rows)
        session.remove(guest)
        assert guest.closed == 1
        count = len(guest.rows)
        eventually(lambda: len(stays.rows) > count + 5)
        assert len(guest.rows) == count
        session.stop()
        assert (stays.closed, made[0].closed) == (1, 1)
        session.start()
        eventually(lambda: len(made) == 2 and made[1].rows)
        assert (len(guest.rows), stays.closed) == (count, 1)  # open ones served their run


def test_a_sink_may_stop_the_session_from_its_own_thread():
    class Enough(Memory):
        def write(self, *args):
            super().write(*args)
            if len(self.rows) == 3:
                session.stop()

    sink = Enough()
    session = Session(camera, OneBox, [sink]).start()
    eventually(lambda: not session.running)
    assert 3 <= len(sink.rows) <= 5


def test_a_cell_run_again_takes_the_camera_from_its_predecessor(monkeypatch):
    opened = []
    monkeypatch.setattr("edgekit.pipeline.open_source", lambda spec: opened.append(camera()) or opened[-1])
    first = Session("0", OneBox).start()
    eventually(lambda: first.stats().frames)
    second = Session("0", OneBox).start()
    assert not first.running
    assert opened[0].closed.is_set()
    eventually(lambda: second.stats().frames)
    other = Session("1", OneBox).start()
    eventually(lambda: other.stats().frames)
    assert second.running
    stop_all()
    assert not second.running
    assert not other.running


def test_a_stop_while_the_source_is_being_opened_is_not_lost():
    source, opening = camera(), threading.Event()

    def slow_to_open():
        opening.set()
        time.sleep(0.2)
        return source

    session = Session(slow_to_open, OneBox).start()
    opening.wait(5)
    session.stop()
    assert not session.running
    assert source.closed.is_set()
    assert session.stats().frames == 0


SCRIPT = """
import sys, threading, time
sys.path.insert(0, {tests!r})
from test_run import OneBox, camera
from edgekit import Session
class Told(type(camera())):
    told = threading.Lock()
    def close(self):
        if self.told.acquire(blocking=False):
            print("freed", flush=True)
        super().close()
session = Session(lambda: Told(camera().frames, period=0.01, live=True), OneBox).start()
while not session.stats().frames:
    time.sleep(0.01)
print("runs", flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end", ["", "session.join()", "import os, signal; os.kill(os.getpid(), signal.SIGINT)"]
)
def test_an_interpreter_that_ends_or_is_interrupted_frees_the_camera(end):
    script = SCRIPT.format(tests=os.path.dirname(__file__), end=end)  # noqa: PTH120
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout.readline() == "runs\n"
        begun = time.monotonic()
        if "join" in end:
            process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        process.wait(20)
    finally:
        process.kill()
        process.communicate()
    assert out.count("freed") == 1
    assert time.monotonic() - begun < 10
