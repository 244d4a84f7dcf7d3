"""A client's stream up to its binding (RFC 6120, sections 4 to 7), against the kernel."""

import base64

import pytest

from stonechat.errors import StanzaError
from stonechat.namespaces import (
    NS_BIND,
    NS_CLIENT,
    NS_SASL,
    NS_SESSION,
    NS_STREAM,
    NS_STREAM_ERRORS,
    NS_TLS,
)
from stonechat.stanza import Element, Iq
from stonechat.testing.client import TestClient, error_of

PASSWORD = "R0m30"
HEADER = (
    f"<stream:stream xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAM}'"
    " to='capulet.example' version='1.0'>"
)
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'>%s</bind></iq>"


@pytest.fixture
def host(server):
    host = server.host("capulet.example")
    host.create_account("juliet", PASSWORD)
    return host


@pytest.fixture
def stream(host):
    """Encrypted and open, not logged in."""
    return host.open_stream(tls=True)


@pytest.fixture
def logged_in(stream):
    """Authenticated and open again, not bound."""
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    return stream


def offered(features, name="mechanism"):
    mechanisms = features.find("mechanisms", NS_SASL)
    return [] if mechanisms is None else [m.text for m in mechanisms.find_all(name)]


def auth(text, mechanism="PLAIN"):
    encoded = base64.b64encode(text.encode()).decode()
    return f"<auth xmlns='{NS_SASL}' mechanism='{mechanism}'>{encoded}</auth>"


def condition_of(failure):
    assert (failure.namespace, failure.name) == (NS_SASL, "failure")
    return failure.first().name


# The header (4.7)


def test_the_server_answers_with_a_header_of_its_own(host):
    header = host.open_stream().header
    assert header.attributes["from"] == "capulet.example"
    assert header.attributes["version"] == "1.0"
    assert header.prefixes == {"": NS_CLIENT, "stream": NS_STREAM}


def test_no_two_streams_have_the_same_id(host):
    ids = {host.open_stream().header.attributes["id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(id_) >= 22 for id_ in ids)  # 128 bits at least


def test_a_stream_gets_another_id_when_it_begins_anew(stream):
    before = stream.header.attributes["id"]
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    assert stream.header.attributes["id"] != before


def test_the_clients_address_is_repeated_only_where_nobody_else_can_read_it(host):
    for tls, to in ((False, None), (True, "juliet@capulet.example")):
        stream = host.open_stream(tls=tls, header=False)
        stream.open(**{"from": "juliet@capulet.example"})
        assert stream.header.attributes.get("to") == to


def test_a_header_in_pieces_is_answered_when_it_is_whole(host):
    stream = host.open_stream(tls=True, header=False)
    for letter in HEADER:
        assert stream.header is None
        stream.send(letter)
    assert stream.header is not None
    assert stream.receive_element().name == "features"


def test_the_content_namespace_may_have_a_prefix(host):
    stream = host.open_stream(tls=True, header=False)
    stream.send(
        f"<stream xmlns='{NS_STREAM}' xmlns:c='{NS_CLIENT}' to='capulet.example' version='1.0'>"
    )
    assert stream.receive_element().name == "features"


def test_the_domain_is_compared_as_a_domain(host):
    stream = host.open_stream(header=False)
    stream.open(to="CAPULET.Example.")
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.features is not None


def test_a_client_that_names_no_domain_means_the_only_one(host):
    stream = host.open_stream(header=False)
    stream.open(to="")
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.features is not None


@pytest.mark.parametrize("to", ["verona.example", "x.capulet.example", "@@", "a b", "-"])
def test_a_domain_that_is_not_served_is_refused_behind_a_header(host, to):
    stream = host.open_stream(header=False)
    stream.open(to=to)
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.closed_with() == "host-unknown"
    assert stream.has_ended


@pytest.mark.parametrize(
    ("version", "is_welcome"),
    [
        ("1.0", True),
        ("1.1", True),
        ("2.0", True),
        ("01.0", True),
        ("0.9", False),
        ("", False),
        ("1", False),
        ("one.two", False),
        ("-1.0", False),
        ("١.٠", False),
    ],
)
def test_a_client_has_to_speak_version_1_0_or_a_later_one(host, version, is_welcome):
    stream = host.open_stream(header=False)
    stream.open(version=version)
    if is_welcome:
        assert stream.header.attributes["version"] == "1.0"
        assert stream.features is not None
    else:
        assert stream.closed_with() == "unsupported-version"


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace("stream:stream", "stream:flow"), "bad-format"),
        ("<message/>", "bad-format"),
        (auth("x"), "bad-format"),
        (HEADER.replace(NS_STREAM, "urn:x"), "invalid-namespace"),
        (HEADER.replace(NS_CLIENT, "jabber:server"), "invalid-namespace"),
        (HEADER.replace(NS_CLIENT, ""), "invalid-namespace"),
        ("<stream to='capulet.example' version='1.0'>", "invalid-namespace"),
        ("<stream:stream to='capulet.example' version='1.0'>", "bad-namespace-prefix"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("\x16\x03\x01\x02\x00\x01", "not-well-formed"),
        (b"\xff\xfe<\x00", "not-well-formed"),
        (HEADER.replace("to=", "to="[:-1] + " "), "not-well-formed"),
        (f"<?xml version='1.0' encoding='UTF-16'?>{HEADER}", "unsupported-encoding"),
        (f"<!-- hist -->{HEADER}", "restricted-xml"),
        (f"<!DOCTYPE x [<!ENTITY a 'b'>]>{HEADER}", "restricted-xml"),
        (f"<?xml-stylesheet href='x'?>{HEADER}", "restricted-xml"),
    ],
)
def test_what_is_no_header_is_answered_with_one_and_an_error(host, header, condition):
    stream = host.open_stream(header=False)
    stream.send(header)
    assert stream.closed_with() == condition
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.has_ended


def test_a_stream_that_is_empty_ends_properly(host):
    stream = host.open_stream(header=False)
    stream.send(HEADER[:-1] + "/>")
    assert stream.closed_with() == ""
    assert stream.has_ended


@pytest.mark.parametrize("fixture", ["stream", "logged_in"])
def test_a_client_may_end_its_stream_at_any_time(request, fixture):
    stream = request.getfixturevalue(fixture)
    stream.close()
    assert stream.closed_with() == ""
    assert stream.has_ended


# XML (4.9.3, 11)

BAD_XML = [
    ("<!-- hist -->", "restricted-xml"),
    ("<?php?>", "restricted-xml"),
    ("<iq type='get' id='q1'><x xmlns='u'>&amp;&lt;&#65;&nbsp;</x></iq>", "restricted-xml"),
    ("<iq type='get' id='q1'><x xmlns='u'><!-- hist --></x></iq>", "restricted-xml"),
    ("<iq type='get' id='q1'></message>", "not-well-formed"),
    ("<iq type=get id='q1'/>", "not-well-formed"),
    ("<iq type='get' type='get' id='q1'/>", "not-well-formed"),
    ("<iq type='get' id='q1'><x>\x01</x></iq>", "not-well-formed"),
    (b"<iq type='get' id='q1'><x>\xff</x></iq>", "not-well-formed"),
    ("<iq type='get' id='q1'><p:x/></iq>", "bad-namespace-prefix"),
    ("Hist!<iq/>", "bad-format"),
    (HEADER.replace("stream:stream", "x:stream"), "bad-namespace-prefix"),
]


@pytest.mark.parametrize(("xml", "condition"), BAD_XML)
@pytest.mark.parametrize("fixture", ["stream", "logged_in"])
def test_bad_xml_ends_the_stream(request, fixture, xml, condition):
    stream = request.getfixturevalue(fixture)
    stream.send(xml)
    assert stream.closed_with() == condition


@pytest.mark.parametrize(("xml", "condition"), BAD_XML)
def test_bad_xml_ends_a_session_after_what_came_before_it(host, xml, condition):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    before = f"<message to='{juliet.jid}'/>".encode()
    juliet.send(before + (xml.encode() if isinstance(xml, str) else xml))
    assert juliet.closed_with() == condition
    assert juliet.receive_message().to == juliet.jid
    assert host.kernel.sessions("juliet") == ()


def test_white_space_between_elements_means_nothing(logged_in):
    logged_in.send(" \r\n\t")
    logged_in.send(BIND % "" + " \n")
    assert logged_in.receive().type == "result"


# Sizes


@pytest.mark.parametrize(
    "begin",
    [
        "<stream:stream xmlns='" + "x" * 10_000,
        " " * 10_001,
        "<?xml version='1.0'?>" + "<" + "x" * 10_000,
    ],
)
def test_a_header_has_its_bound(host, begin):
    stream = host.open_stream(header=False)
    stream.send(begin)
    assert stream.closed_with() == "policy-violation"


@pytest.mark.parametrize("size", [10_000, 10_001])
def test_before_the_login_an_element_has_ten_thousand_octets(stream, size):
    element = f"<auth xmlns='{NS_SASL}' mechanism='NONE'>%s</auth>"
    stream.send(element % ("A" * (size - len(element) + 2)))
    if size == 10_000:
        assert condition_of(stream.receive()) == "invalid-mechanism"
    else:
        assert stream.closed_with() == "policy-violation"


def test_an_element_that_is_too_large_is_refused_before_it_is_whole(stream):
    stream.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>")
    for _ in range(10):
        stream.send("A" * 1000)
    assert stream.closed_with() == "policy-violation"


def test_before_the_login_an_element_holds_few_others(stream):
    stream.send("<iq type='get' id='q1'><x xmlns='urn:x'>" + "<y/>" * 100)
    assert stream.closed_with() == "policy-violation"


def test_after_the_login_stanzas_may_be_larger(server, host):
    server.configure(limits={"stanza_bytes": "64 KiB"})
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(f"<message to='{juliet.jid}'><body>{'a' * 60_000}</body></message>")
    assert len(juliet.receive_message().body) == 60_000
    juliet.send(f"<message to='{juliet.jid}'><body>{'a' * 66_000}</body></message>")
    assert juliet.closed_with() == "policy-violation"


def test_the_limit_of_a_bound_stream_holds_for_what_is_not_whole(server, host):
    server.configure(limits={"stanza_bytes": "64 KiB"})
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(f"<message to='{juliet.jid}'><body>")
    for _ in range(70):
        juliet.send("a" * 1000)
    assert juliet.closed_with() == "policy-violation"


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
    [auth("\0juliet\0R0m30"), f"<starttls xmlns='{NS_TLS}'/>", "<balcony xmlns='urn:x'/>"],
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
    stream.send(auth("\0juliet\0R0m30"))
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
    "behind", [HEADER, auth("\0juliet\0R0m30"), "<", MESSAGE, "</stream:stream>"]
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
        ("\0rosaline\0R0m30", "not-authorized"),
        ("\0juliet\0", "not-authorized"),
        ("\0@@\0R0m30", "not-authorized"),
        ("\0juliet", "malformed-request"),
        ("\0\0R0m30", "malformed-request"),
        ("romeo@capulet.example\0juliet\0R0m30", "invalid-authzid"),
        ("juliet@montague.example\0juliet\0R0m30", "invalid-authzid"),
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
    stream.send(auth("juliet@capulet.example\0juliet\0R0m30"))
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
    text = base64.b64encode(b"\0juliet\0R0m30").decode()
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
    stream.send(auth("\0juliet\0R0m30"))
    assert stream.received() == []
    server.clock.advance(0.5)
    assert stream.receive().name == "success"


@pytest.mark.parametrize("rest", [HEADER, "<", MESSAGE])
def test_octets_behind_a_login_that_succeeds_end_the_stream(stream, rest):
    stream.send(auth("\0juliet\0R0m30") + rest)
    assert stream.closed_with() == "policy-violation"


def test_what_comes_behind_a_login_that_fails_is_handled(stream):
    stream.send(auth("\0juliet\0Par1s") + auth("\0juliet\0R0m30"))
    assert [item.name for item in stream.received()] == ["failure", "success"]


def test_a_stream_has_to_begin_anew_after_the_login(stream):
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.send(BIND % "")
    assert stream.closed_with() == "bad-format"


@pytest.mark.parametrize("element", [auth("\0juliet\0R0m30"), f"<starttls xmlns='{NS_TLS}'/>"])
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


@pytest.mark.parametrize("resource", ["a" * 1024, "bal\u2028cony", "\ufffe"[:0] + "\u0080"])
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


# Conflicts (7.7.2.2)


def connect(host, address):
    return host.connect("juliet@capulet.example/balcony", PASSWORD, address=address)


HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.mark.parametrize(
    ("policy", "address", "outcome"),
    [
        ("generate", THERE, "another"),
        ("generate", HERE, "replaced"),
        ("replace", THERE, "replaced"),
        ("replace", HERE, "replaced"),
        ("refuse", THERE, "refused"),
        ("refuse", HERE, "refused"),
    ],
)
def test_a_resource_that_is_taken(server, host, policy, address, outcome):
    server.configure(limits={"resource_conflict": policy})
    older = connect(host, HERE)
    older.available()
    stream = host.open_stream(tls=True, address=address)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    answer = bind(stream, "balcony")
    if outcome == "refused":
        assert error_of(answer).condition == "conflict"
        assert not older.is_closed
        assert len(host.kernel.sessions("juliet")) == 1
    elif outcome == "replaced":
        assert bound_jid(answer) == "juliet@capulet.example/balcony"
        assert older.closed_with() == "conflict"
        (session,) = host.kernel.sessions("juliet")
        assert session.presence is None
    else:
        assert bound_jid(answer).startswith("juliet@capulet.example/balcony.")
        assert not older.is_closed
        assert len(host.kernel.sessions("juliet")) == 2


def test_who_was_replaced_does_not_take_its_successor_along(server, host):
    server.configure(limits={"resource_conflict": "replace"})
    older = connect(host, HERE)
    newer = connect(host, THERE)
    older.drop()
    newer.message(newer.jid, "Still here")
    assert newer.receive_message().body == "Still here"


def test_an_account_has_so_many_sessions_and_no_more(server, host):
    server.configure(limits={"sessions_per_account": 2})
    clients = [host.connect("juliet@capulet.example", PASSWORD) for _ in range(2)]
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    for resource in ("", "balcony"):
        assert error_of(bind(stream, resource)).condition == "resource-constraint"
    clients[0].disconnect()
    assert bound_jid(bind(stream, "balcony"))


def test_a_client_that_comes_again_needs_no_room(server, host):
    server.configure(limits={"sessions_per_account": 1})
    connect(host, HERE)
    connect(host, HERE)
    assert len(host.kernel.sessions("juliet")) == 1


# Deadlines


def test_a_stranger_has_ten_seconds_for_each_step(server, host):
    stream = host.open_stream(tls=True)
    server.clock.advance(9.9)
    assert not stream.is_closed
    stream.send(" ")
    server.clock.advance(9.9)
    assert not stream.is_closed
    server.clock.advance(0.2)
    assert stream.closed_with() == "connection-timeout"


def test_who_connects_and_says_nothing_is_closed(server, host):
    stream = host.open_stream(header=False)
    server.clock.advance(10.1)
    assert stream.closed_with() == "connection-timeout"
    assert stream.header is not None


def test_a_stranger_has_thirty_seconds_in_all(server, host):
    stream = host.open_stream(tls=True)
    for _ in range(5):
        server.clock.advance(5.9)
        stream.send(" ")
    assert not stream.is_closed
    server.clock.advance(0.6)
    assert stream.closed_with() == "connection-timeout"


def test_the_binding_belongs_to_the_login(server, logged_in):
    server.clock.advance(10.1)
    assert logged_in.closed_with() == "connection-timeout"


def test_a_handshake_that_never_ends_is_cut_off_without_a_word(server, host):
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    assert stream.receive().name == "proceed"
    server.clock.advance(10.1)
    assert stream.is_closed
    assert stream.received() == []


def test_the_deadlines_are_the_operators_choice(server):
    server.configure(limits={"handshake_timeout": "2 s", "negotiation_timeout": "3 s"})
    host = server.host("capulet.example")
    stream = host.open_stream()
    server.clock.advance(1.9)
    stream.send(" ")
    server.clock.advance(1)
    assert not stream.is_closed
    server.clock.advance(0.2)
    assert stream.closed_with() == "connection-timeout"


def test_a_bound_stream_has_no_deadline(server, host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    server.clock.advance(86400)
    juliet.message(juliet.jid, "Still here")
    assert juliet.receive_message().body == "Still here"


def test_streams_that_are_over_leave_no_timers_behind(server, host):
    waiting = len(server.kernel.timers)
    for end in ("drop", "close"):
        getattr(host.open_stream(), end)()
    host.connect("juliet@capulet.example/balcony", PASSWORD).drop()
    assert len(server.kernel.timers) == waiting


# Strangers


def test_past_the_bound_the_stranger_that_waits_longest_goes(server):
    server.configure(limits={"unauthenticated_per_address": 2})
    host = server.host("capulet.example")
    first, second = (host.open_stream(address=HERE) for _ in range(2))
    elsewhere = host.open_stream(address=THERE)
    host.open_stream(address=HERE)
    assert first.closed_with() == "resource-constraint"
    assert not second.is_closed
    assert not elsewhere.is_closed


def test_who_has_logged_in_is_no_stranger(server):
    server.configure(limits={"unauthenticated_per_address": 1})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony", address=HERE)
    for _ in range(3):
        stream = host.open_stream(address=HERE)
    assert not juliet.is_closed
    assert not stream.is_closed


def test_connections_past_their_bound_are_refused(server):
    server.configure(limits={"connections_per_address": 1})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony", address=HERE)
    assert host.open_stream(address=HERE, header=False).is_closed
    assert not host.open_stream(address=THERE).is_closed
    juliet.disconnect()
    assert not host.open_stream(address=HERE).is_closed
