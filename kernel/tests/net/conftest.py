"""What tests of sockets need: certificates, both ends of TLS, and connections in a poller."""

from __future__ import annotations

import _socket
import select
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import gevent
import gevent.socket
import gevent.ssl
import pytest
from gevent import Timeout
from gevent.event import Event

from stonechat.net import poller, tls
from stonechat.net.connection import Connection
from stonechat.net.poller import Poller
from stonechat.net.timers import TimerWheel
from stonechat.net.tls_direct import DirectTlsSocket
from stonechat.net.tls_socket import TlsSocket

# What several files of tests share is in modules beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from tls_authority import Authority
from tls_names import HOSTS

DEADLINE_MS = 20_000


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path):
    """An authority that nobody knows."""
    directory = tmp_path / "mantua"
    directory.mkdir()
    return Authority(directory, "The Apothecary")


@pytest.fixture
def pairs(authority):
    a_labels = ("capulet.example", "montague.example", "xn--bcher-kva.example")
    return {host: authority.issue(name) for host, name in zip(HOSTS, a_labels, strict=True)}


@pytest.fixture
def contexts(pairs):
    return tls.TlsContexts(pairs, "capulet.example", alpn=["xmpp-client"])


@pytest.fixture
def connector(authority):
    return tls.TlsConnector(trust=authority.path)


@pytest.fixture(params=[DirectTlsSocket, TlsSocket])
def kind(request, monkeypatch):
    """Both ways to move octets, one after the other."""
    monkeypatch.setattr(tls, "_socket_class", lambda: request.param)
    return request.param


class Wire:
    """Pairs of sockets with TLS at their ends, closed when the test ends."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def sockets(self):
        pair = socket.socketpair()
        for end in pair:
            self.stack.enter_context(end)
            end.setblocking(False)
        return pair

    def connect(self, contexts, connector=None, server_name="capulet.example", **options):
        """A server's and a client's end, their handshake done."""
        one, other = self.sockets()
        connector = connector or tls.TlsConnector(trust=None)
        server = contexts.accept(
            one.fileno(),
            options.pop("host", ""),
            request_certificate=options.pop("request_certificate", True),
        )
        client = connector.connect(
            other.fileno(), server_name, host=options.pop("client_host", ""), **options
        )
        # What they wait for decides whose turn it is, so that neither can hang.
        for _ in range(10):
            for end in (client, server):
                if not end.is_established:
                    end.handshake()
        assert server.is_established
        assert client.is_established
        return server, client


@pytest.fixture
def wire():
    with ExitStack() as stack:
        yield Wire(stack)


def wait_for(sock: socket.socket, want: tls.Want) -> None:
    """Block until the socket is ready for what TLS wants."""
    poll = select.poll()
    poll.register(sock, select.POLLIN if want is tls.WANT_READ else select.POLLOUT)
    assert poll.poll(DEADLINE_MS), "nothing came in time"


@pytest.fixture
def finish():
    """Calls a TLS method until it has done what it was to do."""

    def finish(sock, method, *arguments):
        while isinstance(result := method(*arguments), tls.Want):
            wait_for(sock, result)
        return result

    return finish


@pytest.fixture
def capulet(authority):
    """Contexts of a server for capulet.example alone."""
    return tls.TlsContexts(
        {"capulet.example": authority.issue("capulet.example")}, "capulet.example"
    )


class Recorder:
    """A connection's handler that writes down all it is told; tests wait for what they expect."""

    def __init__(self, on_data=None) -> None:
        self.connection = None
        self.on_data = on_data
        self.calls: list[str] = []
        self.received = bytearray()
        self.lost_because = None
        self._changed = Event()

    def _note(self, call):
        self.calls.append(call)
        self._changed.set()

    def bytes_received(self, data):
        if self.on_data is not None:
            self.on_data(self, data)
        self.received += data
        self._note("data")

    def tls_established(self):
        self._note("tls")

    def connection_lost(self, reason):
        self.lost_because = reason
        self._note("lost")

    def output_stuck(self):
        self._note("stuck")

    def output_flowing(self):
        self._note("flowing")

    def until(self, condition):
        with Timeout(DEADLINE_MS / 1000, AssertionError(f"it did not come; only {self.calls}")):
            while not condition(self):
                self._changed.wait()
                self._changed.clear()

    def until_received(self, data):
        self.until(lambda _: len(self.received) >= len(data))
        assert bytes(self.received) == data

    def until_lost(self):
        self.until(lambda _: "lost" in self.calls)
        return self.lost_because


class CountedConnection(Connection):
    """Counts how often the poll said that it is ready."""

    handled = 0

    def handle(self, events):
        self.handled += 1
        super().handle(events)


class Net:
    """A poller in this process's hub, and TCP connections to it whose clients wait in the hub."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.errors: list[BaseException] = []
        self.hub = gevent.get_hub()
        self.poller = Poller(self.hub, lambda connection, error: self.errors.append(error))
        self._seconds = 1000.0
        self.timers = TimerWheel(lambda: self._seconds)
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(self._end)

    def _end(self):
        self.poller.close()
        self.settle()

    def advance(self, seconds):
        """Move the clock of the timers, and run those that are due."""
        self._seconds += seconds
        self.timers.advance()

    def settle(self):
        """Return when the hub has nothing to do; fails if it is kept busy by nothing."""
        with Timeout(DEADLINE_MS / 1000, AssertionError("the hub never rests")):
            for _ in range(3):
                gevent.idle()

    def open(self, *, unsent_limit=1 << 20, kind=CountedConnection, buffers=0, room=0):
        """A connection that has not started, and the client's end of it.

        `buffers` is the size of what the system keeps for each direction and end, `room`
        that of what it keeps for the client to read.
        """
        client = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_STREAM)
        self._stack.enter_context(client)
        client.settimeout(DEADLINE_MS / 1000)
        if buffers:
            _set_buffers(client, buffers)
        if room:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        client.connect(self._listener.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        descriptor, _ = self._listener._accept()
        sock = _socket.socket(fileno=descriptor)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if buffers:
            _set_buffers(sock, buffers)
        return kind(sock, "192.0.2.1", self.poller, self.timers, unsent_limit), client

    def connect(self, on_data=None, **options):
        """A started connection: its handler and the client's end."""
        connection, client = self.open(**options)
        handler = Recorder(on_data)
        handler.connection = connection
        connection.start(handler)
        return handler, client

    @staticmethod
    def client_context():
        """For a client that takes any certificate."""
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = gevent.ssl.CERT_NONE
        return context

    def encrypt(self, client):
        """The client's end of TLS, its handshake done."""
        # To this client an end without a word in TLS is an error.
        return self.client_context().wrap_socket(
            client, server_hostname="capulet.example", suppress_ragged_eofs=False
        )

    @staticmethod
    def receive(client, size=1 << 30):
        """So many octets from the server, or what came until its end."""
        received = bytearray()
        while len(received) < size and (data := client.recv(min(size - len(received), 1 << 20))):
            received += data
        return bytes(received)


def _set_buffers(sock, size):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


@pytest.fixture(params=["epoll", "watchers"])
def net(request, monkeypatch):
    """Both ways to watch sockets, one after the other."""
    if request.param == "watchers":
        monkeypatch.setattr(poller, "HAS_EPOLL", False)
    elif not poller.HAS_EPOLL:
        pytest.skip("this system has no epoll")
    with ExitStack() as stack:
        yield Net(stack)


@pytest.fixture(params=["plain", "tls"])
def connect(request, net):
    """Connections in the clear, and then the same over TLS."""
    if request.param == "plain":
        return net.connect
    capulet = request.getfixturevalue("capulet")

    def connect(on_data=None, **options):
        handler, client = net.connect(on_data, **options)
        connection = handler.connection
        connection.start_tls(capulet.accept(connection.descriptor))
        client = net.encrypt(client)
        handler.until(lambda _: "tls" in handler.calls)
        handler.calls.clear()
        return handler, client

    return connect
