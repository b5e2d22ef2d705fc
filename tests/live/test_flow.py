from __future__ import annotations

import pytest

from edgekit.live.flow import HIDDEN_S, LOST_S, Flow


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def flow(clock):
    return Flow(clock)


def send_all(flow, most=50):
    """Send while there is room; returns the numbers."""
    numbers = []
    while flow.room() and len(numbers) < most:
        numbers.append(flow.send())
    return numbers


def test_nothing_is_sent_before_a_page_shows_it(flow):
    assert send_all(flow) == []
    assert flow.silence() is None


def test_two_are_on_their_way_and_each_answer_makes_room(flow):
    flow.views("a", 1)
    assert send_all(flow) == [1, 2]
    flow.shown("a", 1)
    assert send_all(flow) == [3]
    flow.shown("a", 3)  # the browser has passed one over: it showed a newer one
    assert send_all(flow) == [4, 5]


def test_the_slowest_page_sets_the_pace(flow):
    flow.views("fast", 1)
    flow.views("slow", 2)
    assert send_all(flow) == [1, 2]
    flow.shown("fast", 2)
    assert send_all(flow) == []
    flow.shown("slow", 1)
    assert send_all(flow) == [3]
    flow.views("slow", 0)
    assert send_all(flow) == [4]


def test_a_reloaded_page_begins_anew(flow):
    flow.views("a", 1)
    assert send_all(flow) == [1, 2]
    flow.views("a", 1)
    assert send_all(flow) == [3, 4]


def test_a_late_answer_of_a_page_that_left_does_not_bring_it_back(flow, clock):
    flow.views("a", 1)
    send_all(flow)
    flow.views("a", 0)
    flow.shown("a", 1)
    assert send_all(flow) == []
    clock.now += 3
    assert flow.empty() == pytest.approx(3)
    flow.views("b", 1)
    assert flow.empty() == 0


def test_pictures_lost_on_the_way_are_replaced_one_at_a_time(flow, clock):
    flow.views("a", 1)
    send_all(flow)
    sent = 0
    for _ in range(30):
        clock.now += 1
        sent += len(send_all(flow))
    assert sent == 30 / LOST_S
    assert flow.silence() == 30


def test_a_page_that_nobody_sees_gets_one_now_and_then(flow, clock):
    flow.views("a", 1, hidden=True)
    sent = 0
    for _ in range(100):
        clock.now += HIDDEN_S / 10
        for number in send_all(flow):
            sent += 1
            flow.shown("a", number, hidden=True)
    assert 9 <= sent <= 11
    flow.views("a", 1)
    assert len(send_all(flow)) == 2


def test_an_answer_to_a_picture_that_was_never_sent_makes_no_room(flow):
    flow.views("a", 1)
    flow.shown("a", 1000)
    assert len(send_all(flow)) == 2


def test_silence_counts_from_the_last_word_and_can_be_forgiven(flow, clock):
    flow.views("a", 1)
    flow.views("b", 1)
    clock.now += 5
    flow.shown("b", 0)
    clock.now += 2
    assert flow.silence() == 2
    clock.now += 20
    flow.forgive()
    assert flow.silence() == 0
