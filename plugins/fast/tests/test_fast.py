"""Tokens (XEP-0484): given out, used, replaced, and taken back."""

import base64
import hmac

import pytest

from stonechat import timestamps
from stonechat.commands import CommandError
from stonechat.errors import StorageError
from stonechat.namespaces import NS_BIND, NS_SASL

NS = "urn:xmpp:sasl:2"
NS_FAST = "urn:xmpp:fast:0"
NS_BIND2 = "urn:xmpp:bind:0"
PASSWORD = "R0m30"
PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770"
TABLET = "0d9bf1a1-2a4c-4b7e-9d53-8f1f2c1a3b4c"
NONE, EXPR = "HT-SHA-256-NONE", "HT-SHA-256-EXPR"
ENDP, UNIQ = "HT-SHA-256-ENDP", "HT-SHA-256-UNIQ"
DAY = 86400
TLS_13 = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}
ADDRESSES = (f"198.51.{number // 250}.{number % 250}" for number in range(10_000))
TLS_12 = {"tls-unique": b"u" * 12, "tls-server-end-point": b"p" * 32}


@pytest.fixture
def host(server):
    host = server.host("capulet.example", sasl2={}, fast={})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host


def offered(stream):
    feature = stream.features.find("authentication", NS)
    fast = feature.find("inline").find("fast", NS_FAST)
    return [] if fast is None else [m.text for m in fast.elements]


def request(mechanism=NONE):
    return f"<request-token xmlns='{NS_FAST}' mechanism='{mechanism}'/>"


def token_of(success):
    assert success.name == "success", success
    return success.find("token", NS_FAST)


def ask(host, *payload, agent=PHONE, localpart="juliet", bindings=None):
    """Log in with the password and ask for a token; the element, or None."""
    stream = host.open_stream(tls=True, bindings=bindings)
    success = stream.log_in_inline(localpart, PASSWORD, *(payload or [request()]), agent=agent)
    return token_of(success)


def new_token(host, mechanism=NONE, **options):
    return ask(host, request(mechanism), **options).get("token")


def message(token, localpart="juliet", binding=b"", values=None):
    """What a client proves its token by, in the form of today or with values."""
    signed = b"Initiator" + binding + (values or b"")
    middle = b"" if values is None else values + b"\0"
    proof = hmac.digest(token.encode(), signed, "sha256")
    return localpart.encode() + b"\0" + middle + proof


def come_back(
    stream,
    token,
    mechanism=NONE,
    *,
    agent=PHONE,
    fast="",
    payload="",
    octets=None,
    **options,
):
    """Log in with a token; the answer of the server."""
    text = base64.b64encode(message(token, **options) if octets is None else octets).decode()
    agent_element = f"<user-agent id='{agent}'/>" if agent else ""
    fast_element = "" if fast is None else f"<fast xmlns='{NS_FAST}' {fast}/>"
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='{mechanism}'>"
        f"<initial-response>{text}</initial-response>{agent_element}{fast_element}{payload}"
        "</authenticate>"
    )
    return stream.receive_element()


def back(host, token, mechanism=NONE, *, bindings=None, **options):
    """On a stream of its own, from an address where nobody has guessed before."""
    stream = host.open_stream(tls=True, bindings=bindings, address=next(ADDRESSES))
    return come_back(stream, token, mechanism, **options)


def condition_of(failure):
    assert failure.qualified_name == f"{NS} failure", failure
    assert failure.first().namespace == NS_SASL
    return failure.first().name


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


# Rotation


def rotated(host, token, **options):
    found = token_of(back(host, token, **options))
    return None if found is None else found.get("token")


def test_an_old_token_is_replaced_when_it_is_used(server, host):
    token = new_token(host)
    assert rotated(host, token) is None
    server.clock.advance(DAY)
    new = rotated(host, token)
    assert new is not None
    assert new != token
    assert rotated(host, new) is None


def test_the_old_one_is_good_until_the_new_one_was_used(server, host):
    token = new_token(host)
    server.clock.advance(DAY)
    lost = rotated(host, token)
    # The client never heard of it.
    new = rotated(host, token)
    assert condition_of(back(host, lost)) == "not-authorized"
    assert back(host, new).name == "success"
    assert condition_of(back(host, token)) == "not-authorized"


def test_the_new_one_is_for_the_same_mechanism(server, host):
    token = new_token(host, EXPR, bindings=TLS_13)
    server.clock.advance(DAY)
    binding = TLS_13["tls-exporter"]
    new = rotated(host, token, mechanism=EXPR, bindings=TLS_13, binding=binding)
    assert back(host, new, EXPR, bindings=TLS_13, binding=binding).name == "success"


def test_who_asks_gets_one_token_and_for_what_he_asked(server, host):
    token = new_token(host, NONE, bindings=TLS_13)
    server.clock.advance(DAY)
    success = back(host, token, bindings=TLS_13, payload=request(EXPR))
    (element,) = success.find_all("token", NS_FAST)
    binding = TLS_13["tls-exporter"]
    assert (
        back(host, element.get("token"), EXPR, bindings=TLS_13, binding=binding).name == "success"
    )


def test_how_often_is_the_operators_choice(server):
    host = server.host("montague.example", sasl2={}, fast={"rotate_after": 0, "lifetime": "1 h"})
    host.create_account("juliet", PASSWORD)
    token = rotated(host, new_token(host))
    server.clock.advance(3601)
    assert condition_of(back(host, token)) == "credentials-expired"


# Taking tokens back


@pytest.mark.parametrize("word", ["1", "true"])
def test_a_client_ends_its_token_with_the_last_use(server, host, word):
    token = new_token(host)
    server.clock.advance(DAY)
    assert rotated(host, token, fast=f"invalidate='{word}'") is None
    assert condition_of(back(host, token)) == "not-authorized"
    assert host.plugin("fast").tokens.clients("juliet") == []


def test_a_token_that_it_was_given_meanwhile_ends_too(server, host):
    token = new_token(host)
    server.clock.advance(DAY)
    new = rotated(host, token)
    assert token_of(back(host, token, fast="invalidate='true'")) is None
    assert condition_of(back(host, new)) == "not-authorized"


def test_who_ends_one_may_ask_for_another(host):
    token = new_token(host)
    new = token_of(back(host, token, fast="invalidate='1'", payload=request())).get("token")
    assert condition_of(back(host, token)) == "not-authorized"
    assert back(host, new).name == "success"


@pytest.mark.parametrize("word", ["0", "false", ""])
def test_any_other_word_ends_nothing(host, word):
    token = new_token(host)
    assert back(host, token, fast=f"invalidate='{word}'").name == "success"
    assert back(host, token).name == "success"


def test_nobody_ends_the_token_of_another(host):
    token = new_token(host)
    assert back(host, "guess", fast="invalidate='1'").name == "failure"
    assert back(host, token).name == "success"


def test_a_new_password_ends_all_tokens_of_the_account(host):
    phone, tablet = new_token(host), new_token(host, agent=TABLET)
    romeos = new_token(host, localpart="romeo")
    host.kernel.accounts.set_password("juliet", "another")
    assert condition_of(back(host, phone)) == "not-authorized"
    assert condition_of(back(host, tablet, agent=TABLET)) == "not-authorized"
    assert back(host, romeos, localpart="romeo").name == "success"


def test_a_removed_account_leaves_no_tokens(host):
    token = new_token(host)
    host.kernel.accounts.remove("juliet")
    assert host.plugin("fast").tokens.clients("juliet") == []
    host.create_account("juliet", PASSWORD)
    assert condition_of(back(host, token)) == "not-authorized"


def test_an_account_that_was_removed_elsewhere_is_not_opened(server, host):
    token = new_token(host)
    host.kernel.accounts._chain._backends[0].instance.remove_user("juliet")
    server.clock.advance(61)  # so long an account that was there is not asked for again
    assert condition_of(back(host, token)) == "not-authorized"


def test_who_began_with_the_old_password_gets_no_token_after_it_was_changed(host):
    stream = host.open_stream(tls=True)
    host.kernel.accounts.set_password("romeo", "another")
    success = stream.log_in_inline("juliet", PASSWORD, request(), agent=PHONE)
    assert token_of(success) is None


def test_tokens_that_cannot_be_dropped_are_good_for_nothing_and_dropped_later(
    server, host, monkeypatch
):
    server.expect_errors()
    token = new_token(host)
    plugin = host.plugin("fast")
    drop = plugin.tokens.drop

    def fail(*arguments):
        raise StorageError("the database is away")

    monkeypatch.setattr(plugin.tokens, "drop", fail)
    host.kernel.accounts.set_password("juliet", "another")
    assert condition_of(back(host, token)) == "not-authorized"
    assert len(plugin.tokens.clients("juliet")) == 1
    server.clock.advance(10)
    assert len(server.logged("tokens not dropped")) == 2
    monkeypatch.setattr(plugin.tokens, "drop", drop)
    server.clock.advance(10)
    assert plugin.tokens.clients("juliet") == []
    assert plugin.revoked == set()


def test_expired_tokens_are_deleted(server, host):
    new_token(host)
    server.clock.advance(20 * DAY)
    new_token(host, agent=TABLET)
    server.clock.advance(8 * DAY + 3600)
    (client,) = host.plugin("fast").tokens.clients("juliet")
    assert client.agent.id == TABLET


def test_an_account_has_tokens_for_so_many_clients_and_no_more(server):
    host = server.host("montague.example", sasl2={}, fast={"max_clients": 2})
    host.create_account("juliet", PASSWORD)
    agents = [f"d4565fa7-4d72-4749-b3d3-74000000000{number}" for number in range(3)]
    tokens = []
    for agent in agents[:2]:
        tokens.append(new_token(host, agent=agent))
        server.clock.advance(3600)
    # The older one is used again, so that the other has to go.
    assert back(host, tokens[0], agent=agents[0]).name == "success"
    tokens.append(new_token(host, agent=agents[2]))
    outcomes = [back(host, t, agent=a).name for t, a in zip(tokens, agents, strict=True)]
    assert outcomes == ["success", "failure", "success"]


# Commands


def test_an_operator_sees_who_has_tokens(server, host):
    stream = host.open_stream(tls=True)
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'><initial-response>AGp1bGlldABSMG0zMA=="
        f"</initial-response><user-agent id='{PHONE}'><software>Awesome</software>"
        f"<device>Nurse's phone</device></user-agent>{request()}</authenticate>"
    )
    assert stream.receive_element().name == "success"
    (row,) = server.command("fast-clients", jid="juliet@capulet.example")
    assert (row["client"], row["software"], row["device"]) == (PHONE, "Awesome", "Nurse's phone")
    assert timestamps.read(row["expires"]) > timestamps.read(row["used"])
    assert set(row) == {"client", "software", "device", "used", "expires"}


def test_when_a_token_was_used_last_is_known_to_the_hour(server, host):
    token = new_token(host)

    def used():
        (row,) = server.command("fast-clients", jid="juliet@capulet.example")
        return timestamps.read(row["used"])

    back(host, token)
    first = used()
    server.clock.advance(1800)
    back(host, token)
    assert used() == first
    server.clock.advance(1801)
    back(host, token)
    assert 0 <= used() - first - 3601 * 1_000_000 < 1_000_000


def test_an_operator_takes_the_tokens_of_a_client_back(server, host):
    phone, tablet = new_token(host), new_token(host, agent=TABLET)
    jid = "juliet@capulet.example"
    assert server.command("fast-revoke", jid=jid, client=PHONE.upper()) == 1
    assert condition_of(back(host, phone)) == "not-authorized"
    assert back(host, tablet, agent=TABLET).name == "success"
    assert server.command("fast-revoke", jid=jid) == 1
    assert condition_of(back(host, tablet, agent=TABLET)) == "not-authorized"
    assert server.command("fast-clients", jid=jid) == []


@pytest.mark.parametrize("jid", ["capulet.example", "juliet@capulet.example/balcony"])
def test_commands_are_about_accounts(server, host, jid):
    with pytest.raises(CommandError, match="account"):
        server.command("fast-clients", jid=jid)


def test_sessions_by_other_ways_are_as_ever(host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    assert host.kernel.session(juliet.jid).data == {}
    stream = host.open_stream(tls=True)
    stream.log_in_inline("juliet", PASSWORD, agent=PHONE)
    stream.send(f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'/></iq>")
    assert stream.receive().type == "result"
