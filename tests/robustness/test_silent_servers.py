"""Servers that take connections and say nothing: what they cost us, and others (R18)."""

import selectors
import socket
import threading
from contextlib import ExitStack

import pytest

from stonechat.testing import DnsServer
from stonechat.testing.process import LOCALHOST

MEGABYTE = 1 << 20
QUEUE = 4_000_000
REFUSED = 100
DOMAINS = 300
MOST_CONNECTING = 200


class SilentServer:
    """Takes every connection, and says nothing; counts those that are open at a time."""

    def __init__(self):
        self.listener = socket.create_server((LOCALHOST, 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.most = self.all = 0
        self._now = 0
        self._is_over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while not self._is_over:
                for key, _ in selector.select(0.05):
                    if key.fileobj is self.listener:
                        selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                        self._now += 1
                        self.all += 1
                    elif not _is_there(key.fileobj):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                        self._now -= 1
                self.most = max(self.most, self._now)

    def close(self):
        self._is_over = True
        self._thread.join()
        self.listener.close()


def _is_there(connection):
    try:
        return bool(connection.recv(1 << 16))
    except OSError:
        return False


@pytest.fixture
def world():
    with ExitStack() as stack:
        silent = SilentServer()
        stack.callback(silent.close)
        names = [f"silent{number}.example" for number in range(DOMAINS)]
        dns = stack.enter_context(
            DnsServer(
                {f"_xmpp-server._tcp.{name}": f"SRV 0 0 {silent.port} here" for name in names}
                | {"here": f"A {LOCALHOST}"}
            )
        )
        yield silent, dns


@pytest.fixture
def server(stage, world):
    _, dns = world
    return stage.server(
        dns={"servers": [dns.address]},
        # Not too soon: until then memory is looked at.
        federation={"enabled": True, "timeout": "10 s"},
    )


def answers(client, count):
    """The conditions of so many errors that come."""
    came = [client.read_until("</message>") for _ in range(count)]
    return [
        next(name for name in ("resource-constraint", "remote-server-timeout") if name in each)
        for each in came
    ]


def test_what_waits_for_a_silent_server_has_a_bound_and_is_answered(stage, server, world):
    silent, _ = world
    conversation = stage.conversation(server)
    juliet = stage.login(server, "juliet", "orchard")
    before = server.memory
    size, count = 50_000, 200
    for number in range(count):
        juliet.send(
            f"<message id='{number}' to='romeo@silent0.example' type='chat'>"
            f"<body>{'x' * size}</body></message>"
        )
    assert set(answers(juliet, REFUSED)) == {"resource-constraint"}
    # What waits itself, and what it was read from.
    assert server.memory - before < (4 + 12) * MEGABYTE
    conversation.goes_on()
    assert silent.all == 1
    rest = answers(juliet, count - REFUSED)
    waited = rest.count("remote-server-timeout")
    assert (
        rest == ["resource-constraint"] * (len(rest) - waited) + ["remote-server-timeout"] * waited
    )
    # Each has some octets more than its text.
    assert 0.9 < waited * size / QUEUE <= 1
    conversation.finish()


def test_no_more_silent_servers_are_connected_to_at_once_than_may_be(stage, server, world):
    silent, _ = world
    conversation = stage.conversation(server)
    juliet = stage.login(server, "juliet", "orchard")
    before = server.memory
    for number in range(DOMAINS):
        juliet.send(f"<message to='romeo@silent{number}.example'><body>{number}</body></message>")
    stage.wait_until(lambda: silent.most >= MOST_CONNECTING, "all connections that may be")
    conversation.goes_on()
    assert server.memory - before < 24 * MEGABYTE
    assert answers(juliet, DOMAINS) == ["remote-server-timeout"] * DOMAINS
    assert silent.most == MOST_CONNECTING
    conversation.finish()
