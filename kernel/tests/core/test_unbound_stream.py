"""What a plugin can do with a stream that has no session yet (`stonechat.host.UnboundStream`)."""

import base64

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.errors import SaslFailure, StanzaError, StreamError
from stonechat.jid import JID
from stonechat.namespaces import NS_BIND, NS_SASL, NS_STREAM
from stonechat.sasl import Challenge, Mechanism, SaslChallenge, SaslFailed, SaslSuccess, Success
from stonechat.stanza import Message
from stonechat.testing.kit import PASSWORD
from stonechat.xml import Element

JULIET = JID.parse("juliet@capulet.example")
ROMEO = JID.parse("romeo@capulet.example")
DOOR = "urn:example:door"
KNOCK = f"<knock xmlns='{DOOR}'/>"
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'><resource>x</resource></bind></iq>"
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"


class Token(Mechanism):
    """A word that opens Juliet's account, and one that does something else."""

    def step(self, response):
        account = self.name_account("juliet")
        word = response.decode()
        if word == "break":
            raise LookupError("a bug")
        if word == "more":
            return Challenge(b"?")
        with self.lookup.attempt(account.localpart):
            if word != "open":
                raise SaslFailure("not-authorized")
        return Success(account)


class Door:
    """Does at each knock what the test says; remembers the streams."""

    def __init__(self, host, options):
        self.host = host
        self.streams = []
        self.answers = []
        self.told = []
        self.knocked = self.nothing
        self.bound = self.nothing

    def nothing(self, *_):
        pass

    def token(self, stream, lookup):
        if "no tokens" in stream.data:
            raise SaslFailure("invalid-mechanism")
        return Token("TOKEN", self.host.name, lookup)

    @hookimpl
    def stonechat_unbound_stream_elements(self):
        return {(DOOR, "knock"): self.knock}

    @hookimpl
    def stonechat_sasl_mechanisms(self):
        return {"TOKEN": self.token}

    @hookimpl
    def stonechat_session_bound(self, session):
        self.told.append(session)
        self.bound(session)

    def knock(self, stream, element):
        self.streams.append(stream)
        self.answers.append(self.knocked(stream))


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"door": Door})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host


@pytest.fixture
def door(host):
    return host.plugin("door")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def plain(localpart="juliet", password=PASSWORD):
    return b64(f"\0{localpart}\0{password}")


def knock(stream, door, deed):
    """Knock, and return what the plugin got for what it did."""
    door.knocked = deed
    stream.send(KNOCK)
    return door.answers[-1] if door.answers else None


def log_in(stream, door, **options):
    return knock(stream, door, lambda it: it.authenticate("PLAIN", plain(), **options))


def patiently(server, stream, door, deed, seconds=1):
    """Knock, wait as long as who guesses has to, and return what the plugin got."""
    door.knocked = deed
    stream.connection.deliver(KNOCK.encode())
    server.settle()
    server.clock.advance(seconds)
    return door.answers[-1]


def guess_often(server, host, door, deed, times):
    """So many guesses, each on a stream of its own, and what came of them."""
    return [patiently(server, host.open_stream(tls=True), door, deed, 10) for _ in range(times)]


def condition(event):
    assert isinstance(event, SaslFailed)
    return event.failure.condition


# Elements


def test_an_element_that_a_plugin_knows_is_handled_and_answered(stream, door):
    knock(stream, door, lambda it: it.send(Element(DOOR, "who")))
    assert stream.receive_element().qualified_name == f"{DOOR} who"
    (face,) = door.streams
    assert (face.is_authenticated, face.is_bound, face.account) == (False, False, None)
    assert face.is_secure
    assert "PLAIN" in face.mechanisms


def test_before_a_required_encryption_nothing_is_handled(host, door):
    stream = host.open_stream(starttls="required")
    stream.send(KNOCK)
    assert stream.closed_with() == "unsupported-stanza-type"
    assert door.streams == []


def test_elements_are_handled_after_the_login_too(stream, door):
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    assert knock(stream, door, lambda it: (it.account, it.mechanisms)) == (JULIET, ())


def test_a_handler_may_end_the_stream(stream, door):
    def refuse(it):
        raise StreamError("policy-violation", "Nobody is at home.")

    knock(stream, door, refuse)
    assert stream.closed_with() == "policy-violation"


def test_a_handler_that_fails_ends_the_stream_and_is_named(server, stream, door):
    server.expect_errors()
    knock(stream, door, lambda it: {}["nothing"])
    assert stream.closed_with() == "internal-server-error"
    (record,) = server.logged("plugin failed")
    assert (record["plugin"], record["where"]) == ("door", "stonechat_unbound_stream_elements")


@pytest.mark.parametrize("error", [None, StreamError("reset")])
def test_a_plugin_may_close_the_stream(stream, door, error):
    knock(stream, door, lambda it: it.close(error))
    assert stream.closed_with() == ("reset" if error else "")
    assert stream.has_ended


def test_a_plugin_keeps_its_data_with_the_stream(stream, door):
    knock(stream, door, lambda it: it.data.update(door="closed"))
    assert knock(stream, door, lambda it: it.data["door"]) == "closed"


def test_nothing_from_before_tls_is_there_after_it(host, door):
    stream = host.open_stream()
    knock(stream, door, lambda it: it.data.update(door="closed"))
    stream.start_tls()
    assert knock(stream, door, lambda it: dict(it.data)) == {}


@pytest.mark.parametrize(
    ("written", "claimed"),
    [
        ("juliet@capulet.example", JULIET),
        ("Juliet@Capulet.example/balcony", JULIET),
        ("capulet.example", None),
        ("@", None),
        ("", None),
    ],
)
def test_whom_the_header_is_from_is_known(host, door, written, claimed):
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": written})
    assert knock(stream, door, lambda it: it.claimed) == claimed


def test_while_a_plugin_claims_the_stream_nothing_else_is_taken(host, door):
    for other in (
        f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain()}</auth>",
        "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<knock xmlns='urn:example:window'/>",
    ):
        stream = host.open_stream(tls=True)
        knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
        knock(stream, door, door.nothing)
        assert not stream.is_closed
        stream.send(other)
        assert stream.is_closed
        assert stream.error_condition in ("policy-violation", "")
    stream = host.open_stream(tls=True)
    knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
    knock(stream, door, lambda it: setattr(it, "exclusive", ""))
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_a_client_may_leave_while_a_plugin_claims_the_stream(stream, door):
    knock(stream, door, lambda it: setattr(it, "exclusive", DOOR))
    stream.close()
    assert stream.closed_with() == ""


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


# Binding


def bind(it, resource="balcony"):
    return it.bind(resource)


def hail(session, text):
    body = Element("jabber:client", "body", None, text)
    session.send(Message(body, to=session.jid, from_=ROMEO))


def welcome(it):
    it.send(Element(DOOR, "welcome"))


def test_a_session_is_made_and_plugins_are_told(host, stream, door):
    log_in(stream, door)
    session = knock(stream, door, bind)
    assert session.jid.text == "juliet@capulet.example/balcony"
    assert host.kernel.sessions("juliet") == (session,)
    assert door.told == [session]
    assert door.streams[-1].is_bound
    stream.send(MESSAGE)
    assert not stream.is_closed


def test_the_answer_leaves_before_anything_that_the_session_is_sent(host, stream, door):
    log_in(stream, door)
    door.bound = lambda session: hail(session, "told")

    def bind_slowly(it):
        session = it.bind("balcony")
        # Others find it as soon as it is there.
        hail(host.kernel.sessions("juliet")[0], "found")
        host.kernel.route(Message(to=session.jid, from_=ROMEO, type="headline"))
        gevent.sleep(0)
        it.send(Element(DOOR, "welcome"))
        it.send_features()

    knock(stream, door, bind_slowly)
    first, second, *others = stream.received()
    assert first.qualified_name == f"{DOOR} welcome"
    assert second.qualified_name == f"{NS_STREAM} features"
    assert second.elements == []
    assert [stanza.element.find_text("body") for stanza in others] == ["told", "found", ""]


def test_what_comes_behind_the_request_is_the_sessions(host, stream, door):
    log_in(stream, door)
    door.knocked = bind
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    stream.send(KNOCK + MESSAGE)
    assert romeo.receive_message().from_.text == "juliet@capulet.example/balcony"


def test_a_handler_that_fails_behind_the_binding_ends_the_session(server, host, stream, door):
    log_in(stream, door)
    server.expect_errors()

    def fail(it):
        it.bind("balcony")
        welcome(it)
        raise LookupError("a bug")

    knock(stream, door, fail)
    assert stream.closed_with() == "internal-server-error"
    assert stream.receive_element().name == "welcome"
    server.settle()
    assert host.kernel.sessions("juliet") == ()


def test_what_was_kept_with_the_stream_goes_over_to_the_session(stream, door):
    log_in(stream, door)

    def keep_and_bind(it):
        it.data["door"] = "open"
        return it.bind("balcony")

    assert knock(stream, door, keep_and_bind).data == {"door": "open"}


def refusal(stream, door, deed):
    """The condition of the StanzaError that a plugin gets for what it does."""

    def attempt(it):
        with pytest.raises(StanzaError) as raised:
            deed(it)
        return raised.value.condition

    return knock(stream, door, attempt)


def test_before_the_login_nothing_is_bound_or_resumed(host, stream, door):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    session = host.kernel.session(juliet.jid)
    assert refusal(stream, door, bind) == "not-allowed"
    assert refusal(stream, door, lambda it: it.resume(session)) == "not-allowed"


def test_a_resource_that_cannot_be_is_refused_and_another_may_be_tried(stream, door):
    log_in(stream, door)
    assert refusal(stream, door, lambda it: it.bind("\x00")) == "bad-request"
    assert knock(stream, door, bind).jid.resource == "balcony"


def test_an_account_has_so_many_sessions_and_no_more(server, host, stream, door):
    server.configure(limits={"sessions_per_account": 1})
    host.connect("juliet@capulet.example/garden", PASSWORD)
    log_in(stream, door)
    assert refusal(stream, door, bind) == "resource-constraint"


def test_a_stream_is_bound_once(stream, door):
    log_in(stream, door)

    def bind_twice(it):
        it.bind("balcony")
        with pytest.raises(StanzaError) as raised:
            it.bind("garden")
        return raised.value.condition

    assert knock(stream, door, bind_twice) == "not-allowed"


def test_a_stream_that_is_lost_meanwhile_leaves_no_session(host, stream, door, server):
    log_in(stream, door)

    def lose_and_bind(it):
        stream.connection.abort("the network is gone")
        return it.bind("balcony")

    knock(stream, door, lose_and_bind)
    server.settle()
    assert host.kernel.sessions("juliet") == ()
    assert door.told == []


def test_a_stream_that_is_lost_just_after_it_ends_its_session(host, stream, door, server):
    log_in(stream, door)

    def bind_and_lose(it):
        session = it.bind("balcony")
        stream.connection.abort("the network is gone")
        return session

    session = knock(stream, door, bind_and_lose)
    server.settle()
    assert session.is_ended
    assert host.kernel.sessions("juliet") == ()


def test_of_two_who_take_the_place_of_a_third_one_gets_it_and_neither_is_lost(server, host, door):
    old = host.connect("juliet@capulet.example/balcony", PASSWORD)
    may_end = Event()
    manager = host.kernel.session_manager
    clear_up = host.kernel.session(old.jid)
    notify = host.kernel.hooks.notify

    def notify_slowly(hook, arguments):
        if hook == "stonechat_session_closed" and arguments["session"] is clear_up:
            may_end.wait()
        notify(hook, arguments)

    host.kernel.hooks.notify = notify_slowly
    streams = [host.open_stream(tls=True) for _ in range(2)]
    for stream in streams:
        assert stream.authenticate("juliet", PASSWORD).name == "success"
        stream.open()
    for stream in streams:
        stream.connection.deliver(BIND.replace(">x<", ">balcony<").encode())
    gevent.sleep(0)
    may_end.set()
    server.settle()
    assert len(manager.sessions("juliet")) == 1
    # Whoever came last has it, and the other knows.
    assert sorted(stream.is_closed for stream in streams) == [False, True]


# Resuming


@pytest.fixture
def session(host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    return host.kernel.session(juliet.jid)


def test_a_session_goes_on_over_another_stream(host, stream, door, session):
    log_in(stream, door)

    def resume(it):
        it.resume(session)
        hail(session, "again")
        welcome(it)
        return it.is_bound

    assert knock(stream, door, resume) is True
    first, second = stream.received()
    assert first.qualified_name == f"{DOOR} welcome"
    assert second.element.find_text("body") == "again"
    assert host.kernel.sessions("juliet") == (session,)
    assert door.told == [session]  # of its binding, long ago
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    stream.send(MESSAGE)
    assert romeo.receive_message().from_ == session.jid


def test_nobody_goes_on_with_the_session_of_another(stream, door, session):
    knock(stream, door, lambda it: it.authenticate("PLAIN", plain("romeo")))
    assert refusal(stream, door, lambda it: it.resume(session)) == "item-not-found"
    assert session.is_connected


def test_a_session_that_has_ended_does_not_go_on(server, stream, door, session):
    session.close()
    server.settle()
    log_in(stream, door)
    assert refusal(stream, door, lambda it: it.resume(session)) == "item-not-found"


def test_a_session_that_was_resumed_has_no_deadline(server, stream, door, session):
    log_in(stream, door)
    knock(stream, door, lambda it: it.resume(session))
    server.clock.advance(60)
    assert not stream.is_closed


def test_a_fault_on_a_stream_that_another_has_taken_over_leaves_the_session(
    host, stream, door, session
):
    other = host.open_stream(tls=True)
    log_in(other, door)
    takes_over = door.streams[-1]
    log_in(stream, door)

    def lose_the_race(it):
        it.resume(session)
        takes_over.resume(session)
        raise StreamError("conflict", "Somebody was quicker.")

    knock(stream, door, lose_the_race)
    assert stream.is_closed
    assert session.is_open
    assert not other.is_closed


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
