"""PLAIN: one message, and what must not reach a backend."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.protocol.sasl.plain import PlainMechanism
from stonechat.sasl import Success

JULIET = JID.parse("juliet@capulet.example")


class Accounts:
    """Knows Juliet's password, and accepts the empty one, as a careless directory does."""

    def __init__(self):
        self.asked = []

    def check_password(self, localpart, password):
        self.asked.append((localpart, password))
        return not password or (localpart, password) == ("juliet", "wherefore: é,=")


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def mechanism(accounts):
    return PlainMechanism("PLAIN", "capulet.example", accounts)


def fails(mechanism, message):
    with pytest.raises(SaslFailure) as raised:
        mechanism.step(message)
    return raised.value.condition


@pytest.mark.parametrize("authzid", ["", "juliet@capulet.example", "JULIET@capulet.EXAMPLE"])
@pytest.mark.parametrize("username", ["juliet", "JULIET"])
def test_the_right_password_opens_the_account_under_the_servers_name_for_it(
    mechanism, accounts, authzid, username
):
    message = f"{authzid}\0{username}\0wherefore: é,=".encode()
    assert mechanism.step(message) == Success(JULIET)
    assert accounts.asked == [("juliet", "wherefore: é,=")]
    assert mechanism.localpart == "juliet"


@pytest.mark.parametrize(
    "username", ["juliet", "tybalt", "not a localpart", "juliet@x", "x" * 1024]
)
def test_wrong_password_unknown_account_and_impossible_name_answer_alike(mechanism, username):
    with pytest.raises(SaslFailure) as raised:
        mechanism.step(f"\0{username}\0therefore".encode())
    assert raised.value.condition == "not-authorized"
    assert raised.value.text == "The user name or the password is wrong."


def test_an_empty_password_reaches_no_backend(mechanism, accounts):
    assert fails(mechanism, b"\0juliet\0") == "not-authorized"
    assert accounts.asked == []


@pytest.mark.parametrize(
    "authzid",
    [
        "romeo@capulet.example",
        "juliet@montague.example",
        "juliet@capulet.example/x",
        "juliet",
        "@",
    ],
)
def test_nobody_acts_for_another_and_the_backend_is_not_asked(mechanism, accounts, authzid):
    message = f"{authzid}\0juliet\0wherefore: é,=".encode()
    assert fails(mechanism, message) == "invalid-authzid"
    assert accounts.asked == []


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"juliet",
        b"\0",
        b"\0juliet",
        b"\0\0wherefore",
        b"\0juliet\0where\0fore",
        b"\0juliet\0wherefore\0",
        b"\0juliet\0\xff",
        b"\0jul\xc3iet\0wherefore",
    ],
)
def test_a_malformed_message_is_refused(mechanism, accounts, message):
    assert fails(mechanism, message) == "malformed-request"
    assert accounts.asked == []


def test_a_failure_does_not_carry_the_password_along(mechanism):
    with pytest.raises(SaslFailure) as raised:
        mechanism.step(b"\0juliet\0wherefore\xff")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


PIECES = st.sampled_from([b"\0", b"juliet", b"@", b"x"])


@given(st.binary(max_size=40) | st.lists(PIECES, max_size=9).map(b"".join))
def test_nothing_but_a_sasl_failure_comes_out_of_any_input(message):
    mechanism = PlainMechanism("PLAIN", "capulet.example", Accounts())
    with pytest.raises(SaslFailure):
        mechanism.step(message)
