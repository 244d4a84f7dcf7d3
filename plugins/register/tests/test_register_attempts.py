"""The count of attempts by address."""

import pytest

from stonechat_register.attempts import AttemptLimit, address_group


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_counts_each_address_for_itself(clock):
    limit = AttemptLimit(2, 60, clock)
    assert [limit.take("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert limit.take("192.0.2.2")


def test_a_period_begins_with_the_first_attempt(clock):
    limit = AttemptLimit(1, 60, clock)
    clock.now = 30.0
    assert limit.take("192.0.2.1")
    clock.now = 89.9
    assert not limit.take("192.0.2.1")
    clock.now = 90.0
    assert limit.take("192.0.2.1")


def test_a_network_of_ipv6_is_one(clock):
    limit = AttemptLimit(1, 60, clock)
    assert limit.take("2001:db8:0:1::1")
    assert not limit.take("2001:db8:0:1:ffff::2")
    assert limit.take("2001:db8:0:2::1")


def test_ipv4_within_ipv6_is_ipv4():
    assert address_group("::ffff:192.0.2.1") == address_group("192.0.2.1")


def test_streams_without_an_address_are_one(clock):
    limit = AttemptLimit(1, 60, clock)
    assert limit.take("")
    assert not limit.take("")


def test_a_hundred_thousand_addresses_find_no_room(clock):
    limit = AttemptLimit(1, 60, clock)
    for number in range(100_000):
        limit.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limit._counts) == 10_000
    assert not limit.take("10.1.134.159")  # the last of them is still known


def test_the_address_that_came_longest_ago_is_forgotten_first(clock, monkeypatch):
    monkeypatch.setattr("stonechat_register.attempts.MAX_ADDRESSES", 2)
    limit = AttemptLimit(1, 60, clock)
    limit.take("192.0.2.1")
    clock.now = 30.0
    limit.take("192.0.2.2")
    clock.now = 60.0
    limit.take("192.0.2.1")  # a new period: it has just come
    limit.take("192.0.2.3")
    assert not limit.take("192.0.2.1")
    assert limit.take("192.0.2.2")
