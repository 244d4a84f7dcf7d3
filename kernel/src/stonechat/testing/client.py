"""Clients that are logged in, for tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal

from stonechat.errors import STANZA_ERROR_TYPES, StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_BIND, NS_CLIENT, NS_STANZA_ERRORS
from stonechat.stanza import Iq, Message, Presence, Stanza
from stonechat.testing.stream import DEADLINE, RawStream, Received
from stonechat.xml import Element


class TestClient:
    """A client with a bound resource. `stream` is what it speaks through."""

    __test__ = False

    def __init__(self, stream: RawStream, resource: str) -> None:
        self.stream = stream
        self._numbers = count(1)
        bind = Element(NS_BIND, "bind")
        if resource:
            bind.add("resource", resource)
        answer = self.request("set", bind)
        assert answer.type == "result", f"no resource was bound.{stream.story()}"
        payload = answer.payload
        assert payload is not None
        self.jid = JID.parse(payload.find_text("jid"))
        self.bare = self.jid.bare
        stream.name = self.jid.text

    def __repr__(self) -> str:
        return f"<TestClient {self.stream.name}>"

    # Sending

    def send(self, stanza: Stanza | Element | str | bytes) -> None:
        """Send a stanza or raw XML; returns when the server has handled it.

        What waits for the clock, or for a client's answer, goes on waiting.
        """
        self.stream.send(stanza)

    def available(self, priority: int = 0, show: str = "", status: str = "") -> None:
        """Broadcast initial or changed presence."""
        presence = Presence()
        with presence.edit() as tree:
            if show:
                tree.add("show", show)
            if status:
                tree.add("status", status)
            if priority:
                tree.add("priority", str(priority))
        self.send(presence)

    def unavailable(self, status: str = "") -> None:
        """Broadcast that the client is not available any more; its session stays."""
        presence = Presence(type="unavailable")
        if status:
            with presence.edit() as tree:
                tree.add("status", status)
        self.send(presence)

    def message(
        self, to: JID | str, body: str = "", *payload: Element, type: str = "chat", id: str = ""
    ) -> None:
        """Send a message."""
        elements = (Element(NS_CLIENT, "body", None, body), *payload) if body else payload
        self.send(Message(*elements, to=_jid(to), type=type, id=id))

    # Requests

    def get(self, payload: Element | str, to: JID | str | None = None) -> Iq:
        """Ask, and return the result; StanzaError if the answer is an error."""
        return _result(self.request("get", payload, to))

    def set(self, payload: Element | str, to: JID | str | None = None) -> Iq:
        """Ask for a change, and return the result; StanzaError if the answer is an error."""
        return _result(self.request("set", payload, to))

    def request(
        self,
        type: Literal["get", "set"],
        payload: Element | str,
        to: JID | str | None = None,
        *,
        timeout: float = DEADLINE,
    ) -> Iq:
        """Ask, and return the answer as it came: type result or error."""
        id_ = f"request-{next(self._numbers)}"
        if isinstance(payload, str):
            address = f" to='{_jid(to)}'" if to else ""
            self.send(f"<iq type='{type}' id='{id_}'{address}>{payload}</iq>")
        else:
            self.send(Iq(payload, type=type, id=id_, to=_jid(to) if to else None))
        return self.answer_to(id_, timeout)

    def answer_to(self, id_: str, timeout: float = DEADLINE) -> Iq:
        """The result or error that came for a request; all else stays in line."""

        def answers(item: Received) -> bool:
            return isinstance(item, Iq) and not item.is_request and item.id == id_

        item = self.stream.receive_where(answers, f"The answer to {id_!r}", timeout)
        assert isinstance(item, Iq)
        return item

    # Receiving

    def receive(self, timeout: float = DEADLINE) -> Received:
        """The next thing that the server sent; waits for it."""
        return self.stream.receive(timeout)

    def receive_message(self, timeout: float = DEADLINE) -> Message:
        """The next message; all else stays in line."""
        return self.stream.receive_first(Message, timeout)

    def receive_presence(self, timeout: float = DEADLINE) -> Presence:
        """The next presence; all else stays in line."""
        return self.stream.receive_first(Presence, timeout)

    def receive_iq(self, timeout: float = DEADLINE) -> Iq:
        """The next iq; all else stays in line."""
        return self.stream.receive_first(Iq, timeout)

    def receive_where(
        self, accepts: Callable[[Received], bool], what: str, timeout: float = DEADLINE
    ) -> Received:
        """The next thing that `accepts` says yes to; `what` names it where none comes."""
        return self.stream.receive_where(accepts, what, timeout)

    def received(self) -> list[Received]:
        """All that has come and was not fetched yet, without waiting for more."""
        return self.stream.received()

    # The end

    def disconnect(self) -> None:
        """End the stream properly."""
        self.stream.close()

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.stream.drop()

    def closed_with(self, timeout: float = DEADLINE) -> str:
        """Wait for the end; the condition of the stream error, `""` if there was none."""
        return self.stream.closed_with(timeout)

    @property
    def is_closed(self) -> bool:
        return self.stream.is_closed


def error_of(stanza: Stanza) -> StanzaError:
    """The error that a stanza of type error carries."""
    element = stanza.element.find("error", NS_CLIENT)
    if stanza.type != "error" or element is None:
        raise AssertionError(f"this is no error: {stanza.to_bytes().decode()}")
    condition = ""
    application: Element | None = None
    for child in element.elements:
        if child.namespace != NS_STANZA_ERRORS:
            application = child
        elif child.name in STANZA_ERROR_TYPES:
            condition = child.name
    return StanzaError(
        condition,
        element.find_text("text", NS_STANZA_ERRORS),
        type=element.get("type"),
        application=application,
        payload=element.find_text(condition, NS_STANZA_ERRORS),
    )


def _result(answer: Iq) -> Iq:
    if answer.type == "error":
        raise error_of(answer)
    return answer


def _jid(address: JID | str) -> JID:
    return address if isinstance(address, JID) else JID.parse(address)
