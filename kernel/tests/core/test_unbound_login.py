"""How a plugin logs a client in (`stonechat.session.UnboundStream`)."""

import base64

import pytest
from gevent.event import Event
from unbound_door import (
    BIND,
    JULIET,
    KNOCK,
    MESSAGE,
    ROMEO,
    b64,
    condition,
    guess_often,
    host_with_door,
    knock,
    log_in,
    patiently,
    plain,
)

from stonechat.errors import SaslFailure
from stonechat.namespaces import NS_SASL, NS_STREAM
from stonechat.sasl import SaslChallenge, SaslSuccess
from stonechat.testing.kit import PASSWORD


@pytest.fixture
def host(server):
    return host_with_door(server)


# Logging in


def test_a_success_is_in_force_at_once_and_the_stream_goes_on(host, stream, door):
    before = host.kernel.logins
    assert isinstance(log_in(stream, door), SaslSuccess)
    (face,) = door.streams
    assert (face.is_authenticated, face.account, face.mechanisms) == (True, JULIET, ())
    assert not stream.connection.is_stranger
    assert host.kernel.logins == before + 1
    stream.send(BIND)
    answer = stream.receive()
    assert answer.payload.find_text("jid") == "juliet@capulet.example/x"


def test_features_that_hold_now_can_be_sent(stream, door):
    log_in(stream, door)
    knock(stream, door, lambda it: it.send_features())
    features = stream.receive_element()
    assert features.qualified_name == f"{NS_STREAM} features"
    assert [feature.name for feature in features.elements] == ["bind", "session"]


def test_features_are_sent_anew_without_forgetting_what_failed(server, stream, door):
    def fail(it):
        it.send_features()
        return it.authenticate("PLAIN", plain(password="wrong"))

    events = [patiently(server, stream, door, fail) for _ in range(3)]
    assert [event.is_last for event in events] == [False, False, True]


def test_an_authenticated_stream_takes_a_stanza_only_once_it_is_bound(stream, door):
    log_in(stream, door)
    stream.send(MESSAGE)
    assert stream.closed_with() == "not-authorized"


@pytest.mark.parametrize("deed", ["authenticate", "respond", "abort"])
def test_who_is_logged_in_does_not_log_in_again(stream, door, deed):
    arguments = {"authenticate": ("PLAIN", plain()), "respond": ("",), "abort": ()}[deed]
    log_in(stream, door)
    knock(stream, door, lambda it: getattr(it, deed)(*arguments))
    assert stream.closed_with() == "policy-violation"


def test_the_sasl_of_rfc_6120_is_over_after_a_success(stream, door):
    log_in(stream, door)
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain()}</auth>")
    assert stream.closed_with() == "unsupported-stanza-type"


def test_an_exchange_may_take_several_steps(stream, door):
    assert knock(stream, door, lambda it: it.authenticate("PLAIN", "")) == SaslChallenge("")
    assert isinstance(knock(stream, door, lambda it: it.respond(plain())), SaslSuccess)


def test_an_attempt_may_be_given_up(stream, door):
    knock(stream, door, lambda it: it.authenticate("PLAIN", ""))
    assert condition(knock(stream, door, lambda it: it.abort())) == "aborted"
    assert isinstance(log_in(stream, door), SaslSuccess)


def test_failures_are_logged_and_counted(server, host, stream, door):
    def guess(it):
        return it.authenticate("PLAIN", plain(password="wrong"))

    before = host.kernel.login_failures
    events = [patiently(server, stream, door, guess) for _ in range(3)]
    assert [condition(event) for event in events] == ["not-authorized"] * 3
    assert [event.is_last for event in events] == [False, False, True]
    assert host.kernel.login_failures == before + 3
    assert [record["account"] for record in server.logged("login refused")] == ["juliet"] * 3
    guess_often(server, host, door, guess, 17)
    # The same guesses count by the other SASL.
    refused = host.open_stream(tls=True).authenticate("juliet", PASSWORD)
    assert refused.first().name == "temporary-auth-failure"


def test_who_opened_the_stream_for_another_account_is_refused(host, door):
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": "romeo@capulet.example"})
    event = log_in(stream, door)
    assert (condition(event), event.localpart) == ("invalid-authzid", "juliet")
    assert not door.streams[-1].is_authenticated
    event = knock(stream, door, lambda it: it.authenticate("PLAIN", plain("romeo")))
    assert event.account == ROMEO


def test_a_login_that_takes_too_long_is_not_put_in_force(server, host, stream, door, monkeypatch):
    begun, may_go_on = Event(), Event()
    chain = host.kernel.accounts._chain
    check = chain.check_password

    def check_slowly(*arguments):
        begun.set()
        may_go_on.wait()
        return check(*arguments)

    monkeypatch.setattr(chain, "check_password", check_slowly)
    door.knocked = lambda it: it.authenticate("PLAIN", plain())
    stream.connection.deliver(KNOCK.encode())
    assert begun.wait(5)
    server.clock.advance(31)
    may_go_on.set()
    assert stream.closed_with() == "connection-timeout"
    assert not door.streams[-1].is_authenticated


# Mechanisms of plugins


def token(it, word="open"):
    return it.authenticate("TOKEN", b64(word))


def test_a_mechanism_of_a_plugin_logs_in(stream, door):
    assert knock(stream, door, token) == SaslSuccess(JULIET, "", "TOKEN")
    assert door.streams[-1].account == JULIET


def test_it_cannot_be_had_by_the_sasl_of_rfc_6120(stream, door):
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='TOKEN'>{b64('open')}</auth>")
    assert stream.receive_element().first().name == "invalid-mechanism"


def test_it_may_refuse_to_be_had(stream, door):
    def ask(it):
        it.data["no tokens"] = True
        return token(it)

    assert condition(knock(stream, door, ask)) == "invalid-mechanism"


def test_what_nobody_has_cannot_be_had(stream, door):
    event = knock(stream, door, lambda it: it.authenticate("OTHER", ""))
    assert condition(event) == "invalid-mechanism"


def test_guesses_of_its_secret_are_throttled_like_those_of_passwords(server, host, door):
    def guess(it):
        return token(it, "guess")

    events = guess_often(server, host, door, guess, 22)
    assert [condition(event) for event in events] == [
        *["not-authorized"] * 20,
        *["temporary-auth-failure"] * 2,
    ]
    # With the right one, too, until the lock is over.
    event = knock(host.open_stream(tls=True), door, token)
    assert condition(event) == "temporary-auth-failure"
    server.clock.advance(600)
    assert isinstance(knock(host.open_stream(tls=True), door, token), SaslSuccess)


def test_one_that_fails_is_named_and_refused(server, stream, door):
    server.expect_errors()
    event = knock(stream, door, lambda it: token(it, "break"))
    assert condition(event) == "temporary-auth-failure"
    (record,) = server.logged("plugin failed")
    assert (record["plugin"], record["where"]) == ("door", "stonechat_sasl_mechanisms")
    # The next attempt is another one's.
    assert isinstance(log_in(stream, door), SaslSuccess)


def test_one_whose_plugin_has_gone_is_not_offered_any_more(host, stream):
    door = host.plugin("door")
    knock(stream, door, lambda it: token(it, "more"))
    assert host.kernel.sasl_mechanisms
    host.disable("door")
    assert host.kernel.sasl_mechanisms == {}


# Successes that wait


def test_a_provisional_success_is_not_in_force_before_it_is_admitted(stream, door):
    assert isinstance(log_in(stream, door, provisional=True), SaslSuccess)
    assert not door.streams[-1].is_authenticated
    knock(stream, door, lambda it: it.admit())
    assert door.streams[-1].account == JULIET
    stream.send(BIND)
    assert stream.receive().type == "result"


def test_who_is_not_admitted_yet_cannot_bind(stream, door):
    log_in(stream, door, provisional=True)
    stream.send(BIND)
    assert stream.closed_with() == "not-authorized"


def test_it_may_be_taken_back_and_another_attempt_made(host, stream, door):
    log_in(stream, door, provisional=True)
    event = knock(stream, door, lambda it: it.refuse(SaslFailure("credentials-expired")))
    assert (condition(event), event.localpart) == ("credentials-expired", "juliet")
    assert host.kernel.login_failures == 1
    assert isinstance(log_in(stream, door), SaslSuccess)


def test_a_client_may_give_it_up(stream, door):
    log_in(stream, door, provisional=True)
    assert condition(knock(stream, door, lambda it: it.abort())) == "aborted"
    assert isinstance(log_in(stream, door), SaslSuccess)


def test_a_second_attempt_takes_it_back(server, stream, door):
    server.expect_errors()
    log_in(stream, door, provisional=True)
    assert condition(log_in(stream, door, provisional=True)) == "malformed-request"
    knock(stream, door, lambda it: it.admit())
    assert stream.closed_with() == "internal-server-error"
    assert not door.streams[-1].is_authenticated


def test_whose_account_is_removed_meanwhile_has_nothing_of_it(host, stream, door):
    log_in(stream, door, provisional=True)
    host.kernel.accounts.remove("juliet")
    knock(stream, door, lambda it: it.admit())
    stream.send(BIND)
    answer = stream.receive()
    assert answer.type == "error"
    assert host.kernel.sessions("juliet") == ()


# Channel binding (XEP-0440, XEP-0474)

BINDINGS = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}


def test_types_of_channel_binding_are_advertised_with_the_mechanisms(host):
    features = host.open_stream(tls=True, bindings=BINDINGS).features
    (advertised,) = features.find_all("sasl-channel-binding", "urn:xmpp:sasl-cb:0")
    assert [(e.name, e.get("type")) for e in advertised.elements] == [
        ("channel-binding", "tls-exporter"),
        ("channel-binding", "tls-server-end-point"),
    ]


def test_where_nothing_binds_no_types_are_advertised(host, monkeypatch):
    assert (
        host.open_stream(tls=True).features.find("sasl-channel-binding", "urn:xmpp:sasl-cb:0")
        is None
    )
    # Nor where there is something to bind to and no mechanism for it.
    backend = host.kernel.accounts._chain._backends[0]
    monkeypatch.setattr(backend.instance, "scram_hashes", lambda: ())
    features = host.open_stream(tls=True, bindings=BINDINGS).features
    assert [m.text for m in features.find("mechanisms", NS_SASL).elements] == ["PLAIN"]
    assert features.find("sasl-channel-binding", "urn:xmpp:sasl-cb:0") is None


def test_plugins_see_what_can_be_bound_to(host, door):
    stream = host.open_stream(tls=True, bindings=BINDINGS)
    assert knock(stream, door, lambda it: it.channel_bindings) == BINDINGS
    log_in(stream, door)
    assert knock(stream, door, lambda it: it.channel_bindings) == BINDINGS
    assert knock(host.open_stream(), door, lambda it: it.channel_bindings) == {}


def test_scram_tells_what_was_advertised(host):
    from stonechat.protocol.sasl.scram import downgrade_hash

    stream = host.open_stream(tls=True, bindings=BINDINGS)
    mechanisms = [m.text for m in stream.features.find("mechanisms", NS_SASL).elements]
    text = b64("n,,n=juliet,r=abc")
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='SCRAM-SHA-256'>{text}</auth>")
    challenge = base64.b64decode(stream.receive_element().text).decode()
    expected = downgrade_hash(tuple(mechanisms), tuple(BINDINGS), "sha256")
    assert challenge.endswith(f",h={expected}")
