"""A small authority that certifies whatever a test needs, and both ends of a TLS connection."""

from __future__ import annotations

import itertools
import select
import socket
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stonechat.net import tls
from stonechat.net.certificates import CertificatePaths
from stonechat.net.tls_direct import DirectTlsSocket
from stonechat.net.tls_socket import TlsSocket

DEADLINE_MS = 20_000


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Makes certificates and the PEM files that hold them."""

    def __init__(self, directory: Path, common_name: str = "The Prince of Verona") -> None:
        self.directory = directory
        self.numbers = itertools.count(1)
        self.subject = name(common_name)
        self.key = new_key()
        self.certificate = self.sign(self.subject, self.key, is_authority=True)
        self.path = self.write(serialization_of(self.certificate))

    def sign(
        self,
        subject,
        key,
        names=(),
        *,
        issuer=None,
        is_authority=False,
        usages=None,
        days=(-1, 30),
        algorithm=None,
    ):
        """A certificate by this authority, or by the subject itself with `issuer=key`."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject if issuer is None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days[0]))
            .not_valid_after(now + timedelta(days[1]))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(issuer or self.key, algorithm or hashes.SHA256())

    def issue(self, host, *, key=None, self_signed=False, names=None, **options):
        """Files of a certificate for `host`."""
        key = key or new_key()
        certificate = self.sign(
            name(host),
            key,
            names or [x509.DNSName(host)],
            issuer=key if self_signed else None,
            **options,
        )
        return self.store(certificate, key)

    def store(self, certificate, key):
        return CertificatePaths(
            self.write(serialization_of(certificate)), self.write(serialization_of(key))
        )

    def write(self, content: bytes) -> Path:
        path = self.directory / f"{next(self.numbers)}.pem"
        path.write_bytes(content)
        return path


def serialization_of(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(params=[DirectTlsSocket, TlsSocket])
def kind(request, monkeypatch):
    """Both ways to move octets, one after the other."""
    monkeypatch.setattr(tls, "_socket_class", lambda: request.param)
    return request.param


class Wire:
    """Pairs of sockets with TLS at their ends, closed when the test ends."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def sockets(self):
        pair = socket.socketpair()
        for end in pair:
            self.stack.enter_context(end)
            end.setblocking(False)
        return pair

    def connect(self, contexts, connector=None, server_name="capulet.example", **options):
        """A server's and a client's end, their handshake done."""
        one, other = self.sockets()
        connector = connector or tls.TlsConnector(trust=None)
        server = contexts.accept(one.fileno(), options.pop("host", ""))
        client = connector.connect(
            other.fileno(), server_name, host=options.pop("client_host", ""), **options
        )
        # What they wait for decides whose turn it is, so that neither can hang.
        for _ in range(10):
            for end in (client, server):
                if not end.is_established:
                    end.handshake()
        assert server.is_established
        assert client.is_established
        return server, client


@pytest.fixture
def wire():
    with ExitStack() as stack:
        yield Wire(stack)


def wait_for(sock: socket.socket, want: tls.Want) -> None:
    """Block until the socket is ready for what TLS wants."""
    poll = select.poll()
    poll.register(sock, select.POLLIN if want is tls.WANT_READ else select.POLLOUT)
    assert poll.poll(DEADLINE_MS), "nothing came in time"


@pytest.fixture
def finish():
    """Calls a TLS method until it has done what it was to do."""

    def finish(sock, method, *arguments):
        while isinstance(result := method(*arguments), tls.Want):
            wait_for(sock, result)
        return result

    return finish


@pytest.fixture
def capulet(authority):
    """Contexts of a server for capulet.example alone."""
    return tls.TlsContexts(
        {"capulet.example": authority.issue("capulet.example")}, "capulet.example"
    )
