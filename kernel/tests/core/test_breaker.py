"""What does not answer is asked no more than it takes to see that it answers again."""

import gevent
import pytest
from gevent.event import Event

from stonechat.core.breaker import FAILURES, MAX_WAITING, Breaker, Refused
from stonechat.errors import StorageError


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class World:
    """A breaker, and what stands behind it."""

    def __init__(self):
        self.clock = Clock()
        self.breaker = Breaker("the directory", answers=(LookupError,), clock=self.clock)

    def call(self, error=None, seconds=0.01):
        with self.breaker.attempt():
            self.clock.now += seconds
            if error is not None:
                raise error

    def fail(self, times=FAILURES, seconds=0.01):
        for _ in range(times):
            with pytest.raises(StorageError, match="down"):
                self.call(StorageError("down"), seconds)


@pytest.fixture
def world():
    return World()


def test_lets_calls_through(world):
    world.call()
    assert world.breaker.figures == (1, 0, 0, 0, False)


def test_opens_after_five_failures_in_a_row(world, caplog):
    world.fail(FAILURES - 1)
    world.call()
    world.fail(FAILURES - 1)
    assert not world.breaker.is_open
    world.fail(1)
    assert world.breaker.is_open
    with pytest.raises(Refused, match="the directory did not answer lately"):
        world.call()
    assert world.breaker.figures == (10, 9, 1, 0, True)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "the directory" in record.message
    assert "down" in record.message


def test_one_call_each_second_is_a_probe(world):
    world.fail()
    world.clock.now += 0.9
    with pytest.raises(Refused):
        world.call()
    world.clock.now += 0.1
    world.fail(1)
    with pytest.raises(Refused):
        world.call()
    world.clock.now += 1
    world.fail(1)


def test_a_probe_that_succeeds_closes_it_with_one_line(world, caplog):
    caplog.set_level("INFO")
    world.fail()
    for _ in range(3):
        world.clock.now += 1
        world.fail(1)
    world.clock.now += 1
    world.call()
    assert not world.breaker.is_open
    world.fail(FAILURES - 1)
    world.call()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "answers again, after 4 s" in caplog.records[1].message


def test_a_probe_that_hangs_does_not_keep_the_next_one_from_being_made(world):
    world.fail()
    gate = Event()

    def hang():
        with world.breaker.attempt():
            gate.wait(10)

    world.clock.now += 1
    hanging = gevent.spawn(hang)
    gevent.sleep(0)
    with pytest.raises(Refused):
        world.call()
    world.clock.now += 1
    world.call()
    assert not world.breaker.is_open
    gate.set()
    hanging.get(timeout=10)


def test_no_more_than_so_many_wait_and_the_next_fail_at_once(world):
    gate = Event()

    def wait():
        with world.breaker.attempt():
            gate.wait(10)

    waiting = [gevent.spawn(wait) for _ in range(MAX_WAITING)]
    gevent.sleep(0)
    assert world.breaker.figures.waiting == MAX_WAITING
    with pytest.raises(Refused, match="64 calls wait"):
        world.call()
    gate.set()
    gevent.joinall(waiting, timeout=10, raise_error=True)
    world.call()
    assert world.breaker.figures == (MAX_WAITING + 1, 0, 1, 0, False)


def test_an_answer_that_is_an_error_is_an_answer(world):
    world.fail(FAILURES - 1)
    with pytest.raises(LookupError):
        world.call(LookupError())
    world.fail(1)
    assert not world.breaker.is_open


def test_what_has_nothing_to_do_with_it_counts_neither_way(world):
    world.fail(FAILURES - 1)
    for error in (RuntimeError(), gevent.GreenletExit()):
        with pytest.raises(type(error)):
            world.call(error)
    assert world.breaker.figures.waiting == 0
    assert world.breaker.figures.failures == FAILURES - 1
    world.fail(1)
    assert world.breaker.is_open


def test_what_is_answered_from_memory_says_nothing_about_who_hangs(world):
    world.fail(FAILURES - 1, seconds=5)
    world.call(seconds=0)
    world.fail(1, seconds=5)
    assert world.breaker.is_open
    world.clock.now += 1
    world.call(seconds=0)
    assert world.breaker.is_open
    # That was no probe.
    world.call()
    assert not world.breaker.is_open


def test_what_fails_in_no_time_may_also_succeed_in_no_time(world):
    world.fail(FAILURES - 1, seconds=0)
    world.call(seconds=0)
    world.fail(FAILURES - 1, seconds=0)
    assert not world.breaker.is_open
