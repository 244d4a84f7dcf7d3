"""Connections without sockets: what `stonechat.net.connection` is to a server in service.

A worker greenlet brings a connection's octets to its handler, so a handler may block and
what one client sends stays in order, as with the poller and its runners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, cast

import gevent

from stonechat.core.client_port import ClientPort
from stonechat.errors import StreamError
from stonechat.net.coded_socket import PIECE
from stonechat.net.connection import (
    FLUSH_SECONDS,
    UNSENT_FACTOR,
    CodedHandler,
    Connection,
    Handler,
)
from stonechat.net.tls import TlsContexts
from stonechat.net.tls_socket import TlsSocket

if TYPE_CHECKING:
    from cryptography import x509

    from stonechat.codec import Codec
    from stonechat.core.config_model import ClientListener
    from stonechat.core.listening_port import Node
    from stonechat.net.shaper import Shaper
    from stonechat.net.timers import Timer
    from stonechat.testing.clock import TestClock


class Peer:
    """The client's end: what the server's end calls."""

    def octets_came(self, data: bytes) -> None:
        """The server has sent something."""

    def end_came(self) -> None:
        """The server has closed the connection, or lost it."""


class _Signal(Enum):
    HANDSHAKE = "the client has done its part of the TLS handshake"
    MORE = "the codec has more of what came"
    END = "the client has closed the connection"


class MemoryTls:
    """An encrypted stream in name: no key, and the bindings and the certificate it is given."""

    version = "TLSv1.3"
    cipher = "TLS_AES_128_GCM_SHA256"
    alpn = ""

    def __init__(
        self,
        server_name: str = "",
        *,
        is_established: bool = False,
        bindings: Mapping[str, bytes] | None = None,
    ) -> None:
        self.server_name = server_name
        self.is_established = is_established
        self.peer_certificate: x509.Certificate | None = None
        self.verify_error = ""
        self._bindings = dict(bindings or {})

    def channel_bindings(self) -> dict[str, bytes]:
        return self._bindings


class MemoryContexts:
    """Certificates for every host, all of them imagined."""

    def accept(
        self, descriptor: int, host: str = "", *, request_certificate: bool = True
    ) -> MemoryTls:
        return MemoryTls(host)


class MemoryConnector:
    """The same for streams that we open."""

    def connect(
        self, descriptor: int, server_name: str, *, host: str = "", alpn: Sequence[str] = ()
    ) -> MemoryTls:
        return MemoryTls(server_name)


class MemoryPort(ClientPort):
    """A port that nobody listens on; the kit hands it connections."""

    def __init__(self, options: ClientListener, server: Node) -> None:
        super().__init__(options, server)
        self._contexts = cast(TlsContexts, MemoryContexts())

    @property
    def contexts(self) -> TlsContexts | None:
        return self._contexts


class MemoryConnection:
    """The server's end of a connection, with the face of `stonechat.net.connection.Connection`."""

    descriptor = -1

    def __init__(
        self,
        node: Node,
        clock: TestClock,
        address: str,
        on_error: Callable[[Connection, BaseException], None],
        *,
        tls: bool,
        bindings: Mapping[str, bytes] | None = None,
    ) -> None:
        self.address = address
        self.is_closed = False
        self.is_stranger = True
        self.read_at = clock.monotonic()
        self.shaper: Shaper | None = None
        self.unsent = 0
        self.lost_writes = 0
        self.unsent_limit = int(node.configuration.limits.unsent_bytes)
        self.close_reason = ""
        self.certificate: x509.Certificate | None = None
        """What the other side shows when TLS begins."""
        self.certificate_fault = ""
        """What is wrong with it, as TLS says it; `""` if an authority vouches for it."""
        self._codec: Codec | None = None
        self._tls = MemoryTls(is_established=True, bindings=bindings) if tls else None
        self._clock = clock
        self._timers = node.timers
        self.peer = Peer()
        self._on_error = on_error
        self._handler: Handler | None = None
        self._inbox: deque[bytes | _Signal] = deque()
        self._unread: list[bytes] = []
        self._held: list[bytes] | None = None  # what is kept back, while it is
        self._worker: gevent.Greenlet | None = None
        self._client_reads = True
        self._lost: tuple[Handler, str] | None = None
        self._ending = False
        self._stuck = False
        self._paused: Timer | None = None
        self._stalled: Timer | None = None
        self._stalled_until = 0.0
        self._linger: Timer | None = None

    def as_connection(self) -> Connection:
        """Itself, for what is declared to want a socket's connection."""
        return cast(Connection, self)

    # The client's side

    def deliver(self, data: bytes) -> None:
        """The client sends octets."""
        self._put(data)

    def shake_hands(self) -> None:
        """The client does its part of the TLS handshake."""
        self._put(_Signal.HANDSHAKE)

    def hang_up(self) -> None:
        """The client's end is closed: by itself, or because its network is gone."""
        if self._stuck or (self._ending and self._worker is not None):
            # Not read any more, but this is noticed all the same: by a write that fails,
            # or when it has lingered.
            self._destroy("closed by the peer")
        else:
            self._put(_Signal.END)

    def stop_reading(self) -> None:
        """The client takes nothing more off its socket."""
        self._client_reads = False

    def read(self, count: int) -> None:
        """The client takes so many of the writes that wait for it, and no more."""
        taken, self._unread = self._unread[:count], self._unread[count:]
        self.unsent = sum(map(len, self._unread))
        for data in taken:
            self._deliver(data)

    def go_on_reading(self) -> None:
        """The client takes what waits for it."""
        self._client_reads = True
        if self._stalled is None:
            self._let_out()

    def _let_out(self) -> None:
        waiting, self._unread = self._unread, []
        self.unsent = 0
        for data in waiting:
            self._deliver(data)
        if self._ending:
            self._send_end()
        elif self._stuck:
            self._stuck = False
            if self._handler is not None:
                self._handler.output_flowing()
            self._wake()

    def _deliver(self, data: bytes) -> None:
        if self._codec is not None:
            try:
                data = self._codec.encode(data)
            except StreamError as error:
                self._destroy(str(error))
                return
        self.peer.octets_came(data)

    def end_work(self) -> None:
        """Stop a handler that still waits for something, as the end of a process does."""
        if self._worker is not None:
            self._worker.kill()

    def _put(self, item: bytes | _Signal) -> None:
        if self.is_closed:
            return
        self._inbox.append(item)
        self._wake()

    # The server's side: the worker

    def _wake(self) -> None:
        if self._worker is None and self._inbox and self._is_read:
            self._worker = gevent.spawn(self._work)

    @property
    def _is_read(self) -> bool:
        if self.is_closed or self._stuck or self._paused or self._stalled:
            return False
        return self._handler is not None

    def _work(self) -> None:
        try:
            while self._inbox and self._is_read:
                self._take(self._inbox.popleft())
        except Exception as error:  # noqa: BLE001 - the boundary of a connection
            self._on_error(self.as_connection(), error)
            self.abort("internal error")
        self._worker = None
        if self._lost is not None:
            (handler, reason), self._lost = self._lost, None
            handler.connection_lost(reason)

    def _take(self, item: bytes | _Signal) -> None:
        handler = self._handler
        assert handler is not None
        if item is _Signal.END:
            self._destroy("closed by the peer")
        elif self._tls is not None and not self._tls.is_established:
            if item is _Signal.HANDSHAKE:
                self._tls.is_established = True
                handler.tls_established()
            else:
                self._destroy("TLS handshake failed: this is not TLS")
        elif item is not _Signal.HANDSHAKE and not self._ending:
            self.read_at = self._clock.monotonic()
            came = item if isinstance(item, bytes) else b""
            try:
                data = came if self._codec is None else self._decode(self._codec, came)
            except StreamError as error:
                if isinstance(handler, CodedHandler):
                    handler.input_failed(error)
                return
            if self.shaper is not None:
                pause = self.shaper.consume(len(data or came), self.read_at)
                if pause > 0:
                    self._paused = self._timers.add(pause, self._unpause)
            if data:
                handler.bytes_received(data)

    def _decode(self, codec: Codec, came: bytes) -> bytes:
        data = codec.decode(came, PIECE)
        if codec.has_more:
            self._inbox.appendleft(_Signal.MORE)
        return data

    def _unpause(self) -> None:
        self._paused = None
        self._wake()

    def _stall_over(self) -> None:
        self._stalled = None
        if self._client_reads:
            self._let_out()
        self._wake()

    # The face of a connection

    @property
    def tls(self) -> TlsSocket | None:
        return cast("TlsSocket | None", self._tls)

    @tls.setter
    def tls(self, tls: TlsSocket) -> None:
        self.start_tls(tls)

    def handle(self, events: int) -> None:
        """Who connects begins the handshake so; here the test does its part."""

    def flush(self) -> None:
        """What is written leaves at once."""

    @property
    def handler(self) -> Handler | None:
        return self._handler

    @handler.setter
    def handler(self, handler: Handler) -> None:
        self._handler = handler

    @property
    def idle_seconds(self) -> float:
        return self._clock.monotonic() - self.read_at

    @property
    def is_ending(self) -> bool:
        return self._ending or self.is_closed

    @property
    def waiting(self) -> int:
        return len(self._unread)

    def has_room(self, most: int) -> bool:
        return len(self._unread) < most

    def start(self, handler: Handler) -> None:
        self._handler = handler
        self._wake()

    def stall(self, seconds: float) -> None:
        if self.is_ending:
            return
        seconds += self.stalled_for
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled_until = self._timers.now + seconds
        self._stalled = self._timers.add(seconds, self._stall_over)

    @property
    def stalled_for(self) -> float:
        return 0.0 if self._stalled is None else max(0.0, self._stalled_until - self._timers.now)

    def start_tls(self, tls: TlsSocket) -> None:
        self._tls = cast(MemoryTls, tls)
        self._tls.peer_certificate = self.certificate
        self._tls.verify_error = self.certificate_fault if self.certificate else "no certificate"

    def transform(self, codec: Codec) -> None:
        self._codec = codec

    def write(self, data: bytes) -> None:
        if self._ending or self.is_closed:
            return
        if self._held is not None:
            self._held.append(data)
            return
        self._put_out(data)

    def _put_out(self, data: bytes) -> None:
        if self._client_reads and self._stalled is None:
            self._deliver(data)
            return
        self._unread.append(data)
        self.unsent += len(data)
        if self.unsent <= self.unsent_limit:
            return
        if not self._stuck:
            self._stuck = True
            if self._handler is not None:
                self._handler.output_stuck()
        elif self.unsent > UNSENT_FACTOR * self.unsent_limit:
            self._destroy("the peer does not read")

    def hold(self) -> None:
        self._held = []

    def release(self, first: bytes) -> None:
        held, self._held = self._held or [], None
        for data in [first, *held] if first else held:
            if not self.is_closed:
                self._put_out(data)
        if self._ending and not self.is_closed and not self.unsent and self._stalled is None:
            self._send_end()

    def close(self) -> None:
        if self._ending or self.is_closed:
            return
        self._ending = True
        if self._tls is not None and not self._tls.is_established:
            self._destroy("closed")
            return
        self._linger = self._timers.add(
            self.stalled_for + FLUSH_SECONDS, self._destroy, "the peer does not read"
        )
        if not self.unsent and self._held is None and self._stalled is None:
            self._send_end()

    def _send_end(self) -> None:
        # The client closes its own side when it sees this; nothing has to linger.
        self._stuck = False
        if self._paused is not None:
            self._paused.cancel()
            self._paused = None
        self.peer.end_came()

    def abort(self, reason: str) -> None:
        self._destroy(reason)

    def _destroy(self, reason: str) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.lost_writes = len(self._unread)
        self.close_reason = reason
        for timer in (self._linger, self._paused, self._stalled):
            if timer is not None:
                timer.cancel()
        self._inbox.clear()
        self._unread.clear()
        self.unsent = 0
        self._tls = self._codec = None
        self.peer.end_came()
        handler, self._handler = self._handler, None
        if handler is None:
            return
        if self._worker is not None:
            # The handler is told when it is through with what came before.
            self._lost = (handler, reason)
        else:
            gevent.spawn(handler.connection_lost, reason)
