from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from clips import moving_square

from edgekit import Detections, Frame
from edgekit.camera import Source
from edgekit.run import STAGES, StageClock, run


class Reel(Source):
    """Frames from a list."""

    spec = "reel"

    def __init__(self, frames, fail_at=None):
        self.frames, self.fail_at = frames, fail_at
        self.length = len(frames)
        self.size = (160, 120)

    def __iter__(self):
        for i, image in enumerate(self.frames):
            if i == self.fail_at:
                raise RuntimeError("camera on fire")
            yield Frame(image, i, i / 10, "reel")

    def close(self):
        pass


class FakeEngine:
    backend, precision, device, why = "onnxruntime-cpu", "fp32", "test", "only one"


class OneBox:
    engine = FakeEngine()
    times = {"pre": 0.001, "infer": 0.004, "post": 0.002}  # noqa: RUF012

    def __call__(self, frame):
        return Detections([[0, 0, 5, 5]], [0.5], [0], ("a",))


class Memory:
    def __init__(self, wants_picture=False, fail_at=None):
        self.wants_picture, self.fail_at = wants_picture, fail_at
        self.rows, self.pictures, self.closed = [], [], 0

    def write(self, frame, result, picture):
        if frame.index == self.fail_at:
            raise OSError("disk gone")
        self.rows.append((frame.index, result))
        self.pictures.append(picture)

    def close(self):
        self.closed += 1


def test_every_frame_reaches_every_sink_in_order():
    sinks = [Memory(), Memory(wants_picture=True)]
    summary = run(Reel(moving_square(7)), OneBox(), sinks, model="m")
    for sink in sinks:
        assert [i for i, _ in sink.rows] == list(range(7))
        assert sink.closed == 1
    assert all(p is not None for p in sinks[1].pictures)
    assert (summary.frames, summary.found, summary.interrupted) == (7, 7, False)
    assert summary.fps == pytest.approx(7 / summary.seconds)


def test_nothing_is_drawn_when_no_sink_wants_a_picture():
    sink = Memory()
    run(Reel(moving_square(2)), OneBox(), [sink])
    assert sink.pictures == [None, None]


def test_limit_and_stop():
    assert run(Reel(moving_square(9)), OneBox(), limit=4).frames == 4
    stop = Event()
    stop.set()
    summary = run(Reel(moving_square(9)), OneBox(), stop=stop)
    assert (summary.frames, summary.interrupted) == (0, True)


@pytest.mark.parametrize(
    ("source", "sink"),
    [(Reel(moving_square(5), fail_at=3), Memory()), (Reel(moving_square(5)), Memory(fail_at=3))],
)
def test_an_error_anywhere_closes_the_sinks_and_is_told(source, sink):
    others = Memory()
    with pytest.raises((RuntimeError, OSError), match=r"fire|gone"):
        run(source, OneBox(), [others, sink])
    assert others.closed == sink.closed == 1
    assert len(sink.rows) == 3


def test_the_table_is_numpys_percentiles_of_the_times_given():
    clock = StageClock()
    rng = np.random.default_rng(0)
    times = rng.uniform(0, 1, (50, 3))
    for row in times:
        clock.add(dict(zip(("pre", "infer", "post"), row, strict=True)))
        clock.next_frame()
    table = clock.table()
    assert set(table) == set(STAGES)
    kept = times[1:] * 1e3  # the first frame is warm-up
    assert table["infer"]["median_ms"] == pytest.approx(np.median(kept[:, 1]))
    assert table["infer"]["p95_ms"] == pytest.approx(np.percentile(kept[:, 1], 95))
    assert table["post"]["share"] == pytest.approx(kept[:, 2].sum() / kept.sum())
    assert sum(row["share"] for row in table.values()) == pytest.approx(1)


def test_the_summary_reads_as_a_table_and_as_json():
    summary = run(Reel(moving_square(6)), OneBox(), [Memory(True)], model="edgekit-person")
    text = summary.table()
    for word in (*STAGES, "edgekit-person", "onnxruntime-cpu", "fp32", "only one", "6 in"):
        assert word in text
    assert summary.to_dict()["frames"] == 6
    assert run(Reel([]), OneBox()).table()
