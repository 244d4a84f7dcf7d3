"""The timer wheel: when callbacks run, and what they cannot break."""

import gc
import logging

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from stonechat.net import timers
from stonechat.net.timers import TimerWheel


class Clock:
    """A monotonic clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wheel(clock):
    return TimerWheel(clock)


def advance(wheel, clock, seconds, **kwargs):
    clock.now += seconds
    return wheel.advance(clock.now, **kwargs)


def test_a_timer_fires_once_with_its_arguments(wheel, clock):
    fired = []
    wheel.add(1, fired.append, "nurse")
    advance(wheel, clock, 1.2)
    advance(wheel, clock, 60)
    assert fired == ["nurse"]


@given(
    st.floats(0, 5000),
    st.sampled_from([0.1, 0.25, 1.0]),
    st.floats(0, 100_000),
    st.floats(0, 1),
)
def test_a_timer_is_never_early_and_at_most_one_tick_late(seconds, tick, origin, passed):
    clock = Clock()
    clock.now = origin
    wheel = TimerWheel(clock, granularity=tick)
    clock.now += passed
    fired = []
    wheel.add(seconds, fired.append, None)
    deadline = clock.now + seconds
    wheel.advance(deadline - 0.001)
    assert not fired
    wheel.advance(deadline + tick + 0.001)
    assert fired


@given(st.floats(0, 5000), st.sampled_from([0.1, 0.25, 1.0]), st.floats(0, 100_000))
def test_a_timer_fires_at_the_very_moment_that_was_announced(seconds, tick, origin):
    clock = Clock()
    clock.now = origin
    wheel = TimerWheel(clock, granularity=tick)
    wheel.add(seconds, lambda: None)
    clock.now = wheel.next_due()
    assert wheel.advance() == 1


def test_timers_of_one_tick_fire_in_the_order_they_came(wheel, clock):
    fired = []
    for name in ("Sampson", "Gregory", "Abraham"):
        wheel.add(0.5, fired.append, name)
    advance(wheel, clock, 1)
    assert fired == ["Sampson", "Gregory", "Abraham"]


def test_timers_of_different_ticks_fire_in_the_order_of_their_deadlines(wheel, clock):
    fired = []
    for seconds in (3, 1, 2):
        wheel.add(seconds, fired.append, seconds)
    advance(wheel, clock, 10)
    assert fired == [1, 2, 3]


def test_a_time_in_the_past_is_the_next_tick(wheel, clock):
    fired = []
    wheel.add(-5, fired.append, None)
    wheel.advance()
    assert not fired
    advance(wheel, clock, 0.1)
    assert fired


def test_a_cancelled_timer_never_fires(wheel, clock):
    fired = []
    timer = wheel.add(1, fired.append, None)
    timer.cancel()
    timer.cancel()
    advance(wheel, clock, 5)
    assert not fired
    assert not timer.is_pending


def test_a_timer_may_cancel_another_of_the_same_tick(wheel, clock):
    fired = []
    wheel.add(1, lambda: second.cancel())
    second = wheel.add(1, fired.append, None)
    advance(wheel, clock, 2)
    assert not fired


def test_a_callback_may_add_a_timer_which_waits_for_its_own_time(wheel, clock):
    fired = []

    def again():
        fired.append(clock.now)
        wheel.add(0, again)

    wheel.add(0, again)
    advance(wheel, clock, 1)
    assert len(fired) == 1
    advance(wheel, clock, 1)
    assert len(fired) == 2


def test_a_callback_that_raises_is_reported_and_keeps_no_other_from_running(clock):
    reported = []
    wheel = TimerWheel(clock, on_error=lambda callback, error: reported.append((callback, error)))
    fired = []

    def tybalt():
        raise ValueError("peace? I hate the word")

    wheel.add(1, tybalt)
    wheel.add(1, fired.append, None)
    advance(wheel, clock, 2)
    assert fired
    [(callback, error)] = reported
    assert callback is tybalt
    assert isinstance(error, ValueError)


def test_errors_go_to_the_log_by_default(wheel, clock, caplog):
    wheel.add(1, lambda: 1 / 0)
    with caplog.at_level(logging.ERROR, timers.__name__):
        advance(wheel, clock, 2)
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_what_an_interrupted_turn_leaves_over_fires_in_the_next(wheel, clock):
    fired = []

    def interrupt():
        raise KeyboardInterrupt

    wheel.add(1, interrupt)
    wheel.add(1, fired.append, None)
    with pytest.raises(KeyboardInterrupt):
        advance(wheel, clock, 2)
    assert wheel.next_due() == clock.now
    wheel.advance()
    assert fired


def test_a_turn_runs_no_more_timers_than_it_was_told(wheel, clock):
    fired = []
    for number in range(10):
        wheel.add(1, fired.append, number)
    assert advance(wheel, clock, 2, limit=4) == 4
    assert fired == [0, 1, 2, 3]
    assert len(wheel) == 6
    assert wheel.advance(clock.now) == 6
    assert fired == list(range(10))


def test_next_due_is_when_the_soonest_timer_can_fire(wheel, clock):
    assert wheel.next_due() is None
    wheel.add(30, print)
    soon = wheel.add(2, print)
    assert 2 <= wheel.next_due() - clock.now <= 2.2
    soon.cancel()
    assert 30 <= wheel.next_due() - clock.now <= 30.2


def test_the_length_counts_what_waits(wheel, clock):
    for seconds in range(5):
        wheel.add(seconds, lambda: None)
    wheel.add(2, lambda: None).cancel()
    assert len(wheel) == 5
    advance(wheel, clock, 2.5)
    assert len(wheel) == 2


def test_adding_and_cancelling_for_ever_keeps_nothing(wheel, clock):
    for number in range(20_000):
        wheel.add(number * 0.1, print).cancel()
    assert len(wheel) == 0
    assert len(wheel._buckets) == 0
    assert len(wheel._ticks) < 200


def test_a_cancelled_timer_lets_go_of_what_its_callback_holds(wheel):
    class Session:
        pass

    timer = wheel.add(300, lambda session: None, Session())
    timer.cancel()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Session)]


def test_a_jump_over_many_empty_ticks_costs_no_walk(wheel, clock):
    fired = []
    wheel.add(10_000_000, fired.append, None)
    assert advance(wheel, clock, 10_000_001) == 1


@pytest.fixture
def running():
    wheel = TimerWheel(granularity=0.01)
    wheel.start(gevent.get_hub())
    yield wheel
    wheel.stop()


def test_the_hub_drives_the_wheel(running):
    rung = Event()
    running.add(0.02, rung.set)
    assert rung.wait(10)


def test_a_sooner_timer_does_not_wait_for_a_later_one(running):
    rung = Event()
    running.add(3600, print)
    running.add(0.02, rung.set)
    assert rung.wait(10)


def test_the_hub_has_a_timer_of_ours_only_while_something_waits(running):
    rung = Event()
    assert running._watcher is None
    running.add(0.02, rung.set)
    assert running._watcher is not None
    rung.wait(10)
    gevent.idle()
    assert running._watcher is None


def test_more_timers_than_a_turn_may_run_fire_in_several_turns(running, monkeypatch):
    monkeypatch.setattr(timers, "TIMERS_PER_TURN", 3)
    between = []
    fired = []
    done = Event()

    def fire(number):
        fired.append(number)
        if number == 0:
            gevent.get_hub().loop.run_callback(lambda: between.append(len(fired)))
        if number == 9:
            done.set()

    for number in range(10):
        running.add(0.02, fire, number)
    assert done.wait(10)
    assert fired == list(range(10))
    assert between[0] < 10


def test_a_stopped_wheel_keeps_its_timers_for_the_next_start(running):
    rung = Event()
    running.add(0.01, rung.set)
    running.stop()
    assert running._watcher is None
    running.start(gevent.get_hub())
    assert rung.wait(10)
