"""TLS for streams: which certificate whom, by what rules, and sockets made from that.

pyOpenSSL because the standard library's `ssl` has no exporter for channel binding and
aborts on a certificate that it cannot verify, so that no peer could fall back to
dialback. Importing this takes 60 ms: import it where there is a certificate.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from cryptography import x509
from OpenSSL import SSL

# The binding under pyOpenSSL, for what it has no method for.
from OpenSSL._util import lib
from OpenSSL.crypto import X509

from stonechat.errors import ConfigError
from stonechat.jid import domain_to_ascii, prepare_domain
from stonechat.net.certificates import (
    CertificatePaths,
    end_point_binding,
    make_self_signed,
)
from stonechat.net.tls_contexts import DEFAULT_CIPHERS, Contexts, ContextSet, MinimumVersion, Trust
from stonechat.net.tls_socket import (
    DONE,
    RECORD_SIZE,
    WANT_READ,
    WANT_WRITE,
    Done,
    Notes,
    TlsCut,
    TlsError,
    TlsSocket,
    Want,
)

__all__ = [
    "DEFAULT_CIPHERS",
    "DONE",
    "RECORD_SIZE",
    "WANT_READ",
    "WANT_WRITE",
    "CertificatePaths",
    "Done",
    "TlsConnector",
    "TlsContexts",
    "TlsCut",
    "TlsError",
    "TlsSocket",
    "Trust",
    "Want",
]

_log = logging.getLogger(__name__)

_PURPOSE_TLS_SERVER = 2  # X509_PURPOSE_SSL_SERVER


class TlsContexts(ContextSet):
    """The serving side: a certificate for each host, chosen by the name that the client sends.

    ConfigError if a file cannot be used. `trust` vouches for client certificates;
    `peers_are_servers` has them checked as what a server shows, for public authorities
    do not certify servers as clients any more.
    """

    def __init__(
        self,
        certificates: Mapping[str, CertificatePaths],
        default_host: str,
        *,
        minimum_version: MinimumVersion = "1.2",
        ciphers: str = DEFAULT_CIPHERS,
        groups: str = "",
        request_client_certificate: bool = False,
        trust: Trust = None,
        peers_are_servers: bool = False,
        alpn: Sequence[str] = (),
    ) -> None:
        super().__init__(
            certificates,
            minimum_version=minimum_version,
            ciphers=ciphers,
            groups=groups,
            trust=trust,
        )
        self._default_host = prepare_domain(default_host)
        if self._default_host not in self._certificates:
            raise ConfigError(f"the host {default_host} has no certificate")
        self._request = request_client_certificate
        self._peers_are_servers = peers_are_servers
        self._protocols = tuple(protocol.encode("ascii") for protocol in alpn)
        self._hosts: dict[bytes, tuple[str, SSL.Context]] = {}
        self.reload()

    def _pairs(self) -> Iterable[CertificatePaths]:
        return self._certificates.values()

    def _put_in_force(self, contexts: Contexts) -> None:
        super()._put_in_force(contexts)
        hosts: dict[bytes, tuple[str, SSL.Context]] = {}
        for host, pair in self._certificates.items():
            # RFC 6066 wants A-labels on the wire; some clients write what they show.
            for name in (domain_to_ascii(host), host):
                hosts[name.encode()] = (host, contexts[pair])
        self._hosts = hosts

    def accept(
        self, descriptor: int, host: str = "", *, request_certificate: bool = True
    ) -> TlsSocket:
        """The server's end of TLS on a non-blocking socket.

        `host` is the one the stream header was for: its certificate goes to a client
        that names no host in TLS, or one that is not served. A client that is not to be
        asked for a certificate is not, whatever `request_client_certificate` says.
        """
        hosts = self._hosts
        found = _find_host(hosts, host.encode()) or hosts[self._default_host.encode()]
        connection = _connection(found[1], descriptor, Notes(hosts, self._protocols))
        if self._request and not request_certificate:
            connection.set_verify(SSL.VERIFY_NONE)
        connection.set_accept_state()
        return _socket_class()(connection)

    def _make_context(self, pair: CertificatePaths | None) -> SSL.Context:
        context = super()._make_context(pair)
        context.set_tlsext_servername_callback(_choose_host)
        if self._protocols:
            context.set_alpn_select_callback(_choose_protocol)
        if self._request:
            context.set_verify(SSL.VERIFY_PEER, _note_verification)
        return context

    def _use_pair(self, context: SSL.Context, pair: CertificatePaths) -> x509.Certificate:
        certificate = super()._use_pair(context, pair)
        context.set_app_data(end_point_binding(certificate))
        return certificate

    def _load_trust(self, context: SSL.Context) -> object:
        store = super()._load_trust(context)
        if self._peers_are_servers:
            lib.X509_STORE_set_purpose(store, _PURPOSE_TLS_SERVER)
        return store


class TlsConnector(ContextSet):
    """The connecting side, to other servers: it accepts any certificate and says what is wrong.

    With a certificate in `certificates` for the host that connects, that is shown to
    the peer if it asks.
    """

    def __init__(
        self,
        certificates: Mapping[str, CertificatePaths] | None = None,
        *,
        minimum_version: MinimumVersion = "1.2",
        ciphers: str = DEFAULT_CIPHERS,
        groups: str = "",
        trust: Trust = "system",
    ) -> None:
        super().__init__(
            certificates or {},
            minimum_version=minimum_version,
            ciphers=ciphers,
            groups=groups,
            trust=trust,
        )
        self.reload()

    def _pairs(self) -> Iterable[CertificatePaths | None]:
        return [None, *self._certificates.values()]

    def connect(
        self,
        descriptor: int,
        server_name: str,
        *,
        host: str = "",
        alpn: Sequence[str] = (),
        keeps_chain: bool = False,
    ) -> TlsSocket:
        """The client's end of TLS on a non-blocking, connected socket.

        `server_name` is the domain we want to reach, `host` the one we connect for. With
        `keeps_chain` the socket has a `peer_chain`, and takes more memory.
        """
        notes = Notes({}, ())
        notes.server_name = prepare_domain(server_name)
        name = domain_to_ascii(server_name)
        connection = _connection(self._contexts[self._certificates.get(host)], descriptor, notes)
        # There is no naming an address (RFC 6066, 3).
        if not name.startswith("[") and not name.rpartition(".")[2].isdigit():
            connection.set_tlsext_host_name(name.encode("ascii"))
        if alpn:
            connection.set_alpn_protos([protocol.encode("ascii") for protocol in alpn])
        connection.set_connect_state()
        return (TlsSocket if keeps_chain else _socket_class())(connection)

    def _make_context(self, pair: CertificatePaths | None) -> SSL.Context:
        context = super()._make_context(pair)
        context.set_verify(SSL.VERIFY_PEER, _note_verification)
        return context


def _connection(context: SSL.Context, descriptor: int, notes: Notes) -> SSL.Connection:
    # The number and not the socket: who closes the socket must not find it held here.
    connection = SSL.Connection(context, descriptor)  # type: ignore[arg-type]
    connection.set_app_data(notes)
    return connection


def _find_host(
    hosts: Mapping[bytes, tuple[str, SSL.Context]], name: bytes
) -> tuple[str, SSL.Context] | None:
    """The host of this name, or the one that it is a subdomain of: its services live there."""
    while name:
        found = hosts.get(name)
        if found is not None:
            return found
        name = name.partition(b".")[2]
    return None


# OpenSSL calls these in the midst of its own work: they must not block, switch or raise.


def _choose_host(connection: SSL.Connection) -> None:
    name = connection.get_servername()
    if name is not None:
        name = name.lower().removesuffix(b".")
        notes: Notes = connection.get_app_data()
        # No other way to write a host that is served: it gets the default certificate
        # and learns the rest from the answer to its stream header.
        notes.server_name = name.decode("ascii", "backslashreplace")
        found = _find_host(notes.hosts, name)
        if found is not None:
            host, context = found
            connection.set_context(context)
            if name in notes.hosts:
                notes.server_name = host


def _choose_protocol(
    connection: SSL.Connection, offered: list[bytes]
) -> bytes | SSL._NoOverlappingProtocols:
    notes: Notes = connection.get_app_data()
    for protocol in notes.protocols:
        if protocol in offered:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS


def _note_verification(
    connection: SSL.Connection, certificate: X509, error: int, depth: int, is_good: int
) -> bool:
    notes: Notes = connection.get_app_data()
    # Called for each certificate and each fault: the first fault counts, and none is forgiven.
    if not notes.verify_error:
        notes.verify_error = error
    return True


@cache
def _socket_class() -> type[TlsSocket]:
    """The direct way if it works with the installed libraries, else pyOpenSSL's methods."""
    try:
        from stonechat.net.tls_direct import DirectTlsSocket

        _try_out(DirectTlsSocket)
    # Whatever is wrong with it, the slower way is right.
    except Exception as error:  # noqa: BLE001 - see above
        _log.warning("TLS goes the slow way: %r", error)
        return TlsSocket
    return DirectTlsSocket


def _try_out(kind: type[TlsSocket]) -> None:
    """A connection with ourselves; raises if anything is not as it should be."""
    certificate, key = make_self_signed(["localhost"], days=1)
    serving = SSL.Context(SSL.TLS_METHOD)
    serving.use_certificate(certificate)
    serving.use_privatekey(key)
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        server = kind(_connection(serving, one.fileno(), Notes({}, ())))
        client = kind(_connection(SSL.Context(SSL.TLS_METHOD), other.fileno(), Notes({}, ())))
        server._open_connection().set_accept_state()
        client._open_connection().set_connect_state()
        for _ in range(4):
            for end in (client, server):
                if not end.is_established:
                    end.handshake()
        sent = b"stonechat" * 200
        outcome = [
            server.recv(),
            client.send(sent),
            client.send(memoryview(sent)[:9]),
            server.recv(),
            server.recv(4),
            server.pending(),
            server.recv(),
            client.shutdown(),
            server.recv(),
            server.shutdown(),
        ]
    expected = [WANT_READ, 1800, 9, sent, b"ston", 5, b"echat", DONE, b"", DONE]
    if outcome != expected:
        raise RuntimeError(f"a trial connection went {outcome}, not {expected}")
