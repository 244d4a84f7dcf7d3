"""A port that is listened on: admits connections, behind a PROXY header where there is one."""

from __future__ import annotations

import _socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from stonechat.core.config_model import Limits
from stonechat.core.refusals import Refusals
from stonechat.net.connection import Connection, Handler
from stonechat.net.limits import AddressLimits, Admission, Refusal
from stonechat.net.listener import Acceptor, bind
from stonechat.net.poller import Poller
from stonechat.net.proxy_protocol import ProxyError, ProxyParser
from stonechat.net.tls import TlsContexts

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_types import Configuration
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.timers import TimerWheel
    from stonechat.options import ListenerOptions


class Node(Protocol):
    """What a port needs of the server."""

    configuration: Configuration
    is_stopping: bool
    hub: Any
    poller: Poller
    timers: TimerWheel
    books: AddressLimits[Connection]
    contexts: TlsContexts | None
    hosts: dict[str, VirtualHost]
    log: FilteringBoundLogger


# The longest PROXY header worth waiting for: version 2 with its extensions.
_PROXY_HEADER = 16 + 4096


@runtime_checkable
class Stranger(Protocol):
    """Handles a connection whose peer has not authenticated yet."""

    def evict(self) -> None:
        """Make room for another stranger."""


class ListeningPort(ABC):
    """What listeners of all types have in common."""

    options: ListenerOptions

    def __init__(self, server: Node) -> None:
        self._node = server
        self.log = server.log.bind(port=self.options.port)
        self.timers = server.timers
        self.accepted = 0
        """Connections taken since the port was made."""
        self._acceptor: Acceptor | None = None
        self._refusals = Refusals(self.log, self.timers)
        # Connections whose PROXY header has not come: nobody's books have them yet.
        self._unknown: set[_ProxyHeader] = set()

    # What may change at a reload is looked up when it is needed.

    @property
    def limits(self) -> Limits:
        return self._node.configuration.limits

    @property
    def is_stopping(self) -> bool:
        return self._node.is_stopping

    @property
    def port(self) -> int:
        """The port listened on; the configured one until `open`."""
        return self.options.port if self._acceptor is None else self._acceptor.port

    def open(self, *, accept: bool = True) -> None:
        """Listen; ConfigError if the port cannot be had.

        Without `accept` those who connect wait in the system's queue.
        """
        sock = bind(self.options.address, self.options.port)
        self._acceptor = Acceptor(self._node.hub, sock, self._accepted, self._accept_failed)
        if accept:
            self.accept()

    def accept(self) -> None:
        """Let in who has connected, and who will."""
        assert self._acceptor is not None, "the port is not open"
        self._acceptor.start()

    def close(self) -> None:
        """Listen no longer."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None

    def _accept_failed(self, error: OSError) -> None:
        self.log.error("cannot accept connections", port=self.port, error=str(error))

    def _accepted(self, sock: _socket.socket, address: str) -> None:
        self.accepted += 1
        connection = Connection(
            sock, address, self._node.poller, self.timers, self.limits.unsent_bytes
        )
        if self.options.proxy_protocol:
            if len(self._unknown) >= self.limits.unauthenticated_total:
                self._refusals.note(address, "too many connections without a PROXY header")
                connection.abort("too many connections without a PROXY header")
                return
            header = _ProxyHeader(self, connection, self._unknown.discard)
            self._unknown.add(header)
            header.start()
        else:
            self.begin(connection)

    def is_proxy(self, address: str) -> bool:
        """Whether an address may speak for others."""
        networks = self.options.trusted_proxies
        return not networks or any(ip_address(address) in network for network in networks)

    def begin(self, connection: Connection) -> None:
        """The peer's address is known: let the stream begin."""
        admission = self._node.books.admit(connection.address, connection, self.timers.now)
        if isinstance(admission, Refusal):
            self._refusals.note(connection.address, admission.value)
            connection.abort(admission.value)
            return
        evicted = admission.evicted
        handler: object = None if evicted is None else evicted.handler
        if isinstance(handler, Stranger):
            handler.evict()
        connection.start(self._handler(connection, admission))

    @abstractmethod
    def _handler(self, connection: Connection, admission: Admission[Connection]) -> Handler:
        """What brings an admitted connection to life."""


class _ProxyHeader:
    """Waits for the PROXY header, and takes not one octet more off the socket."""

    def __init__(
        self,
        port: ListeningPort,
        connection: Connection,
        on_end: Callable[[_ProxyHeader], None],
    ) -> None:
        self._port = port
        self._connection = connection
        self._on_end = on_end
        self._parser_factory: Callable[[], ProxyParser] = ProxyParser
        self._deadline = port.timers.add(
            port.limits.handshake_timeout, self._end, "no PROXY header"
        )

    def start(self) -> None:
        if not self._port.is_proxy(self._connection.address):
            self._port.log.warning(
                "connection from an address that is no trusted proxy",
                address=self._connection.address,
            )
            self._end("not a trusted proxy")
            return
        self._connection.start_peeking(self._peeked, _PROXY_HEADER)

    def _peeked(self, data: bytes) -> int:
        """Look at what has come; returns how much of it is the header, 0 for not enough."""
        connection = self._connection
        try:
            header = self._parser_factory().feed(data)
        except ProxyError as error:
            self._port.log.warning(
                "bad PROXY header", address=connection.address, error=str(error)
            )
            self._end("bad PROXY header")
            return 0
        if header is None:
            return 0
        self._deadline.cancel()
        self._on_end(self)
        if header.source is not None and header.source.port:
            connection.address = header.source.host
        self._port.begin(connection)
        return len(data) - len(header.rest)

    def _end(self, reason: str) -> None:
        self._deadline.cancel()
        self._on_end(self)
        self._connection.abort(reason)
