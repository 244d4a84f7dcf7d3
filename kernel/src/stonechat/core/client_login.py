"""The login of a client: the SASL exchange of its stream with a host's accounts."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.namespaces import NS_SASL
from stonechat.net.certificates import accounts_in_certificate
from stonechat.protocol.c2s import SaslInput
from stonechat.protocol.sasl import (
    SaslChallenge,
    SaslEvent,
    SaslExchange,
    SaslFailed,
    mechanism_maker,
)
from stonechat.xml import XML_LANG, Element, serialize

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection


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
        self._address = connection.address
        self._failure_limit = failure_limit
        tls = connection.tls
        self._bindings = {} if tls is None else tls.channel_bindings()
        self._certified: tuple[JID, ...] = ()
        if tls is not None and tls.peer_certificate is not None and not tls.verify_error:
            self._certified = accounts_in_certificate(tls.peer_certificate)
        self._exchange: SaslExchange | None = None
        self.mechanisms = host.accounts.mechanisms(
            tls=tls is not None,
            allow_plain_without_tls=allow_plain_without_tls,
            bindings=self._bindings,
            certificate_accounts=any(jid.domain == host.name for jid in self._certified),
        )
        """What is offered, the strongest first."""

    def feature(self) -> Element | None:
        """`<mechanisms/>`, if there is one to offer."""
        return _mechanisms_feature(self.mechanisms) if self.mechanisms else None

    def answer(self, request: SaslInput) -> SaslEvent:
        """Take what the client sent; blocks where a backend does.

        Failures are logged and counted; a success is the caller's to put in force.
        """
        exchange = self._exchange
        if exchange is None:
            lookup = self._host.accounts.lookup(self._address, self._certified)
            make = mechanism_maker(
                self._host.name, lookup, offered=self.mechanisms, bindings=self._bindings
            )
            exchange = SaslExchange(self.mechanisms, make, failure_limit=self._failure_limit)
            self._exchange = exchange
        try:
            if request.name == "auth":
                event: SaslEvent = exchange.begin(request.mechanism, request.text)
            elif request.name == "response":
                event = exchange.respond(request.text)
            else:
                event = exchange.abort()
        except Exception as error:
            self._host.log.error("login failed inside the server", exc_info=error)
            event = exchange.refuse(SaslFailure("temporary-auth-failure"))
        if isinstance(event, SaslFailed):
            self._count(event)
        return event

    def _count(self, event: SaslFailed) -> None:
        host = self._host
        host.login_failures += 1
        host.accounts.login_failed(event.localpart, self._address)
        host.log.info(
            "login refused",
            address=self._address,
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


@lru_cache(maxsize=32)
def _mechanisms_feature(names: tuple[str, ...]) -> Element:
    feature = Element(NS_SASL, "mechanisms")
    for name in names:
        feature.add("mechanism", name)
    return feature.freeze()
