"""A source that is opened again when it breaks off, with sources that do as they are told."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from gst_here import wait_until

from edgekit.camera import Reader, Source
from edgekit.camera.reconnect import WAITS, Reconnecting
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.results import Frame

QUICK = (0.01, 0.02, 0.03)


class Acted(Source):
    """Gives `count` frames, then ends, fails with `error`, or waits to be closed (`error="wait"`)."""

    live = True
    policy = "latest"

    def __init__(self, count=2, error=None, size=(8, 6), note="", dropped=0):
        self.spec, self.size, self.note, self.dropped = "acted", size, note, dropped
        self._count, self._error = count, error
        self.closed = threading.Event()

    def __iter__(self):
        for index in range(self._count):
            yield Frame(np.zeros((self.size[1], self.size[0], 3), np.uint8), index, 0.0, self.spec)
        if self._error == "wait":
            self.closed.wait()
        elif self._error is not None:
            raise self._error

    def close(self):
        self.closed.set()


class Openings:
    """Opens what stands in its list, one after another; an exception there is raised."""

    def __init__(self, *what):
        self.what, self.given = list(what), []

    def __call__(self):
        thing = self.what.pop(0)
        if isinstance(thing, BaseException):
            raise thing
        self.given.append(thing)
        return thing


def test_frames_go_on_over_ends_errors_and_failed_attempts():
    openings = Openings(
        Acted(2, EdgekitError("the cable fell out.")),
        MissingError("no camera there."),
        MissingError("still no camera."),
        Acted(3, note="it was unplugged"),
        Acted(4, "wait", size=(20, 10)),
    )
    source = Reconnecting(openings, waits=QUICK)
    assert source.live
    assert source.policy == "latest"
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 9:
            break
    assert [f.index for f in frames] == list(range(9))
    assert frames[-1].width == 20
    assert source.size == (20, 10)
    assert source.breaks == 2
    assert source.note == "the source broke off 2 times; the last time: it was unplugged"
    assert source.state == ""
    assert [s.closed.is_set() for s in openings.given] == [True, True, False]
    source.close()
    assert all(s.closed.is_set() for s in openings.given)


def test_the_first_opening_raises_at_once():
    with pytest.raises(InputError, match="no such host"):
        Reconnecting(Openings(InputError("no such host.")))


def test_the_waits_grow_and_then_stay():
    assert tuple(sorted(WAITS)) == WAITS
    assert WAITS[0] == 0.5
    assert WAITS[-1] == 10
    states, times = [], []
    fails = [EdgekitError("gone.") for _ in range(5)]

    def open_inner():
        times.append(time.monotonic())
        if len(times) > 1:
            states.append(source.state)
        thing = ([Acted(1), *fails, Acted(1, "wait")])[len(times) - 1]
        if isinstance(thing, EdgekitError):
            raise thing
        return thing

    source = Reconnecting(open_inner, waits=(0.05, 0.1, 0.2))
    frames = iter(source)
    assert [next(frames).index, next(frames).index] == [0, 1]
    source.close()
    gaps = np.diff(times)
    assert all(gap >= wait for gap, wait in zip(gaps, (0.05, 0.1, 0.2, 0.2, 0.2, 0.2), strict=True))
    assert states[0] == "reconnecting (attempt 1): acted ended."
    assert states[-1] == "reconnecting (attempt 6): gone."


def test_state_says_what_is_waited_for_and_close_ends_the_waiting_at_once():
    source = Reconnecting(Openings(Acted(1, EdgekitError("the server went away."))), waits=(60.0,))
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(source))
    thread.start()
    wait_until(lambda: source.state)
    assert source.state == "reconnecting in 60 s (attempt 1): the server went away."
    start = time.monotonic()
    source.close()
    thread.join(2.0)
    assert not thread.is_alive()
    assert time.monotonic() - start < 1.0
    assert source.state == ""
    assert len(seen) == 1
    source.close()


def test_close_does_not_wait_for_an_opening_and_what_it_opens_late_is_closed():
    go, late = threading.Event(), Acted(5)
    first = [Acted(1)]

    def open_inner():
        if first:
            return first.pop()
        go.wait(10)
        return late

    source = Reconnecting(open_inner, waits=QUICK)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(source))
    thread.start()
    wait_until(lambda: source.state.startswith("reconnecting (attempt"))
    source.close()
    thread.join(1.0)
    assert not thread.is_alive()
    go.set()
    assert late.closed.wait(2.0)
    assert len(seen) == 1


def test_close_ends_a_loop_that_waits_for_a_frame():
    source = Reconnecting(lambda: Acted(1, "wait"))
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(source))
    thread.start()
    wait_until(lambda: seen)
    source.close()
    thread.join(2.0)
    assert not thread.is_alive()


def test_it_gives_up_when_told_to():
    openings = Openings(Acted(1), *[MissingError(f"attempt {n}.") for n in range(1000)])
    source = Reconnecting(openings, waits=(0.02,), give_up_s=0.2)
    frames = iter(source)
    next(frames)
    start = time.monotonic()
    with pytest.raises(MissingError, match="attempt"):
        next(frames)
    assert time.monotonic() - start < 3
    source.close()


def test_a_fault_of_the_program_is_no_break():
    source = Reconnecting(Openings(Acted(1, ValueError("a bug"))))
    with pytest.raises(ValueError, match="a bug"):
        list(source)
    source = Reconnecting(Openings(Acted(1), ZeroDivisionError("a bug in opening")), waits=QUICK)
    with pytest.raises(ZeroDivisionError):
        list(source)


def test_drops_are_summed_over_breaks():
    source = Reconnecting(Openings(Acted(1, dropped=3), Acted(1, "wait", dropped=4)), waits=QUICK)
    frames = iter(source)
    next(frames)
    assert source.dropped == 3
    next(frames)
    assert source.dropped == 7
    source.close()


def test_through_a_reader_the_state_can_be_seen():
    inner = Reconnecting(Openings(Acted(1)), waits=(60.0,))
    with Reader(inner) as reader:
        frames = iter(reader)
        next(frames)
        wait_until(lambda: reader.state.startswith("reconnecting in 60 s"))
    wait_until(lambda: not any(t.name == "edgekit-capture" for t in threading.enumerate()))
