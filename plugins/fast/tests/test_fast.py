"""Tokens (XEP-0484): offered, given out, and used."""

import base64
import hmac

import pytest
from fast_client import (
    DAY,
    ENDP,
    EXPR,
    NONE,
    NS,
    NS_BIND2,
    NS_FAST,
    PASSWORD,
    PHONE,
    TLS_12,
    TLS_13,
    UNIQ,
    ask,
    back,
    come_back,
    condition_of,
    message,
    new_token,
    offered,
    request,
)

from stonechat import timestamps
from stonechat.errors import StorageError

# What is offered


@pytest.mark.parametrize(
    ("bindings", "names"),
    [(TLS_13, [EXPR, ENDP, NONE]), (TLS_12, [UNIQ, ENDP, NONE]), ({}, [NONE])],
)
def test_what_the_channel_allows_is_offered_the_strongest_first(host, bindings, names):
    stream = host.open_stream(tls=True, bindings=bindings)
    assert offered(stream) == names
    feature = stream.features.find("authentication", NS)
    assert not {m.text for m in feature.find_all("mechanism")} & set(names)
    assert feature.find("inline").find("fast", NS_FAST).get("tls-0rtt") == ""


def test_the_operator_chooses(server):
    host = server.host("montague.example", sasl2={}, fast={"mechanisms": [EXPR]})
    assert offered(host.open_stream(tls=True, bindings=TLS_13)) == [EXPR]
    assert offered(host.open_stream(tls=True)) == []


def test_without_tls_nothing_is_offered(server):
    server.configure(allow_plain_without_tls=True)
    host = server.host("montague.example", sasl2={"allow_without_tls": True}, fast={})
    host.create_account("romeo", PASSWORD)
    assert offered(host.open_stream()) == []
    token = new_token(host, localpart="romeo")
    assert condition_of(come_back(host.open_stream(), token, localpart="romeo")) == (
        "invalid-mechanism"
    )


def test_it_needs_what_carries_it(server):
    server.expect_errors()
    host = server.host("montague.example", fast={})
    assert "sasl2" in host.kernel.plugins.quarantined["fast"]


# Giving tokens out


def test_who_asks_gets_a_token_that_nobody_can_guess(server, host):
    token = ask(host)
    assert token.qualified_name == f"{NS_FAST} token"
    assert len(token.get("token")) >= 43
    assert token.get("token") != new_token(host)
    now = server.clock.now()
    expiry = timestamps.read(token.get("expiry"))
    assert token.get("expiry").endswith("Z")
    assert 0 <= now + 21 * DAY * 1_000_000 - expiry < 2_000_000


def test_who_does_not_ask_gets_none(host):
    assert ask(host, "") is None


@pytest.mark.parametrize("mechanism", ["", "PLAIN", "HT-SHA-512-NONE", EXPR])
def test_there_are_tokens_for_what_is_offered_only(host, mechanism):
    assert ask(host, request(mechanism)) is None


def test_a_client_that_does_not_say_its_id_gets_none(host):
    assert ask(host, agent="") is None


def test_whoever_does_not_get_in_gets_none(host):
    failure = host.open_stream(tls=True).log_in_inline("juliet", "wrong", request(), agent=PHONE)
    assert failure.name == "failure"
    assert host.plugin("fast").tokens.clients("juliet") == []


def test_a_store_that_is_away_keeps_nobody_out(server, host, monkeypatch):
    def fail(*arguments, **options):
        raise StorageError("the disk is full")

    monkeypatch.setattr(host.plugin("fast").tokens, "issue", fail)
    assert ask(host) is None
    assert server.logged("token not given out")


def test_the_database_alone_opens_nothing(host):
    token = new_token(host)
    (client,) = host.plugin("fast").tokens.clients("juliet")
    kept = client.new.salt
    assert len(kept) == 16
    for guess in (kept.hex(), base64.b64encode(kept).decode(), base64.urlsafe_b64encode(kept)):
        text = guess if isinstance(guess, str) else guess.decode()
        assert condition_of(back(host, text.rstrip("="))) == "not-authorized"
        assert text.rstrip("=") not in token


# Coming back


def test_a_token_opens_the_account_in_one_round(host):
    token = new_token(host)
    stream = host.open_stream(tls=True)
    success = come_back(stream, token, payload=f"<bind xmlns='{NS_BIND2}'/>")
    assert success.name == "success"
    assert success.find_text("authorization-identifier").startswith("juliet@capulet.example/")
    (session,) = host.kernel.sessions("juliet")
    # Only what belongs to it.
    assert set(session.data) == {"user-agent", "bound-inline"}


def test_the_server_proves_that_it_knows_the_token(host):
    token = new_token(host)
    answer = base64.b64decode(back(host, token).find_text("additional-data"))
    assert answer == hmac.digest(token.encode(), b"Responder", "sha256")


@pytest.mark.parametrize(
    ("mechanism", "type", "bindings"),
    [
        (EXPR, "tls-exporter", TLS_13),
        (ENDP, "tls-server-end-point", TLS_12),
        (UNIQ, "tls-unique", TLS_12),
    ],
)
def test_both_are_bound_to_the_channel(host, mechanism, type, bindings):
    token = new_token(host, mechanism, bindings=bindings)
    data = bindings[type]
    success = back(host, token, mechanism, bindings=bindings, binding=data)
    answer = base64.b64decode(success.find_text("additional-data"))
    assert answer == hmac.digest(token.encode(), b"Responder" + data, "sha256")
    elsewhere = bindings | {type: b"of another channel"}
    failure = back(host, token, mechanism, bindings=elsewhere, binding=data)
    assert condition_of(failure) == "not-authorized"


@pytest.mark.parametrize("values", [b"", b"dg=abc,x=y"])
def test_values_are_signed_with_the_rest(host, values):
    token = new_token(host)
    success = back(host, token, values=values)
    answer = base64.b64decode(success.find_text("additional-data"))
    assert answer == b"\0\0" + hmac.digest(token.encode(), b"Responder", "sha256")
    octets = message(token, values=values + b"z=z").replace(b"z=z", b"y=y")
    assert condition_of(back(host, token, octets=octets)) == "not-authorized"


def test_the_initial_response_may_come_after_an_empty_challenge(host):
    token = new_token(host)
    stream = host.open_stream(tls=True)
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='{NONE}'><user-agent id='{PHONE}'/>"
        f"<fast xmlns='{NS_FAST}'/></authenticate>"
    )
    assert stream.receive_element().name == "challenge"
    text = base64.b64encode(message(token)).decode()
    stream.send(f"<response xmlns='{NS}'>{text}</response>")
    assert stream.receive_element().name == "success"


def test_a_token_is_good_until_it_expires(server, host):
    token = new_token(host)
    server.clock.advance(21 * DAY - 60)
    assert back(host, token).name == "success"
    server.clock.advance(61)
    assert condition_of(back(host, token)) == "credentials-expired"


def test_it_outlives_a_restart(server, host):
    token = new_token(host)
    server.restart()
    assert back(host, token).name == "success"


def test_the_password_is_as_good_as_before(host):
    token = new_token(host)
    assert back(host, "wrong").name == "failure"
    assert back(host, token).name == "success"
    assert ask(host) is not None
