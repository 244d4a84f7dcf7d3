"""The login of a client: the SASL exchange of its stream with a host's accounts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from stonechat.core.chains import FAULTS
from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.namespaces import NS_SASL, NS_SASL_CHANNEL_BINDING
from stonechat.net.certificates import accounts_in_certificate
from stonechat.protocol.c2s import SaslInput
from stonechat.protocol.sasl import SaslExchange, binds, mechanism_maker
from stonechat.sasl import Mechanism, SaslChallenge, SaslEvent, SaslFailed, SaslSuccess
from stonechat.xml import XML_LANG, Element, serialize

if TYPE_CHECKING:
    from stonechat.core.login_lookup import LoginLookup
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.session import UnboundStream


class ClientLogin:
    """All attempts of a client on one stream; made anew for each stream header.

    What TLS says of the client, and what it binds to, is looked up here once.
    """

    def __init__(
        self,
        host: VirtualHost,
        connection: Connection,
        *,
        allow_plain_without_tls: bool,
        failure_limit: int,
    ) -> None:
        self._host = host
        self._connection = connection
        self._failure_limit = failure_limit
        tls = connection.tls
        self._bindings = {} if tls is None else tls.channel_bindings()
        self._certified: tuple[JID, ...] = ()
        if tls is not None and tls.peer_certificate is not None and not tls.verify_error:
            self._certified = accounts_in_certificate(tls.peer_certificate)
        self._exchange: SaslExchange | None = None
        self._plugin = ""  # whose mechanism is at work
        self.removals = 0
        """Of accounts, until the attempt began: whoever is among later ones is not let in."""
        self.pending: SaslSuccess | None = None
        """A success that is not in force yet."""
        self.mechanisms = host.accounts.mechanisms(
            tls=tls is not None,
            allow_plain_without_tls=allow_plain_without_tls,
            bindings=self._bindings,
            certificate_accounts=any(jid.domain == host.name for jid in self._certified),
        )
        """What is offered, the strongest first."""

    def features(self) -> tuple[Element, ...]:
        """`<mechanisms/>`, if there is one to offer, and what they bind to (XEP-0440)."""
        mechanisms = self.mechanisms
        if not mechanisms:
            return ()
        return _features(mechanisms, tuple(self._bindings) if binds(mechanisms) else ())

    # All below may block where a backend does. Failures are logged and counted; a success
    # is the caller's to put in force. Where there were failures before, the connection
    # stalls: the answer leaves later, and only then is another attempt read.

    def answer(self, request: SaslInput) -> SaslEvent:
        """Take what the client sent by the SASL of RFC 6120."""
        if request.name == "auth":
            return self.begin(request.mechanism, request.text)
        return self.respond(request.text) if request.name == "response" else self.abort()

    def begin(self, mechanism: str, text: str, stream: UnboundStream | None = None) -> SaslEvent:
        """Begin an attempt; with a `stream`, the mechanisms of plugins can be had, too."""
        self._plugin = ""
        self.removals = self._host.accounts.removals
        make: Callable[[str], Mechanism] | None = None
        if stream is not None and mechanism not in self.mechanisms:
            make = self._plugin_maker(mechanism, stream)
        exchange = self._prepared()
        return self._judge(lambda: exchange.begin(mechanism, text, make))

    def respond(self, text: str) -> SaslEvent:
        exchange = self._prepared()
        return self._judge(lambda: exchange.respond(text))

    def abort(self) -> SaslEvent:
        if self.pending is not None:
            return self.refuse(SaslFailure("aborted"))
        return self._judge(self._prepared().abort)

    def refuse(self, failure: SaslFailure) -> SaslEvent:
        """Take a success back that the client has not heard of."""
        exchange = self._prepared()
        return self._judge(lambda: exchange.refuse(failure))

    # Below

    @cached_property
    def _lookup(self) -> LoginLookup:
        # When the first attempt is made: since the features a reload may have put other
        # accounts in force.
        return self._host.accounts.lookup(self._connection.address, self._certified)

    def _prepared(self) -> SaslExchange:
        exchange = self._exchange
        if exchange is None:
            make = mechanism_maker(
                self._host.name,
                self._lookup,
                offered=self.mechanisms,
                bindings=self._bindings,
                brought=self._host.accounts.brought_mechanisms(),
            )
            exchange = SaslExchange(self.mechanisms, make, failure_limit=self._failure_limit)
            self._exchange = exchange
        return exchange

    def _plugin_maker(self, name: str, stream: UnboundStream) -> Callable[[str], Mechanism] | None:
        found = self._host.sasl_mechanisms.get(name)
        if found is None:
            return None
        self._plugin, make = found
        return lambda _: make(stream, self._lookup)

    def _judge(self, step: Callable[[], SaslEvent]) -> SaslEvent:
        try:
            event = step()
        except FAULTS as error:
            if self._plugin:
                self._host.plugin_failed(self._plugin, "stonechat_sasl_mechanisms", error, None)
            else:
                self._host.log.error("login failed inside the server", exc_info=error)
            event = self._prepared().refuse(SaslFailure("temporary-auth-failure"))
        if isinstance(event, SaslChallenge):
            return event
        event = self._throttled(event)
        if isinstance(event, SaslFailed):
            self.pending = None
            self._note(event)
        return event

    def _throttled(self, event: SaslSuccess | SaslFailed) -> SaslSuccess | SaslFailed:
        """What the client is told, who may have guessed too often meanwhile."""
        try:
            pause = self._lookup.judge(is_right=isinstance(event, SaslSuccess))
        except SaslFailure as failure:
            if isinstance(event, SaslFailed):
                return replace(event, failure=failure)
            return self._prepared().refuse(failure)
        if pause:
            # A success comes as late as a failure, or nobody would wait for those.
            self._connection.stall(pause)
        return event

    def _note(self, event: SaslFailed) -> None:
        host = self._host
        host.login_failures += 1
        host.log.info(
            "login refused",
            address=self._connection.address,
            account=event.localpart,
            condition=event.failure.condition,
            reason=str(event.failure.__cause__ or event.failure),
        )


def written(event: SaslEvent) -> bytes:
    """An event as it goes to the client."""
    if isinstance(event, SaslFailed):
        return failure(event.failure)
    name = "challenge" if isinstance(event, SaslChallenge) else "success"
    element = Element(NS_SASL, name)
    if event.text:
        element.append(event.text)
    return serialize(element)


def failure(error: SaslFailure) -> bytes:
    """`<failure/>` as it goes to the client (RFC 6120, 6.5)."""
    element = Element(NS_SASL, "failure")
    element.add(error.condition)
    if error.text:
        element.add("text", error.text).set(XML_LANG, "en")
    return serialize(element)


@lru_cache(maxsize=64)
def _features(mechanisms: tuple[str, ...], binding_types: tuple[str, ...]) -> tuple[Element, ...]:
    offer = Element(NS_SASL, "mechanisms")
    for name in mechanisms:
        offer.add("mechanism", name)
    if not binding_types:
        return (offer.freeze(),)
    bindings = Element(NS_SASL_CHANNEL_BINDING, "sasl-channel-binding")
    for type_ in binding_types:
        bindings.add("channel-binding", type=type_)
    return offer.freeze(), bindings.freeze()
