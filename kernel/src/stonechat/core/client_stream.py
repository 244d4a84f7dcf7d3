"""A client's stream from its connection to its binding: TLS, SASL, resource."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from stonechat.core import client_login
from stonechat.core.chains import FAULTS
from stonechat.core.client_login import ClientLogin
from stonechat.core.client_wire import ClientWire
from stonechat.core.stream_face import StreamFace
from stonechat.errors import JIDError, SaslFailure, StanzaError, StreamError, XMLError
from stonechat.jid import prepare_domain
from stonechat.namespaces import NS_BIND, NS_SESSION, NS_TLS
from stonechat.net.tls import TlsContexts
from stonechat.protocol import stream as wire
from stonechat.protocol.c2s import (
    BindRequest,
    C2SEvent,
    OtherElement,
    SaslInput,
    StartTls,
    State,
    StreamClosed,
    StreamOpened,
    UnauthenticatedIq,
)
from stonechat.sasl import SaslFailed, SaslSuccess
from stonechat.stanza import Iq
from stonechat.xml import Element, serialize

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_model import ClientListener, Limits
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.host import Timer
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission
    from stonechat.net.timers import TimerWheel


class Port(Protocol):
    """What a client's stream needs of the listener it came in by, and of the node."""

    options: ClientListener
    timers: TimerWheel
    log: FilteringBoundLogger

    @property
    def limits(self) -> Limits: ...
    @property
    def contexts(self) -> TlsContexts | None: ...
    @property
    def is_stopping(self) -> bool: ...
    @property
    def allow_plain_without_tls(self) -> bool: ...
    @property
    def default_domain(self) -> str: ...
    def host(self, domain: str) -> VirtualHost | None: ...
    def moved_to(self, domain: str) -> str: ...


class ClientStream(StreamFace):
    """Negotiates one stream; an `UnboundStream` for plugins, and its connection's handler."""

    def __init__(
        self, port: Port, connection: Connection, admission: Admission[Connection] | None
    ) -> None:
        super().__init__(port, connection, admission)
        self._deadline: Timer = port.timers.add(port.options.negotiation_timeout, self._too_late)
        # When the step at hand must be over; 0 while we work at it ourselves.
        self._step_due = port.timers.now + port.limits.handshake_timeout
        self._step_timer: Timer = port.timers.add(port.limits.handshake_timeout, self._step_over)

    # The connection's handler

    def bytes_received(self, data: bytes) -> None:
        self._step_due = 0.0
        try:
            rest = self._protocol.receive(data, self._handle)
        except (XMLError, StreamError) as error:
            self._fail(
                error
                if isinstance(error, StreamError)
                else StreamError(error.condition, error.text)
            )
            return
        if self._protocol.state is State.BOUND:
            handler = self._connection.handler
            if rest and isinstance(handler, ClientWire):
                handler.handle(rest)
        elif self._protocol.state is not State.CLOSED and not self._connection.is_closed:
            # One timer that looks again, rather than another for each step.
            self._step_due = (
                self._port.timers.now
                + self._connection.stalled_for
                + self._port.limits.handshake_timeout
            )

    def input_failed(self, error: StreamError) -> None:
        self._fail(error)

    def tls_established(self) -> None:
        self._protocol.encrypted()
        self._header_sent = False
        self._host = self._data = None

    def connection_lost(self, reason: str) -> None:
        handler = self._connection.handler
        if isinstance(handler, ClientWire):
            # It was lost just before the session took it over.
            handler.connection_lost(reason)
            return
        self._release()
        self._port.log.debug("connection lost", address=self.address, reason=reason)

    def output_stuck(self) -> None:
        self._connection.abort("the client does not read")

    def output_flowing(self) -> None:
        return

    def _stop_timers(self) -> None:
        self._deadline.cancel()
        self._step_timer.cancel()

    def _release(self) -> None:
        self._stop_timers()
        if self._admission is not None:
            self._admission.close()

    def _step_over(self) -> None:
        left = self._step_due - self._port.timers.now
        if self._step_due and left <= 0:
            self._too_late()
        else:
            # While a step is being worked at, by a backend say, there is no hurry.
            self._step_timer = self._port.timers.add(
                left if self._step_due else self._port.limits.handshake_timeout, self._step_over
            )

    def _too_late(self) -> None:
        self._fail(StreamError("connection-timeout", "The login took too long."))

    def evict(self) -> None:
        """Make room for another stranger."""
        self._fail(StreamError("resource-constraint", "Too many connections."))

    # Events

    def _handle(self, event: C2SEvent) -> None:
        if self.exclusive and not self._is_exclusive(event):
            raise StreamError("policy-violation", "What was begun has to be finished first.")
        match event:
            case StreamOpened():
                self._opened(event)
            case StartTls():
                self._start_tls()
            case SaslInput():
                self._sasl_input(event)
            case UnauthenticatedIq():
                self._unauthenticated_iq(event.iq)
            case BindRequest():
                self._bind_requested(event)
            case OtherElement():
                self._other_element(event.element)
            case StreamClosed():
                self._send(wire.STREAM_END)
                self._connection.close()

    def _is_exclusive(self, event: C2SEvent) -> bool:
        if isinstance(event, OtherElement):
            return event.element.namespace == self.exclusive
        return isinstance(event, StreamClosed)

    def _opened(self, header: StreamOpened) -> None:
        self.lang = header.lang
        self._from = header.from_
        self._login = None
        try:
            domain = prepare_domain(header.to) if header.to else ""
        except JIDError:
            domain = ""
        host = self._port.host(domain)
        if not header.to:
            # The first host of the configuration.
            host = self._port.host(self._port.default_domain)
        if host is None:
            self._send_header(self._port.default_domain, header.from_)
            raise StreamError("host-unknown", "This domain is not served here.")
        self._send_header(host.name, header.from_)
        if self._account is not None and self._account.domain != host.name:
            # Whoever logged in to one host has no business on another.
            raise StreamError("host-unknown", "This stream was authenticated for another domain.")
        other = self._port.moved_to(host.name)
        if other and not self._must_encrypt:
            # Not in the clear: anybody could send clients anywhere (RFC 6120, 4.9.3.19).
            raise StreamError("see-other-host", payload=other)
        self._host = host
        self._send(wire.features(self._features(host)))

    def _send_header(self, domain: str, to: str) -> None:
        self._header_sent = True
        # The client's own address only where nobody else can read it (4.7.2).
        self._send(
            wire.stream_header(
                from_=domain,
                id=secrets.token_hex(16),
                lang=self._language(domain),
                to=to if self.is_secure and len(to) < 1024 else "",
            )
        )

    def _language(self, domain: str) -> str:
        host = self._port.host(domain)
        return host.language if host is not None else "en"

    def _features(self, host: VirtualHost) -> list[Element]:
        features: list[Element] = []
        if self._account is not None:
            if self._session is None:
                features += (_BIND, _SESSION)
        else:
            must_encrypt = self._must_encrypt
            if self._can_start_tls:
                starttls = Element(NS_TLS, "starttls")
                if must_encrypt:
                    # Nothing else is offered then (RFC 6120, 5.3.1).
                    starttls.add("required")
                features.append(starttls)
            if must_encrypt:
                return features
            if self._login is None:
                self._login = ClientLogin(
                    host,
                    self._connection,
                    allow_plain_without_tls=self._port.allow_plain_without_tls,
                    failure_limit=self._port.limits.auth_failures,
                )
            features += self._login.features()
        for plugin, make in host.feature_makers:
            try:
                feature = make(self)
            except FAULTS as error:
                host.plugin_failed(plugin, "stonechat_stream_features", error, None)
                continue
            if feature is not None:
                features.append(feature)
        return features

    # TLS

    @property
    def _can_start_tls(self) -> bool:
        port = self._port
        return (
            not self.is_secure
            and port.contexts is not None
            and port.options.starttls != "off"
            and port.options.tls == "off"
        )

    @property
    def _must_encrypt(self) -> bool:
        return not self.is_secure and self._port.options.starttls == "required"

    def _start_tls(self) -> None:
        if not self._can_start_tls:
            # RFC 6120, 5.4.2.2
            self._send(serialize(Element(NS_TLS, "failure")) + wire.STREAM_END)
            self._protocol.close()
            self._connection.close()
            return
        contexts = self._port.contexts
        assert contexts is not None
        assert self._host is not None
        self._send(serialize(Element(NS_TLS, "proceed")))
        self._connection.start_tls(
            contexts.accept(
                self._connection.descriptor,
                self._host.name,
                request_certificate=self._port.options.client_certificates,
            )
        )

    # SASL

    def _sasl_input(self, request: SaslInput) -> None:
        if self._must_encrypt:
            refusal = SaslFailure("encryption-required", "Use STARTTLS first.")
            self._send(client_login.failure(refusal))
            return
        assert self._login is not None
        event = self._login.answer(request)
        self._check_open()
        if isinstance(event, SaslSuccess):
            self._protocol.authenticated()
            self._header_sent = False
            self._logged_in(event.account)
        self._send(client_login.written(event))
        if isinstance(event, SaslFailed) and event.is_last:
            raise StreamError("policy-violation", "Too many failed logins.")

    # Requests before authentication

    def _unauthenticated_iq(self, iq: Iq) -> None:
        host = self._host
        assert host is not None
        handled = host.unauthenticated_iq.get((iq.type, iq.namespace))
        if handled is None or self._must_encrypt:
            raise StreamError("not-authorized", "Log in first.")
        plugin, handler = handled
        try:
            iq.check()
            payload = handler(self, iq)
        except StanzaError as error:
            reply = iq.error_reply(error)
        except FAULTS as error:
            host.plugin_failed(plugin, "request before authentication", error, iq)
            reply = iq.error_reply(StanzaError("internal-server-error"))
        else:
            reply = iq.result(payload)
        self._send(reply.to_bytes())

    # Elements for plugins

    def _other_element(self, element: Element) -> None:
        host = self._host
        assert host is not None
        handled = host.unbound_elements.get((element.namespace, element.name))
        if handled is None or self._must_encrypt:
            raise StreamError("unsupported-stanza-type")
        plugin, handler = handled
        self._plugin = plugin
        try:
            handler(self, element)
        except StreamError:
            raise
        except FAULTS as error:
            host.plugin_failed(plugin, "stonechat_unbound_stream_elements", error, None)
            raise StreamError("internal-server-error") from error
        finally:
            self._plugin = ""
            self._release_answers()

    # Binding

    def _bind_requested(self, request: BindRequest) -> None:
        try:
            session = self._bind(request.resource)
        except StanzaError as error:
            self._send(request.iq.error_reply(error).to_bytes())
            return
        bound = Element(NS_BIND, "bind")
        bound.add("jid", session.jid.text)
        session.send(request.iq.result(bound))
        session.host.notify("stonechat_session_bound", {"session": session})

    # Ending

    def close(self, error: StreamError | None = None) -> None:
        """For plugins, too."""
        if error is not None:
            self._fail(error)
        elif self._session is not None:
            self._session.close()
        else:
            self._protocol.close()
            self._send(wire.STREAM_END)
            self._connection.close()

    def _fail(self, error: StreamError) -> None:
        """End the stream with an error, behind a header of ours if need be (4.9.1.2)."""
        handler = self._connection.handler
        if isinstance(handler, ClientWire):
            if handler.is_open:  # else the session has gone on over another connection
                handler.session.close(error)
            return
        if self._is_over:
            return
        self._port.log.info(
            "stream error", address=self.address, condition=error.condition, text=error.text
        )
        if self._protocol.state is State.ENCRYPTING:
            # Nothing can be said in the middle of a handshake.
            self._connection.abort(error.text)
            return
        if not self._header_sent:
            self._send_header(self._port.default_domain, "")
        self._protocol.close()
        self._send(wire.stream_error(error))
        self._connection.close()


_BIND = Element(NS_BIND, "bind").freeze()
# Clients of RFC 3921 ask for a session after binding; nobody has to.
_SESSION = Element(NS_SESSION, "session", None, Element(NS_SESSION, "optional")).freeze()
