"""A stream that another server has opened: TLS, SASL EXTERNAL, and what plugins let it prove."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, ClassVar

from stonechat.core.chains import FAULTS
from stonechat.core.client_login import failure, written
from stonechat.core.server_owner import Owner
from stonechat.core.server_stream import ServerStreamBase
from stonechat.errors import JIDError, SaslFailure, StreamError
from stonechat.federation import Pair
from stonechat.jid import prepare_domain
from stonechat.namespaces import NS_SASL, NS_TLS
from stonechat.protocol import s2s
from stonechat.protocol.c2s import SaslInput
from stonechat.protocol.s2s import EXTERNAL, ReceivingStream, S2SEvent, StartTls, StreamOpened
from stonechat.protocol.stream import features
from stonechat.sasl import SaslFailed, SaslSuccess
from stonechat.xml import Element, serialize

if TYPE_CHECKING:
    from stonechat.core.config_model import ServerListener
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission
    from stonechat.protocol.sasl import SaslExchange


class IncomingStream(ServerStreamBase):
    """The receiving side of a server's stream."""

    is_outgoing: ClassVar[bool] = False

    def __init__(
        self,
        owner: Owner,
        options: ServerListener,
        connection: Connection,
        admission: Admission[Connection],
    ) -> None:
        self._peer = ReceivingStream(owner.limits.stanza_bytes_before_auth)
        super().__init__(
            owner,
            connection,
            self._peer,
            host=None,
            pair=Pair("", ""),
            timeout=options.negotiation_timeout,
            idle_timeout=options.idle_timeout,
        )
        self._options = options
        self._admission = admission
        self._is_old = False
        self._exchange: SaslExchange | None = None
        self._authenticated: Pair | None = None
        """What SASL has proven: the stream is for nothing else any more (robustness rule 8)."""

    # The connection's handler

    def tls_established(self) -> None:
        super().tls_established()
        self.host = None
        self.pair = Pair("", "")
        self._exchange = None

    def connection_lost(self, reason: str) -> None:
        self._admission.close()
        super().connection_lost(reason)

    # Events

    def _negotiate(self, event: S2SEvent) -> None:
        match event:
            case StreamOpened():
                self._opened(event)
            case StartTls():
                self._start_tls()
            case SaslInput():
                self._sasl_input(event)

    def _opened(self, header: StreamOpened) -> None:
        pair = Pair(self._addressed(header.to), _prepared(header.from_))
        self._is_old = header.is_old
        self.speaks_dialback = header.speaks_dialback
        if self._authenticated is not None:
            self._check_same(header, pair)
        host = self._owner.host_of(pair.local)
        self.host, self.pair = host, pair
        self._send_header()
        if host is None:
            raise StreamError("host-unknown", "This domain is not served here.")
        self._check_policy()
        is_proven = self._authenticated is not None and self._take_pair(pair, EXTERNAL)
        if not header.is_old:
            self._write(features(self._make_features(host)))
        if is_proven:
            self._tell(pair)

    def _addressed(self, to: str) -> str:
        """Whom the peer wants: by its header, else by TLS, else the first host (4.7.2)."""
        if to:
            return _prepared(to)
        tls = self._connection.tls
        name = tls.server_name if tls is not None else ""
        return name if self._owner.host_of(name) is not None else self._owner.default_domain

    def _check_same(self, header: StreamOpened, pair: Pair) -> None:
        if pair == self._authenticated:
            return
        self._send_header()
        if pair.remote != self.pair.remote:
            raise StreamError("invalid-from", "This stream was authenticated by another domain.")
        raise StreamError("host-unknown", "This stream was authenticated for another domain.")

    def _check_policy(self) -> None:
        """Send away now, and not when its time is over, who could prove nothing (6.4.5)."""
        remote = self.pair.remote
        # Who has not said who he is may be anybody who proves it later.
        trust = self.trust(remote) if remote else "any"
        if self._is_old and trust in ("require", "dialback"):
            raise StreamError("unsupported-version", "Version 1.0 of XMPP is wanted.")
        if trust is not None and self._must_encrypt:
            if self._is_old or not self._can_start_tls:
                raise StreamError("policy-violation", "The stream has to be encrypted.")
        elif remote and (fault := self.fault_of(self.pair)):
            raise StreamError("policy-violation", f"{remote}: {fault}.")

    def _send_header(self) -> None:
        self._header_sent = True
        # Nobody can guess it, and no two are the same: dialback stands on it (XEP-0220).
        self.id = secrets.token_hex(16)
        self._write(
            s2s.header(
                from_=self.pair.local if self.host else self._owner.default_domain,
                to=self.pair.remote,
                id=self.id,
                lang=self.host.language if self.host else "en",
                is_old=self._is_old,
                speaks_dialback=self._declare_db(),
            )
        )

    def _make_features(self, host: VirtualHost) -> list[Element]:
        offered: list[Element] = []
        must_encrypt = self._must_encrypt
        if self._can_start_tls:
            starttls = Element(NS_TLS, "starttls")
            if must_encrypt:
                starttls.add("required")
            offered.append(starttls)
        if must_encrypt:
            # Nothing else is offered then (5.3.1).
            return offered
        if self._offers_external:
            offered.append(_EXTERNAL)
        for plugin, make in host.server_feature_makers:
            try:
                feature = make(self)
            except FAULTS as error:
                host.plugin_failed(plugin, "stonechat_server_stream_features", error, None)
                continue
            if feature is not None:
                offered.append(feature)
        return offered

    def _check_element(self) -> None:
        if self._must_encrypt:
            raise StreamError("policy-violation", "The stream has to be encrypted first.")

    # TLS

    @property
    def _can_start_tls(self) -> bool:
        return (
            not self.is_secure
            and self._owner.contexts is not None
            and self._options.starttls != "off"
        )

    @property
    def _must_encrypt(self) -> bool:
        if self.is_secure:
            return False
        if self._options.starttls == "required":
            return True
        # Who has not said who he is may prove it later, if he is one who need not.
        remote = self.pair.remote
        return bool(remote) and self.trust(remote) != "any"

    def _start_tls(self) -> None:
        contexts = self._owner.contexts
        if not self._can_start_tls or contexts is None or self.is_admitted:
            # RFC 6120, 5.4.2.2
            self._write(serialize(Element(NS_TLS, "failure")))
            self._reason = "the peer asked for TLS in vain"
            self.end()
            return
        self._write(serialize(Element(NS_TLS, "proceed")))
        self._connection.start_tls(
            contexts.accept(self._connection.descriptor, self.pair.local, request_certificate=True)
        )

    # SASL

    @property
    def _offers_external(self) -> bool:
        """Whether a certificate can prove that the peer is whom it says (XEP-0178, 3)."""
        return (
            self.is_secure
            and not self.is_admitted
            and bool(self.pair.remote)
            and self.has_certificate_of(self.pair.remote)
        )

    def _sasl_input(self, request: SaslInput) -> None:
        if self._must_encrypt:
            self._write(failure(SaslFailure("encryption-required", "Use STARTTLS first.")))
            return
        if self._exchange is None:
            self._exchange = s2s.external_exchange(
                self.pair.remote,
                is_offered=self._offers_external,
                failure_limit=self._owner.limits.auth_failures,
            )
        exchange = self._exchange
        if request.name == "auth":
            event = exchange.begin(request.mechanism, request.text)
        elif request.name == "response":
            event = exchange.respond(request.text)
        else:
            event = exchange.abort()
        if isinstance(event, SaslSuccess):
            self._protocol.authenticated()
            self._authenticated = self.pair
        elif isinstance(event, SaslFailed):
            self._log.info(
                "domain not authorized",
                **self._who(),
                way=EXTERNAL,
                reason=f"{event.failure.condition}: {event.failure}",
            )
        self._write(written(event))
        if isinstance(event, SaslFailed) and event.is_last:
            raise StreamError("policy-violation", "Too many failed attempts.")

    # Pairs

    def _admit(self) -> None:
        self._admission.authenticated()
        super()._admit()


def _prepared(domain: str) -> str:
    """A domain in a header; `""` for what is none."""
    try:
        return prepare_domain(domain) if domain else ""
    except JIDError:
        return ""


_EXTERNAL = Element(
    NS_SASL, "mechanisms", None, Element(NS_SASL, "mechanism", None, EXTERNAL)
).freeze()
