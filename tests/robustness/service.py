"""A server in service, clients that talk to it over sockets, and two who chat meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stonechat.testing import PASSWORD, ServerProcess, until
from stonechat.testing.process import LOCALHOST

DOMAIN = "capulet.example"
DEADLINE = 60.0
HEADER = (
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    f" to='{DOMAIN}' version='1.0'>"
)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something outside this process, which cannot tell us."""
    until(condition, what, DEADLINE)


class RobustServer:
    """A server process with accounts, and what can be seen of it from outside."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process

    @property
    def memory(self) -> int:
        """Octets of memory in use."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Client:
    """One connection to a server. Its `source` is any address of this machine's loopback."""

    def __init__(self, port: int, *, source: str = LOCALHOST, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        self.socket.bind((source, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((LOCALHOST, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()

    def open(self) -> str:
        self.send(HEADER)
        return self.read_until("</stream:features>")

    def login(self, localpart: str, resource: str = "") -> Client:
        """Log in and bind."""
        self.open()
        secret = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
        self.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        )
        self.read_until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        self.open()
        self.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        self.read_until("</iq>")
        return self

    def send(self, xml: str | bytes) -> None:
        self.socket.sendall(xml.encode() if isinstance(xml, str) else xml)

    def read_until(self, text: str) -> str:
        """What comes up to and with this text; the rest is kept."""
        end = text.encode()
        start = 0
        while (found := self._received.find(end, start)) < 0:
            start = max(0, len(self._received) - len(end))
            data = self.socket.recv(1 << 18)
            assert data, f"the end, and no {text} in {bytes(self._received[-2000:])!r}"
            self._received += data
        size = found + len(end)
        answer = self._received[:size].decode()
        del self._received[:size]
        return answer

    def read_to_the_end(self) -> str:
        """All that comes until the connection is closed, or reset."""
        try:
            while data := self.socket.recv(1 << 18):
                self._received += data
        except ConnectionError:
            pass
        answer = self._received.decode(errors="replace")
        self._received.clear()
        return answer

    def ping(self, mark: str = "mark") -> str:
        """What came before the answer: whatever was sent before is handled then."""
        self.send(f"<iq type='get' id='{mark}'><ping xmlns='urn:xmpp:ping'/></iq>")
        return self.read_until(f"id='{mark}'") + self.read_until(">")

    def close(self) -> None:
        self.socket.close()


class Conversation:
    """Romeo and Juliet talk in a thread of their own until they are asked to finish."""

    def __init__(self, romeo: Client, juliet: Client) -> None:
        self._romeo, self._juliet = romeo, juliet
        self._is_over = threading.Event()
        self._failure: BaseException | None = None
        self.count = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._exchange()
        except BaseException as failure:  # noqa: BLE001 - it is raised where the test asks
            self._failure = failure

    def _exchange(self) -> None:
        for sender, receiver, name in (
            (self._romeo, self._juliet, "juliet"),
            (self._juliet, self._romeo, "romeo"),
        ):
            body = f"<body>{self.count}</body></message>"
            sender.send(f"<message to='{name}@{DOMAIN}/balcony' type='chat'>{body}")
            came = receiver.read_until("</message>")
            assert came.endswith(body), came
            self.count += 1

    def goes_on(self, lines: int = 10) -> None:
        """Wait until they have exchanged some more."""
        enough = self.count + lines
        wait_until(lambda: self._failure is not None or self.count > enough, "more of the chat")
        if self._failure is not None:
            raise self._failure

    def finish(self) -> None:
        """Fails if anything was lost, changed, or came out of order."""
        self._is_over.set()
        self._thread.join(DEADLINE)
        if self._failure is not None:
            raise self._failure
        assert not self._thread.is_alive()


class Stage:
    """Makes servers and clients, and clears them away."""

    wait_until = staticmethod(wait_until)

    def __init__(
        self, start: Callable[[Mapping[str, Any]], ServerProcess], stack: ExitStack
    ) -> None:
        self._start = start
        self._stack = stack

    def server(self, **sections: Any) -> RobustServer:
        """A server for capulet.example with romeo, juliet and nurse for accounts."""
        process = self._start(
            {
                "hosts": {DOMAIN: {}},
                "plugins": {"ping": {}, "roster": {}},
                "log": {"level": "warning"},
                **sections,
            }
        )
        process.register(*(f"{localpart}@{DOMAIN}" for localpart in ("romeo", "juliet", "nurse")))
        return RobustServer(process)

    def connect(self, server: RobustServer, *, port: int = 0, **options: Any) -> Client:
        """A connection to the first port, or another one of its ports by number."""
        client = Client(server.process.ports[port], **options)
        self._stack.callback(client.close)
        return client

    def login(
        self, server: RobustServer, localpart: str, resource: str = "", **options: Any
    ) -> Client:
        return self.connect(server, **options).login(localpart, resource)

    def conversation(self, server: RobustServer) -> Conversation:
        romeo = self.login(server, "romeo", "balcony")
        juliet = self.login(server, "juliet", "balcony")
        conversation = Conversation(romeo, juliet)
        self._stack.callback(conversation.finish)
        conversation.goes_on()
        return conversation
