"""A connection for who asks and waits for the answer, in a greenlet with a deadline of its own.

Streams in service go by `connection`; this is for looking at a peer.
"""

from __future__ import annotations

import _socket
import errno

import gevent.socket

from stonechat.net.tls_socket import WANT_READ, Done, TlsSocket, Want

_READ_SIZE = 16384

_AGAIN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}


class Line:
    """Octets over a connected socket that does not block; OSError where that fails.

    Whoever calls sets the deadlines, as by `gevent.Timeout`, and closes it.
    """

    def __init__(self, sock: _socket.socket) -> None:
        self._socket = sock
        self._tls: TlsSocket | None = None

    @property
    def descriptor(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            if self._tls is not None:
                sent = self._tls.send(data)
            else:
                sent = _or_want_write(self._socket, data)
            if isinstance(sent, Want):
                self._wait(sent)
            else:
                data = data[sent:]

    def receive(self) -> bytes:
        """What comes next; b"" at the end."""
        while True:
            if self._tls is not None:
                data = self._tls.recv(_READ_SIZE)
            else:
                data = _or_want_read(self._socket)
            if not isinstance(data, Want):
                return data
            self._wait(data)

    def encrypt(self, tls: TlsSocket) -> None:
        """The handshake; TlsError says why it failed."""
        while not isinstance(want := tls.handshake(), Done):
            self._wait(want)
        self._tls = tls

    def close(self) -> None:
        if self._tls is not None:
            self._tls.shutdown()
            self._tls.close()
        self._socket.close()

    def _wait(self, want: Want) -> None:
        wait = gevent.socket.wait_read if want is WANT_READ else gevent.socket.wait_write
        wait(self.descriptor)


def _or_want_read(sock: _socket.socket) -> bytes | Want:
    try:
        return sock.recv(_READ_SIZE)
    except OSError as error:
        if error.errno in _AGAIN:
            return Want.READ
        raise


def _or_want_write(sock: _socket.socket, data: bytes) -> int | Want:
    try:
        return sock.send(data)
    except OSError as error:
        if error.errno in _AGAIN:
            return Want.WRITE
        raise
