"""Users of one server who write to users of another one, some messages in flight for each."""

from __future__ import annotations

import re
import selectors
import socket
import time
from base64 import b64encode
from collections.abc import Callable

from servers import PASSWORD, Measured

# Behind a number, for messages of about 64 octets.
_BODY = b"x" * 55
SECONDS = 30.0  # a bound on a hang
_READ_SIZE = 1 << 16
_SERIAL = re.compile(rb"<body>(\d+) ")


class Client:
    """Somebody who has logged in and is available."""

    def __init__(self, server: Measured, name: str) -> None:
        self.jid = f"{name}@{server.domain}/bench"
        self.socket = socket.create_connection((server.address, server.port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        header = (
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0'"
            f" xmlns:stream='http://etherx.jabber.org/streams' to='{server.domain}'>"
        )
        self._exchange(header, b"</stream:features>")
        secret = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        self._exchange(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>",
            b"<success",
        )
        self._exchange(header, b"</stream:features>")
        self._exchange(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<resource>bench</resource></bind></iq>",
            b"</iq>",
        )
        self._exchange(
            "<presence/><iq type='get' id='done'><query xmlns='jabber:iq:roster'/></iq>", b"done"
        )

    def _exchange(self, xml: str, end: bytes) -> None:
        self.socket.sendall(xml.encode())
        answer = b""
        while end not in answer:
            octets = self.socket.recv(_READ_SIZE)
            assert octets, answer
            answer += octets


class Pair:
    """Two users on different servers. What is sent are numbers, and all are to arrive."""

    def __init__(self, sender: Client, receiver: Client) -> None:
        self._sender, self.receiver = sender, receiver
        self._start = f"<message to='{receiver.jid}' type='chat' id='".encode()
        self._rest = b""
        self.sent = self.received = self.reordered = 0

    def send(self, count: int) -> None:
        self._sender.socket.sendall(
            b"".join(
                b"%bm%d'><body>%d %b</body></message>" % (self._start, number, number, _BODY)
                for number in range(self.sent, self.sent + count)
            )
        )
        self.sent += count

    def receive(self) -> int:
        """How many have come."""
        octets = self.receiver.socket.recv(_READ_SIZE)
        assert octets, f"{self.receiver.jid} was disconnected"
        octets = self._rest + octets
        # The start of a body that is cut is looked at again.
        end = octets.rfind(b"</body>") + 1
        self._rest = octets[end:]
        numbers = _SERIAL.findall(octets, 0, end)
        for number in numbers:
            self.reordered += int(number) != self.received
            self.received += 1
        return len(numbers)


class Load:
    """All pairs between two servers."""

    def __init__(self, senders: Measured, receivers: Measured, pairs: int) -> None:
        self.pairs = [
            Pair(Client(senders, f"u{number}"), Client(receivers, f"u{number}"))
            for number in range(pairs)
        ]
        self._selector = selectors.DefaultSelector()
        for pair in self.pairs:
            self._selector.register(pair.receiver.socket, selectors.EVENT_READ, pair)

    @property
    def received(self) -> int:
        return sum(pair.received for pair in self.pairs)

    @property
    def missing(self) -> int:
        return sum(pair.sent - pair.received for pair in self.pairs)

    @property
    def reordered(self) -> int:
        return sum(pair.reordered for pair in self.pairs)

    def begin(self, window: int) -> None:
        """The first ones of each pair leave."""
        for pair in self.pairs:
            pair.send(window)

    def run(self, seconds: float) -> None:
        """For so long, whenever some have come, as many leave."""
        deadline = time.monotonic() + seconds
        self._work(lambda: time.monotonic() < deadline, goes_on=True)

    def drain(self, seconds: float) -> None:
        """Wait for what is under way."""
        deadline = time.monotonic() + seconds
        self._work(lambda: self.missing > 0 and time.monotonic() < deadline, goes_on=False)

    def _work(self, wants: Callable[[], bool], *, goes_on: bool) -> None:
        while wants():
            for key, _ in self._selector.select(0.1):
                count = key.data.receive()
                if goes_on and count:
                    key.data.send(count)
