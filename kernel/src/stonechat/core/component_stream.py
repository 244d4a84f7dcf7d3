"""A component's stream: read, bounded and written here, understood by a plugin."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from stonechat.core.chains import FAULTS
from stonechat.core.peer_stream import PATIENCE, PeerStream, hear_out
from stonechat.core.server_marks import SERVER_MARKS, strip_server_marks
from stonechat.errors import JIDError, StreamError, XMLError
from stonechat.jid import prepare_domain
from stonechat.namespaces import NS_CLIENT, NS_COMPONENT
from stonechat.protocol import component as wire
from stonechat.protocol.c2s import ELEMENTS, ELEMENTS_BEFORE_AUTH
from stonechat.protocol.splitter import Event, Splitter, StreamEnd, StreamHeader
from stonechat.stanza import Stanza
from stonechat.streams import Stream, StreamHandler
from stonechat.xml import Element, serialize

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_model import ComponentListener, Limits
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission
    from stonechat.net.timers import TimerWheel


class Acceptance:
    """A plugin's word that it takes the streams to one domain, and those that it has."""

    def __init__(
        self,
        host: VirtualHost,
        plugin: str,
        domain: str,
        accept: Callable[[Stream], StreamHandler],
    ) -> None:
        self.host = host
        self.plugin = plugin
        self.domain = domain
        self.accept = accept
        self.streams: set[ComponentStream] = set()

    @property
    def is_stopping(self) -> bool:
        """Whether the streams end, or have ended, with the server."""
        return any(stream.is_stopping for stream in self.streams)

    def close(self) -> None:
        """The plugin has stopped: nobody is there any more for what comes."""
        for stream in list(self.streams):
            stream.end(_farewell(stream))


def end_all(acceptances: Iterable[Acceptance]) -> None:
    """End the streams, while their plugins still handle what comes. Blocks."""
    streams = [stream for acceptance in acceptances for stream in acceptance.streams]
    for stream in streams:
        stream.close(_farewell(stream))
    if not streams:
        return
    until = time.monotonic() + 2 * PATIENCE
    try:
        hear_out(streams, lambda: until - time.monotonic())
    finally:
        for stream in streams:
            stream.end()


class Port(Protocol):
    """What a component's stream needs of the listener it came in by, and of the node."""

    options: ComponentListener
    timers: TimerWheel
    log: FilteringBoundLogger

    @property
    def limits(self) -> Limits: ...
    @property
    def is_stopping(self) -> bool: ...
    @property
    def default_domain(self) -> str: ...
    def acceptance(self, domain: str) -> Acceptance | None: ...


class ComponentStream(PeerStream):
    """A `stonechat.streams.Stream`, and its connection's handler."""

    def __init__(
        self, port: Port, connection: Connection, admission: Admission[Connection]
    ) -> None:
        super().__init__(connection, port.timers, port.log, port.options.negotiation_timeout)
        self._port = port
        self._admission = admission
        self._splitter = Splitter(
            port.limits.stanza_bytes_before_auth, ELEMENTS_BEFORE_AUTH, NS_COMPONENT
        )
        self._acceptance: Acceptance | None = None
        self._handler: StreamHandler | None = None
        self._is_admitted = False
        self.domain = ""
        self.id = secrets.token_hex(16)

    # What a plugin sees

    @property
    def is_admitted(self) -> bool:
        return self._is_admitted

    @property
    def is_stopping(self) -> bool:
        return self._port.is_stopping

    def admit(self) -> None:
        if self._is_admitted or not self.is_open:
            return
        self._is_admitted = True
        self._timer.cancel()
        self._admission.authenticated()
        self._connection.is_stranger = False
        self._splitter.limit = self._port.limits.stanza_bytes
        self._splitter.element_limit = ELEMENTS
        self._watch()

    def send(self, stanza: Stanza) -> None:
        self._write(wire.to_bytes(stanza))

    def send_element(self, element: Element) -> None:
        self._write(serialize(element, NS_CLIENT))

    def _write(self, octets: bytes) -> None:
        if self.is_open:
            self._connection.write(octets)

    # The connection's handler

    def bytes_received(self, data: bytes) -> None:
        fault: StreamError | None = None
        try:
            events = self._splitter.feed(data)
        except XMLError as error:
            # Not the error itself: its frames, this one among them, hold what was read.
            fault = StreamError(error.condition, error.text)
            events = error.events
        for event in events:
            if not self.is_taking:
                return
            try:
                self._handle(event)
            except StreamError as error:
                self.end(error)
        if fault is not None:
            self.end(fault)

    def tls_established(self) -> None:
        raise AssertionError("components' streams have no TLS")

    def connection_lost(self, reason: str) -> None:
        self._over(reason)
        self._admission.close()
        acceptance, handler = self._acceptance, self._handler
        if acceptance is None:
            return
        acceptance.streams.discard(self)
        if handler is not None:
            try:
                handler.ended(reason)
            except FAULTS as error:
                acceptance.host.plugin_failed(acceptance.plugin, "stream ended", error, None)

    # Events

    def _handle(self, event: Event) -> None:
        if isinstance(event, StreamHeader):
            self._opened(event)
        elif isinstance(event, StreamEnd):
            self._peer_ended("the peer has ended the stream")
        else:
            self._received(wire.received(event))

    def _opened(self, header: StreamHeader) -> None:
        wire.check_header(header)
        try:
            domain = prepare_domain(header.attributes.get("to", ""))
        except JIDError:
            domain = ""
        acceptance = self._port.acceptance(domain)
        if acceptance is None:
            raise StreamError("host-unknown", "There is no such component here.")
        self.domain = domain
        self._send_header(domain)
        self._acceptance = acceptance
        acceptance.streams.add(self)
        try:
            self._handler = acceptance.accept(self)
        except FAULTS as error:
            self._failed(acceptance, error, None)

    def _received(self, element: Stanza | Element) -> None:
        acceptance, handler = self._acceptance, self._handler
        assert acceptance is not None
        assert handler is not None
        stanza = element if isinstance(element, Stanza) else None
        if stanza is not None:
            _prepare(stanza)
            if not SERVER_MARKS.keys().isdisjoint(stanza.children):
                strip_server_marks(stanza, acceptance.host.router, self.domain)
        try:
            handler.received(element)
        except FAULTS as error:
            self._failed(acceptance, error, stanza)

    def _failed(self, acceptance: Acceptance, error: BaseException, stanza: Stanza | None) -> None:
        if isinstance(error, StreamError):
            raise error
        acceptance.host.plugin_failed(acceptance.plugin, "stream", error, stanza)
        raise StreamError("internal-server-error") from error

    # Below

    def _send_header(self, domain: str) -> None:
        self._header_sent = True
        self._write(wire.header(from_=domain, id=self.id))

    def _send_own_header(self) -> None:
        # XEP-0114: as RFC 6120, 4.9.1.2 has it.
        self._send_header(self._port.default_domain)

    def _who(self) -> dict[str, str]:
        return {"component": self.domain}

    def _watch(self) -> None:
        """White space to a peer silent for long: it shows a dead connection (4.6.1)."""
        longest = self._port.options.idle_timeout
        if longest:
            idle = self._connection.idle_seconds
            self._timer = self._port.timers.add(
                longest if idle >= longest else longest - idle, self._look, longest
            )

    def _look(self, longest: float) -> None:
        idle = self._connection.idle_seconds
        if self._connection.unsent and idle >= 2 * longest:
            self._give_up()
        elif self.is_open:
            if idle >= longest:
                self._write(b" ")
            self._watch()


def _prepare(stanza: Stanza) -> None:
    """Write the addresses as they compare (robustness rule 28): nobody sees another spelling.

    What is no address stays as it is, for whoever answers it.
    """
    attributes = stanza.attributes
    with suppress(JIDError):
        from_ = stanza.from_
        if from_ is not None and from_.text != attributes["from"]:
            stanza.from_ = from_
        to = stanza.to
        if to is not None and to.text != attributes["to"]:
            stanza.to = to


def _farewell(stream: ComponentStream) -> StreamError:
    # On a reload the component is to come back, and find what has changed.
    return StreamError("system-shutdown" if stream.is_stopping else "reset")
