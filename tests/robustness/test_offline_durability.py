"""Messages that waited for somebody, when the server is killed while it delivers them (R1)."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest

from stonechat.testing import ServerProcess
from stonechat.testing.process import LOCALHOST

DOMAIN = "capulet.example"
CONFIGURATION = {
    "hosts": {DOMAIN: {}},
    "auth_options": {"internal": {"iterations": 4096}},
    "plugins": {"offline": {"max_bytes": "32 MiB"}},
}
HEADER = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    f" to='{DOMAIN}' version='1.0'>"
)
PASSWORD = "Wherefore art thou?"
JULIET = f"juliet@{DOMAIN}"
DEADLINE = 30.0

# More than two sockets and all that may wait in the server hold together.
LINES = 160
PADDING = "x" * 40_000

# Commands in a row after which a count that has stayed the same is taken to be at rest.
AT_REST = 3


class RawClient:
    """A client that reads when it is told to, and has little room for what it does not read."""

    def __init__(self, server: ServerProcess, localpart: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((LOCALHOST, server.port))
        self.send(HEADER)
        self.read_until("</stream:features>")
        secret = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        )
        self.read_until("<success")
        self.send(HEADER)
        self.read_until("</stream:features>")
        self.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        self.read_until("</iq>")

    def send(self, xml: str) -> None:
        self.socket.sendall(xml.encode())

    def read_until(self, text: str) -> str:
        """All that comes up to this text, and what came with it."""
        received = bytearray()
        end = text.encode()
        while received.find(end, max(0, len(received) - 65536 - len(end))) < 0:
            data = self.socket.recv(65536)
            assert data, received[-1000:]
            received += data
        return received.decode()

    def read_to_the_end(self) -> str:
        """All that comes until the connection is closed."""
        received = []
        while data := self.socket.recv(65536):
            received.append(data)
        return b"".join(received).decode(errors="replace")

    def mark(self) -> str:
        """Ask something, and return what came up to the answer: all before it is handled."""
        self.send(f"<iq type='get' id='mark' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>")
        return self.read_until("</iq>")


@pytest.fixture
def clients() -> Iterator[Callable[[ServerProcess, str], RawClient]]:
    made: list[RawClient] = []

    def connect(server: ServerProcess, localpart: str) -> RawClient:
        made.append(RawClient(server, localpart))
        return made[-1]

    yield connect
    for client in made:
        client.socket.close()


def numbers(text: str) -> list[int]:
    """The messages that came whole."""
    return [int(number) for number in re.findall(r"<body>(\d+) x+</body>.*?</message>", text)]


def waiting(server: ServerProcess) -> int:
    done = server.command("offline-count", JULIET)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def count_at_rest(server: ServerProcess) -> int:
    """How many messages wait, once the server does not get rid of any more."""
    counts = [waiting(server)]
    while len(counts) < AT_REST or len(set(counts[-AT_REST:])) > 1:
        counts.append(waiting(server))
    return counts[-1]


def test_a_server_that_is_killed_while_a_client_does_not_read_loses_no_message(
    stonechat_process, clients
):
    server = stonechat_process(CONFIGURATION)
    for localpart in ("romeo", "juliet"):
        jid = f"{localpart}@{DOMAIN}"
        done = server.command("register", jid, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr
    romeo = clients(server, "romeo")
    for number in range(LINES):
        romeo.send(f"<message to='{JULIET}' type='chat'><body>{number} {PADDING}</body></message>")
    assert "message" not in romeo.mark()  # none of them came back
    assert waiting(server) == LINES

    juliet = clients(server, "juliet")
    juliet.send("<presence/>")
    kept = count_at_rest(server)
    assert 0 < kept < LINES  # it is in the midst of it
    server.kill()
    before = numbers(juliet.read_to_the_end())
    assert before == list(range(len(before)))

    server.start()
    assert waiting(server) == kept
    juliet = clients(server, "juliet")
    juliet.send("<presence/>")
    last = f"<body>{LINES - 1} {PADDING}</body>"
    after = numbers(juliet.read_until(last) + juliet.mark())
    # What was deleted has come before, and what was not comes now, each of it once.
    assert after == list(range(LINES - kept, LINES))
    assert len(before) >= LINES - kept
    assert count_at_rest(server) == 0
