"""Listening: where, what becomes of each connection, and what an acceptor gets over."""

import _socket
import errno
import socket

import gevent
import gevent.socket
import pytest
from gevent import Timeout
from gevent.event import Event

from stonechat.errors import ConfigError
from stonechat.net import listener
from stonechat.net.listener import ACCEPTS_PER_TURN, Acceptor, bind

DEADLINE = 20


class Door:
    """An acceptor on a port that the system chose, and those who came in."""

    def __init__(self, address="127.0.0.1", kind=None, *, is_open=True):
        self.socket = bind(address, 0)
        if kind is not None:
            self.socket = kind(fileno=self.socket.detach())
        self.guests = []
        self.errors = []
        self.came = Event()
        self.acceptor = Acceptor(gevent.get_hub(), self.socket, self.let_in, self.note)
        if is_open:
            self.acceptor.start()

    def let_in(self, sock, address):
        self.guests.append((sock, address))
        self.came.set()

    def note(self, error):
        self.errors.append(error)

    def knock(self, address="127.0.0.1"):
        return gevent.socket.create_connection((address, self.acceptor.port), DEADLINE)

    def until_guests(self, number):
        with Timeout(DEADLINE, AssertionError(f"only {len(self.guests)} came")):
            while len(self.guests) < number:
                self.came.wait()
                self.came.clear()

    def close(self):
        self.acceptor.close()
        for sock, _ in self.guests:
            sock.close()


@pytest.fixture
def door():
    door = Door()
    yield door
    door.close()


@pytest.fixture
def complaints(monkeypatch):
    """What the hub was told because nobody else took it."""
    told = []
    monkeypatch.setattr(
        gevent.get_hub(),
        "print_exception",
        lambda context, kind, error, traceback: told.append(error),
    )
    return told


# Binding


def test_the_address_for_all_takes_both_versions_of_ip():
    door = Door("::")
    with door.knock("127.0.0.1"), door.knock("::1"):
        door.until_guests(2)
    assert {address for _, address in door.guests} == {"127.0.0.1", "::1"}
    door.close()


def test_an_address_of_ipv6_takes_nothing_else():
    door = Door("::1")
    assert door.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    door.close()


def test_a_port_that_is_taken_is_named(door):
    port = door.acceptor.port
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
        bind("127.0.0.1", port)


def test_an_address_that_is_not_ours_is_named():
    with pytest.raises(ConfigError, match=r"\[2001:db8::1\]:5222: "):
        bind("2001:db8::1", 5222)


def test_a_port_may_be_taken_again_right_after_it_was_closed(door):
    port = door.acceptor.port
    with door.knock():
        door.until_guests(1)
        door.close()
        bind("127.0.0.1", port).close()


@pytest.mark.parametrize("fault", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_where_ipv6_is_switched_off_the_address_for_all_means_ipv4(fault, monkeypatch):
    class WithoutIPv6(_socket.socket):
        def __init__(self, family, kind):
            if family == socket.AF_INET6 and fault == errno.EAFNOSUPPORT:
                raise OSError(fault, "Address family not supported by protocol")
            super().__init__(family, kind)

        def bind(self, address):
            if self.family == socket.AF_INET6:
                raise OSError(fault, "Cannot assign requested address")
            super().bind(address)

    monkeypatch.setattr(listener._socket, "socket", WithoutIPv6)
    sock = bind("::", 0)
    assert sock.family == socket.AF_INET
    sock.close()


# Accepting


def test_who_comes_before_the_start_waits():
    door = Door(is_open=False)
    with door.knock():
        gevent.idle()
        assert door.guests == []
        door.acceptor.start()
        door.until_guests(1)
    door.close()


def test_what_is_accepted_never_blocks_and_never_delays(door):
    with door.knock():
        door.until_guests(1)
        ((sock, address),) = door.guests
        assert address == "127.0.0.1"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_more_may_come_than_are_accepted_in_one_turn(door):
    clients = [door.knock() for _ in range(2 * ACCEPTS_PER_TURN + 1)]
    door.until_guests(len(clients))
    for client in clients:
        client.close()


def test_who_closed_before_he_was_accepted_keeps_nobody_out(door):
    door.knock().close()
    with door.knock():
        door.until_guests(2)


def test_whoever_cannot_be_let_in_is_closed_and_keeps_nobody_out(door, complaints):
    def refuse(sock, address):
        door.acceptor._accepted = door.let_in
        raise ValueError("a plague")

    door.acceptor._accepted = refuse
    with door.knock() as first, door.knock():
        assert first.recv(1) == b""
        door.until_guests(1)
    assert [str(error) for error in complaints] == ["a plague"]


class Exhausted(_socket.socket):
    """A listening socket on a system that is out of descriptors at first."""

    attempts = 0

    def _accept(self):
        self.attempts += 1
        if self.attempts < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return super()._accept()


def test_out_of_descriptors_it_waits_and_tells_and_goes_on(monkeypatch):
    monkeypatch.setattr(listener, "PAUSE_SECONDS", 0.001)
    door = Door(kind=Exhausted)
    with door.knock():
        door.until_guests(1)
    assert [error.errno for error in door.errors] == [errno.EMFILE] * 2
    door.close()


def test_while_it_waits_the_hub_rests(monkeypatch):
    monkeypatch.setattr(listener, "PAUSE_SECONDS", 1000)
    door = Door(kind=Exhausted)
    with door.knock():
        with Timeout(DEADLINE, AssertionError("the hub never rests")):
            while not door.errors:
                gevent.idle()
            gevent.idle()
        assert door.socket.attempts == 1
        door.close()


# Closing


def test_after_the_end_nobody_comes_in_and_the_guests_stay(door):
    client = door.knock()
    door.until_guests(1)
    port = door.acceptor.port
    door.acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        gevent.socket.create_connection(("127.0.0.1", port), DEADLINE)
    door.guests[0][0].send(b"stay")
    assert client.recv(10) == b"stay"
    client.close()
