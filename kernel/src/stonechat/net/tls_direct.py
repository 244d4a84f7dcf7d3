"""TLS octets by the calls under pyOpenSSL's methods, which take less time and memory.

`SSL_read` into one buffer that all connections share costs 1 µs less than
`Connection.recv`, a third of what there is above the system calls. These calls are no
public interface, so `tls` tries them once before it relies on them.
"""

from __future__ import annotations

import os
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from stonechat.net.tls_socket import (
    DONE,
    RECORD_SIZE,
    WANT_READ,
    WANT_WRITE,
    Done,
    TlsCut,
    TlsError,
    TlsSocket,
    Want,
)

_buffer = ffi.new("char[]", RECORD_SIZE)
_octets = ffi.buffer(_buffer, RECORD_SIZE)

_read = lib.SSL_read
_write = lib.SSL_write
_from_buffer = ffi.from_buffer
_has_error = lib.ERR_peek_error
_clear_errors = lib.ERR_clear_error


class DirectTlsSocket(TlsSocket):
    """A TlsSocket that keeps of pyOpenSSL's Connection only what OpenSSL made for it."""

    __slots__ = ("_ssl",)

    def __init__(self, connection: SSL.Connection) -> None:
        super().__init__(connection)
        self._ssl: Any = None

    def _establish(self, connection: SSL.Connection) -> None:
        super()._establish(connection)
        self._ssl = connection._ssl
        # Without it a read ends after one record, also if that held no octets for us.
        # A peer that floods us with key updates then takes its turn like all others.
        lib.SSL_clear_mode(self._ssl, lib.SSL_MODE_AUTO_RETRY)
        # OpenSSL calls nothing of ours from now on, for there is no renegotiation.
        self._connection = None

    def recv(self, limit: int = RECORD_SIZE) -> bytes | Want:
        ssl = self._ssl
        if ssl is None:
            raise TlsCut("closed")
        # Before OpenSSL 4 an error that someone else left behind is taken for ours.
        # To look costs a third of clearing.
        if _has_error():
            _clear_errors()
        count: int = _read(ssl, _buffer, limit if limit < RECORD_SIZE else RECORD_SIZE)
        if count > 0:
            octets: bytes = _octets[:count]
            return octets
        return self._failure(ssl, count) or b""

    def send(self, data: bytes | memoryview) -> int | Want:
        ssl = self._ssl
        if ssl is None:
            raise TlsCut("closed")
        size = len(data)
        if not size:
            return 0
        if _has_error():
            _clear_errors()
        count: int = _write(ssl, data if type(data) is bytes else _from_buffer(data), size)
        if count > 0:
            return count
        want = self._failure(ssl, count)
        if want is None:
            self._fail(TlsCut("closed by the peer"))
        return want

    def pending(self) -> int:
        count: int = 0 if self._ssl is None else lib.SSL_pending(self._ssl)
        return count

    def shutdown(self) -> Want | Done:
        ssl = self._ssl
        if ssl is None:
            return DONE
        _clear_errors()
        result: int = lib.SSL_shutdown(ssl)
        if result < 0 and lib.SSL_get_error(ssl, result) == lib.SSL_ERROR_WANT_WRITE:
            return WANT_WRITE
        # Sent, or there is nobody left to tell.
        _clear_errors()
        return DONE

    def close(self) -> None:
        super().close()
        self._ssl = None

    def _failure(self, ssl: Any, result: int) -> Want | None:
        """What to wait for, None for the announced end; raises TlsError for all else."""
        kind: int = lib.SSL_get_error(ssl, result)
        if kind == lib.SSL_ERROR_WANT_READ:
            return WANT_READ
        if kind == lib.SSL_ERROR_WANT_WRITE:
            return WANT_WRITE
        if kind == lib.SSL_ERROR_ZERO_RETURN:
            return None
        if kind == lib.SSL_ERROR_SYSCALL:
            self._fail(TlsCut(os.strerror(ffi.errno) if ffi.errno else "connection cut"))
        code: int = lib.ERR_get_error()
        _clear_errors()
        if lib.ERR_GET_REASON(code) == lib.SSL_R_UNEXPECTED_EOF_WHILE_READING:
            self._fail(TlsCut("connection cut"))
        reason = lib.ERR_reason_error_string(code)
        self._fail(TlsError(ffi.string(reason).decode() if reason else f"error {code:#x}"))
