"""The reading thread and its two policies."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from edgekit import Frame, InputError, open_source
from edgekit.camera import Reader, Source

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Ticking(Source):
    """A frame every `period` seconds; ends, fails or freezes where it is told to."""

    spec, size, live, how = "ticking", (8, 8), True, "a test"

    def __init__(self, count=1000, period=0.0, fail_at=None, freeze_at=None):
        self.count, self.period, self.fail_at, self.freeze_at = count, period, fail_at, freeze_at
        self.given, self.closed = 0, 0
        self._stop = threading.Event()

    def __iter__(self):
        for i in range(self.count):
            if i == self.fail_at:
                raise RuntimeError("camera on fire")
            if i == self.freeze_at:
                self._stop.wait()
            if self._stop.wait(self.period):
                return
            self.given += 1
            yield Frame(IMAGE, i)

    def close(self):
        self.closed += 1
        self._stop.set()


def test_every_loses_nothing_keeps_the_order_and_reads_at_most_three_ahead():
    source = Ticking(20)
    with Reader(source, "every") as reader:
        got = []
        for frame in reader:
            got.append(frame.index)
            time.sleep(0.002)
            assert source.given <= frame.index + 1 + 3  # two wait, one is in the thread's hand
    assert got == list(range(20))
    assert (reader.dropped, source.closed > 0) == (0, True)


def test_latest_gives_the_newest_and_counts_what_it_dropped():
    source = Ticking(60, period=0.005)
    with Reader(source, "latest") as reader:
        got = []
        for frame in reader:
            # While a slow worker works, newer frames come; what it takes next is the newest of them.
            assert source.given - 1 - frame.index <= 1
            got.append(frame.index)
            time.sleep(0.03)
    assert got == sorted(set(got))
    assert len(got) < 30
    assert got[-1] == 59
    assert reader.dropped == 60 - len(got)


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_what_the_source_raises_comes_out_after_its_last_frame(policy):
    reader = Reader(Ticking(fail_at=2, period=0.01), policy)
    got = []
    frames = iter(reader)
    with reader:
        for _ in range(2):
            got.append(next(frames).index)
        with pytest.raises(RuntimeError, match="fire"):
            next(frames)
        assert list(reader) == []  # dead is dead
    assert got == [0, 1]


@pytest.mark.parametrize("policy", ["every", "latest"])
def test_close_from_another_thread_ends_a_loop_that_waits_for_a_frozen_camera(policy):
    source = Ticking(freeze_at=1)
    reader = Reader(source, policy)
    got, ended = [], threading.Event()

    def read():
        for frame in reader:
            got.append(frame.index)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    while not got:
        time.sleep(0.005)
    begun = time.monotonic()
    reader.close()
    reader.close()
    thread.join(5)
    assert ended.is_set()
    assert time.monotonic() - begun < 2
    assert not any(t.name == "edgekit-capture" for t in threading.enumerate())


def test_a_reader_never_read_has_no_thread_and_closes_its_source():
    source = Ticking()
    before = threading.active_count()
    Reader(source).close()
    assert (threading.active_count(), source.closed) == (before, 1)


def test_a_reader_is_a_source_and_shows_what_its_source_says():
    source = Ticking()
    with Reader(source, "latest") as reader:
        assert (reader.spec, reader.size, reader.live, reader.how) == ("ticking", (8, 8), True, "a test")
        source.note, source.state = "a note", "reconnecting"
        assert (reader.note, reader.state, reader.policy) == ("a note", "reconnecting", "latest")


def test_open_source_gives_files_every_frame_and_live_sources_the_latest(clip):
    with open_source(clip) as source:
        assert source.policy == "every"
    with open_source(clip, policy="latest") as source:
        assert source.policy == "latest"
    with open_source("synthetic", frames=5) as source:
        assert source.policy == ("latest" if source.live else "every")


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("sample", {"policy": "newest"}, r"policy='newest' is unknown; give one of latest, every"),
        ("sample", {"size": (640, 480)}, r"no option 'size'; it takes realtime, loop"),
        ("sample-picture", {"fps": 3}, r"no option 'fps'"),
        ("synthetic", {"speed": 3}, r"no option 'speed'; it takes .*fps"),
    ],
)
def test_an_option_that_does_not_fit_names_those_that_do(spec, options, words):
    with pytest.raises(InputError, match=words):
        open_source(spec, **options)
