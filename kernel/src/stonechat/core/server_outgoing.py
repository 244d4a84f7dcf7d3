"""A stream that we open to another server: TLS, our certificate, and else what plugins prove."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from stonechat.core.server_owner import Owner
from stonechat.core.server_stanzas import take
from stonechat.core.server_stream import ServerStreamBase
from stonechat.errors import StanzaError, StreamError
from stonechat.federation import Pair
from stonechat.namespaces import NS_SASL, NS_TLS
from stonechat.net.poller import WRITE
from stonechat.protocol import s2s
from stonechat.protocol.s2s import (
    EXTERNAL,
    Features,
    InitiatingStream,
    S2SEvent,
    SaslAccepted,
    SaslChallenged,
    SaslRefused,
    StartTls,
    StreamOpened,
    TlsRefused,
)
from stonechat.stanza import Stanza

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.net.resolver import Target
    from stonechat.net.tls import TlsSocket
    from stonechat.xml import Element

# Of a peer that speaks before the pair is authorized so many stanzas are kept; together they
# may be as large as one of its stanzas may.
MOST_EARLY = 64


class OutgoingStream(ServerStreamBase):
    """The initiating side of a server's stream, on a connection that `start` begins to read.

    The first `pair` has to be authorized within `timeout` seconds. What the plugins of
    `host` prove for further pairs has no deadline here. An `idle_timeout` of 0 is none.
    """

    is_outgoing: ClassVar[bool] = True

    def __init__(
        self,
        owner: Owner,
        host: VirtualHost,
        pair: Pair,
        connection: Connection,
        target: Target,
        *,
        timeout: float,
        idle_timeout: float,
    ) -> None:
        self._peer = InitiatingStream(owner.limits.stanza_bytes_before_auth)
        super().__init__(
            owner,
            connection,
            self._peer,
            host=host,
            pair=pair,
            timeout=timeout,
            idle_timeout=idle_timeout,
        )
        self.target = target
        self.is_for_questions = False
        """Whether nothing is to be proven on it: set before the start."""
        self.avoids_tls = False
        """Whether TLS is not asked for where it is offered only: set before the start."""
        self._has_asked_tls = False
        self._must_encrypt = False  # by the peer's word
        self._host = host
        self._is_settled = False  # whether TLS is, so that plugins may speak
        self._has_responded = False
        self._early: deque[Stanza] = deque()
        self._early_octets = 0

    @property
    def may_do_without_tls(self) -> bool:
        """Whether TLS was begun in vain, and neither side wants it."""
        return (
            self._has_asked_tls
            and not self.is_secure
            and not self._must_encrypt
            and self.trust(self.pair.remote) == "any"
        )

    def start(self) -> None:
        """Open the stream."""
        connection = self._connection
        if self.target.tls:
            connection.tls = self._make_tls(["xmpp-server"])  # XEP-0368
            connection.start(self)
            # Who connects speaks first.
            connection.handle(WRITE)
        else:
            connection.start(self)
            self._send_header()

    def prove(self, pair: Pair) -> bool:
        """Have the plugins prove a further pair; False if that cannot be here.

        Else the owner hears that it is authorized, or refused. May block.
        """
        if not self._is_settled or not self.is_open or self.fault_of(pair):
            return False
        try:
            answer = self._host.first("stonechat_prove_domain", {"stream": self, "pair": pair})
        except StanzaError as error:
            self._refused(pair, error)
            return True
        return answer is True

    # The connection's handler

    def tls_established(self) -> None:
        super().tls_established()
        self._send_header()

    # Events

    def _handle(self, event: S2SEvent) -> None:
        if isinstance(event, Stanza) and self._is_early:
            self._keep(event)
        else:
            super()._handle(event)

    def _negotiate(self, event: S2SEvent) -> None:
        match event:
            case StreamOpened():
                self.id = event.id
                self.speaks_dialback = event.speaks_dialback
                if event.is_old:
                    self._offered(())
            case Features():
                self._offered(event.elements)
            case StartTls():
                self._connection.start_tls(self._make_tls())
                self._connection.handle(WRITE)
            case TlsRefused():
                self._fail_own("it offers TLS, but does not begin it")
            case SaslChallenged():
                self._respond()
            case SaslRefused():
                self._sasl_refused(event)
            case SaslAccepted():
                self._protocol.authenticated()
                if self.is_bidirectional:
                    # Its certificate says who it is.
                    self._protocol.admit(self._owner.limits.stanza_bytes)
                self._send_header()

    def _offered(self, features: Sequence[Element]) -> None:
        self._features = tuple(features)
        if self._protocol.is_authenticated:
            if self._take_pair(self.pair, EXTERNAL):
                self._take_early()
                self._tell(self.pair)
            elif not self.is_admitted:
                self._fail_own(self.fault_of(self.pair))
        elif not self.is_secure and self._wants_tls():
            self._has_asked_tls = True
            self._write(self._peer.ask_tls())
        else:
            self._settled()

    def _wants_tls(self) -> bool:
        """Whether TLS is to begin: wherever it is offered, unless that was in vain before."""
        offer = next((each for each in self._features if each.namespace == NS_TLS), None)
        if offer is None:
            return False
        self._must_encrypt = offer.find("required") is not None
        return self._must_encrypt or not self.avoids_tls

    def _settled(self) -> None:
        """TLS is in force, or not to be had."""
        fault = self.fault_of(self.pair)
        if fault:
            self._fail_own(fault)
            return
        self._is_settled = True
        if self.is_for_questions:
            self._owner.opened(self)
            return
        self._host.notify("stonechat_server_stream_opened", {"stream": self})
        if self.is_open:
            self._owner.opened(self)
        if not self.is_open:
            return
        if self._takes_external and self._owner.certificate_of(self.pair.local):
            self._write(
                self._peer.authenticate(self.pair.local, is_used_early=self.is_bidirectional)
            )
        elif not self.prove(self.pair):
            self._fail_own("it does not take our certificate, and nothing else can prove us")

    def _check_element(self) -> None:
        if not self._is_settled:
            raise StreamError("policy-violation", "This is too early.")

    def _send_header(self) -> None:
        self._header_sent = True
        self.id = ""
        self.speaks_dialback = False
        self._features = ()
        self._write(
            s2s.header(
                from_=self.pair.local,
                to=self.pair.remote,
                lang=self._host.language,
                speaks_dialback=self._declare_db(),
            )
        )

    # TLS

    def _make_tls(self, alpn: Sequence[str] = ()) -> TlsSocket:
        owner, pair = self._owner, self.pair
        return owner.connector.connect(
            self._connection.descriptor,
            pair.remote,
            host=owner.certificate_of(pair.local),
            alpn=alpn,
        )

    # SASL

    @property
    def _takes_external(self) -> bool:
        return self.is_secure and any(
            mechanism.text == EXTERNAL
            for feature in self._features
            if feature.namespace == NS_SASL and feature.name == "mechanisms"
            for mechanism in feature.find_all("mechanism")
        )

    def _respond(self) -> None:
        if self._has_responded:
            self._fail_own("it asks for more than our certificate")
            return
        self._has_responded = True
        self._write(self._peer.respond(self.pair.local))

    def _sasl_refused(self, refusal: SaslRefused) -> None:
        told = f"{refusal.condition}: {refusal.text}".removesuffix(": ")
        self._log.info("certificate refused", **self._who(), address=self.address, reason=told)
        # XEP-0178, 3: the peer may yet let us prove it by dialback.
        if not self.prove(self.pair):
            self._fail_own(f"it does not take our certificate: {told}")

    # What comes early

    @property
    def _is_early(self) -> bool:
        """Whether the peer knows us, and we have not heard yet that we may begin.

        It may use a stream for both directions by then (XEP-0288).
        """
        return self.is_bidirectional and self._protocol.is_authenticated and not self.is_admitted

    def _keep(self, stanza: Stanza) -> None:
        """Let a stanza wait until it is sure whose it may be."""
        self._early_octets += len(stanza.to_bytes())
        is_too_much = self._early_octets > self._owner.limits.stanza_bytes
        if is_too_much or len(self._early) >= MOST_EARLY:
            raise StreamError("policy-violation", "So much is not taken before the features.")
        self._early.append(stanza)

    def _take_early(self) -> None:
        while self._early and self.is_taking:
            take(self, self._early.popleft(), self._owner)

    # The end

    def _over(self, reason: str) -> None:
        if self._early:
            # Nobody knows whether they may be whose they say.
            self._log.info("stanzas dropped", **self._who(), stanzas=len(self._early))
            self._early.clear()
        super()._over(reason)

    def _fail_own(self, reason: str) -> None:
        """What the stream was opened for cannot be (8.3.3.17: negotiation fails)."""
        self._reason = self._reason or reason
        text = f"No stream to {self.pair.remote} can be opened: {reason}."
        self._refused(self.pair, StanzaError("remote-server-timeout", text))
        self.end()

    def _too_late(self) -> None:
        if not self.is_admitted:
            self._reason = self._reason or "the negotiation took too long"
        super()._too_late()
