"""A port for components: what it accepts becomes a stream in a plugin's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.component_stream import ComponentStream
from stonechat.core.listening_port import ListeningPort, Node
from stonechat.net.connection import Connection, Handler
from stonechat.net.limits import Admission
from stonechat.net.shaper import Shaper

if TYPE_CHECKING:
    from stonechat.core.component_stream import Acceptance
    from stonechat.core.config_model import ComponentListener


class ComponentPort(ListeningPort):
    """One listener of type component."""

    options: ComponentListener

    def __init__(self, options: ComponentListener, server: Node) -> None:
        self.options = options
        super().__init__(server)

    @property
    def default_domain(self) -> str:
        return next(iter(self._node.hosts))

    def acceptance(self, domain: str) -> Acceptance | None:
        """Who takes streams to a domain, on whatever host."""
        for host in self._node.hosts.values():
            found = host.stream_acceptances.get(domain)
            if found is not None:
                return found
        return None

    def _handler(self, connection: Connection, admission: Admission[Connection]) -> Handler:
        rate = self.options.rate
        if rate:
            connection.shaper = Shaper(rate, rate)
        return ComponentStream(self, connection, admission)
