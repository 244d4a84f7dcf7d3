"""The ways to other servers: DNS, sockets, TLS. Nothing is made, or imported, before its use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from stonechat.net.connection import Connection
from stonechat.net.shaper import Shaper

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.core.server_outgoing import OutgoingStream
    from stonechat.core.server_stream import Owner
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.federation import Pair
    from stonechat.net.dialer import Dialed, Dialer
    from stonechat.net.poller import Poller
    from stonechat.net.resolver import Resolver, Target
    from stonechat.net.timers import TimerWheel
    from stonechat.net.tls import TlsConnector, TlsContexts
    from stonechat.net.tls_contexts import ContextSet


class Node(Protocol):
    """What the ways need of the server."""

    configuration: Configuration
    poller: Poller
    timers: TimerWheel


class Ways:
    """What leads out, made by one configuration; `renew` follows another one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._resolver: Resolver | None = None
        self._dialer: Dialer | None = None
        self._contexts: TlsContexts | None = None
        self._connector: TlsConnector | None = None

    def renew(self) -> None:
        """Go by the configuration that is in force now; what is open stays as it is."""
        self._resolver = self._dialer = None
        self._contexts = self._connector = None

    # DNS and sockets

    @property
    def resolver(self) -> Resolver:
        if self._resolver is None:
            from stonechat.net.resolver import Resolver

            options = self._node.configuration.dns
            self._resolver = Resolver(
                options.servers, timeout=options.timeout, now=lambda: self._node.timers.now
            )
        return self._resolver

    def targets(self, domain: str) -> list[Target]:
        """Where a domain's server may be; NotFound or Unavailable. Blocks."""
        return self.resolver.targets(domain)

    def dial(self, targets: Sequence[Target], seconds: float) -> Dialed:
        """A connection to the first of the targets that answers; DialError. Blocks."""
        if self._dialer is None:
            from stonechat.net.dialer import Dialer

            families = self._node.configuration.federation.families
            self._dialer = Dialer(self.resolver, families=families)
        return self._dialer.dial(targets, seconds)

    def open(
        self, owner: Owner, host: VirtualHost, pair: Pair, dialed: Dialed, seconds: float
    ) -> OutgoingStream:
        """A stream over a connection, not started yet."""
        from stonechat.core.server_outgoing import OutgoingStream

        node = self._node
        configuration = node.configuration
        connection = Connection(
            dialed.socket,
            dialed.address,
            node.poller,
            node.timers,
            configuration.limits.unsent_bytes,
        )
        rate = configuration.limits.rate
        if rate:
            # Of a stream for both directions the peer sends as much as over one of its own.
            connection.shaper = Shaper(rate, rate)
        return OutgoingStream(
            owner,
            host,
            pair,
            connection,
            dialed.target,
            timeout=seconds,
            idle_timeout=configuration.federation.idle_timeout,
        )

    # TLS

    @property
    def contexts(self) -> TlsContexts | None:
        """For peers that connect; None where no host has a certificate."""
        if self._contexts is None and self.has_certificate:
            from stonechat.core.tls_setup import make_server_contexts

            self._contexts = make_server_contexts(self._node.configuration)
        return self._contexts

    @property
    def connector(self) -> TlsConnector:
        """For streams that we open."""
        if self._connector is None:
            from stonechat.core.tls_setup import make_connector

            self._connector = make_connector(self._node.configuration)
        return self._connector

    @property
    def made(self) -> Iterator[ContextSet]:
        """What there is of both: files that it was made of may change."""
        yield from filter(None, (self._contexts, self._connector))

    @property
    def has_certificate(self) -> bool:
        return any(host.certificate for host in self._node.configuration.hosts.values())
