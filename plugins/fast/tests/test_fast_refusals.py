"""Tokens (XEP-0484): those of others, what is none, guesses, and what is used twice."""

import base64
import hmac

import pytest
from fast_client import (
    ENDP,
    EXPR,
    NONE,
    NS,
    NS_FAST,
    PASSWORD,
    PHONE,
    TABLET,
    TLS_12,
    TLS_13,
    back,
    come_back,
    condition_of,
    message,
    new_token,
)

from stonechat.namespaces import NS_SASL

# Tokens of others


def test_a_token_of_another_client_opens_nothing(host):
    token = new_token(host, agent=TABLET)
    assert condition_of(back(host, token, agent=PHONE)) == "not-authorized"
    new_token(host, agent=PHONE)
    assert condition_of(back(host, token, agent=PHONE)) == "not-authorized"
    assert back(host, token, agent=TABLET).name == "success"


def test_a_token_of_another_account_opens_nothing(host):
    token = new_token(host, localpart="romeo")
    new_token(host)
    assert condition_of(back(host, token)) == "not-authorized"
    assert condition_of(back(host, token, localpart="nobody")) == "not-authorized"


def test_a_token_of_another_host_opens_nothing(server, host):
    token = new_token(host)
    other = server.host("montague.example", sasl2={}, fast={})
    other.create_account("juliet", PASSWORD)
    new_token(other)
    assert condition_of(back(other, token)) == "not-authorized"


@pytest.mark.parametrize(("mine", "another"), [(EXPR, NONE), (NONE, EXPR), (EXPR, ENDP)])
def test_a_token_is_good_for_its_mechanism_only(host, mine, another):
    token = new_token(host, mine, bindings=TLS_13)
    binding = {NONE: b"", EXPR: TLS_13["tls-exporter"], ENDP: TLS_13["tls-server-end-point"]}
    failure = back(host, token, another, bindings=TLS_13, binding=binding[another])
    assert condition_of(failure) == "not-authorized"
    assert back(host, token, mine, bindings=TLS_13, binding=binding[mine]).name == "success"


def test_a_stream_of_another_account_is_not_opened(host):
    token = new_token(host)
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": "romeo@capulet.example"})
    assert condition_of(come_back(stream, token)) == "invalid-authzid"


# Messages that are none


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"juliet",
        b"juliet\0",
        b"\0" + b"x" * 32,
        b"juliet\0" + b"x" * 31,
        b"juliet\0" + b"x" * 33,
        b"\xff\0" + b"x" * 32,
        b"juliet\0" + b"x" * 64,
    ],
)
def test_what_is_no_message_is_refused(host, octets):
    assert condition_of(back(host, "", octets=octets)) == "malformed-request"


@pytest.mark.parametrize(
    "options",
    [
        {"fast": None},
        {"agent": ""},
        {"agent": "not-a-uuid"},
        {"fast": "count='x'"},
        {"fast": "count='-1'"},
        {"fast": "count='12345678901'"},
    ],
)
def test_a_request_that_is_not_complete_is_refused(host, options):
    token = new_token(host)
    assert condition_of(back(host, token, **options)) == "malformed-request"
    assert back(host, token).name == "success"


def test_what_the_channel_does_not_allow_cannot_be_had(host):
    token = new_token(host, EXPR, bindings=TLS_13)
    assert condition_of(back(host, token, EXPR, bindings=TLS_12)) == "invalid-mechanism"


def test_the_sasl_of_rfc_6120_knows_no_tokens(host):
    text = base64.b64encode(message(new_token(host))).decode()
    stream = host.open_stream(tls=True)
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='{NONE}'>{text}</auth>")
    assert stream.receive_element().first().name == "invalid-mechanism"


# Guessing


def test_guesses_are_counted_and_end_the_stream(server, host):
    stream = host.open_stream(tls=True)
    for _ in range(2):
        assert condition_of(come_back(stream, "guess")) == "not-authorized"
    stream.connection.deliver(
        f"<authenticate xmlns='{NS}' mechanism='{NONE}'><initial-response>"
        f"{base64.b64encode(message('guess')).decode()}</initial-response>"
        f"<user-agent id='{PHONE}'/><fast xmlns='{NS_FAST}'/></authenticate>".encode()
    )
    server.settle()
    server.clock.advance(1)
    assert condition_of(stream.receive_element()) == "not-authorized"
    assert stream.closed_with() == "policy-violation"
    assert [record["account"] for record in server.logged("login refused")] == ["juliet"] * 3


def test_strangers_and_accounts_are_answered_alike_and_at_the_same_cost(host, monkeypatch):
    from stonechat_fast import mechanism

    new_token(host)
    made = []
    digest = mechanism.hmac.digest

    class Counted:
        compare_digest = staticmethod(hmac.compare_digest)

        @staticmethod
        def digest(*arguments):
            made.append(arguments)
            return digest(*arguments)

    monkeypatch.setattr(mechanism, "hmac", Counted)
    answers = []
    for localpart in ("juliet", "romeo", "nobody"):
        answer = back(host, "guess", localpart=localpart)
        answers.append((answer.to_bytes(), len(made)))
        made.clear()
    assert len(set(answers)) == 1
    assert answers[0][1] == 2


# Counts


def test_a_count_has_to_grow(host):
    token = new_token(host)
    assert back(host, token, fast="count='1'").name == "success"
    assert back(host, token, fast="count='5'").name == "success"
    for again in ("5", "4", "0"):
        failure = back(host, token, fast=f"count='{again}'")
        assert condition_of(failure) == "not-authorized"
    assert back(host, token, fast="count='6'").name == "success"


def test_who_counts_may_also_leave_it(host):
    token = new_token(host)
    assert back(host, token, fast="count='3'").name == "success"
    # Without early data nothing can be played again.
    assert back(host, token).name == "success"
    assert condition_of(back(host, token, fast="count='3'")) == "not-authorized"


def test_a_new_token_begins_to_count_anew(host):
    assert back(host, new_token(host), fast="count='9'").name == "success"
    assert back(host, new_token(host), fast="count='0'").name == "success"
