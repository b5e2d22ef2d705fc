"""The live view without a browser: a comm that remembers what is sent, and what the browser would say."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import comm
import cv2
import ipykernel.ipkernel  # noqa: F401 - puts its comms in place when it is imported; ours come after
import ipywidgets
import numpy as np
import pytest
from fake_camera import Boxes, Camera, is_free

from edgekit.errors import InputError, MissingError
from edgekit.live import life, live
from edgekit.live import session_view as view_module
from edgekit.run import Session
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import ProbeError, Sampler


class Wire(comm.base_comm.BaseComm):
    """Remembers what was sent, and on which thread."""

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        self.__dict__.setdefault("sent", []).append((data, buffers, threading.current_thread()))


@pytest.fixture(autouse=True)
def wire(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comm, "create_comm", lambda *args, **keys: Wire(*args, **keys))
    manager = comm.base_comm.CommManager()
    monkeypatch.setattr(comm, "get_comm_manager", lambda: manager)


@pytest.fixture
def show(tmp_path):
    views = []

    def make(session=None, **keys):
        views.append(live(session or Session(Camera, Boxes), **keys))
        return views[-1]

    yield make
    for view in views:
        view.close()
    until(lambda: is_free(tmp_path / "camera.lock"))
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("edgekit")])


def until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def browser(view, kind="views", **message):
    """What the page's side says."""
    view._picture._handle_custom_msg({"page": "p", "hidden": False, "kind": kind, **message}, [])


def pictures(view):
    """Numbers and bytes of the pictures sent."""
    rows = getattr(view._picture.comm, "sent", [])
    return [
        (data["content"]["number"], buffers[0])
        for data, buffers, _ in rows
        if data.get("method") == "custom" and data["content"].get("kind") == "picture"
    ]


def words(view):
    return " ".join(child.value for child in view.children if isinstance(child, ipywidgets.HTML))


def test_pictures_are_jpeg_of_the_size_asked_for_and_wait_for_their_answer(show):
    view = show(side=160)
    view._start.click()
    until(lambda: view.session.stats().frames > 5)
    assert pictures(view) == []  # nobody looks
    browser(view, views=1)
    until(lambda: len(pictures(view)) == 2)
    time.sleep(0.3)
    assert [number for number, _ in pictures(view)] == [1, 2]
    browser(view, "shown", number=2)
    until(lambda: len(pictures(view)) == 4)
    picture = cv2.imdecode(np.frombuffer(pictures(view)[-1][1], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (90, 160, 3)


def test_a_page_that_comes_late_sees_the_last_picture(show):
    view = show()
    browser(view, views=1)
    view._start.click()
    until(lambda: len(pictures(view)) == 2)
    view._stop.click()
    until(lambda: not view.session.running)
    sent = len(pictures(view))
    browser(view, page="another", views=1)
    assert len(pictures(view)) == sent + 1


def test_the_browser_silent_for_long_stops_it(show, monkeypatch, tmp_path):
    monkeypatch.setattr(view_module, "SILENCE_S", 0.5)
    view = show()
    browser(view, views=1)
    view._start.click()
    until(lambda: view.session.stats().frames)  # to ask whether the camera is free takes it for a moment
    until(lambda: is_free(tmp_path / "camera.lock") and not view.session.running)
    until(lambda: "has not answered" in words(view))


def test_silence_does_not_count_while_a_cell_keeps_the_browser_from_being_heard(show, monkeypatch):
    monkeypatch.setattr(view_module, "SILENCE_S", 0.5)
    monkeypatch.setattr(life, "_cell_runs", True)
    view = show()
    browser(view, views=1)  # on the main thread
    view._start.click()
    until(lambda: view.session.running)
    time.sleep(1.2)
    assert view.session.running
    monkeypatch.setattr(life, "_cell_runs", False)
    until(lambda: not view.session.running)


def test_closing_it_frees_the_camera_and_tells_the_session(show, tmp_path):
    view = show()
    browser(view, views=1)
    view._start.click()
    until(lambda: pictures(view))
    view.close()
    assert is_free(tmp_path / "camera.lock")
    view.close()
    view.session.start()  # by code: the view has no part in it any more
    sent = len(pictures(view)) if view._picture.comm else 0
    until(lambda: view.session.stats().frames > 3)
    assert sent == 0
    view.session.stop()


def test_a_click_returns_at_once_whatever_it_starts(show):
    def slow():
        time.sleep(1.5)
        return Camera()

    view = show(Session(slow, Boxes))
    for button in (view._start, view._stop):
        begun = time.monotonic()
        button.click()
        assert time.monotonic() - begun < 0.5
    until(lambda: not view.session.running)


class Meter:
    """A probe of the tests."""

    name, why, emulated, paced = "meter", "a test's", False, False

    def __init__(self, source="meter <&>", fails=False):
        self.source, self.fails, self.closed = source, fails, False

    def read(self):
        if self.fails:
            raise ProbeError("the rail is gone")
        total = {"power_total_mw": 5120.0, "power_total_name": "VDD_IN", "power_total_kind": "input"}
        return Sample(boot_clock(), wall_iso(), self.source, temps_c={"CPU-therm": 48.4}, **total)

    def close(self):
        self.closed = True


@pytest.fixture
def meters(monkeypatch):
    """Samplers by name; a value that is an error is raised."""
    known = {}

    def open_known(name, interval):
        if isinstance(known[name], Exception):
            raise known[name]
        return Sampler(known[name], 0.1)

    monkeypatch.setattr("edgekit.telemetry.open_sampler", open_known)
    return known


def test_power_and_heat_are_a_line_and_the_sampler_ends_with_the_run(show, meters):
    meter = meters["auto"] = Meter()
    view = show()
    assert not meter.closed
    view._start.click()
    until(lambda: "5.12 W (VDD_IN) · CPU 48 °C · meter &lt;&amp;&gt;" in words(view))
    view._stop.click()
    until(lambda: meter.closed)
    until(lambda: "5.12 W" not in words(view))
    again = meters["auto"] = Meter("second")
    view._start.click()
    until(lambda: "second" in words(view))
    view.close()
    until(lambda: again.closed)


def test_a_meter_in_trouble_is_told_and_ends_no_picture(show, meters):
    meters["fails"] = Meter(fails=True)
    view = show(power="fails")
    view._start.click()
    until(lambda: "power: meter: the rail is gone" in words(view))
    assert view.session.running
    view.close()
    meters["absent"] = MissingError("there is no meter here.")
    view = show(power="absent")
    view._start.click()
    until(lambda: "power: There is no meter here." in words(view))
    until(lambda: view.session.stats().frames)
    assert view.session.running


def test_a_meter_that_opens_late_is_closed_where_nobody_waits_any_more(show, meters, monkeypatch):
    meter, go = Meter(), threading.Event()

    def slow(name, interval):
        go.wait(10)
        return Sampler(meter, 0.1)

    monkeypatch.setattr("edgekit.telemetry.open_sampler", slow)
    view = show()
    view._start.click()
    until(lambda: view.session.stats().frames > 2)  # the picture does not wait for the meter
    view._stop.click()
    until(lambda: not view.session.running)
    until(lambda: not [t for t in threading.enumerate() if t.name == "edgekit-live"])
    go.set()
    until(lambda: meter.closed)


def test_without_a_sampler_there_is_no_line(show):
    view = show(power=None)
    view._start.click()
    until(lambda: view.session.stats().frames)
    assert view._power_line.value == ""


def test_an_error_of_the_source_is_one_sentence(show, tmp_path):
    first = show()
    first._start.click()
    until(lambda: first.session.stats().frames)
    other = show(Session(lambda: Camera(tmp_path / "camera.lock"), Boxes))
    other._start.click()
    until(lambda: "The fake camera is busy: another program holds it." in words(other))
    assert 'role="alert"' in words(other)
    assert first.session.running


def test_what_goes_on_is_told(show):
    class Wobbly(Camera):
        state, how = "reconnecting in 2 s: no answer", "by wire <1>"

    view = show(Session(Wobbly, Boxes))
    assert "Press Start" in view._picture.hint
    view._start.click()
    until(lambda: "Reconnecting in 2 s: no answer" in words(view))
    until(lambda: "Source: by wire &lt;1&gt;" in words(view))
    assert "Engine: ten boxes was chosen" in words(view)
    assert view._picture.label == "Live picture of fake camera"


def test_a_source_that_ends_is_not_one_that_was_stopped(show):
    view = show(Session(Camera, Boxes, limit=5))
    for _ in range(2):
        view._start.click()
        until(lambda: "The source has ended" in words(view))
        assert "frame <b>5</b>" in words(view)
        assert not view._start.disabled


def test_what_was_set_stays_when_the_model_changes(show):
    made = []

    def open_task(model, precision):
        made.append((Boxes(model), precision))
        return made[-1][0]

    view = show(Session(Camera, Boxes), models=["first", "second"], open_task=open_task)
    view._start.click()
    until(lambda: view._settings.box.children)
    sliders, classes = view._settings.box.children
    sliders.children[0].value = 0.5
    classes.value = ("dog",)
    view._choice._model.value = "second"
    until(lambda: made and view.session.task is made[0][0])
    task, precision = made[0]
    until(lambda: (task.score, task.classes) == (0.5, ["dog"]))
    assert precision == "fp32"
    until(lambda: view.session.stats().found == 2)  # dogs of 0.85 and 0.65


@pytest.mark.parametrize("wrong", [{"side": 2}, {"quality": 0}, {"quality": 101}])
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InputError, match="makes no sense"):
        live(Session(Camera, Boxes), **wrong)


class Shell:
    """As much of IPython's shell as the view uses."""

    def __init__(self):
        self.calls = {}
        self.events = SimpleNamespace(register=self.calls.__setitem__)
        self.kernel = SimpleNamespace(saved_sigint_handler=signal.SIG_IGN)

    def get_parent(self):
        return {"metadata": {"cellId": "cell-1"}}


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    monkeypatch.setattr(life, "_shell", None)
    monkeypatch.setattr(life, "_cell_runs", False)
    return shell


def test_the_cell_that_made_it_runs_again(show, shell, tmp_path):
    view = show()
    view._start.click()
    until(lambda: view.session.stats().frames)
    shell.calls["pre_run_cell"](SimpleNamespace(cell_id="cell-2"))
    assert view.session.running
    shell.calls["pre_run_cell"](SimpleNamespace(cell_id="cell-1"))
    assert is_free(tmp_path / "camera.lock")


@pytest.mark.parametrize("idle", [True, False])
def test_an_interrupt_stops_it(show, shell, tmp_path, idle):
    view = show()
    view._start.click()
    until(lambda: view.session.stats().frames)
    if idle:
        shell.kernel.saved_sigint_handler(signal.SIGINT, None)
    else:
        shell.calls["post_run_cell"](SimpleNamespace(error_in_exec=KeyboardInterrupt()))
    until(lambda: is_free(tmp_path / "camera.lock"), 2.0)
    until(lambda: "the kernel was interrupted" in words(view))


def test_an_error_in_a_cell_stops_nothing_and_others_handlers_stay(show, shell):
    mine = lambda *_: None  # noqa: E731
    shell.kernel.saved_sigint_handler = mine
    view = show()
    view._start.click()
    until(lambda: view.session.stats().frames)
    shell.calls["post_run_cell"](SimpleNamespace(error_in_exec=ValueError()))
    time.sleep(0.2)
    assert view.session.running
    assert shell.kernel.saved_sigint_handler is mine


def test_a_recording_that_fails_ends_and_the_view_goes_on(show, tmp_path):
    view = show()
    view._start.click()
    until(lambda: not view._rec.disabled)
    (tmp_path / "out").write_text("a file where a folder should be")
    view._rec.click()
    until(lambda: "cannot be written" in words(view))
    assert view.session.running
    (tmp_path / "out").unlink()
    view._rec.click()
    until(lambda: view._recording is not None)
    view._recording._video.write = lambda *_: (_ for _ in ()).throw(OSError("the disk is full"))
    until(lambda: "the disk is full" in words(view))
    assert view.session.running
    assert view._rec.description == "Record"
