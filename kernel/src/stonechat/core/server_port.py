"""A port for other servers: what it accepts becomes an incoming stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.config_model import ServerListener
from stonechat.core.listening_port import ListeningPort, Node
from stonechat.core.server_incoming import IncomingStream
from stonechat.net.connection import Connection, Handler
from stonechat.net.limits import Admission
from stonechat.net.shaper import Shaper

if TYPE_CHECKING:
    from stonechat.core.server_owner import Owner


class ServerPort(ListeningPort):
    """One listener of type s2s."""

    options: ServerListener

    def __init__(self, options: ServerListener, server: Node, owner: Owner) -> None:
        self.options = options
        self._owner = owner
        super().__init__(server)

    def _handler(self, connection: Connection, admission: Admission[Connection]) -> Handler:
        rate = self.options.rate
        if rate:
            connection.shaper = Shaper(rate, rate)
        stream = IncomingStream(self._owner, self.options, connection, admission)
        if self.options.tls == "direct":
            contexts = self._owner.contexts
            assert contexts is not None
            connection.tls = contexts.accept(connection.descriptor, request_certificate=True)
        # Where its owner closes it at once, it hears of its end as any other.
        connection.handler = stream
        self._owner.begun(stream)
        return stream
