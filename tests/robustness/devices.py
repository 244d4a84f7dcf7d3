"""Devices of people with bad connections: each keeps what it has seen, and comes back."""

from __future__ import annotations

import random
import socket
import threading
import time
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections import deque
from dataclasses import dataclass, field

from stonechat.testing.process import LOCALHOST

DOMAIN = "capulet.example"
PASSWORD = "Wherefore art thou?"
DEADLINE = 60.0
# Nobody talks on and on into a line that does not answer.
UNACKED = 20
# How often a device is closed properly when it leaves, if it can be.
CLEAN = 0.3

SM = "urn:xmpp:sm:3"
MAM = "urn:xmpp:mam:2"
SID = "urn:xmpp:sid:0"
CARBONS = "urn:xmpp:carbons:2"
FORWARD = "urn:xmpp:forward:0"
CLIENT = "jabber:client"
RSM = "http://jabber.org/protocol/rsm"

STANZAS = {f"{{{CLIENT}}}{name}" for name in ("message", "presence", "iq")}


class Lost(Exception):
    """The connection is gone."""


class Stream:
    """A connection that yields the elements of its stream."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOCALHOST, port), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._elements: deque[ET.Element] = deque()

    def open(self) -> None:
        self._parser = ET.XMLPullParser(["start", "end"])
        self._path: list[ET.Element] = []
        self.send(
            f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='{CLIENT}'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        assert self.next().tag.endswith("features")

    def send(self, text: str) -> None:
        try:
            self.socket.sendall(text.encode())
        except OSError as error:
            raise Lost(str(error)) from error

    def next(self, timeout: float = DEADLINE) -> ET.Element | None:
        """The next element; None if none comes in time."""
        self.socket.settimeout(max(timeout, 0.0001))
        while not self._elements:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError as error:
                raise Lost(str(error)) from error
            if not data:
                raise Lost("closed")
            self._parser.feed(data)
            for kind, element in self._parser.read_events():
                if kind == "start":
                    self._path.append(element)
                    continue
                self._path.pop()
                if len(self._path) == 1:
                    self._path[0].remove(element)
                    self._elements.append(element)
        return self._elements.popleft()

    def close(self) -> None:
        self.socket.close()


@dataclass
class Seen:
    """A message in a device's history."""

    origin: str
    body: str


@dataclass
class Device(threading.Thread):
    """One client of one account; it talks to a peer until it has said all it has to say."""

    port: int
    localpart: str
    resource: str
    peer: str
    messages: int
    seed: int
    history: dict[int, Seen] = field(default_factory=dict)
    resumptions: int = 0
    logins: int = 0
    twice: list[str] = field(default_factory=list)
    """What came more than once in one session, however often that was resumed."""
    refused: list[str] = field(default_factory=list)
    """What the server said to sessions that could not be resumed."""

    def __post_init__(self) -> None:
        super().__init__(name=f"{self.localpart}/{self.resource}")
        self.random = random.Random(self.seed)
        self.stream: Stream | None = None
        self.failure: BaseException | None = None
        self.said = threading.Event()
        self.finish = threading.Event()
        self._id = ""
        self._received = 0
        self._acked = 0
        self._unacked: deque[tuple[str, str]] = deque()
        self.number = 0
        self._extra = 0
        self._synced = 0
        self._confirmed: set[int] = set()
        self._this_session: list[str] = []
        self._queries = 0

    def __hash__(self) -> int:
        return id(self)

    # The day

    def run(self) -> None:
        try:
            while not self.finish.is_set():
                try:
                    self._connect()
                    self._talk()
                except Lost:
                    pass
                except ConnectionError:
                    time.sleep(0.05)
                finally:
                    if self.stream is not None:
                        self.stream.close()
            self._last_look()
        except BaseException as failure:  # noqa: BLE001 - it is raised where the test asks
            self.failure = failure
            self.said.set()

    def _talk(self) -> None:
        stream = self.stream
        assert stream is not None
        patience = self.random.randint(20, 120)
        while not self.finish.is_set():
            element = stream.next(0.0 if self.random.random() < 0.7 else 0.01)
            if element is not None:
                self._take(element)
            if self.number < self.messages and len(self._unacked) < UNACKED:
                self._say()
            elif self._unacked:
                if element is None:
                    stream.send(f"<r xmlns='{SM}'/>")
                    answer = stream.next(0.2)
                    if answer is not None:
                        self._take(answer)
            else:
                self.said.set()
            patience -= element is not None or self.number < self.messages
            if patience <= 0 and not self.said.is_set():
                self._leave()

    def _leave(self) -> None:
        """Walk into a tunnel, or close the lid."""
        assert self.stream is not None
        if self.random.random() < CLEAN and not self._unacked:
            self.stream.send(f"<a xmlns='{SM}' h='{self._received}'/></stream:stream>")
            self._id = ""
        self.stream.close()
        time.sleep(self.random.random() * 0.05)
        raise Lost("into a tunnel")

    def _say(self) -> None:
        body = f"{self.localpart}/{self.resource} {self.number}"
        origin = f"{self.localpart}-{self.resource}-{self.number}"
        self.number += 1
        self._send_message(origin, body)
        if self.number % 5 == 0:
            assert self.stream is not None
            self.stream.send(f"<r xmlns='{SM}'/>")

    def _send_message(self, origin: str, body: str) -> None:
        self._unacked.append((origin, body))
        self._put(origin, body)

    def _put(self, origin: str, body: str) -> None:
        assert self.stream is not None
        self.stream.send(
            f"<message to='{self.peer}@{DOMAIN}' type='chat' id='{origin}'><body>{body}</body>"
            f"<origin-id xmlns='{SID}' id='{origin}'/></message>"
        )

    # Connections

    def _connect(self) -> None:
        self.stream = stream = Stream(self.port)
        stream.open()
        secret = b64encode(f"\0{self.localpart}\0{PASSWORD}".encode()).decode()
        stream.send(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        )
        answer = stream.next()
        assert answer.tag.endswith("success"), ET.tostring(answer)
        stream.open()
        if self._id and self._resume():
            self.resumptions += 1
            return
        self._begin_anew()

    def _resume(self) -> bool:
        stream = self.stream
        assert stream is not None
        stream.send(f"<resume xmlns='{SM}' previd='{self._id}' h='{self._received}'/>")
        answer = stream.next()
        if answer.tag != f"{{{SM}}}resumed":
            assert answer.tag == f"{{{SM}}}failed", ET.tostring(answer)
            self.refused.append(ET.tostring(answer).decode())
            return False
        self._acknowledged(int(answer.get("h")))
        for origin, body in self._unacked:
            self._put(origin, body)
        return True

    def _begin_anew(self) -> None:
        stream = self.stream
        assert stream is not None
        self.logins += 1
        self._id = ""
        stream.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{self.resource}</resource></bind></iq>"
        )
        assert stream.next().get("type") == "result"
        stream.send(f"<enable xmlns='{SM}' resume='true'/>")
        enabled = stream.next()
        assert enabled.tag == f"{{{SM}}}enabled", ET.tostring(enabled)
        self._received = self._acked = 0
        self._this_session = []
        stream.send(f"<iq type='set' id='c'><enable xmlns='{CARBONS}'/></iq><presence/>")
        self._extra = 2
        self._catch_up()
        # Whoever is interrupted before begins anew again, and has lost nothing.
        self._id = enabled.get("id")
        for origin, body in self._unacked:
            self._put(origin, body)

    def _acknowledged(self, h: int) -> None:
        # What is no message came first in the session.
        messages = max(0, h - self._extra)
        while self._acked < messages:
            self._unacked.popleft()
            self._acked += 1

    # What comes

    def _take(self, element: ET.Element) -> None:
        stream = self.stream
        assert stream is not None
        if element.tag in STANZAS:
            self._received += 1
            if element.tag == f"{{{CLIENT}}}message":
                self._message(element)
        elif element.tag == f"{{{SM}}}r":
            stream.send(f"<a xmlns='{SM}' h='{self._received}'/>")
        elif element.tag == f"{{{SM}}}a":
            self._acknowledged(int(element.get("h")))
        else:
            raise Lost(ET.tostring(element).decode())

    def _message(self, message: ET.Element) -> None:
        assert message.get("type") != "error", ET.tostring(message)
        result = message.find(f"{{{MAM}}}result")
        if result is not None:
            inner = result.find(f"{{{FORWARD}}}forwarded/{{{CLIENT}}}message")
            self._note(int(result.get("id")), inner)
            self._confirmed.add(int(result.get("id")))
            return
        for kind in ("sent", "received"):
            carbon = message.find(f"{{{CARBONS}}}{kind}")
            if carbon is not None:
                assert message.get("from") == f"{self.localpart}@{DOMAIN}"
                message = carbon.find(f"{{{FORWARD}}}forwarded/{{{CLIENT}}}message")
                break
        # Live: once for each session, however often it was resumed.
        origin = message.get("id")
        if origin in self._this_session:
            self.twice.append(origin)
        self._this_session.append(origin)
        mine = f"{self.localpart}@{DOMAIN}"
        for mark in message.findall(f"{{{SID}}}stanza-id"):
            if mark.get("by") == mine:
                self._note(int(mark.get("id")), message)

    def _note(self, archive_id: int, message: ET.Element) -> None:
        seen = Seen(message.get("id"), message.findtext(f"{{{CLIENT}}}body"))
        before = self.history.setdefault(archive_id, seen)
        assert before == seen

    # The archive

    def _catch_up(self) -> None:
        """Fetch what the archive has behind what we know to be complete."""
        stream = self.stream
        assert stream is not None
        while True:
            self._queries += 1
            self._extra += 1
            query = f"q{self._queries}"
            after = f"<after>{self._synced}</after>" if self._synced else ""
            stream.send(
                f"<iq type='set' id='{query}'><query xmlns='{MAM}' queryid='{query}'>"
                f"<set xmlns='{RSM}'><max>100</max>{after}</set></query></iq>"
            )
            while True:
                element = stream.next()
                self._take(element)
                if element.tag == f"{{{CLIENT}}}iq" and element.get("id") == query:
                    break
            fin = element.find(f"{{{MAM}}}fin")
            assert fin is not None, ET.tostring(element)
            last = fin.findtext(f"{{{RSM}}}set/{{{RSM}}}last")
            if last:
                self._synced = int(last)
            if fin.get("complete") == "true":
                break
        # Of what came and was not acknowledged to its sender a crash may leave nothing: it
        # comes again, and is another message to the archive.
        for archive_id in [id for id in self.history if id <= self._synced]:
            if archive_id not in self._confirmed:
                del self.history[archive_id]

    def _last_look(self) -> None:
        """All is said: a fresh login, and all of the archive that is still unknown."""
        self._id = ""
        while True:
            try:
                self._connect()
                self.stream.send("</stream:stream>")
                return
            except (Lost, ConnectionError):
                time.sleep(0.05)
            finally:
                if self.stream is not None:
                    self.stream.close()
