"""Connecting to a domain's server: targets in order, and the addresses of each in a race."""

import _socket
import errno
import os

import gevent
import pytest
from gevent.event import Event
from open_sockets import open_sockets

from stonechat.net import dialer as module
from stonechat.net.dialer import Dialer, DialError
from stonechat.net.resolver import NotFound, Target, Unavailable

HOST = "xmpp.capulet.example"
TARGET = Target(HOST, 5269, tls=False)
V6, OTHER_V6, V4 = "2001:db8::1", "2001:db8::2", "192.0.2.1"

DEADLINE = 20.0
NEVER = 1e6


class Addresses:
    """A resolver that knows addresses by heart."""

    def __init__(self, **hosts):
        self.hosts = hosts
        self.asked = []

    def addresses(self, host, families):
        self.asked.append((host, tuple(families)))
        found = self.hosts[host.partition(".")[0]]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, Event):
            found.wait()
        return found


class Network:
    """Where connections come about, fail, or hang, as the test says."""

    def __init__(self):
        self.tried = []
        self.sources = []
        self.cancelled = []
        self.sockets = {}
        self.refusing = set()
        self.silent = {}
        self.after = {}  # address -> the one that connects in the moment after it
        self.connecting = Event()

    def hang(self, *addresses):
        for address in addresses:
            self.silent[address] = Event()

    def connect(self, address, port, source):
        self.tried.append(address)
        self.sources.append(source)
        self.connecting.set()
        if address in self.refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        try:
            if address in self.silent:
                self.silent[address].wait()
        except gevent.GreenletExit:
            self.cancelled.append(address)
            raise
        if address in self.after:
            gevent.get_hub().loop.run_callback(self.silent[self.after[address]].set)
        sock = self.sockets[address] = _socket.socket()
        return sock


@pytest.fixture
def network():
    network = Network()
    yield network
    for sock in network.sockets.values():
        sock.close()


@pytest.fixture
def dial(network):
    """Dials one host with these addresses; nothing waits for the next to have its turn."""

    def dial(*addresses, targets=(TARGET,), seconds=DEADLINE, delay=0.0, **options):
        resolver = options.pop("resolver", None) or Addresses(xmpp=list(addresses))
        dialer = Dialer(resolver, connect=network.connect, attempt_delay=delay, **options)
        return dialer.dial(targets, seconds)

    return dial


def settle():
    """Let everybody come as far as they can."""
    for _ in range(3):
        gevent.idle()


# The addresses of one target


def test_the_first_address_that_connects_is_enough(dial, network):
    dialed = dial(V6, V4, delay=NEVER)
    assert (dialed.target, dialed.address) == (TARGET, V6)
    assert dialed.socket is network.sockets[V6]
    assert network.tried == [V6]


def test_where_ipv6_is_broken_ipv4_connects(dial, network):
    network.hang(V6)
    dialed = dial(V6, V4)
    assert dialed.address == V4
    assert network.tried == [V6, V4]
    settle()
    assert network.cancelled == [V6]


def test_one_after_the_other_joins_where_all_are_slow(dial, network):
    network.hang(V6, V4, OTHER_V6)
    dialing = gevent.spawn(dial, V6, V4, OTHER_V6)
    while len(network.tried) < 3:
        assert network.connecting.wait(DEADLINE)
        network.connecting.clear()
    # The first may still win.
    network.silent[V6].set()
    assert dialing.get(timeout=DEADLINE).address == V6
    settle()
    assert sorted(network.cancelled) == sorted([V4, OTHER_V6])


def test_the_next_is_tried_at_once_where_one_fails(dial, network):
    network.refusing = {V6, OTHER_V6}
    assert dial(V6, OTHER_V6, V4, delay=NEVER).address == V4
    assert network.tried == [V6, OTHER_V6, V4]


def test_the_next_is_not_tried_before_its_time(dial, network):
    network.hang(V6)
    network.refusing = {OTHER_V6}
    dialing = gevent.spawn(dial, OTHER_V6, V6, V4, delay=NEVER)
    settle()
    assert network.tried == [OTHER_V6, V6]
    network.silent[V6].set()
    assert dialing.get(timeout=DEADLINE).address == V6


def test_the_usual_delay_is_that_of_the_rfc():
    # RFC 8305, 5: at least 100 ms, and 250 ms are recommended.
    assert module.ATTEMPT_DELAY == 0.25
    assert Dialer(Addresses())._attempt_delay == 0.25


def test_of_two_that_connect_at_once_one_is_closed(dial, network):
    network.hang(V6, V4)
    dialing = gevent.spawn(dial, V6, V4)
    while len(network.tried) < 2:
        assert network.connecting.wait(DEADLINE)
        network.connecting.clear()
    network.silent[V6].set()
    network.silent[V4].set()
    dialed = dialing.get(timeout=DEADLINE)
    settle()
    [loser] = network.sockets.keys() - {dialed.address}
    assert network.sockets[loser].fileno() == -1
    assert dialed.socket.fileno() != -1


def test_one_that_connects_when_another_has_won_is_closed(dial, network):
    network.hang(V6, V4)
    network.after = {V6: V4}
    dialing = gevent.spawn(dial, V6, V4)
    while len(network.tried) < 2:
        assert network.connecting.wait(DEADLINE)
        network.connecting.clear()
    network.silent[V6].set()
    assert dialing.get(timeout=DEADLINE).address == V6
    settle()
    assert network.sockets[V4].fileno() == -1
    assert network.sockets[V6].fileno() != -1


def test_only_the_families_that_are_allowed_are_asked_for(dial):
    resolver = Addresses(xmpp=[V4])
    dial(resolver=resolver, families=("ipv4",))
    assert resolver.asked == [(HOST, ("ipv4",))]


def test_connections_come_from_the_address_of_their_family(dial, network):
    network.refusing = {V6, V4}
    with pytest.raises(DialError):
        dial(V6, V4, source_addresses=["192.0.2.99", "2001:DB8:0::99"])
    assert network.sources == ["2001:db8::99", "192.0.2.99"]
    network.sources.clear()
    with pytest.raises(DialError):
        dial(V6, V4, source_addresses=["192.0.2.99"])
    assert network.sources == ["", "192.0.2.99"]


# Targets


A, B = (Target(f"{name}.example", 5269, tls=False) for name in "ab")


def test_the_next_target_has_its_turn_when_the_first_has_failed(dial, network):
    network.refusing = {V6, V4}
    resolver = Addresses(a=[V6, V4], b=["192.0.2.2"])
    dialed = dial(resolver=resolver, targets=[A, B], delay=NEVER)
    assert (dialed.target, dialed.address) == (B, "192.0.2.2")
    assert network.tried == [V6, V4, "192.0.2.2"]


def test_a_target_where_nobody_answers_leaves_time_for_the_next(dial, network):
    network.hang(V6)
    dialed = dial(resolver=Addresses(a=[V6], b=[V4]), targets=[A, B], seconds=1.0)
    assert dialed.target == B
    settle()
    assert network.cancelled == [V6]


@pytest.mark.parametrize("trouble", [NotFound("no address"), Unavailable("no word"), Event()])
def test_a_target_without_addresses_does_not_keep_from_the_next(dial, trouble):
    dialed = dial(resolver=Addresses(a=trouble, b=[V4]), targets=[A, B], seconds=1.0)
    assert dialed.target == B


def test_targets_may_come_from_anywhere(dial):
    assert dial(resolver=Addresses(a=[V4]), targets=iter([A])).target == A


# Failure


def test_the_error_says_what_was_tried_and_why_it_failed(dial, network):
    network.refusing = {V6}
    network.hang(V4)
    resolver = Addresses(xmpp=[V6, V4], a=NotFound("a.example has no address"))
    with pytest.raises(DialError) as raised:
        dial(resolver=resolver, targets=[TARGET, A], seconds=1.0)
    assert str(raised.value) == (
        f"{HOST} port 5269 at {V6}: Connection refused;"
        f" {HOST} port 5269 at {V4}: does not answer;"
        " a.example port 5269: a.example has no address"
    )
    assert [(each.target, each.address) for each in raised.value.failures] == [
        (TARGET, V6),
        (TARGET, V4),
        (A, ""),
    ]
    assert not raised.value.is_not_found


def test_an_address_for_a_host_is_named_once(dial, network):
    network.refusing = {V6}
    target = Target(V6, 5269, tls=True)
    with pytest.raises(DialError) as raised:
        dial(targets=[target], resolver=Addresses(**{V6: [V6]}))
    assert str(raised.value) == f"{V6} port 5269: Connection refused"


def test_a_long_list_of_failures_is_cut_short_in_words_only(dial, network):
    addresses = [f"192.0.2.{number}" for number in range(12)]
    network.refusing = set(addresses)
    with pytest.raises(DialError) as raised:
        dial(*addresses)
    assert str(raised.value).endswith("192.0.2.7: Connection refused; and 4 more")
    assert len(raised.value.failures) == 12


def test_it_counts_as_not_found_where_no_target_has_an_address(dial):
    resolver = Addresses(a=NotFound("no address"), b=NotFound("no address"))
    with pytest.raises(DialError) as raised:
        dial(resolver=resolver, targets=[A, B])
    assert raised.value.is_not_found


@pytest.mark.parametrize("found", [Unavailable("no word"), [V4]])
def test_it_does_not_where_one_may_have_had_one(dial, network, found):
    network.refusing = {V4}
    resolver = Addresses(a=NotFound("no address"), b=found)
    with pytest.raises(DialError) as raised:
        dial(resolver=resolver, targets=[A, B])
    assert not raised.value.is_not_found


def test_without_targets_there_is_nothing_to_connect_to(dial):
    with pytest.raises(DialError, match="nothing to connect to") as raised:
        dial(targets=[])
    assert not raised.value.is_not_found


def test_addresses_that_do_not_come_in_time_are_a_failure(dial):
    with pytest.raises(DialError, match="its addresses did not come in time"):
        dial(resolver=Addresses(xmpp=Event()), seconds=0.05)


# Being cancelled


@pytest.mark.parametrize("moment", ["before the first", "while they run", "as one connects"])
def test_who_is_cancelled_leaves_no_socket(dial, network, moment):
    before = open_sockets()
    network.hang(V6, V4)
    dialing = gevent.spawn(dial, V6, V4)
    if moment != "before the first":
        while len(network.tried) < 2:
            assert network.connecting.wait(DEADLINE)
            network.connecting.clear()
    if moment == "as one connects":
        network.silent[V4].set()
        network.silent[V6].set()
    dialing.kill(block=False)
    settle()
    assert dialing.ready()
    assert isinstance(dialing.value, gevent.GreenletExit)
    assert open_sockets() <= before
