"""EXTERNAL: the accounts of a certificate, as XEP-0178 deals with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.protocol.sasl.external import ExternalMechanism
from stonechat.sasl import Success

JULIET = "juliet@capulet.example"
NURSE = "nurse@capulet.example"


class Certificate:
    def __init__(self, *addresses):
        self.addresses = tuple(JID.parse(address) for address in addresses)

    def certificate_accounts(self):
        return self.addresses


def mechanism(*addresses):
    return ExternalMechanism("EXTERNAL", "capulet.example", Certificate(*addresses))


def fails(mechanism, message):
    with pytest.raises(SaslFailure) as raised:
        mechanism.step(message)
    return raised.value.condition


def test_the_only_account_of_a_certificate_need_not_be_named():
    server = mechanism(JULIET)
    assert server.step(b"") == Success(JID.parse(JULIET))
    assert server.localpart == "juliet"


def test_an_account_named_twice_is_one_account():
    assert mechanism(JULIET, JULIET).step(b"") == Success(JID.parse(JULIET))


def test_of_several_accounts_one_must_be_named():
    assert fails(mechanism(JULIET, NURSE), b"") == "invalid-authzid"


@pytest.mark.parametrize("named", [NURSE, "Nurse@Capulet.example"])
def test_the_named_account_is_the_one(named):
    assert mechanism(JULIET, NURSE).step(named.encode()) == Success(JID.parse(NURSE))


@pytest.mark.parametrize(
    "named", ["romeo@capulet.example", f"{JULIET}/balcony", "juliet", "capulet.example", "@", "\0"]
)
def test_an_account_outside_the_certificate_is_refused(named):
    assert fails(mechanism(JULIET, NURSE), named.encode()) == "invalid-authzid"


@pytest.mark.parametrize("named", ["", JULIET])
def test_a_certificate_without_an_account_authorizes_nobody(named):
    assert fails(mechanism(), named.encode()) == "not-authorized"


def test_accounts_of_other_hosts_count_for_nothing_here():
    assert mechanism(JULIET, "juliet@montague.example").step(b"") == Success(JID.parse(JULIET))
    server = mechanism(JULIET, "romeo@montague.example")
    assert fails(server, b"romeo@montague.example") == "invalid-authzid"
    assert fails(mechanism("romeo@montague.example"), b"") == "not-authorized"


def test_the_domain_itself_is_no_account():
    assert fails(mechanism("capulet.example"), b"") == "not-authorized"


def test_what_is_not_utf_8_is_malformed():
    assert fails(mechanism(JULIET), b"\xff") == "malformed-request"


@given(st.binary(min_size=1, max_size=40))
def test_nothing_but_a_sasl_failure_comes_out_of_any_name(message):
    with pytest.raises(SaslFailure):
        mechanism(JULIET, NURSE).step(message)
