"""Certificates of clients, and who vouches for them."""

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tls_names import HOSTS, names

from stonechat.net.tls import TlsConnector, TlsContexts


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
