"""Opens a stream only to see how far that goes: header, features, STARTTLS.

Between servers and as a client alike. Nothing is proven and nothing authenticated, so that
no stream in service is touched by it.
"""

from __future__ import annotations

from typing import NamedTuple

from stonechat.errors import StonechatError, StreamError, XMLError
from stonechat.examination import Code
from stonechat.namespaces import (
    NS_CLIENT,
    NS_DIALBACK,
    NS_SASL,
    NS_SERVER,
    NS_STREAM,
    NS_STREAM_ERRORS,
    NS_TLS,
)
from stonechat.net.line import Line
from stonechat.protocol.c2s import ELEMENTS_BEFORE_AUTH
from stonechat.protocol.splitter import Event, Splitter, StreamEnd, StreamHeader
from stonechat.protocol.stream import STREAM_END, check_header
from stonechat.xml import Element, escape_attribute, serialize


class ProbeFailure(StonechatError):
    """The peer did not answer as a server does; `code` says in which way."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class Offer(NamedTuple):
    """What a peer has answered a header with; an `is_old` one has no features to tell."""

    features: tuple[Element, ...]
    is_old: bool
    declares_dialback: bool

    def has(self, namespace: str, name: str) -> bool:
        return any((each.namespace, each.name) == (namespace, name) for each in self.features)

    @property
    def offers_tls(self) -> bool:
        return self.has(NS_TLS, "starttls")

    @property
    def requires_tls(self) -> bool:
        return any(
            each.find("required") is not None
            for each in self.features
            if (each.namespace, each.name) == (NS_TLS, "starttls")
        )

    @property
    def mechanisms(self) -> list[str]:
        return [
            mechanism.text
            for each in self.features
            if (each.namespace, each.name) == (NS_SASL, "mechanisms")
            for mechanism in each.find_all("mechanism")
        ]


class StreamProbe:
    """The initiating side of a stream over a line; methods block, and raise ProbeFailure.

    OSError where the connection fails. The peer's elements may have `limit` octets.
    """

    def __init__(
        self,
        line: Line,
        limit: int,
        *,
        to: str,
        from_: str = "",
        is_server: bool = True,
        speaks_dialback: bool = False,
    ) -> None:
        self._line = line
        self._limit = limit
        self._namespace = NS_SERVER if is_server else NS_CLIENT
        self._header = _header(self._namespace, to, from_, speaks_dialback=speaks_dialback)
        self._splitter = self._make_splitter()
        self._is_open = False

    def open(self) -> Offer:
        """Open the stream, anew behind TLS; returns what the peer offers."""
        self._splitter = self._make_splitter()
        self._line.send(self._header)
        self._is_open = True
        header = self._next()
        if not isinstance(header, StreamHeader):
            raise ProbeFailure("no-xmpp", "it does not answer with a stream header")
        attributes = header.attributes
        is_old = "version" not in attributes
        try:
            check_header(
                header._replace(attributes={"version": "1.0", **attributes}), self._namespace
            )
        except StreamError as error:
            raise ProbeFailure("no-xmpp", f"its stream header is wrong: {error.text}") from None
        dialback = NS_DIALBACK in header.prefixes.values()
        if is_old:
            return Offer((), is_old, dialback)
        features = self._next_element()
        if (features.namespace, features.name) != (NS_STREAM, "features"):
            raise ProbeFailure("no-xmpp", f"it sends <{features.name}/> in place of its features")
        return Offer(tuple(features.elements), is_old, dialback)

    def ask_tls(self) -> None:
        """Have TLS begin: the handshake is next on the line."""
        self._line.send(serialize(Element(NS_TLS, "starttls")))
        answer = self._next_element()
        if (answer.namespace, answer.name) != (NS_TLS, "proceed"):
            raise ProbeFailure("starttls-refused", "it offers STARTTLS, but does not begin it")
        if self._events or self._fault or not self._splitter.is_between_elements:
            # So streams in service see it: anybody may have put them there.
            raise ProbeFailure("starttls-refused", "octets in the clear come behind <proceed/>")
        self._is_open = False

    def end(self) -> None:
        """Say that the stream is over, if it is open."""
        if self._is_open:
            self._is_open = False
            self._line.send(STREAM_END)

    # Below

    def _make_splitter(self) -> Splitter:
        # What came before TLS is not to be taken for what comes behind it.
        self._events: list[Event] = []
        self._fault = ""
        return Splitter(self._limit, ELEMENTS_BEFORE_AUTH, self._namespace)

    def _next_element(self) -> Element:
        event = self._next()
        if isinstance(event, StreamEnd):
            raise ProbeFailure("closed", "it ends the stream at once")
        if not isinstance(event, Element):
            raise ProbeFailure("no-xmpp", "it sends a stanza before its features")
        if (event.namespace, event.name) == (NS_STREAM, "error"):
            raise _stream_failed(event)
        return event

    def _next(self) -> Event:
        while not self._events:
            if self._fault:
                raise ProbeFailure("no-xmpp", f"what it sends is no stream: {self._fault}")
            data = self._line.receive()
            if not data:
                raise ProbeFailure("closed", "it closes the connection without a word")
            try:
                self._events = self._splitter.feed(data)
            except XMLError as error:
                self._events = error.events
                self._fault = error.text or error.condition
        return self._events.pop(0)


def _stream_failed(error: Element) -> ProbeFailure:
    names = [child.name for child in error.elements if child.namespace == NS_STREAM_ERRORS]
    condition = next((name for name in names if name != "text"), "undefined-condition")
    text = error.find_text("text", NS_STREAM_ERRORS)
    told = f"{condition}: {text}" if text else condition
    if condition in ("host-unknown", "host-gone"):
        return ProbeFailure("host-unknown", f"it says that it does not serve the domain ({told})")
    return ProbeFailure("stream-error", f"it ends the stream: {told}")


def _header(namespace: str, to: str, from_: str, *, speaks_dialback: bool) -> bytes:
    attributes = [
        f"xmlns='{namespace}'",
        f"xmlns:stream='{NS_STREAM}'",
        f"to='{escape_attribute(to)}'",
    ]
    if speaks_dialback:
        # As on streams in service: some offer it to those only who say so (XEP-0220, 2.4.1).
        attributes.append(f"xmlns:db='{NS_DIALBACK}'")
    if from_:
        attributes.append(f"from='{escape_attribute(from_)}'")
    head = " ".join(attributes)
    return f"<?xml version='1.0'?><stream:stream {head} version='1.0'>".encode()
