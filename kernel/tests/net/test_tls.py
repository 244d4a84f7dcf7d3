"""Which certificate a client sees, what both ends agree on, and files that change."""

import os
import re
import select
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stonechat.errors import ConfigError
from stonechat.net import tls_contexts
from stonechat.net.certificates import CertificatePaths, read_chain, write_self_signed
from stonechat.net.tls import (
    DONE,
    TlsConnector,
    TlsContexts,
    TlsError,
)

HOSTS = ("capulet.example", "montague.example", "bücher.example")


def names(tls):
    """The DNS names of the certificate that the peer sent."""
    extension = tls.peer_certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return extension.value.get_values_for_type(x509.DNSName)


@pytest.fixture
def pairs(authority):
    a_labels = ("capulet.example", "montague.example", "xn--bcher-kva.example")
    return {host: authority.issue(name) for host, name in zip(HOSTS, a_labels, strict=True)}


@pytest.fixture
def contexts(pairs):
    return TlsContexts(pairs, "capulet.example", alpn=["xmpp-client"])


@pytest.fixture
def connector(authority):
    return TlsConnector(trust=authority.path)


# The choice of a certificate


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("montague.example", "montague.example"),
        ("Montague.Example", "montague.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("conference.montague.example", "montague.example"),
        ("verona.example", "capulet.example"),
        ("[::1]", "capulet.example"),
    ],
)
def test_the_name_that_a_client_sends_chooses_the_certificate(
    wire, contexts, connector, asked, shown
):
    _, client = wire.connect(contexts, connector, asked)
    assert names(client) == [shown]
    assert client.verify_error == ""


@pytest.mark.parametrize(
    ("sent", "shown", "understood"),
    [
        (b"MONTAGUE.EXAMPLE.", "montague.example", "montague.example"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example"),
        ("bücher.example".encode(), "xn--bcher-kva.example", "bücher.example"),
        (b"\xff\xfe.example", "capulet.example", "\\xff\\xfe.example"),
        (b"upload.montague.example", "montague.example", "upload.montague.example"),
        (b"x" * 255, "capulet.example", "x" * 255),
    ],
)
def test_a_name_is_understood_however_it_is_written(
    wire, contexts, connector, monkeypatch, sent, shown, understood
):
    monkeypatch.setattr("stonechat.net.tls.domain_to_ascii", lambda domain: Name(sent))
    server, client = wire.connect(contexts, connector)
    assert server.server_name == understood
    assert names(client) == [shown]


class Name(str):
    """A text whose octets are what a test says, so that a client sends just these."""

    def __new__(cls, octets):
        text = super().__new__(cls, "a.name")
        text.octets = octets
        return text

    def encode(self, *_):
        return self.octets


def test_without_a_name_the_host_of_the_stream_header_counts(wire, contexts, connector):
    server, client = wire.connect(contexts, connector, "192.0.2.1", host="montague.example")
    assert server.server_name == ""
    assert names(client) == ["montague.example"]


def test_without_any_name_the_default_host_counts(wire, contexts, connector):
    _, client = wire.connect(contexts, connector, "192.0.2.1")
    assert names(client) == ["capulet.example"]


def test_a_name_in_tls_outweighs_the_stream_header(wire, contexts, connector):
    _, client = wire.connect(contexts, connector, "capulet.example", host="montague.example")
    assert names(client) == ["capulet.example"]


def test_the_whole_chain_is_sent(wire, authority):
    deputy_key = ec.generate_private_key(ec.SECP256R1())
    deputy_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Escalus")])
    deputy = authority.sign(deputy_name, deputy_key, is_authority=True)
    root, authority.subject, authority.key = authority.path, deputy_name, deputy_key
    pair = authority.issue("capulet.example")
    chain = pair.chain.read_bytes() + deputy.public_bytes(serialization.Encoding.PEM)
    pair = CertificatePaths(authority.write(chain), pair.key)
    contexts = TlsContexts({"capulet.example": pair}, "capulet.example")
    _, client = wire.connect(contexts, TlsConnector(trust=root))
    assert client.verify_error == ""


# What both ends agree on


def test_both_ends_know_what_was_agreed(wire, contexts, connector):
    server, client = wire.connect(contexts, connector, alpn=["xmpp-server", "xmpp-client"])
    for end in (server, client):
        assert end.version == "TLSv1.3"
        assert end.cipher.startswith("TLS_")
        assert end.alpn == "xmpp-client"
        assert end.server_name == "capulet.example"


def test_without_a_protocol_in_common_the_connection_goes_on_without(wire, contexts, connector):
    server, client = wire.connect(contexts, connector, alpn=["xmpp-server"])
    assert server.alpn == client.alpn == ""


def test_the_server_s_order_of_protocols_counts(wire, pairs, connector):
    contexts = TlsContexts(pairs, "capulet.example", alpn=["xmpp-client", "http/1.1"])
    server, _ = wire.connect(contexts, connector, alpn=["http/1.1", "xmpp-client"])
    assert server.alpn == "xmpp-client"


@pytest.mark.parametrize("group", ["X25519", "P-256"])
def test_key_exchange_groups_can_be_limited(wire, pairs, group):
    contexts = TlsContexts(pairs, "capulet.example", groups=group)
    server, _ = wire.connect(contexts)
    assert server.is_established
    other = {"X25519": "P-256", "P-256": "X25519"}[group]
    with pytest.raises(TlsError):
        wire.connect(contexts, TlsConnector(trust=None, groups=other))


# Channel binding


@pytest.fixture
def only_tls_1_2(monkeypatch):
    """Clients that stop at TLS 1.2."""
    make = TlsConnector._make_context

    def make_old(self, pair):
        context = make(self, pair)
        context.set_max_proto_version(tls_contexts.SSL.TLS1_2_VERSION)
        return context

    monkeypatch.setattr(TlsConnector, "_make_context", make_old)


def test_both_ends_have_the_same_channel_bindings(wire, contexts, connector):
    server, client = wire.connect(contexts, connector)
    assert server.channel_bindings() == client.channel_bindings()
    assert set(server.channel_bindings()) == {"tls-exporter", "tls-server-end-point"}
    assert len(server.channel_bindings()["tls-exporter"]) == 32


def test_each_connection_exports_another_value(wire, contexts, connector):
    one, _ = wire.connect(contexts, connector)
    other, _ = wire.connect(contexts, connector)
    assert one.channel_bindings()["tls-exporter"] != other.channel_bindings()["tls-exporter"]


@pytest.mark.usefixtures("only_tls_1_2")
def test_on_tls_1_2_nothing_is_exported_but_each_connection_is_unique(wire, contexts, authority):
    connector = TlsConnector(trust=authority.path)
    server, client = wire.connect(contexts, connector)
    other, _ = wire.connect(contexts, connector)
    assert server.version == client.version == "TLSv1.2"
    assert set(server.channel_bindings()) == {"tls-server-end-point", "tls-unique"}
    assert server.channel_bindings() == client.channel_bindings()
    assert server.channel_bindings()["tls-unique"] != other.channel_bindings()["tls-unique"]


def test_the_end_point_is_that_of_the_certificate_that_was_sent(wire, contexts, pairs, connector):
    for host in ("capulet.example", "montague.example"):
        server, _ = wire.connect(contexts, connector, host)
        [certificate] = read_chain(pairs[host].chain)
        digest = certificate.fingerprint(hashes.SHA256())
        assert server.channel_bindings()["tls-server-end-point"] == digest


def eddsa_pair(authority):
    key = ed25519.Ed25519PrivateKey.generate()
    now = authority.certificate
    certificate = (
        x509.CertificateBuilder()
        .subject_name(authority.subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now.not_valid_before_utc)
        .not_valid_after(now.not_valid_after_utc)
        .sign(key, None)
    )
    return authority.store(certificate, key)


def test_an_eddsa_certificate_has_no_end_point_and_the_client_s_is_not_taken_for_it(
    wire, authority
):
    contexts = TlsContexts(
        {"capulet.example": eddsa_pair(authority)},
        "capulet.example",
        request_client_certificate=True,
    )
    juliet = TlsConnector({"juliet.example": authority.issue("juliet.example")}, trust=None)
    server, client = wire.connect(contexts, juliet, client_host="juliet.example")
    assert server.peer_certificate is not None
    assert set(server.channel_bindings()) == {"tls-exporter"}
    assert server.channel_bindings() == client.channel_bindings()


# Certificates of clients


@pytest.fixture
def present(wire, authority, pairs):
    """The server's end of a connection to which the client came with this certificate."""

    def present(pair, **options):
        options = {"trust": authority.path, "request_client_certificate": True} | options
        contexts = TlsContexts(pairs, "capulet.example", **options)
        connector = TlsConnector({"romeo.example": pair} if pair else {}, trust=None)
        server, _ = wire.connect(contexts, connector, client_host="romeo.example")
        return server

    return present


def test_a_certificate_that_the_authority_vouches_for_has_no_error(present, authority):
    server = present(authority.issue("romeo.example"))
    assert server.verify_error == ""
    assert names(server) == ["romeo.example"]


def test_a_self_signed_certificate_is_let_in_with_its_error(present, authority):
    server = present(authority.issue("romeo.example", self_signed=True))
    assert server.verify_error == "depth zero self signed cert"
    assert names(server) == ["romeo.example"]


def test_an_expired_certificate_is_let_in_with_its_error(present, authority):
    server = present(authority.issue("romeo.example", days=(-30, -1)))
    assert server.verify_error == "cert has expired"


@pytest.fixture
def stranger(authority, tmp_path):
    """An authority that nobody knows."""
    directory = tmp_path / "mantua"
    directory.mkdir()
    return type(authority)(directory, "The Apothecary")


def test_a_certificate_of_an_unknown_authority_is_let_in_with_its_error(present, stranger):
    server = present(stranger.issue("romeo.example"))
    assert server.verify_error == "unable to get issuer cert locally"


def test_nobody_vouches_where_no_authority_is_configured(present, authority):
    server = present(authority.issue("romeo.example"), trust=None)
    assert server.verify_error == "unable to get issuer cert locally"


def test_a_client_may_come_without_a_certificate(present):
    server = present(None)
    assert server.peer_certificate is None
    assert server.verify_error == "no certificate"


def test_nobody_is_asked_for_a_certificate_by_default(present, authority):
    server = present(authority.issue("romeo.example"), request_client_certificate=False)
    assert server.peer_certificate is None


@pytest.mark.parametrize("host", HOSTS)
def test_one_port_may_ask_for_certificates_and_another_not(wire, authority, pairs, host):
    contexts = TlsContexts(
        pairs, "capulet.example", request_client_certificate=True, trust=authority.path
    )
    romeo = TlsConnector({"romeo.example": authority.issue("romeo.example")}, trust=None)
    asked, _ = wire.connect(contexts, romeo, host, client_host="romeo.example")
    assert asked.peer_certificate is not None
    unasked, _ = wire.connect(
        contexts, romeo, host, client_host="romeo.example", request_certificate=False
    )
    assert unasked.peer_certificate is None
    assert unasked.server_name == host


@pytest.mark.parametrize(
    ("usage", "as_client", "as_server"),
    [
        (ExtendedKeyUsageOID.SERVER_AUTH, "invalid purpose", ""),
        (ExtendedKeyUsageOID.CLIENT_AUTH, "", "invalid purpose"),
        (ExtendedKeyUsageOID.EMAIL_PROTECTION, "invalid purpose", "invalid purpose"),
    ],
)
def test_a_server_that_connects_is_checked_as_a_server(
    present, authority, usage, as_client, as_server
):
    pair = authority.issue("montague.example", usages=[usage])
    assert present(pair).verify_error == as_client
    assert present(pair, peers_are_servers=True).verify_error == as_server


def test_every_host_has_the_same_authorities(wire, authority, pairs):
    contexts = TlsContexts(
        pairs, "capulet.example", request_client_certificate=True, trust=authority.path
    )
    romeo = TlsConnector({"romeo.example": authority.issue("romeo.example")}, trust=None)
    for host in HOSTS:
        server, _ = wire.connect(contexts, romeo, host, client_host="romeo.example")
        assert server.verify_error == ""


def test_a_client_says_what_is_wrong_with_the_server_and_goes_on(wire, authority):
    pair = authority.issue("capulet.example", self_signed=True)
    contexts = TlsContexts({"capulet.example": pair}, "capulet.example")
    _, client = wire.connect(contexts, TlsConnector(trust="system"))
    assert client.verify_error == "depth zero self signed cert"


# Files that change


def renew(authority, pair, host="capulet.example"):
    fresh = authority.issue(host)
    pair.key.write_bytes(fresh.key.read_bytes())
    fresh.chain.replace(pair.chain)


def test_a_reload_shows_new_clients_the_new_certificate(wire, contexts, pairs, authority):
    connector = TlsConnector(trust=authority.path)
    old_server, old_client = wire.connect(contexts, connector)
    assert not contexts.stale()
    renew(authority, pairs["capulet.example"])
    assert contexts.stale()
    contexts.reload()
    assert not contexts.stale()
    new_server, new_client = wire.connect(contexts, connector)
    assert new_client.peer_certificate != old_client.peer_certificate
    assert new_client.channel_bindings() == new_server.channel_bindings()
    assert old_client.channel_bindings() == old_server.channel_bindings()
    old_client.send(b"I am fortune's fool")
    assert old_server.recv() == b"I am fortune's fool"


def test_a_handshake_under_way_is_not_disturbed_by_a_reload(wire, contexts, pairs, authority):
    one, other = wire.sockets()
    server = contexts.accept(one.fileno())
    client = TlsConnector(trust=authority.path).connect(other.fileno(), "montague.example")
    client.handshake()
    renew(authority, pairs["montague.example"], "montague.example")
    contexts.reload()
    server.handshake()
    assert client.handshake() is DONE
    assert server.handshake() is DONE
    assert client.channel_bindings() == server.channel_bindings()


@pytest.mark.parametrize("part", ["chain", "key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_bad_file_is_named_and_the_old_certificate_stays(
    wire, contexts, connector, pairs, part, content
):
    path: Path = getattr(pairs["montague.example"], part)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert contexts.stale()
    with pytest.raises(ConfigError) as caught:
        contexts.reload()
    [problem] = caught.value.problems
    assert problem.startswith(f"{path}: ")
    for host in ("capulet.example", "montague.example"):
        _, client = wire.connect(contexts, connector, host)
        assert names(client) == [host]
    assert contexts.stale()


def test_every_bad_file_is_named_at_once(contexts, pairs):
    for host in ("capulet.example", "montague.example"):
        pairs[host].chain.write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        contexts.reload()
    assert len(caught.value.problems) == 2


def test_a_changed_file_of_authorities_is_noticed_and_read(wire, authority, stranger):
    trusted = authority.write(authority.path.read_bytes())
    contexts = TlsContexts(
        {"capulet.example": authority.issue("capulet.example")},
        "capulet.example",
        request_client_certificate=True,
        trust=trusted,
    )
    romeo = TlsConnector({"romeo.example": stranger.issue("romeo.example")}, trust=None)
    server, _ = wire.connect(contexts, romeo, client_host="romeo.example")
    assert server.verify_error
    with trusted.open("ab") as file:
        file.write(stranger.path.read_bytes())
    assert contexts.stale()
    contexts.reload()
    server, _ = wire.connect(contexts, romeo, client_host="romeo.example")
    assert server.verify_error == ""


def test_a_connector_reads_its_files_again_too(wire, contexts, authority):
    pair = authority.issue("romeo.example")
    connector = TlsConnector({"romeo.example": pair}, trust=authority.path)
    renew(authority, pair, "romeo.example")
    assert connector.stale()
    connector.reload()
    assert not connector.stale()
    pair.key.write_bytes(b"")
    with pytest.raises(ConfigError, match=str(pair.key)):
        connector.reload()
    _, client = wire.connect(contexts, connector, client_host="romeo.example")
    assert client.is_established


# Configuration that cannot be


def test_a_default_host_without_a_certificate_is_refused(pairs):
    with pytest.raises(ConfigError, match=r"verona\.example"):
        TlsContexts(pairs, "verona.example")


@pytest.mark.parametrize("ciphers", ["ROT13", "", "é"])
def test_ciphers_that_do_not_exist_are_refused(pairs, ciphers):
    with pytest.raises(ConfigError, match="cipher"):
        TlsContexts(pairs, "capulet.example", ciphers=ciphers)


@pytest.mark.parametrize("groups", ["Montague", "é", "X25519:ROT13"])
def test_groups_that_do_not_exist_are_refused(pairs, groups):
    with pytest.raises(ConfigError, match="group"):
        TlsContexts(pairs, "capulet.example", groups=groups)


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_file_of_authorities_that_holds_none_is_named(pairs, tmp_path, content):
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=str(path)):
        TlsContexts(pairs, "capulet.example", trust=path)


def test_a_key_too_weak_for_tls_is_refused_with_its_file(authority):
    pair = authority.issue("capulet.example", key=rsa.generate_private_key(65537, 1024))  # noqa: S505
    with pytest.raises(ConfigError, match=f"{pair.chain}: cannot be used: .*too small"):
        TlsContexts({"capulet.example": pair}, "capulet.example")


# OpenSSL's own client as a witness that shares no code with us


class Witness:
    """`openssl s_client`, connected to one TlsSocket of ours."""

    def __init__(self, server, sock, process):
        self.server = server
        self.sock = sock
        self.process = process

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def await_error(self, text):
        """Read what it says to its user, until it says this."""
        seen = b""
        while text.encode() not in seen:
            assert select.select([self.process.stderr], [], [], 20)[0], seen
            read = os.read(self.process.stderr.fileno(), 4096)
            assert read, seen
            seen += read

    def leave(self):
        """What it printed, after we have ended the connection."""
        self.server.shutdown()
        self.sock.close()
        return "".join(self.process.communicate(timeout=30))


@pytest.fixture
def witness(finish):
    @contextmanager
    def connect(contexts, *arguments):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            host, port = listener.getsockname()
            with subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{host}:{port}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                try:
                    sock, _ = listener.accept()
                    with sock:
                        sock.setblocking(False)
                        server = contexts.accept(sock.fileno())
                        yield Witness(server, sock, process)
                finally:
                    process.kill()

    return connect


def printed(output, label):
    return re.search(rf"^ *{label}: *(\S*)", output, re.MULTILINE)[1]


def test_openssl_exports_the_same_channel_binding(witness, contexts, finish):
    with witness(
        contexts,
        "-tls1_3",
        "-keymatexport",
        "EXPORTER-Channel-Binding",
        "-keymatexportlen",
        "32",
    ) as client:
        finish(client.sock, client.server.handshake)
        exported = client.server.channel_bindings()["tls-exporter"]
        assert printed(client.leave(), "Keying material") == exported.hex().upper()


def test_openssl_sees_the_certificate_and_the_protocol_of_the_host_it_names(
    witness, contexts, finish, authority
):
    with witness(
        contexts,
        "-servername", "montague.example",
        "-alpn", "xmpp-client",
        "-CAfile", str(authority.path),
        "-verify_hostname", "montague.example",
    ) as client:  # fmt: skip
        finish(client.sock, client.server.handshake)
        assert client.server.server_name == "montague.example"
        output = client.leave()
    assert printed(output, "ALPN protocol") == "xmpp-client"
    assert "Verify return code: 0 (ok)" in output
    assert "Verified peername: montague.example" in output


def test_openssl_may_come_with_a_certificate_that_nobody_signed(witness, pairs, finish, tmp_path):
    contexts = TlsContexts(pairs, "capulet.example", request_client_certificate=True)
    chain, key = tmp_path / "romeo.pem", tmp_path / "romeo.key"
    write_self_signed(["romeo.example"], chain, key)
    with witness(contexts, "-cert", str(chain), "-key", str(key)) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.verify_error == "depth zero self signed cert"
        assert [client.server.peer_certificate] == read_chain(chain)


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
)
def test_openssl_may_come_with_tls_1_2_and_good_ciphers(witness, contexts, finish, cipher):
    with witness(contexts, "-tls1_2", "-cipher", cipher) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.version == "TLSv1.2"
        assert client.server.cipher == cipher
        client.type("But soft\n")
        assert finish(client.sock, client.server.recv) == b"But soft\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    ],
)
def test_weak_ciphers_and_old_versions_are_refused(witness, contexts, finish, arguments):
    with witness(contexts, *arguments) as client, pytest.raises(TlsError):
        finish(client.sock, client.server.handshake)


def test_tls_1_2_is_refused_where_1_3_is_demanded(witness, pairs, finish):
    contexts = TlsContexts(pairs, "capulet.example", minimum_version="1.3")
    with witness(contexts, "-tls1_2") as client, pytest.raises(TlsError, match="protocol"):
        finish(client.sock, client.server.handshake)
    with witness(contexts) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.version == "TLSv1.3"


def test_key_updates_change_nothing_for_the_reader(witness, contexts, finish):
    with witness(contexts, "-tls1_3") as client:
        finish(client.sock, client.server.handshake)
        client.type("K\n")  # a command of s_client: update the keys, yours too
        client.await_error("KEYUPDATE")
        client.type("Parting is such sweet sorrow\n")
        assert finish(client.sock, client.server.recv) == b"Parting is such sweet sorrow\n"
        assert client.server.send(b"Good night") == 10
        assert "Good night" in client.leave()
