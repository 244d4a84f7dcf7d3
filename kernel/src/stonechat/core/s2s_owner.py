"""What streams between servers ask of their owner: options, domains, policy, TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from stonechat.core.config_model import HostFederation
from stonechat.core.federation_policy import trust_in
from stonechat.core.s2s_ways import Ways

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_model import Federation, Limits
    from stonechat.core.config_types import Configuration
    from stonechat.core.router import Router
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.federation import Trust
    from stonechat.net.poller import Poller
    from stonechat.net.timers import TimerWheel
    from stonechat.net.tls import TlsConnector, TlsContexts

NOT_FEDERATED = HostFederation(enabled=False)


class Node(Protocol):
    """What federation needs of the server."""

    configuration: Configuration
    is_stopping: bool
    hosts: dict[str, VirtualHost]
    log: FilteringBoundLogger
    poller: Poller
    router: Router
    timers: TimerWheel


class StreamOwner:
    """Answers what depends on the configuration in force, each time anew."""

    timers: TimerWheel

    def __init__(self, node: Node) -> None:
        self._node = node
        self.log = node.log
        self.ways = Ways(node)
        # Of hosts that are on their way out, and still have something to say.
        self._leaving: Mapping[str, HostFederation] = {}

    @property
    def options(self) -> Federation:
        return self._node.configuration.federation

    @property
    def limits(self) -> Limits:
        return self._node.configuration.limits

    @property
    def is_stopping(self) -> bool:
        return self._node.is_stopping

    @property
    def default_domain(self) -> str:
        return next(iter(self._node.hosts))

    @property
    def contexts(self) -> TlsContexts | None:
        return self.ways.contexts

    @property
    def connector(self) -> TlsConnector:
        return self.ways.connector

    def host_of(self, domain: str) -> VirtualHost | None:
        return self._node.router.host_of(domain)

    def certificate_of(self, local: str) -> str:
        host = self.host_of(local)
        if host is None:
            return ""
        setting = self._node.configuration.hosts.get(host.name)
        return host.name if setting is not None and setting.certificate is not None else ""

    def policy(self, local: str, remote: str) -> Trust | None:
        host = self.host_of(local)
        return None if host is None else trust_in(self.federation_of(host), remote)

    def federation_of(self, host: VirtualHost) -> HostFederation:
        setting = self._node.configuration.hosts.get(host.name)
        if setting is not None:
            return setting.federation
        return self._leaving.get(host.name, NOT_FEDERATED)
