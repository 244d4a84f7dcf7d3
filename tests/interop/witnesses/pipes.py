"""Ways to carry a stream to the server: pyOpenSSL, and `openssl s_client` as a program."""

from __future__ import annotations

import hashlib
import os
import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from OpenSSL import SSL

from stonechat.testing.process import LOCALHOST
from witnesses import DEADLINE

T = TypeVar("T")

HEADER = (
    "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)
EXPORTER = "EXPORTER-Channel-Binding"


class Pipe(Protocol):
    """Carries octets under TLS, and knows what the login can be bound to."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> bytes:
        """What has come, at least one octet; b"" at the end."""

    def bindings(self) -> dict[str, bytes]: ...

    def close(self) -> None: ...


def open_socket(port: int, before: bytes = b"", address: str = LOCALHOST) -> socket.socket:
    """A connection; `before` goes out before anything else."""
    connection = socket.create_connection((address, port), DEADLINE)
    connection.sendall(before)
    return connection


def ask_for_tls(connection: socket.socket, domain: str) -> None:
    """STARTTLS (RFC 6120, 5.4), up to where TLS begins."""
    answer = b""
    for request, end in (
        (HEADER.format(domain=domain), b"</stream:features>"),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b"/>"),
    ):
        connection.sendall(request.encode())
        answer = b""
        while end not in answer:
            piece = connection.recv(4096)
            assert piece, f"the stream ended after {answer!r}"
            answer += piece
    assert b"<proceed" in answer, answer


class PyOpenSslPipe:
    """TLS by pyOpenSSL, which can export keys."""

    def __init__(
        self,
        connection: socket.socket,
        domain: str,
        trusted: Path,
        *,
        version: int = SSL.TLS1_3_VERSION,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.load_verify_locations(str(trusted))
        context.set_verify(SSL.VERIFY_PEER)
        if certificate is not None:
            context.use_certificate_chain_file(str(certificate[0]))
            context.use_privatekey_file(str(certificate[1]))
        connection.setblocking(False)
        self._socket = connection
        self._tls = SSL.Connection(context, connection)
        self._tls.set_tlsext_host_name(domain.encode("idna"))
        self._tls.set_connect_state()
        self._work(self._tls.do_handshake)

    def _work(self, call: Callable[..., T], *arguments: Any) -> T:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return call(*arguments)
            except SSL.WantReadError:
                wanted: tuple[list[Any], list[Any]] = ([self._socket], [])
            except SSL.WantWriteError:
                wanted = ([], [self._socket])
            left = deadline - time.monotonic()
            assert left > 0, "the server says nothing"
            select.select(*wanted, [], left)

    def send(self, data: bytes) -> None:
        while data:
            data = data[self._work(self._tls.send, data) :]

    def receive(self) -> bytes:
        try:
            return self._work(self._tls.recv, 65536)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return b""

    def bindings(self) -> dict[str, bytes]:
        certificate = self._tls.get_peer_certificate(as_cryptography=True)
        found = {
            "tls-server-end-point": certificate.fingerprint(certificate.signature_hash_algorithm)
        }
        if self._tls.get_protocol_version() >= SSL.TLS1_3_VERSION:
            found["tls-exporter"] = self._tls.export_keying_material(EXPORTER.encode(), 32, b"")
        else:
            found["tls-unique"] = self._tls.get_finished()
        return found

    def close(self) -> None:
        self._socket.close()


class SClientPipe:
    """TLS by the program `openssl s_client`, which says what it exports."""

    def __init__(self, port: int, domain: str, trusted: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                *("openssl", "s_client", "-nocommands", "-connect", f"{LOCALHOST}:{port}"),
                *("-starttls", "xmpp", "-xmpphost", domain, "-servername", domain),
                *("-CAfile", str(trusted), "-verify_return_error", "-verify_hostname", domain),
                *("-keymatexport", EXPORTER, "-keymatexportlen", "32", *options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._said = ""
        while not re.search(r"Keying material: [0-9A-F]{64}\n[\s\S]*---\n", self._said):
            piece = self.receive()
            assert piece, f"s_client ended:\n{self._said}"
            self._said += piece.decode(errors="replace")

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def receive(self) -> bytes:
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        assert select.select([output], [], [], DEADLINE)[0], f"s_client is silent:\n{self._said}"
        return os.read(output, 65536)

    def bindings(self) -> dict[str, bytes]:
        exported = re.search(r"Keying material: ([0-9A-F]{64})", self._said)
        certificate = re.search(r"-----BEGIN CERT[\s\S]*?END CERTIFICATE-----\n", self._said)
        assert exported is not None, self._said
        assert certificate is not None, self._said
        return {
            "tls-exporter": bytes.fromhex(exported[1]),
            # Ours are signed with SHA-256 (RFC 5929, 4.1).
            "tls-server-end-point": hashlib.sha256(
                ssl.PEM_cert_to_DER_cert(certificate[0])
            ).digest(),
        }

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
