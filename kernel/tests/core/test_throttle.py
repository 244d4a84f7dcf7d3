"""The throttle of logins: pauses that grow, locks that end, and a table that does not grow."""

import tracemalloc

import pytest

from stonechat.core import throttle as module
from stonechat.core.throttle import LoginThrottle

HOME = "192.0.2.1"
AWAY = "198.51.100.7"


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return LoginThrottle(clock)


def fail(throttle, times, localpart="juliet", address=HOME):
    for _ in range(times):
        assert not throttle.is_locked(localpart, address)
        throttle.failed(localpart, address)


def test_a_stranger_does_not_wait(throttle):
    assert throttle.delay("juliet", HOME) == 0
    assert not throttle.is_locked("juliet", HOME)


def test_the_pause_grows_with_each_failure_up_to_ten_seconds(throttle):
    pauses = []
    for _ in range(10):
        pauses.append(throttle.delay("juliet", HOME))
        fail(throttle, 1)
    assert pauses == [0, 0, 0.5, 1, 2, 4, 8, 10, 10, 10]


def test_the_twentieth_failure_in_ten_minutes_locks_the_pair_for_ten_minutes(throttle, clock):
    fail(throttle, 19)
    clock.now = 599
    assert not throttle.is_locked("juliet", HOME)
    fail(throttle, 1)
    assert throttle.is_locked("juliet", HOME)
    clock.now = 599 + 599
    assert throttle.is_locked("juliet", HOME)
    clock.now = 599 + 600
    assert not throttle.is_locked("juliet", HOME)


def test_failures_that_are_ten_minutes_old_do_not_count(throttle, clock):
    fail(throttle, 10)
    clock.now = 300
    fail(throttle, 9)
    clock.now = 600
    fail(throttle, 1)
    assert not throttle.is_locked("juliet", HOME)
    fail(throttle, 10)
    assert throttle.is_locked("juliet", HOME)


def test_after_a_lock_all_twenty_guesses_are_there_again_and_no_more(throttle, clock):
    fail(throttle, 20)
    clock.now = 600
    fail(throttle, 19)
    assert not throttle.is_locked("juliet", HOME)
    fail(throttle, 1)
    assert throttle.is_locked("juliet", HOME)


def test_a_lock_that_is_over_is_over_though_its_failures_are_fresh(throttle, clock, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 60)
    fail(throttle, 20)
    clock.now = 60
    assert not throttle.is_locked("juliet", HOME)
    assert throttle.delay("juliet", HOME) == 0


def test_attempts_that_the_lock_refuses_do_not_prolong_it(throttle, clock):
    fail(throttle, 20)
    clock.now = 500
    for _ in range(30):
        throttle.failed("juliet", HOME)
    clock.now = 600
    assert not throttle.is_locked("juliet", HOME)
    assert throttle.delay("juliet", HOME) == 0


def test_a_guesser_locks_out_nobody_elsewhere_and_no_other_account(throttle):
    fail(throttle, 20)
    assert not throttle.is_locked("juliet", AWAY)
    assert not throttle.is_locked("romeo", HOME)
    assert throttle.delay("juliet", AWAY) == throttle.delay("romeo", HOME) == 0


def test_the_addresses_of_one_ipv6_network_are_one(throttle):
    for number in range(20):
        fail(throttle, 1, address=f"2001:db8:0:1::{number:x}")
    assert throttle.is_locked("juliet", "2001:db8:0:1:ffff::1")
    assert not throttle.is_locked("juliet", "2001:db8:0:2::1")


def test_ipv4_is_the_same_where_it_comes_as_ipv6(throttle):
    fail(throttle, 20, address=f"::ffff:{HOME}")
    assert throttle.is_locked("juliet", HOME)


def test_clients_without_an_ip_address_are_counted_too(throttle):
    fail(throttle, 20, address="")
    assert throttle.is_locked("juliet", "")
    assert not throttle.is_locked("juliet", HOME)


def test_a_success_makes_the_failures_before_it_forgotten(throttle):
    fail(throttle, 19)
    throttle.succeeded("juliet", HOME)
    assert throttle.delay("juliet", HOME) == 0
    fail(throttle, 19)
    assert not throttle.is_locked("juliet", HOME)


def test_a_success_by_certificate_does_not_end_a_lock(throttle):
    fail(throttle, 20)
    throttle.succeeded("juliet", HOME)
    assert throttle.is_locked("juliet", HOME)


def test_who_logs_in_leaves_nothing_behind(throttle):
    fail(throttle, 1)
    throttle.succeeded("juliet", HOME)
    throttle.succeeded("romeo", HOME)
    assert len(throttle) == 0


def test_the_least_recently_used_pair_is_forgotten_first(throttle, monkeypatch):
    monkeypatch.setattr(module, "MAX_PAIRS", 3)
    fail(throttle, 3, "juliet")
    fail(throttle, 3, "romeo")
    fail(throttle, 3, "tybalt")
    throttle.is_locked("juliet", HOME)
    fail(throttle, 1, "mercutio")
    assert len(throttle) == 3
    assert throttle.delay("romeo", HOME) == 0
    assert throttle.delay("juliet", HOME) == throttle.delay("tybalt", HOME) == 1


def test_a_hundred_thousand_long_names_leave_memory_within_four_megabytes(throttle, clock):
    tracemalloc.start()
    try:
        for number in range(100_000):
            clock.now += 0.001
            fail(throttle, 1, f"{number}".ljust(1000, "x"))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 4 * 1024 * 1024
    assert len(throttle) == module.MAX_PAIRS


def test_a_name_that_is_no_unicode_text_is_counted_like_others(throttle):
    fail(throttle, 20, "\ud800")
    assert throttle.is_locked("\ud800", HOME)
