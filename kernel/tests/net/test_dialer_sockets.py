"""Connecting to a domain's server over real sockets."""

import _socket
import gc
import os
import socket
import warnings
from contextlib import closing

import gevent
import pytest
from gevent.event import Event
from open_sockets import open_sockets

from stonechat.net.dialer import Dialer, DialError
from stonechat.net.resolver import Resolver, Target

HOST = "xmpp.capulet.example"
DEADLINE = 20.0


def settle():
    """Let everybody come as far as they can."""
    for _ in range(3):
        gevent.idle()


@pytest.fixture
def dialer():
    """One that needs no DNS."""
    return Dialer(Resolver(["127.0.0.1"], now=lambda: 0.0))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def full():
    """The port of a listener that takes nobody more, as a host that drops all it gets."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_connection_is_as_the_poll_wants_it(dns_server, listener):
    port = listener.getsockname()[1]
    dns_server.publish(
        {
            "_xmpp-server._tcp.capulet.example": f"SRV 1 1 {port} {HOST}",
            HOST: ["A 127.0.0.1", "A 127.0.0.1"],
        }
    )
    resolver = Resolver([dns_server.address], timeout=DEADLINE, now=lambda: 0.0)
    dialed = Dialer(resolver).dial(resolver.targets("capulet.example"), DEADLINE)
    with closing(dialed.socket) as sock, listener.accept()[0] as accepted:
        assert type(sock) is _socket.socket
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not os.get_inheritable(sock.fileno())
        assert accepted.getpeername() == sock.getsockname()
        assert (dialed.target.port, dialed.address) == (port, "127.0.0.1")


def test_it_comes_from_the_source_address(listener):
    target = Target("127.0.0.1", listener.getsockname()[1], tls=False)
    dialer = Dialer(Resolver(["127.0.0.1"], now=lambda: 0.0), source_addresses=["127.0.0.5"])
    with closing(dialer.dial([target], DEADLINE).socket), listener.accept()[0] as accepted:
        assert accepted.getpeername()[0] == "127.0.0.5"


def test_where_nobody_listens_it_is_refused(dialer, listener):
    target = Target("127.0.0.1", listener.getsockname()[1], tls=False)
    listener.close()
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(DialError, match=r"127\.0\.0\.1 port [0-9]+: Connection refused"):
            dialer.dial([target], DEADLINE)
    # The interpreter would close the socket too, and say so.
    assert told == []


def test_what_never_answers_is_left_and_its_socket_closed(dialer, full, listener):
    targets = [Target("127.0.0.1", port, tls=False) for port in (full, listener.getsockname()[1])]
    before = open_sockets()
    dialed = dialer.dial(targets, 1.0)
    with closing(dialed.socket):
        assert dialed.target == targets[1]
        settle()
        assert open_sockets() - before == {dialed.socket.fileno()}


def test_a_connection_whose_caller_is_killed_is_closed(dialer, full):
    target = Target("127.0.0.1", full, tls=False)
    before = open_sockets()
    dialing = gevent.spawn(dialer.dial, [target], DEADLINE)
    settle()
    assert len(open_sockets() - before) == 1
    dialing.kill()
    settle()
    assert open_sockets() <= before


def test_a_connection_whose_caller_has_no_more_time_is_closed(dialer, full):
    target = Target("127.0.0.1", full, tls=False)
    before = open_sockets()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        dialer.dial([target], DEADLINE)
    settle()
    assert open_sockets() <= before


def test_the_hub_goes_on_while_it_dials(dialer, full):
    target = Target("127.0.0.1", full, tls=False)
    dialing = gevent.spawn(dialer.dial, [target], DEADLINE)
    ran = Event()
    gevent.spawn(ran.set)
    assert ran.wait(DEADLINE)
    assert not dialing.ready()
    dialing.kill()
