"""Which certificate a client sees, and what both ends agree on."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from tls_names import names

from stonechat.errors import ConfigError
from stonechat.net import tls_contexts
from stonechat.net.certificates import CertificatePaths, read_chain
from stonechat.net.tls import TlsConnector, TlsContexts, TlsError

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
