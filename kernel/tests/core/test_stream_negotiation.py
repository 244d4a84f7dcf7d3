"""A client's stream from its features to its binding (RFC 6120, sections 5 to 7)."""

import base64

import pytest

from stonechat import hookimpl
from stonechat.namespaces import NS_BIND, NS_CLIENT, NS_SASL, NS_SESSION, NS_STREAM, NS_TLS
from stonechat.stanza import Iq
from stonechat.testing import error_of
from stonechat.testing.kit import PASSWORD

HEADER = (
    f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAM}'"
    " to='capulet.example' version='1.0'>"
)
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'>%s</bind></iq>"


def offered(features):
    mechanisms = features.find("mechanisms", NS_SASL)
    return [] if mechanisms is None else [m.text for m in mechanisms.elements]


def auth(text, mechanism="PLAIN"):
    encoded = base64.b64encode(text.encode()).decode()
    return f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>{encoded}</auth>"


def condition_of(failure):
    assert (failure.namespace, failure.name) == (NS_SASL, "failure")
    return failure.first().name


# The order of things


@pytest.mark.parametrize(
    "stanza",
    [
        MESSAGE,
        "<presence/>",
        "<iq type='get' id='q1'><query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='result' id='q1'/>",
        BIND % "",
    ],
)
def test_a_stanza_before_the_login_is_refused(stream, stanza):
    stream.send(stanza)
    assert stream.closed_with() == "not-authorized"


@pytest.mark.parametrize(
    "stanza",
    [
        MESSAGE,
        "<presence/>",
        "<iq type='get' id='q1'><query xmlns='jabber:iq:roster'/></iq>",
        f"<iq type='set' id='q1'><session xmlns='{NS_SESSION}'/></iq>",
        "<iq type='result' id='q1'/>",
        f"<iq type='get' id='b1'><bind xmlns='{NS_BIND}'/></iq>",
    ],
)
def test_a_stanza_before_the_binding_is_refused(logged_in, stanza):
    logged_in.send(stanza)
    assert logged_in.closed_with() == "not-authorized"


@pytest.mark.parametrize(
    "element",
    [
        "<balcony xmlns='urn:example:verona'/>",
        f"<features xmlns='{NS_STREAM}'/>",
        "<message xmlns='jabber:server'/>",
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        f"<success xmlns='{NS_SASL}'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
    ],
)
@pytest.mark.parametrize("fixture", ["stream", "logged_in"])
def test_an_element_that_nobody_knows_is_refused(request, fixture, element):
    stream = request.getfixturevalue(fixture)
    stream.send(element)
    assert stream.closed_with() == "unsupported-stanza-type"


@pytest.mark.parametrize(
    "element",
    [auth(f"\0juliet\0{PASSWORD}"), f"<starttls xmlns='{NS_TLS}'/>", "<balcony xmlns='urn:x'/>"],
)
def test_a_bound_client_sends_nothing_but_stanzas(host, element):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(element)
    assert juliet.closed_with() == "unsupported-stanza-type"


def test_nothing_that_comes_behind_a_fault_is_handled(host, logged_in):
    logged_in.send(MESSAGE + BIND % "<resource>balcony</resource>")
    assert logged_in.closed_with() == "not-authorized"
    assert host.kernel.sessions("juliet") == ()


# TLS (5)


def test_where_tls_is_required_nothing_else_is_offered(host):
    features = host.open_stream(starttls="required").features
    (starttls,) = features.elements
    assert (starttls.namespace, starttls.name) == (NS_TLS, "starttls")
    assert starttls.find("required") is not None


def test_where_tls_is_required_a_login_without_it_is_refused(host):
    stream = host.open_stream(starttls="required")
    stream.send(auth(f"\0juliet\0{PASSWORD}"))
    assert condition_of(stream.receive()) == "encryption-required"
    stream.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>")
    assert stream.closed_with() == "not-authorized"


def test_where_tls_is_optional_it_is_offered_beside_what_is_safe_without_it(host):
    features = host.open_stream(starttls="optional").features
    assert features.find("starttls", NS_TLS).children == ()
    assert offered(features) == ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]


def test_passwords_go_in_the_clear_only_where_the_operator_lets_them(server, host):
    stream = host.open_stream()
    assert condition_of(stream.authenticate("juliet", PASSWORD)) == "invalid-mechanism"
    server.configure(allow_plain_without_tls=True)
    stream = host.open_stream()
    assert "PLAIN" in offered(stream.features)
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_after_tls_the_stream_begins_anew_and_offers_no_tls(host):
    stream = host.open_stream(starttls="required")
    before = stream.header.attributes["id"]
    features = stream.start_tls()
    assert stream.header.attributes["id"] != before
    assert features.find("starttls", NS_TLS) is None
    assert "PLAIN" in offered(features)


@pytest.mark.parametrize(("tls", "starttls"), [(True, "required"), (False, "off")])
def test_tls_that_was_not_offered_cannot_be_had(host, tls, starttls):
    stream = host.open_stream(tls=tls, starttls=starttls)
    assert stream.features.find("starttls", NS_TLS) is None
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    failure = stream.receive()
    assert (failure.namespace, failure.name) == (NS_TLS, "failure")
    assert stream.closed_with() == ""
    assert stream.has_ended


@pytest.mark.parametrize(
    "behind", [HEADER, auth(f"\0juliet\0{PASSWORD}"), "<", MESSAGE, "</stream:stream>"]
)
def test_octets_in_the_clear_behind_starttls_end_the_stream(host, behind):
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>{behind}")
    assert stream.closed_with() == "policy-violation"
    assert stream.received()[0].name == "error"  # and no <proceed/> before it


def test_what_is_no_tls_handshake_ends_the_connection_without_a_word(host):
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    assert stream.receive().name == "proceed"
    stream.send(HEADER)
    assert stream.is_closed
    assert stream.received() == []


def test_after_tls_another_domain_may_be_chosen(server, host):
    server.host("montague.example")
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    stream.shake_hands()
    stream.received()
    assert stream.open(to="montague.example") is not None
    assert stream.header.attributes["from"] == "montague.example"


# SASL (6)


def test_after_the_login_a_resource_can_be_bound_and_no_login_is_offered(logged_in):
    names = [(f.namespace, f.name) for f in logged_in.features.elements]
    assert names == [(NS_BIND, "bind"), (NS_SESSION, "session")]
    assert logged_in.features.find("session", NS_SESSION).find("optional") is not None


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("\0juliet\0Par1s", "not-authorized"),
        (f"\0rosaline\0{PASSWORD}", "not-authorized"),
        ("\0juliet\0", "not-authorized"),
        (f"\0@@\0{PASSWORD}", "not-authorized"),
        ("\0juliet", "malformed-request"),
        (f"\0\0{PASSWORD}", "malformed-request"),
        (f"romeo@capulet.example\0juliet\0{PASSWORD}", "invalid-authzid"),
        (f"juliet@montague.example\0juliet\0{PASSWORD}", "invalid-authzid"),
    ],
)
def test_a_login_that_fails_is_told_why_and_may_be_tried_again(stream, text, condition):
    stream.send(auth(text))
    assert condition_of(stream.receive()) == condition
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_an_unknown_account_and_a_wrong_password_are_answered_alike(host):
    answers = []
    for name in ("juliet", "rosaline"):
        stream = host.open_stream(tls=True)
        stream.send(auth(f"\0{name}\0Par1s"))
        answers.append(stream.receive().to_bytes())
    assert answers[0] == answers[1]


def test_who_acts_for_himself_may_say_so(stream):
    stream.send(auth(f"juliet@capulet.example\0juliet\0{PASSWORD}"))
    assert stream.receive().name == "success"


@pytest.mark.parametrize(
    ("xml", "condition"),
    [
        (auth("x", "KERBEROS_V4"), "invalid-mechanism"),
        (auth("x", ""), "invalid-mechanism"),
        (f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>***</auth>", "incorrect-encoding"),
        (f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>=</auth>", "malformed-request"),
        (f"<response xmlns='{NS_SASL}'/>", "malformed-request"),
        (f"<abort xmlns='{NS_SASL}'/>", "aborted"),
    ],
)
def test_sasl_out_of_form_is_refused(stream, xml, condition):
    stream.send(xml)
    assert condition_of(stream.receive()) == condition
    assert not stream.is_closed


def test_the_password_may_come_after_an_empty_challenge(stream):
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'/>")
    challenge = stream.receive()
    assert (challenge.name, challenge.text) == ("challenge", "")
    text = base64.b64encode(f"\0juliet\0{PASSWORD}".encode()).decode()
    stream.send(f"<response xmlns='{NS_SASL}'>{text}</response>")
    assert stream.receive().name == "success"


def test_after_as_many_failures_as_are_allowed_the_stream_ends(server, host):
    server.configure(limits={"auth_failures": 2})
    stream = host.open_stream(tls=True)
    assert condition_of(stream.authenticate("juliet", "Par1s")) == "not-authorized"
    assert condition_of(stream.authenticate("juliet", "Tyb4lt")) == "not-authorized"
    assert stream.closed_with() == "policy-violation"


def test_who_guesses_has_to_wait_longer_each_time(server, host):
    for _ in range(2):
        stream = host.open_stream(tls=True)
        stream.authenticate("juliet", "Par1s")
    stream = host.open_stream(tls=True)
    stream.send(auth(f"\0juliet\0{PASSWORD}"))
    assert stream.received() == []
    server.clock.advance(0.5)
    assert stream.receive().name == "success"


@pytest.mark.parametrize("rest", [HEADER, "<", MESSAGE])
def test_octets_behind_a_login_that_succeeds_end_the_stream(stream, rest):
    stream.send(auth(f"\0juliet\0{PASSWORD}") + rest)
    assert stream.closed_with() == "policy-violation"


def test_what_comes_behind_a_login_that_fails_is_handled(stream):
    stream.send(auth("\0juliet\0Par1s") + auth(f"\0juliet\0{PASSWORD}"))
    assert [item.name for item in stream.received()] == ["failure", "success"]


def test_a_stream_has_to_begin_anew_after_the_login(stream):
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.header = None
    stream.send(BIND % "")
    assert stream.closed_with() == "bad-format"
    # The error belongs to the new stream (4.9.1.2).
    assert stream.header is not None


def test_what_is_no_header_after_tls_is_answered_with_one_and_an_error(host):
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    assert stream.receive().name == "proceed"
    stream.shake_hands()
    stream.header = None
    stream.send("<presence/>")
    assert stream.closed_with() == "bad-format"
    assert stream.header is not None


@pytest.mark.parametrize(
    "element", [auth(f"\0juliet\0{PASSWORD}"), f"<starttls xmlns='{NS_TLS}'/>"]
)
def test_nobody_logs_in_twice_or_encrypts_after_the_login(logged_in, element):
    logged_in.send(element)
    assert logged_in.closed_with() == "unsupported-stanza-type"


def test_who_logged_in_to_one_host_cannot_go_to_another(server, host, stream):
    server.host("montague.example")
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open(to="montague.example")
    assert stream.closed_with() == "host-unknown"
    assert stream.features is None


def test_an_account_is_of_its_host_only(server, host):
    other = server.host("montague.example")
    stream = other.open_stream(tls=True)
    assert condition_of(stream.authenticate("juliet", PASSWORD)) == "not-authorized"


# Binding (7)


def bind(stream, resource=""):
    stream.send(BIND % (f"<resource>{resource}</resource>" if resource else ""))
    return stream.receive()


def bound_jid(answer):
    assert isinstance(answer, Iq)
    assert answer.type == "result", answer
    return answer.payload.find_text("jid")


def test_the_client_may_choose_its_resource(host, logged_in):
    assert bound_jid(bind(logged_in, "balcony")) == "juliet@capulet.example/balcony"
    (session,) = host.kernel.sessions("juliet")
    assert session.jid.resource == "balcony"


def test_the_server_chooses_a_resource_that_nobody_can_guess(logged_in):
    resource = bound_jid(bind(logged_in)).partition("/")[2]
    assert len(resource) >= 16


@pytest.mark.parametrize("resource", ["a" * 1024, "bal\u2028cony", "\u0080"])
def test_a_resource_that_cannot_be_is_refused_and_another_may_be_tried(logged_in, resource):
    answer = bind(logged_in, resource)
    assert error_of(answer).condition == "bad-request"
    assert answer.id == "b1"
    assert bound_jid(bind(logged_in, "balcony"))


def test_a_second_resource_on_one_stream_is_refused(host, logged_in):
    bind(logged_in, "balcony")
    answer = bind(logged_in, "chamber")
    assert answer.type == "error"
    assert [s.jid.resource for s in host.kernel.sessions("juliet")] == ["balcony"]


def test_a_stanza_may_come_in_the_same_breath_as_the_binding(logged_in):
    logged_in.send(
        BIND % "<resource>balcony</resource>"
        + "<message to='juliet@capulet.example/balcony' id='m1'/>"
    )
    result, message = logged_in.received()
    assert (result.type, message.id) == ("result", "m1")


def test_a_plugin_that_fails_before_a_login_is_named_and_the_client_answered(server):
    class Breaker:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_unauthenticated_iq_handlers(self):
            return {("get", "urn:example:break"): self.fail}

        def fail(self, stream, iq):
            raise RuntimeError("broken")

    server.expect_errors()
    host = server.host("capulet.example", plugin_classes={"breaker": Breaker}, breaker={})
    stream = host.open_stream(tls=True)
    stream.send("<iq type='get' id='1'><query xmlns='urn:example:break'/></iq>")
    assert error_of(stream.receive()).condition == "internal-server-error"
    assert [event["plugin"] for event in server.logged("plugin failed")] == ["breaker"]


def test_nobody_binds_while_the_server_stops(server, stream):
    stream.authenticate("juliet", PASSWORD)
    stream.open("capulet.example")
    server.kernel.is_stopping = True
    try:
        stream.send(BIND % "")
        assert stream.closed_with() == "system-shutdown"
    finally:
        server.kernel.is_stopping = False


def test_an_attempt_begun_in_the_clear_does_not_go_on_under_tls(host, server):
    server.configure(allow_plain_without_tls=True)
    stream = host.open_stream(starttls="optional")
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'/>")
    assert stream.receive_element().name == "challenge"
    stream.start_tls()
    text = base64.b64encode(f"\0juliet\0{PASSWORD}".encode()).decode()
    stream.send(f"<response xmlns='{NS_SASL}'>{text}</response>")
    assert stream.receive_element().find("malformed-request") is not None
    assert stream.authenticate("juliet", PASSWORD).name == "success"
