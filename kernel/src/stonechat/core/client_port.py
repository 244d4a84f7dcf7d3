"""A port for clients: what it accepts becomes a client's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.client_stream import ClientStream
from stonechat.core.config_model import ClientListener
from stonechat.core.listening_port import ListeningPort, Node
from stonechat.net.connection import Connection, Handler
from stonechat.net.limits import Admission
from stonechat.net.shaper import Shaper
from stonechat.net.tls import TlsContexts

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost


class ClientPort(ListeningPort):
    """One listener of type c2s; the `Port` of its client streams."""

    options: ClientListener

    def __init__(self, options: ClientListener, server: Node) -> None:
        self.options = options
        super().__init__(server)

    @property
    def contexts(self) -> TlsContexts | None:
        return self._node.contexts

    @property
    def allow_plain_without_tls(self) -> bool:
        return self._node.configuration.allow_plain_without_tls

    @property
    def default_domain(self) -> str:
        return next(iter(self._node.hosts))

    def host(self, domain: str) -> VirtualHost | None:
        return self._node.hosts.get(domain)

    def moved_to(self, domain: str) -> str:
        """Where a host is served instead, or `""`."""
        return self._node.configuration.hosts[domain].see_other_host

    def _handler(self, connection: Connection, admission: Admission[Connection]) -> Handler:
        # The one of `limits`, where the listener has none of its own.
        rate = self.options.rate
        if rate:
            connection.shaper = Shaper(rate, rate)
        stream = ClientStream(self, connection, admission)
        if self.options.tls == "direct":
            assert self.contexts is not None
            connection.tls = self.contexts.accept(
                connection.descriptor, request_certificate=self.options.client_certificates
            )
        return stream
