"""One client socket: reading, writing, TLS, and an end that loses nothing on its way."""

from __future__ import annotations

import _socket
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from stonechat.errors import StreamError
from stonechat.net.coded_socket import CodedSocket, PlainSocket
from stonechat.net.poller import READ, WRITE, Poller
from stonechat.net.tls_socket import DONE, WANT_READ, WANT_WRITE, TlsError, TlsSocket

if TYPE_CHECKING:
    from stonechat.codec import Codec
    from stonechat.net.shaper import Shaper
    from stonechat.net.timers import Timer, TimerWheel

READ_SIZE = 64 * 1024
TLS_READ_SIZE = 16 * 1024

# What a step of the handshake counts for against a turn: it takes up to a millisecond.
HANDSHAKE_OCTETS = 32 * 1024

# How long the peer of a connection that we close may take to fetch what is
# queued, and then how long to close its own side, unless it is still fetching.
FLUSH_SECONDS = 30.0
LINGER_SECONDS = 2.0

PEEK_SECONDS = 0.1

# So many times the bound on unsent octets may wait; then the connection is dropped.
UNSENT_FACTOR = 2

# EPOLLERR and EPOLLHUP: both ways are cut. Always reported, asked for or not.
_GONE = 8 | 16


class Handler(Protocol):
    """What a connection brings its octets to.

    `bytes_received`, `tls_established` and `connection_lost` may block.
    """

    def bytes_received(self, data: bytes) -> None:
        """The next octets from the peer."""

    def tls_established(self) -> None:
        """The TLS handshake is done; octets from now on are encrypted."""

    def connection_lost(self, reason: str) -> None:
        """The connection has ended; called once, last of all."""

    def output_stuck(self) -> None:
        """More octets wait to be sent than the bound allows; the peer is not read meanwhile."""

    def output_flowing(self) -> None:
        """After `output_stuck`: everything is sent."""


@runtime_checkable
class CodedHandler(Handler, Protocol):
    """The handler of a connection that has a codec."""

    def input_failed(self, error: StreamError) -> None:
        """What the peer sent cannot be decoded; no more of it comes. May block."""


class Connection:
    """A socket in the poll. `polled`, `reported` and `busy` belong to the poller.

    `read_at` is when the peer last sent something (the monotonic clock).
    """

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_dirty",
        "_ending",
        "_handler",
        "_is_held",
        "_layer",
        "_linger",
        "_out",
        "_paused",
        "_peek",
        "_poller",
        "_read_blocked",
        "_rest",
        "_socket",
        "_stalled",
        "_stalled_until",
        "_stuck",
        "_timers",
        "_tls",
        "_write_blocked",
        "address",
        "busy",
        "descriptor",
        "is_closed",
        "is_stranger",
        "lost_writes",
        "polled",
        "read_at",
        "reported",
        "shaper",
        "unsent",
        "unsent_limit",
    )

    def __init__(
        self,
        sock: _socket.socket,
        address: str,
        poller: Poller,
        timers: TimerWheel,
        unsent_limit: int,
    ) -> None:
        self._socket = sock
        self._poller = poller
        self._timers = timers
        self._handler: Handler | None = None
        self._out: list[Any] = []  # one for each write; the first may be a rest, a memoryview
        self._rest: deque[int] | None = None  # how long each of the writes in that rest is
        self._dirty = False
        self._is_held = False  # until `release`
        self._ahead = 0  # how much of what is queued was there before
        self._write_blocked = False  # until the socket takes octets again
        self._read_blocked = False  # to read makes no sense until then
        self._ending = False
        self._stuck = False
        self._tls: TlsSocket | None = None
        # What octets go through to the socket: nothing, TLS, a codec, or a codec over TLS.
        self._layer: TlsSocket | CodedSocket | None = None
        self._paused: Timer | None = None
        self._stalled: Timer | None = None
        self._stalled_until = 0.0
        self._peek: tuple[Callable[[bytes], int], int] | None = None
        self._linger: Timer | None = None
        self.address = address
        self.descriptor = sock.fileno()
        self.polled = 0
        self.reported = False
        self.busy = False
        self.is_closed = False
        self.is_stranger = True
        """Until its owner says that the peer has logged in: where room is scarce it waits."""
        self.lost_writes = 0
        """Once it is closed: how many of the last writes the socket has not taken all of."""
        self.read_at = time.monotonic()
        self.shaper: Shaper | None = None
        self.unsent = 0
        self.unsent_limit = unsent_limit

    def start(self, handler: Handler) -> None:
        """Begin to read."""
        self._handler = handler
        self._peek = None
        self.resume()

    def start_peeking(self, look: Callable[[bytes], int], size: int) -> None:
        """Show `look` what has come without taking it; it says how much to take.

        It may `start` the connection, and peeking is then over; with `size`
        octets shown and none taken the connection ends.
        """
        self._peek = (look, size)
        self.resume()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the peer last sent something."""
        return time.monotonic() - self.read_at

    @property
    def handler(self) -> Handler | None:
        return self._handler

    @handler.setter
    def handler(self, handler: Handler) -> None:
        self._handler = handler

    @property
    def tls(self) -> TlsSocket | None:
        """Set before the connection starts where it begins with TLS."""
        return self._tls

    @tls.setter
    def tls(self, tls: TlsSocket | None) -> None:
        self._tls = self._layer = tls

    @property
    def is_ending(self) -> bool:
        """Whether nothing more can be sent."""
        return self._ending or self.is_closed

    @property
    def waiting(self) -> int:
        """How many writes wait for a peer that does not read; 0 while its socket takes them."""
        if not self._write_blocked and self._stalled is None:
            return 0
        return self._queued

    @property
    def _queued(self) -> int:
        # The writes in a rest are one item of what is queued.
        return len(self._out) + (0 if self._rest is None else len(self._rest) - 1)

    def has_room(self, most: int) -> bool:
        """Whether fewer than `most` writes wait for a peer that does not read."""
        if not self._write_blocked and self._stalled is None:
            if len(self._out) < most:
                return True
            # What is queued within one turn may be fetched at its end.
            self.flush()
        return self.waiting < most and not self._ending

    # For the poller

    def handle(self, events: int) -> None:
        """The socket is ready. Blocks where the handler does."""
        if self._peek is not None:
            self._look(*self._peek)
            return
        layer = self._layer
        if layer is not None and not layer.is_established:
            self._handshake()
            return
        # A peer that is gone is read to its end before a write can fail on it.
        if events & ~WRITE or (layer is not None and layer.has_more and self.polled & READ):
            self._read(layer)
        if events & WRITE and not events & _GONE and not self.is_closed:
            self.write_ready()

    def write_ready(self) -> None:
        """The socket takes octets again. Does not block."""
        self._write_blocked = self._read_blocked = False
        self._go_on()

    def _go_on(self) -> None:
        if self._ending and not self._out and not self._is_kept_back:
            self._send_end()
        else:
            self.flush()
        self.resume()

    def resume(self) -> None:
        """Poll for what is wanted now."""
        if self.is_closed:
            return
        events = WRITE if self._write_blocked else 0
        # While a runner is at work the rest has to wait. A sender that takes
        # nothing from us is not read either.
        if not (
            self.busy
            or self._stuck
            or self._read_blocked
            or self._paused is not None
            or self._stalled is not None
        ):
            events |= READ
            layer = self._layer
            if layer is not None and layer.has_more:
                # Of that the poll knows nothing. That the socket takes octets it says at once,
                # unless the peer has left too much unread, and then there is no hurry.
                events |= WRITE
        self._poller.register(self, events)

    # Reading

    def _read(self, layer: TlsSocket | CodedSocket | None) -> None:
        poller = self._poller
        try:
            if layer is None:
                data = self._socket.recv(READ_SIZE)
            else:
                result = layer.recv(TLS_READ_SIZE)
                if result is WANT_READ:
                    return
                if result is WANT_WRITE:
                    # It owes the peer an answer of its own.
                    self._write_blocked = self._read_blocked = True
                    self.resume()
                    return
                data = result
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, TlsError) as error:
            self._destroy(str(error))
            return
        except StreamError as error:
            self._refuse_input(error)
            return
        if not data:
            self._end_read()
            return
        poller.spend(len(data))
        if self._ending:
            return  # we only wait for the peer to see our end
        self.read_at = poller.now
        shaper = self.shaper
        if shaper is not None:
            self._shape(shaper, len(data))
        handler = self._handler
        if handler is not None:
            handler.bytes_received(data)

    def _shape(self, shaper: Shaper, count: int) -> None:
        pause = shaper.consume(count, self._poller.now)
        if pause > 0 and self._paused is None:
            self._pause(pause)

    def _end_read(self) -> None:
        """The peer sends no more."""
        if self._ending and self._out and not self._read_blocked:
            # It may still fetch what we have for it.
            self._read_blocked = True
            self.resume()
        else:
            self._destroy("closed by the peer")

    def _look(self, look: Callable[[bytes], int], size: int) -> None:
        try:
            data = self._socket.recv(size, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._destroy(str(error))
            return
        if not data:
            self._destroy("closed by the peer")
            return
        taken = look(data)
        if self.is_closed:
            return
        if taken:
            self._socket.recv(taken)
        elif len(data) >= size:
            self._destroy("too much to look at")
        else:
            # What was only looked at would wake us again at once.
            self._pause(PEEK_SECONDS)

    def _pause(self, seconds: float) -> None:
        """Leave the socket unread for a while."""
        self._paused = self._timers.add(seconds, self._unpause)
        self.resume()

    def _unpause(self) -> None:
        self._paused = None
        self.resume()

    # Stalling

    def stall(self, seconds: float) -> None:
        """Send what is queued, then neither send nor read for so long, nor end.

        To the peer it is a slow line, to us a timer. What it stalls for already comes first.
        """
        if self.is_ending:
            return
        self.flush()
        seconds += self.stalled_for
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled_until = self._timers.now + seconds
        self._stalled = self._timers.add(seconds, self._stall_over)
        self.resume()

    @property
    def stalled_for(self) -> float:
        """Seconds until it goes on; 0.0 while it does not stall."""
        return 0.0 if self._stalled is None else max(0.0, self._stalled_until - self._timers.now)

    def _stall_over(self) -> None:
        self._stalled = None
        self._go_on()

    @property
    def _is_kept_back(self) -> bool:
        return self._is_held or self._stalled is not None

    # TLS

    def start_tls(self, tls: TlsSocket) -> None:
        """Go on in TLS, on the same socket; `tls` was made for its descriptor.

        What was written before leaves in the clear first.
        """
        if self._sends_all():
            self.tls = tls

    def _sends_all(self) -> bool:
        """Send what is queued before all else changes; the connection ends if that cannot be."""
        self.flush()
        if self._out:
            self._destroy("the peer does not read")
        return not self.is_closed

    def _handshake(self) -> None:
        tls = self._tls
        assert tls is not None
        self._poller.spend(HANDSHAKE_OCTETS)
        try:
            outcome = tls.handshake()
        except TlsError as error:
            self._destroy(f"TLS handshake failed: {error}")
            return
        self._write_blocked = self._read_blocked = outcome is WANT_WRITE
        self.resume()
        if outcome is DONE:
            self.flush()
            if self._handler is not None:
                self._handler.tls_established()

    # A codec

    def transform(self, codec: Codec) -> None:
        """Have all octets go through a codec from now on.

        What was written before leaves as it was. The handler is a `CodedHandler`, and
        becomes the one of the stream that begins anew. What `bytes_received`, the shaper and
        `unsent` count is the stream's octets, as they are before they are encoded.
        """
        if isinstance(self._layer, CodedSocket):
            raise ValueError("the connection has a codec already")
        if self._sends_all():
            self._layer = CodedSocket(self._layer or PlainSocket(self._socket), codec, self)

    def more_to_read(self) -> None:
        self.resume()

    def read_for_nothing(self, count: int) -> None:
        poller = self._poller
        poller.spend(count)
        self.read_at = poller.now
        if self.shaper is not None:
            self._shape(self.shaper, count)

    def _refuse_input(self, error: StreamError) -> None:
        handler = self._handler
        if self._ending:
            return
        if isinstance(handler, CodedHandler):
            handler.input_failed(error)
        else:
            self._destroy(str(error))

    # Writing

    def write(self, data: bytes) -> None:
        """Queue octets; they leave at the end of the turn. Dropped once the end has begun."""
        if self._ending or self.is_closed:
            return
        self._out.append(data)
        self.unsent += len(data)
        if not self._dirty:
            self._dirty = True
            self._poller.wants_flush(self)
        if self.unsent > self.unsent_limit:
            self._overflow()

    def hold(self) -> None:
        """Keep back what is written from now on, until `release` puts something before it."""
        self.flush()
        self._ahead = len(self._out)
        self._is_held = True

    def release(self, first: bytes) -> None:
        """Send `first`, and after it what was kept back meanwhile, even if the end has begun."""
        self._is_held = False
        if self.is_closed:
            return
        if first:
            self._out.insert(self._ahead, first)
            self.unsent += len(first)
        if self._out:
            if not self._dirty:
                self._dirty = True
                self._poller.wants_flush(self)
        elif self._ending and self._stalled is None:
            self._send_end()

    def _overflow(self) -> None:
        if self._stuck:
            if self.unsent > UNSENT_FACTOR * self.unsent_limit:
                self._destroy("the peer does not read")
            return
        # What is queued within one turn may be fetched at its end.
        self.flush()
        if self.unsent > self.unsent_limit:
            self._stuck = True
            self.resume()
            if self._handler is not None:
                self._handler.output_stuck()

    def flush(self) -> None:
        """Send what is queued, as far as the socket takes it. Does not block."""
        self._dirty = False
        out = self._out
        if not out or self._write_blocked or self._is_held or self.is_closed:
            return
        if self._stalled is not None:
            return
        layer = self._layer
        if layer is not None and not layer.is_established:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        size = len(data)
        sent = 0
        try:
            if layer is None:
                sent = self._socket.send(data)
            else:
                sent = self._send_through(layer, data)
        except (BlockingIOError, InterruptedError):
            pass
        except (OSError, TlsError, StreamError) as error:
            self._destroy(str(error))
            return
        self.unsent = size - sent
        self._poller.spend(sent)
        if sent < size:
            self._keep_rest(memoryview(data)[sent:], sent)
            self._write_blocked = True
            self.resume()
            return
        out.clear()
        self._rest = None
        if self._ending:
            self._send_end()
        elif self._stuck:
            self._stuck = False
            self.resume()
            if self._handler is not None:
                self._handler.output_flowing()

    def _keep_rest(self, octets: memoryview, sent: int) -> None:
        """What the socket did not take stays in one piece, but its writes are still counted."""
        out = self._out
        rest = self._rest
        if rest is None:
            rest = self._rest = deque(map(len, out))
        else:
            rest.extend(map(len, out[1:]))
        while sent >= rest[0]:
            sent -= rest.popleft()
        rest[0] -= sent
        out.clear()
        out.append(octets)

    def _send_through(self, layer: TlsSocket | CodedSocket, data: bytes | memoryview) -> int:
        view = memoryview(data)
        sent = 0
        while sent < len(view):
            result = layer.send(view[sent:])
            if not isinstance(result, int):
                # Without renegotiation it never waits to read before it writes.
                break
            sent += result
        return sent

    # Ending

    def close(self) -> None:
        """Send what is queued, then end the connection; nothing more can be written."""
        if self._ending or self.is_closed:
            return
        self._ending = True
        if self._tls is not None and not self._tls.is_established:
            # Nothing can be said in the middle of a handshake.
            self._destroy("closed")
            return
        self._linger = self._timers.add(
            self.stalled_for + FLUSH_SECONDS, self._destroy, "the peer does not read"
        )
        if not self._out and not self._is_kept_back:
            self._send_end()
        # Else it is dirty, blocked or kept back: it is flushed yet, and then comes the end.

    def _send_end(self) -> None:
        # The socket stays until the peer has closed its side too: closing it
        # with octets unread would reset it, and take our last ones along.
        try:
            if self._tls is not None and self._tls.shutdown() is WANT_WRITE:
                self._write_blocked = True
                self.resume()
                return
            self._socket.shutdown(socket.SHUT_WR)
        except (OSError, TlsError) as error:
            self._destroy(str(error))
            return
        self.tls = None  # what else comes is not even decrypted
        self._stuck = self._read_blocked = False
        for timer in (self._linger, self._paused):
            if timer is not None:
                timer.cancel()
        self._paused = None
        until = self._timers.now + FLUSH_SECONDS
        self._linger = self._timers.add(LINGER_SECONDS, self._linger_over, sys.maxsize, until)
        self.resume()

    def _linger_over(self, before: int, until: float) -> None:
        waiting = _held_by_the_system(self._socket)
        if 0 < waiting < before and self._timers.now < until:
            # The peer is slow, but it is still at what we sent.
            self._linger = self._timers.add(LINGER_SECONDS, self._linger_over, waiting, until)
        else:
            self._destroy("closed")

    def abort(self, reason: str) -> None:
        """End the connection at once; what is queued is dropped."""
        self._destroy(reason)

    def _destroy(self, reason: str) -> None:
        if self.is_closed:
            return
        self.is_closed = self._ending = True
        self.lost_writes = self._queued
        self._poller.register(self, 0)
        for timer in (self._linger, self._paused, self._stalled):
            if timer is not None:
                timer.cancel()
        self._linger = self._paused = self._stalled = None
        self._socket.close()
        self.tls = self._peek = None
        self._out.clear()
        self._rest = None
        self.unsent = 0
        handler, self._handler = self._handler, None
        if handler is not None:
            self._poller.lost(self, handler, reason)


def _held_by_the_system(sock: _socket.socket) -> int:
    """How many octets the peer's system has not taken yet; 0 where ours does not tell."""
    try:
        import fcntl
        import termios

        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (ImportError, OSError):
        return 0
    return int.from_bytes(answer, sys.byteorder)
