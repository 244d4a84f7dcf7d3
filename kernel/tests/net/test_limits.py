"""Limits per address: who is refused, who has to go, and that the books stay small."""

import gc
from ipaddress import ip_network

import pytest

from stonechat.net.limits import AddressLimits, Refusal, address_group


class Limits(AddressLimits):
    """Limits that keep a list of whom they evicted."""

    def __init__(self, **options):
        super().__init__(**options)
        self.evicted = []

    def admit(self, address, connection, now):
        admission = super().admit(address, connection, now)
        if not isinstance(admission, Refusal) and admission.evicted is not None:
            self.evicted.append(admission.evicted)
        return admission


ROMEO = "192.0.2.1"
TYBALT = "192.0.2.66"


def test_the_oldest_stranger_of_an_address_goes_for_the_newest():
    limits = Limits(strangers_per_address=2)
    limits.admit(ROMEO, "first", 0.0)
    limits.admit(ROMEO, "second", 0.0)
    limits.admit(ROMEO, "third", 0.0)
    assert limits.evicted == ["first"]
    limits.admit(ROMEO, "fourth", 0.0)
    assert limits.evicted == ["first", "second"]
    assert limits.stranger_count == 2


def test_strangers_of_other_addresses_are_left_alone():
    limits = Limits(strangers_per_address=1)
    limits.admit(ROMEO, "romeo", 0.0)
    limits.admit(TYBALT, "tybalt", 0.0)
    assert not limits.evicted


def test_the_oldest_stranger_of_all_goes_when_there_are_too_many():
    limits = Limits(strangers=3)
    for number in range(3):
        limits.admit(f"192.0.2.{number}", number, 0.0)
    limits.admit("198.51.100.1", "new", 0.0)
    assert limits.evicted == [0]
    assert limits.stranger_count == 3


def test_who_has_authenticated_is_no_stranger_and_stays():
    limits = Limits(strangers_per_address=1, strangers=1)
    first = limits.admit(ROMEO, "first", 0.0)
    first.authenticated()
    limits.admit(ROMEO, "second", 0.0)
    assert not limits.evicted
    limits.admit(ROMEO, "third", 0.0)
    assert limits.evicted == ["second"]


def test_a_closed_connection_makes_room():
    limits = Limits(strangers_per_address=1)
    admission = limits.admit(ROMEO, "first", 0.0)
    admission.close()
    admission.close()
    limits.admit(ROMEO, "second", 0.0)
    assert not limits.evicted


def test_an_evicted_connection_that_closes_later_is_not_counted_twice():
    limits = Limits(strangers_per_address=1, connections_per_address=2)
    first = limits.admit(ROMEO, "first", 0.0)
    second = limits.admit(ROMEO, "second", 0.0)
    assert limits.evicted == ["first"]
    second.authenticated()
    first.authenticated()
    first.close()
    limits.admit(ROMEO, "third", 0.0).authenticated()
    assert limits.admit(ROMEO, "fourth", 0.0) is Refusal.CONNECTIONS


def test_one_address_has_so_many_connections_and_no_more():
    limits = Limits(connections_per_address=2)
    admissions = [limits.admit(ROMEO, number, 0.0) for number in range(2)]
    for admission in admissions:
        admission.authenticated()
    assert limits.admit(ROMEO, "third", 0.0) is Refusal.CONNECTIONS
    assert limits.admit(TYBALT, "tybalt", 0.0) is not Refusal.CONNECTIONS
    admissions[0].close()
    assert limits.admit(ROMEO, "third", 0.0) is not Refusal.CONNECTIONS


def test_connections_that_come_too_fast_are_refused_until_time_has_passed():
    limits = Limits(rate_per_second=2)
    for number in range(50):
        limits.admit(ROMEO, number, 100.0)
    assert limits.admit(ROMEO, "one more", 100.0) is Refusal.RATE
    assert limits.admit(TYBALT, "tybalt", 100.0) is not Refusal.RATE
    assert limits.admit(ROMEO, "too early", 100.4) is Refusal.RATE
    assert limits.admit(ROMEO, "in time", 100.6) is not Refusal.RATE


def test_a_refused_connection_leaves_no_trace_in_the_counts():
    limits = Limits(rate_per_second=1)
    for number in range(50):
        limits.admit(ROMEO, number, 0.0).close()
    assert limits.admit(ROMEO, "one more", 0.0) is Refusal.RATE
    assert limits.stranger_count == 0
    assert not limits._groups


def test_the_books_hold_on_to_no_connection_that_has_gone():
    class Session:
        pass

    limits = AddressLimits(strangers_per_address=1)
    kept = [limits.admit(ROMEO, Session(), 0.0) for _ in range(3)]
    kept[-1].authenticated()
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Session)]


def test_nought_means_no_limit():
    limits = Limits(strangers_per_address=0, strangers=0)
    for number in range(10_000):
        limits.admit(ROMEO, number, 0.0)
        assert not limits.evicted


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_exempt_networks_have_no_limits_of_their_own(address):
    limits = Limits(
        connections_per_address=1,
        strangers_per_address=1,
        rate_per_second=1,
        exempt=[ip_network("10.0.0.0/8"), ip_network("fd00::/8")],
    )
    for number in range(51):
        assert not isinstance(limits.admit(address, number, 0.0), Refusal)
        assert not limits.evicted


def test_strangers_of_exempt_networks_count_among_all():
    limits = Limits(strangers=2, exempt=[ip_network("10.0.0.0/8")])
    for number in range(2):
        limits.admit("10.1.2.3", number, 0.0)
    limits.admit(ROMEO, "romeo", 0.0)
    assert limits.evicted == [0]


def test_a_unix_socket_has_no_address_to_limit():
    limits = Limits(strangers_per_address=1)
    limits.admit("", "first", 0.0)
    limits.admit("", "second", 0.0)
    assert not limits.evicted


def test_addresses_that_have_gone_are_forgotten():
    limits = Limits(rate_per_second=1)
    for number in range(100_000):
        address = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        limits.admit(address, number, 0.0).close()
    assert not limits._groups
    assert not limits._strangers
    assert len(limits._rates) <= 10_000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_addresses_of_one_customer_count_as_one(one, other):
    assert address_group(one) == address_group(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_addresses_of_different_customers_count_apart(one, other):
    assert address_group(one) != address_group(other)


@pytest.mark.parametrize("text", ["", "/run/stonechat.sock", "verona", "::g", "1\0", "é:"])
def test_what_is_no_address_is_in_no_group(text):
    assert address_group(text) == b""
