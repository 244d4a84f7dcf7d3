"""TLS on one socket: handshake, octets in and out, and what channel binding needs.

Nothing here blocks. What would block is answered with what to wait for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Final, NoReturn, cast

from cryptography import x509
from OpenSSL import SSL

from stonechat.errors import StonechatError
from stonechat.net.certificates import end_point_binding

# The plaintext of one TLS record (RFC 8446, 5.1).
RECORD_SIZE = 16384

_EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266


class Want(Enum):
    """What a call waits for. Make the socket ready for it, then call again."""

    READ = "read"
    WRITE = "write"


class Done(Enum):
    """The answer of what has nothing else to say."""

    DONE = "done"


WANT_READ: Final = Want.READ
WANT_WRITE: Final = Want.WRITE
DONE: Final = Done.DONE


class TlsError(StonechatError, OSError):
    """TLS failed; the connection is of no use any more."""


class TlsCut(TlsError):
    """The peer went away, or we did, without saying so in TLS."""


class Notes:
    """What the callbacks of one handshake look up and write down: the app data of its Connection.

    The callbacks are plain functions and find all they need here, so that no context
    holds the object that made it. `hosts` is empty on the connecting side.
    """

    __slots__ = ("hosts", "protocols", "server_name", "verify_error")

    def __init__(
        self, hosts: Mapping[bytes, tuple[str, SSL.Context]], protocols: tuple[bytes, ...]
    ) -> None:
        self.hosts = hosts
        self.protocols = protocols
        self.server_name = ""
        # OpenSSL's number of the first thing wrong with the peer's certificate, 0 for
        # nothing. None until OpenSSL has looked: what was not verified is not verified.
        self.verify_error: int | None = None


class TlsSocket:
    """One end of a TLS connection over a non-blocking socket, which its owner closes.

    Made by `TlsContexts.accept` and `TlsConnector.connect`. The attributes in lower case
    have their values once `is_established` is true.
    """

    __slots__ = (
        "_connection",
        "_context",
        "_end_point",
        "_exporter",
        "_unique",
        "_verify_error",
        "alpn",
        "cipher",
        "is_established",
        "peer_certificate",
        "server_name",
        "version",
    )

    has_more = False
    """A record is read whole: what there is more, the poll knows of."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection: SSL.Connection | None = connection
        # The context holds Python functions that OpenSSL calls: it must live as long.
        self._context: SSL.Context | None = None
        self._end_point: bytes | None = None
        self._exporter: bytes | None = None
        self._unique: bytes | None = None
        self._verify_error: int | None = None
        self.is_established = False
        self.version = ""
        """"TLSv1.3" or "TLSv1.2"."""
        self.cipher = ""
        self.alpn = ""
        """The protocol agreed on, "" for none."""
        self.server_name = ""
        """The served host that the client asked for, or what else it wrote; "" for nothing."""
        self.peer_certificate: x509.Certificate | None = None

    # Handshake

    def handshake(self) -> Want | Done:
        """Take the handshake as far as it goes. TlsError says why it failed."""
        connection = self._open_connection()
        try:
            connection.do_handshake()
        except SSL.Error as error:
            want = self._explain(error)
            if want is None:
                self._fail(TlsCut("closed by the peer"))
            return want
        self._establish(connection)
        return DONE

    def _establish(self, connection: SSL.Connection) -> None:
        notes: Notes = connection.get_app_data()
        self._context = connection.get_context()
        # Few different values: interned they cost a connection nothing.
        self.version = sys.intern(connection.get_protocol_version_name())
        self.cipher = sys.intern(connection.get_cipher_name() or "")
        self.alpn = sys.intern(connection.get_alpn_proto_negotiated().decode("ascii", "replace"))
        self.server_name = notes.server_name
        self._verify_error = notes.verify_error
        try:
            self.peer_certificate = connection.get_peer_certificate(as_cryptography=True)
        except ValueError:
            # OpenSSL reads more than cryptography does. To us that is no certificate.
            self.peer_certificate = None
        if notes.hosts:
            # Worked out once, when the certificate was read.
            self._end_point = self._context.get_app_data()
        elif self.peer_certificate is not None:
            self._end_point = end_point_binding(self.peer_certificate)
        if self.version == "TLSv1.3":
            # On TLS 1.2 an empty context and none give different values, and peers
            # disagree on which it is; there the other types have to do.
            self._exporter = connection.export_keying_material(_EXPORTER_LABEL, 32, b"")
        else:
            # The first Finished message, which is the client's where nothing is resumed
            # (RFC 5929, 3.1). Its known weakness needs a server that resumes sessions.
            self._unique = (
                connection.get_peer_finished() if notes.hosts else connection.get_finished()
            )
        self.is_established = True

    # Octets

    def recv(self, limit: int = RECORD_SIZE) -> bytes | Want:
        """Octets of one record at most, b"" at the end that the peer announced.

        TlsCut for an end it did not announce. After less than a record's worth ask
        `pending`, for the poll knows nothing of what is left.
        """
        try:
            return self._open_connection().recv(min(limit, RECORD_SIZE))
        except SSL.Error as error:
            return self._explain(error) or b""

    def send(self, data: bytes | memoryview) -> int | Want:
        """Send one record at most; returns how many octets of `data` it took.

        After a Want call again with the same octets, to which others may be added.
        """
        if not data:
            return 0
        try:
            return self._open_connection().send(data)
        except SSL.Error as error:
            want = self._explain(error)
            if want is None:
                self._fail(TlsCut("closed by the peer"))
            return want

    def pending(self) -> int:
        """Octets that `recv` has ready, whatever the poll says of the socket."""
        return 0 if self._connection is None else self._connection.pending()

    def shutdown(self) -> Want | Done:
        """Tell the peer that no more comes from us; does not wait for its answer.

        Not while a `send` still waits: nothing can overtake the record it began.
        """
        if not self.is_established or self._connection is None:
            return DONE
        try:
            self._connection.shutdown()
        except SSL.WantWriteError:
            return WANT_WRITE
        except SSL.Error:
            # Sent before, or there is nobody left to tell.
            pass
        return DONE

    def close(self) -> None:
        """Free what OpenSSL holds. The socket itself is its owner's to close."""
        self._connection = None

    def _open_connection(self) -> SSL.Connection:
        if self._connection is None:
            raise TlsCut("closed")
        return self._connection

    def _explain(self, error: SSL.Error) -> Want | None:
        """What to wait for, None for the announced end; raises TlsError for all else."""
        if isinstance(error, SSL.WantReadError):
            return WANT_READ
        if isinstance(error, SSL.WantWriteError):
            return WANT_WRITE
        if isinstance(error, SSL.ZeroReturnError):
            return None
        if isinstance(error, SSL.SysCallError):
            number = error.args[0]
            self._fail(TlsCut(os.strerror(number) if number > 0 else "connection cut"))
        reasons = [reason for *_, reason in error.args[0] if reason] if error.args else []
        self._fail(TlsError("; ".join(reasons) or "unknown error"))

    def _fail(self, error: TlsError) -> NoReturn:
        # After a fatal error not even a shutdown may follow.
        self.close()
        try:
            raise error from None
        finally:
            # It holds this frame, which must not hold it, and with it all that was called.
            del error

    # What was agreed

    def channel_bindings(self) -> dict[str, bytes]:
        """Data by the name of the channel binding type (RFC 9266, RFC 5929)."""
        bindings = {}
        if self._exporter is not None:
            bindings["tls-exporter"] = self._exporter
        if self._end_point is not None:
            bindings["tls-server-end-point"] = self._end_point
        if self._unique is not None:
            bindings["tls-unique"] = self._unique
        return bindings

    def peer_chain(self) -> list[x509.Certificate]:
        """All certificates that a server has sent, its own first.

        Of a socket that `TlsConnector.connect` has made with `keeps_chain`, while it is open.
        """
        try:
            chain = self._open_connection().get_peer_cert_chain(as_cryptography=True)
        except ValueError:
            # As with the peer's own: what cannot be read is none.
            chain = None
        return cast("list[x509.Certificate]", chain or [])

    @property
    def verify_error(self) -> str:
        """What is wrong with the peer's certificate; "" if a trusted authority vouches for it.

        Says nothing of whose certificate it is.
        """
        if self.peer_certificate is None:
            return "no certificate"
        if self._verify_error is None:
            return "not verified"
        return _verify_errors().get(self._verify_error, f"error {self._verify_error}")


@cache
def _verify_errors() -> dict[int, str]:
    texts = {
        code: name.removeprefix("ERR_").replace("_", " ").lower()
        for name, code in vars(SSL.X509VerificationCodes).items()
        if name.startswith("ERR_")
    }
    texts[SSL.X509VerificationCodes.OK] = ""
    return texts
