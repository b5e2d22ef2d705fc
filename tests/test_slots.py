from __future__ import annotations

import threading
import time

import pytest

from edgekit.slots import Slot


def background(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_what_goes_in_comes_out_in_order_and_nothing_is_lost():
    slot, out = Slot(2), []

    def take():
        while (thing := slot.get()) is not None:
            out.append(thing)
            time.sleep(0.001)

    taker = background(take)
    assert all(slot.put(n) for n in range(1, 50))
    slot.end()
    taker.join(5)
    assert (out, slot.dropped) == (list(range(1, 50)), 0)


def test_the_latest_replaces_what_nobody_took():
    slot = Slot(1, latest=True)
    for n in range(1, 11):
        assert slot.put(n)
    assert (slot.get(), slot.dropped) == (10, 9)


def test_a_full_slot_makes_the_giver_wait_and_wait_for_room_does_not_take_any():
    slot, done = Slot(1), threading.Event()
    slot.put(1)

    def give():
        assert slot.wait_for_room()
        slot.put(2)
        done.set()

    giver = background(give)
    assert not done.wait(0.05)
    assert slot.get() == 1
    assert done.wait(5)
    giver.join(5)
    assert slot.get() == 2


def test_the_end_lets_the_rest_out_and_then_tells_the_error_once():
    slot = Slot(2)
    slot.put(1)
    slot.end(RuntimeError("fire"))
    assert not slot.put(2)
    assert slot.get() == 1
    with pytest.raises(RuntimeError, match="fire"):
        slot.get()
    assert slot.get() is None


@pytest.mark.parametrize("wait", ["get", "put", "wait_for_room"])
def test_close_wakes_whoever_waits(wait):
    slot, results = Slot(1), []
    if wait != "get":
        slot.put(1)
    work = {"get": slot.get, "put": lambda: slot.put(2), "wait_for_room": slot.wait_for_room}[wait]
    waiter = background(lambda: results.append(work()))
    time.sleep(0.02)
    slot.close()
    waiter.join(5)
    assert not results[0]
    assert slot.get() is None
