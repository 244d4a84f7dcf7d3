"""External components in memory, for tests of what the server does with them."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING, Literal

from stonechat.core.component_port import ComponentPort
from stonechat.core.config_model import ComponentListener
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_COMPONENT, NS_STREAM
from stonechat.stanza import Iq
from stonechat.testing.client import error_of
from stonechat.testing.stream import DEADLINE, RawStream, Received
from stonechat.testing.transport import MemoryConnection
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.testing.kit import TestHost

# Reserved for documentation (RFC 5737), so nobody's.
ADDRESS = "198.51.100.2"


class _Connection(MemoryConnection):
    def flush(self) -> None:
        """What is written leaves at once."""


class TestComponent(RawStream):
    """A program that answers for a domain (XEP-0114), over a stream that is admitted.

    What it sends says who it is from itself, as components have to. It shows all that comes,
    in order, with the namespace of its stream in place of jabber:client.
    """

    __test__ = False
    _content_namespace = NS_COMPONENT

    def __init__(
        self, host: TestHost, domain: str, secret: str, *, address: str = ADDRESS
    ) -> None:
        server = host.server
        kernel = server.kernel
        connection = _Connection(
            kernel, server.clock, address, kernel._connection_failed, tls=False
        )
        super().__init__(f"component {domain}", domain, connection, server.settle)
        self.jid = JID.parse(domain)
        self._numbers = count(1)
        server._streams.append(self)
        listener = ComponentListener(type="component", port=0)
        ComponentPort(listener, kernel).begin(connection.as_connection())
        self._open()
        self._prove(secret)

    def _open(self) -> None:
        self.send(
            f"<stream:stream xmlns='{NS_COMPONENT}' xmlns:stream='{NS_STREAM}' to='{self.domain}'>"
        )
        assert self.header is not None, f"the stream was refused.{self.story()}"

    def _prove(self, secret: str) -> None:
        assert self.header is not None
        identity = self.header.attributes["id"] + secret
        # XEP-0114 says SHA-1.
        proof = hashlib.sha1(identity.encode()).hexdigest()  # noqa: S324
        self.send(Element(NS_CLIENT, "handshake", None, proof))
        answer = self.receive_element()
        assert answer.name == "handshake", f"the handshake was refused.{self.story()}"

    # Requests

    def get(self, payload: Element | str, to: JID | str) -> Iq:
        """Ask, and return the result; StanzaError if the answer is an error."""
        return _result(self.request("get", payload, to))

    def set(self, payload: Element | str, to: JID | str) -> Iq:
        """Ask for a change, and return the result; StanzaError if the answer is an error."""
        return _result(self.request("set", payload, to))

    def request(
        self,
        type: Literal["get", "set"],
        payload: Element | str,
        to: JID | str,
        *,
        timeout: float = DEADLINE,
    ) -> Iq:
        """Ask, and return the answer as it came: type result or error."""
        return self.answer_to(self.ask(type, payload, to), timeout)

    def ask(self, type: Literal["get", "set"], payload: Element | str, to: JID | str) -> str:
        """Send a request, and return its id without waiting for the answer."""
        id_ = f"request-{next(self._numbers)}"
        self.send(f"<iq type='{type}' id='{id_}' from='{self.jid}' to='{to}'>{payload}</iq>")
        return id_

    def answer_to(self, id_: str, timeout: float = DEADLINE) -> Iq:
        """The result or error that came for a request; all else stays in line."""

        def answers(item: Received) -> bool:
            return isinstance(item, Iq) and not item.is_request and item.id == id_

        item = self.receive_where(answers, f"The answer to {id_!r}", timeout)
        assert isinstance(item, Iq)
        return item

    def answer(self, request: Iq, payload: Element | None = None) -> None:
        """Answer a request that has come."""
        self.send(request.result(payload))

    def refuse(self, request: Iq, condition: str) -> None:
        """Answer a request that has come with an error."""
        self.send(request.error_reply(StanzaError(condition)))


def _result(answer: Iq) -> Iq:
    if answer.type == "error":
        raise error_of(answer)
    return answer
