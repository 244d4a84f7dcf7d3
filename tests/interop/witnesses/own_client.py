"""A small XMPP client: one stanza after the other, by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from base64 import b64decode, b64encode
from collections import deque
from pathlib import Path
from socket import socket
from typing import Any, Protocol

from witnesses.pipes import HEADER, Pipe, PyOpenSslPipe, ask_for_tls

SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
NS_SASL = SASL[1:-1]
BIND = "{urn:ietf:params:xml:ns:xmpp-bind}"
STREAM = "{http://etherx.jabber.org/streams}"


class Scram(Protocol):
    """scramp's client, or ours."""

    mechanism_name: str

    def get_client_first(self) -> str: ...
    def set_server_first(self, message: str) -> None: ...
    def get_client_final(self) -> str: ...
    def set_server_final(self, message: str) -> None: ...


class OwnClient:
    """One stream over a pipe that TLS has secured."""

    def __init__(self, pipe: Pipe, domain: str) -> None:
        self.pipe = pipe
        self._domain = domain
        self.features = self.open()

    @property
    def mechanisms(self) -> list[str]:
        return [str(element.text) for element in self.features.iter(f"{SASL}mechanism")]

    def open(self) -> ET.Element:
        """Open a stream; returns its features."""
        self._parser = ET.XMLPullParser(("start", "end"))
        self._depth = 0
        self._elements: deque[ET.Element] = deque()
        self.send(HEADER.format(domain=self._domain))
        self.features = self.receive()
        assert self.features.tag == f"{STREAM}features", ET.tostring(self.features)
        return self.features

    def send(self, xml: str) -> None:
        self.pipe.send(xml.encode())

    def receive(self) -> ET.Element:
        """The next element of the stream; EOFError at the end of it."""
        while not self._elements:
            data = self.pipe.receive()
            if not data:
                raise EOFError
            self._parser.feed(data)
            for event, element in self._parser.read_events():
                self._depth += 1 if event == "start" else -1
                if event == "end" and self._depth == 1:
                    self._elements.append(element)
                elif event == "end" and self._depth == 0:
                    raise EOFError
        return self._elements.popleft()

    def exchange(self, xml: str) -> ET.Element:
        self.send(xml)
        return self.receive()

    def authenticate(self, mechanism: str, message: str) -> ET.Element:
        """Begin a login; returns what the server answers."""
        text = b64encode(message.encode()).decode() or "="
        return self.exchange(f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>{text}</auth>")

    def log_in(self, scram: Scram) -> None:
        """Log in by SCRAM; LoginRefused with the condition if that fails."""
        challenge = self._expect(
            self.authenticate(scram.mechanism_name, scram.get_client_first()), "challenge"
        )
        scram.set_server_first(challenge)
        final = b64encode(scram.get_client_final().encode()).decode()
        answer = self.exchange(f"<response xmlns='{NS_SASL}'>{final}</response>")
        scram.set_server_final(self._expect(answer, "success"))
        self.open()

    def log_in_at_once(self, mechanism: str, message: str) -> None:
        """Log in by PLAIN or EXTERNAL; LoginRefused with the condition if that fails."""
        self._expect(self.authenticate(mechanism, message), "success")
        self.open()

    def _expect(self, element: ET.Element, name: str) -> str:
        if element.tag == f"{SASL}failure":
            raise LoginRefused(element[0].tag.removeprefix(SASL))
        assert element.tag == f"{SASL}{name}", ET.tostring(element)
        return b64decode(element.text or "").decode()

    def bind(self, resource: str) -> str:
        """Bind a resource; returns the full JID."""
        answer = self.exchange(
            f"<iq type='set' id='bind'><bind xmlns='{BIND[1:-1]}'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        jid = answer.findtext(f".//{BIND}jid")
        assert jid is not None, ET.tostring(answer)
        return jid


def secured(connection: socket, domain: str, trusted: Path, **tls: Any) -> OwnClient:
    """A client on a connection that has been secured by STARTTLS."""
    ask_for_tls(connection, domain)
    return OwnClient(PyOpenSslPipe(connection, domain, trusted, **tls), domain)


class LoginRefused(Exception):
    """SASL failed; the argument is the condition."""
