"""A codec over a socket, or over TLS: the face of a `TlsSocket` for what goes through both."""

from __future__ import annotations

import _socket
from typing import Protocol

from stonechat.codec import Codec
from stonechat.errors import StreamError
from stonechat.net.tls_socket import WANT_READ, WANT_WRITE, TlsSocket, Want

# Octets of a stream that a codec is given to encode, or may return, at a time. A peer that
# sends little which stands for much gets no further in one turn than any other.
PIECE = 64 * 1024


class Owner(Protocol):
    """What the socket needs of the connection that reads it."""

    def more_to_read(self) -> None:
        """There is more to `recv`, of which the poll knows nothing."""

    def read_for_nothing(self, count: int) -> None:
        """So many octets came and stand for none yet."""


class PlainSocket:
    """A socket in the clear."""

    __slots__ = ("_socket",)

    def __init__(self, sock: _socket.socket) -> None:
        self._socket = sock

    def recv(self, limit: int) -> bytes | Want:
        try:
            return self._socket.recv(limit)
        except (BlockingIOError, InterruptedError):
            return WANT_READ

    def send(self, data: bytes | memoryview) -> int | Want:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return WANT_WRITE


class CodedSocket:
    """A socket whose octets go through a codec. `recv` and `send` speak of those of the stream.

    Both raise the StreamErrors of the codec. Behind one of `decode` what comes is dropped.
    """

    __slots__ = ("_below", "_codec", "_encoded", "_failed", "_owner", "_piece", "has_more")

    is_established = True

    def __init__(self, below: PlainSocket | TlsSocket, codec: Codec, owner: Owner) -> None:
        self._below = below
        self._codec = codec
        self._owner = owner
        self._encoded = memoryview(b"")  # what the socket has not taken of a piece
        self._piece = 0  # and the size of that piece before
        self._failed = False
        self.has_more = False
        """Whether `recv` has more to return, whatever the poll says of the socket."""

    def recv(self, limit: int) -> bytes | Want:
        """Octets of the stream, a piece at most; reads up to `limit` for them, if anything.

        `b""` is the end of the connection.
        """
        came = b""
        if not self.has_more:
            result = self._below.recv(limit)
            if not result or not isinstance(result, bytes):
                return result
            came = result
        octets = b"" if self._failed else self._decode(came)
        if octets:
            return octets
        self._owner.read_for_nothing(len(came))
        return WANT_READ

    def _decode(self, came: bytes) -> bytes:
        codec = self._codec
        try:
            octets = codec.decode(came, PIECE)
        except StreamError:
            self._failed = True
            self.has_more = False
            raise
        self.has_more = codec.has_more
        if self.has_more:
            self._owner.more_to_read()
        return octets

    def send(self, data: bytes | memoryview) -> int | Want:
        """Send a piece at most; returns how many octets of `data` that were.

        After a Want call again with the same octets, to which others may be added.
        """
        if not self._encoded:
            piece = bytes(data[:PIECE])
            self._piece = len(piece)
            self._encoded = memoryview(self._codec.encode(piece))
        while self._encoded:
            result = self._below.send(self._encoded)
            if not isinstance(result, int):
                return result
            self._encoded = self._encoded[result:]
        return self._piece
