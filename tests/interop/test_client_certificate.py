"""SASL EXTERNAL: a client's certificate in the place of a password (XEP-0178)."""

import pytest
from witnesses.authority import Authority
from witnesses.cast import PASSWORD
from witnesses.node import CAPULET
from witnesses.own_client import LoginRefused

from stonechat.testing import LoginFailed

JULIET = "juliet@capulet.example"


@pytest.fixture
def present(connect):
    """Opens a stream on the port that asks for certificates, with one of them."""
    return lambda certificate, domain=CAPULET: connect(
        direct_tls=True, certificate=certificate, domain=domain
    )


def test_slixmpp_logs_in_by_a_certificate_alone(cast, node):
    cast.account(JULIET)
    juliet = cast.stranger(
        f"{JULIET}/balcony",
        "no password of hers",
        direct_tls=True,
        certificate=node.client_authority.for_account(JULIET),
    )
    juliet.connect()
    assert juliet.mechanism == "EXTERNAL"
    assert juliet.jid == f"{JULIET}/balcony"
    juliet.sync()


@pytest.mark.parametrize("authzid", ["", JULIET])
def test_the_account_may_be_named_or_taken_from_the_certificate(cast, present, node, authzid):
    cast.account(JULIET)
    client = present(node.client_authority.for_account(JULIET))
    assert client.mechanisms[0] == "EXTERNAL"
    client.log_in_at_once("EXTERNAL", authzid)
    assert client.bind("balcony") == f"{JULIET}/balcony"


def test_of_several_accounts_one_has_to_be_named(cast, present, node):
    cast.account(JULIET)
    cast.account("nurse@capulet.example")
    certificate = node.client_authority.for_account(JULIET, "nurse@capulet.example")
    client = present(certificate)
    with pytest.raises(LoginRefused, match="invalid-authzid"):
        client.log_in_at_once("EXTERNAL", "")
    client.log_in_at_once("EXTERNAL", "nurse@capulet.example")
    assert client.bind("house") == "nurse@capulet.example/house"


def test_nobody_logs_in_by_the_certificate_of_another(cast, present, node):
    cast.account(JULIET)
    client = present(node.client_authority.for_account("tybalt@capulet.example"))
    with pytest.raises(LoginRefused, match="not-authorized"):
        client.log_in_at_once("EXTERNAL", JULIET)
    cast.account("tybalt@capulet.example")
    with pytest.raises(LoginRefused, match="invalid-authzid"):
        client.log_in_at_once("EXTERNAL", JULIET)


def test_a_certificate_is_for_the_host_that_it_names(cast, present, node):
    cast.account(JULIET)
    cast.account("juliet@montague.example")
    client = present(node.client_authority.for_account(JULIET), "montague.example")
    assert "EXTERNAL" not in client.mechanisms
    both = node.client_authority.for_account(JULIET, "juliet@montague.example")
    present(both, "montague.example").log_in_at_once("EXTERNAL", "")


def test_a_certificate_outlives_an_account_in_vain(cast, present, node):
    certificate = node.client_authority.for_account("rosaline@capulet.example")
    with pytest.raises(LoginRefused, match="not-authorized"):
        present(certificate).log_in_at_once("EXTERNAL", "rosaline@capulet.example")


def test_a_certificate_of_an_unknown_authority_opens_nothing_but_does_no_harm(
    cast, present, tmp_path
):
    cast.account(JULIET)
    certificate = Authority(tmp_path, "Forgers").for_account(JULIET)
    client = present(certificate)
    assert "EXTERNAL" not in client.mechanisms
    with pytest.raises(LoginRefused, match="invalid-mechanism"):
        client.log_in_at_once("EXTERNAL", JULIET)
    client.log_in_at_once("PLAIN", f"\0juliet\0{PASSWORD}")
    # slixmpp does likewise by itself.
    juliet = cast.stranger(f"{JULIET}/balcony", direct_tls=True, certificate=certificate)
    juliet.connect()
    assert juliet.mechanism == "SCRAM-SHA-512"


def test_an_authority_for_servers_does_not_vouch_for_clients(cast, present, node):
    cast.account(JULIET)
    assert "EXTERNAL" not in present(node.authority.for_account(JULIET)).mechanisms


def test_without_a_certificate_there_is_no_external(cast, present):
    cast.account(JULIET)
    assert "EXTERNAL" not in present(None).mechanisms
    with pytest.raises(LoginFailed):
        cast.stranger(f"{JULIET}/balcony", direct_tls=True, mechanism="EXTERNAL").connect()
