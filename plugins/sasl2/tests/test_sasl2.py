"""The login of XEP-0388: what is offered, what is answered, and what comes out of order."""

import base64

import pytest

from stonechat.namespaces import NS_BIND, NS_SASL, NS_STREAM
from stonechat.sasl import user_agent
from stonechat.stanza import Iq, Message

NS = "urn:xmpp:sasl:2"
PASSWORD = "R0m30"
AGENT = "d4565fa7-4d72-4749-b3d3-740edbf87770"
BINDINGS = {"tls-exporter": b"e" * 32, "tls-server-end-point": b"p" * 32}
MESSAGE = "<message to='romeo@capulet.example'><body>Hist!</body></message>"
SUCCESS = f"<success xmlns='{NS}'/>"
BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'><resource>x</resource></bind></iq>"


@pytest.fixture
def host(server):
    host = server.host("capulet.example", sasl2={})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host


@pytest.fixture
def stream(host):
    """Encrypted and open, not logged in."""
    return host.open_stream(tls=True)


def offer(stream):
    return stream.features.find("authentication", NS)


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def plain(localpart="juliet", password=PASSWORD, authzid=""):
    return b64(f"{authzid}\0{localpart}\0{password}")


def initial(text):
    return f"<initial-response>{text}</initial-response>"


def authenticate(stream, mechanism="PLAIN", response=None, payload=""):
    """Send <authenticate/>, and return the answer to it."""
    text = initial(plain()) if response is None else response
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='{mechanism}'>{text}{payload}</authenticate>"
    )
    return stream.receive_element()


def respond(stream, text):
    stream.send(f"<response xmlns='{NS}'>{text}</response>")
    return stream.receive_element()


def condition_of(failure):
    assert failure.qualified_name == f"{NS} failure"
    condition = failure.first()
    assert condition.namespace == NS_SASL
    return condition.name


# What is offered


def test_the_mechanisms_are_those_of_rfc_6120(stream):
    old = [m.text for m in stream.features.find("mechanisms", NS_SASL).elements]
    new = [m.text for m in offer(stream).find_all("mechanism")]
    assert new == old
    assert "PLAIN" in new


def test_channel_binding_types_stand_beside_it_and_once(host):
    stream = host.open_stream(tls=True, bindings=BINDINGS)
    assert len(list(stream.features.find_all("sasl-channel-binding", "urn:xmpp:sasl-cb:0"))) == 1
    assert "SCRAM-SHA-256-PLUS" in [m.text for m in offer(stream).find_all("mechanism")]


def test_it_does_not_depend_on_who_the_client_says_it_is(host):
    offers = []
    for claimed in ("", "juliet@capulet.example", "nobody@capulet.example"):
        stream = host.open_stream(tls=True, header=False)
        stream.open(**({"from": claimed} if claimed else {}))
        offers.append(offer(stream).to_bytes())
    assert len(set(offers)) == 1


def test_without_tls_it_is_not_offered_and_not_to_be_had(host):
    stream = host.open_stream()
    assert offer(stream) is None
    assert condition_of(authenticate(stream)) == "encryption-required"
    assert not stream.is_closed


def test_behind_a_proxy_that_has_decrypted_it_may_be_offered(server):
    server.configure(allow_plain_without_tls=True)
    host = server.host("montague.example", sasl2={"allow_without_tls": True})
    host.create_account("romeo", PASSWORD)
    stream = host.open_stream()
    assert offer(stream) is not None
    assert authenticate(stream, response=initial(plain("romeo"))).name == "success"


def test_where_tls_is_required_it_comes_after_it(host):
    stream = host.open_stream(starttls="required")
    assert offer(stream) is None
    stream.start_tls()
    assert offer(stream) is not None


def test_without_a_mechanism_it_is_not_offered(host, monkeypatch):
    backend = host.kernel.accounts._chain._backends[0]
    monkeypatch.setattr(backend, "capabilities", frozenset())
    assert offer(host.open_stream(tls=True)) is None


def test_after_the_login_it_is_not_offered(stream):
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    assert offer(stream) is None


# Logging in


def test_a_login_goes_on_without_a_new_stream(host, stream):
    success = authenticate(stream)
    assert success.qualified_name == f"{NS} success"
    assert success.find_text("authorization-identifier") == "juliet@capulet.example"
    assert success.find("additional-data") is None
    features = stream.receive_element()
    assert features.qualified_name == f"{NS_STREAM} features"
    assert [f.name for f in features.elements] == ["bind", "session"]
    stream.send(BIND)
    answer = stream.receive()
    assert isinstance(answer, Iq)
    assert answer.payload.find_text("jid") == "juliet@capulet.example/x"


def test_the_kit_logs_in_so(stream):
    assert stream.log_in_inline("juliet", PASSWORD, agent=AGENT).name == "success"
    assert stream.features.find("bind", NS_BIND) is not None


def test_the_response_may_come_after_an_empty_challenge(stream):
    challenge = authenticate(stream, response="")
    assert (challenge.qualified_name, challenge.text) == (f"{NS} challenge", "")
    assert respond(stream, plain()).name == "success"


def test_white_space_around_the_data_is_none(stream):
    assert authenticate(stream, response=initial(f"\n  {plain()}\n")).name == "success"


def scram_first(stream, mechanism="SCRAM-SHA-256", header="n,,"):
    challenge = authenticate(stream, mechanism, initial(b64(f"{header}n=juliet,r=abc")))
    assert challenge.qualified_name == f"{NS} challenge"
    return base64.b64decode(challenge.text).decode()


def scram_final(challenge, header=b"n,,", password=PASSWORD):
    import hashlib
    import hmac

    fields = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c={b64(header)},r={fields['r']}"
    message = f"n=juliet,r=abc,{challenge},{final}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
    return b64(f"{final},p={b64(proof)}"), b64(b"v=" + base64.b64encode(server))


def test_scram_has_the_last_word_in_the_success(stream):
    final, server_final = scram_final(scram_first(stream))
    success = respond(stream, final)
    assert success.find_text("additional-data") == server_final
    assert [child.name for child in success.elements] == [
        "additional-data",
        "authorization-identifier",
    ]


def test_a_channel_is_bound_to(host):
    stream = host.open_stream(tls=True, bindings=BINDINGS)
    header = "p=tls-exporter,,"
    challenge = scram_first(stream, "SCRAM-SHA-256-PLUS", header)
    final, _ = scram_final(challenge, header.encode() + BINDINGS["tls-exporter"])
    assert respond(stream, final).name == "success"


def test_another_channel_is_not(host):
    stream = host.open_stream(tls=True, bindings=BINDINGS)
    header = "p=tls-exporter,,"
    challenge = scram_first(stream, "SCRAM-SHA-256-PLUS", header)
    final, _ = scram_final(challenge, header.encode() + b"of somebody in between")
    assert condition_of(respond(stream, final)) == "not-authorized"


def test_scram_tells_what_was_offered_here(host):
    import hashlib

    stream = host.open_stream(tls=True, bindings=BINDINGS)
    names = sorted(m.text for m in offer(stream).find_all("mechanism"))
    text = "\x1e".join(names) + "\x1f" + "\x1e".join(sorted(BINDINGS))
    expected = b64(hashlib.sha256(text.encode()).digest())
    assert scram_first(stream).endswith(f",h={expected}")


def test_the_user_agent_is_kept_with_the_session_and_shown_to_nobody(host, stream):
    agent = (
        f"<user-agent id='{AGENT.upper()}'><software>Awesome\n XMPP</software>"
        f"<device>{'Nurse ' * 50}</device></user-agent>"
    )
    authenticate(stream, payload=agent)
    stream.send(BIND)
    (session,) = host.kernel.sessions("juliet")
    found = user_agent(session)
    assert (found.id, found.software) == (AGENT, "Awesome XMPP")
    assert len(found.device) == 100
    assert set(session.data) == {"user-agent"}
    assert AGENT not in session.jid.text


@pytest.mark.parametrize(
    "id_",
    ["", "x", "d4565fa7-4d72-1749-b3d3-740edbf87770", "d4565fa7-4d72-4749-73d3-740edbf87770"],
)
def test_an_id_that_is_no_uuid_of_version_4_counts_as_none(host, stream, id_):
    authenticate(stream, payload=f"<user-agent id='{id_}'/>")
    stream.send(BIND)
    assert user_agent(host.kernel.sessions("juliet")[0]).id == ""


# Failures


@pytest.mark.parametrize(
    ("mechanism", "response", "condition"),
    [
        ("PLAIN", initial(plain(password="wrong")), "not-authorized"),
        ("PLAIN", initial(plain("nobody")), "not-authorized"),
        ("PLAIN", initial(plain(authzid="romeo@capulet.example")), "invalid-authzid"),
        ("PLAIN", initial("%%%"), "incorrect-encoding"),
        # What stands for nothing in RFC 6120 stands for nothing here either.
        ("PLAIN", initial("="), "incorrect-encoding"),
        ("PLAIN", initial(""), "malformed-request"),
        ("PLAIN", initial("A" * 8196), "malformed-request"),
        ("EXTERNAL", initial(""), "invalid-mechanism"),
        ("SCRAM-SHA-256-PLUS", initial(b64("p=tls-exporter,,n=juliet,r=a")), "invalid-mechanism"),
        ("SCRAM-MD5", "", "invalid-mechanism"),
        ("", "", "invalid-mechanism"),
        ("TOKEN", initial(b64("x")), "invalid-mechanism"),
    ],
)
def test_a_login_that_fails_is_told_why_and_may_be_tried_again(
    stream, mechanism, response, condition
):
    assert condition_of(authenticate(stream, mechanism, response)) == condition
    assert authenticate(stream).name == "success"


def test_the_failure_says_in_words_what_is_wrong(stream):
    failure = authenticate(stream, response=initial(plain(password="wrong")))
    assert "password" in failure.find_text("text")


def test_a_login_for_another_account_than_that_of_the_stream_fails(host):
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": "romeo@capulet.example"})
    assert condition_of(authenticate(stream)) == "invalid-authzid"
    success = authenticate(stream, response=initial(plain("romeo")))
    assert success.find_text("authorization-identifier") == "romeo@capulet.example"


def test_a_stream_of_another_domain_has_no_account_here(host):
    stream = host.open_stream(tls=True, header=False)
    stream.open(**{"from": "juliet@montague.example"})
    stream.send(f"<authenticate xmlns='{NS}' mechanism='PLAIN'>{initial(plain())}</authenticate>")
    assert stream.closed_with() == "invalid-from"


def test_after_as_many_failures_as_are_allowed_the_stream_ends(server, host, stream):
    wrong = initial(plain(password="wrong"))
    for _ in range(2):
        assert condition_of(authenticate(stream, response=wrong)) == "not-authorized"
    stream.connection.deliver(
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'>{wrong}</authenticate>".encode()
    )
    server.settle()
    server.clock.advance(1)  # who guesses has to wait
    assert condition_of(stream.receive_element()) == "not-authorized"
    assert stream.closed_with() == "policy-violation"
    assert host.kernel.login_failures == 3


def test_guesses_by_either_way_are_counted_together(server, stream):
    stream.authenticate("juliet", "wrong")
    assert condition_of(authenticate(stream, response=initial(plain(password="x")))) == (
        "not-authorized"
    )
    stream.connection.deliver(
        f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain(password='y')}</auth>".encode()
    )
    server.settle()
    server.clock.advance(1)
    assert stream.closed_with() == "policy-violation"


def test_a_failed_login_leaves_nothing_of_what_it_asked_for(host, stream):
    bind = "<bind xmlns='urn:xmpp:bind:0'/>"
    agent = f"<user-agent id='{AGENT}'/>"
    wrong = initial(plain(password="wrong"))
    failure = authenticate(stream, response=wrong, payload=bind + agent)
    assert condition_of(failure) == "not-authorized"
    assert host.kernel.sessions("juliet") == ()
    assert authenticate(stream).find("bound", "urn:xmpp:bind:0") is None
    stream.send(BIND)
    (session,) = host.kernel.sessions("juliet")
    assert user_agent(session).id == ""


def test_a_client_may_give_up_and_begin_again(stream):
    scram_first(stream)
    stream.send(f"<abort xmlns='{NS}'><text>Never mind.</text></abort>")
    assert condition_of(stream.receive_element()) == "aborted"
    assert authenticate(stream).name == "success"


# What comes out of order


@pytest.mark.parametrize(
    "other",
    [
        MESSAGE,
        "<iq type='get' id='q1'><query xmlns='jabber:iq:register'/></iq>",
        f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain()}</auth>",
        f"<response xmlns='{NS_SASL}'>{plain()}</response>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'/>",
        f"<next xmlns='{NS}' task='UPGR-SCRAM-SHA-256'/>",
        f"<task-data xmlns='{NS}'/>",
        SUCCESS,
    ],
)
def test_during_an_authentication_nothing_else_may_come(stream, other):
    scram_first(stream)
    stream.send(other)
    expected = {MESSAGE: "not-authorized", SUCCESS: "unsupported-stanza-type"}
    assert stream.closed_with() == expected.get(other, "policy-violation")


@pytest.mark.parametrize(
    "element",
    [
        f"<response xmlns='{NS}'/>",
        f"<abort xmlns='{NS}'/>",
        f"<next xmlns='{NS}' task='UPGR-SCRAM-SHA-256'/>",
        f"<task-data xmlns='{NS}'/>",
    ],
)
@pytest.mark.parametrize("logged_in", [False, True])
def test_what_belongs_to_no_authentication_ends_the_stream(stream, element, logged_in):
    if logged_in:
        authenticate(stream)
    stream.send(element)
    assert stream.closed_with() == "policy-violation"


@pytest.mark.parametrize("way", ["new", "old"])
def test_nobody_logs_in_twice(stream, way):
    if way == "new":
        authenticate(stream)
    else:
        assert stream.authenticate("juliet", PASSWORD).name == "success"
        stream.open()
    stream.send(f"<authenticate xmlns='{NS}' mechanism='PLAIN'>{initial(plain())}</authenticate>")
    assert stream.closed_with() == "policy-violation"


def test_before_the_success_nothing_is_bound(stream):
    scram_first(stream)
    stream.send(BIND)
    assert stream.closed_with() == "policy-violation"


def test_what_is_sent_behind_the_request_is_handled_after_it(host, stream):
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    stream.send(
        f"<authenticate xmlns='{NS}' mechanism='PLAIN'>{initial(plain())}"
        f"<bind xmlns='urn:xmpp:bind:0'/></authenticate>{MESSAGE}"
    )
    assert stream.receive_element().name == "success"
    assert romeo.receive_message().from_.bare.text == "juliet@capulet.example"


def test_a_request_that_is_too_large_ends_the_stream(stream):
    stream.send(f"<authenticate xmlns='{NS}' mechanism='PLAIN'>{'<x/>' * 70}</authenticate>")
    assert stream.closed_with() == "policy-violation"


def test_what_nobody_knows_in_the_request_is_passed_over(stream):
    success = authenticate(stream, payload="<fly xmlns='urn:example:moon'/><text/>")
    assert [child.name for child in success.elements] == ["authorization-identifier"]


def test_a_login_has_as_long_as_any(server, stream):
    scram_first(stream)
    server.clock.advance(31)
    assert stream.closed_with() == "connection-timeout"


def test_a_session_that_is_bound_knows_no_such_elements(host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    juliet.send(f"<authenticate xmlns='{NS}' mechanism='PLAIN'/>")
    assert juliet.closed_with() == "unsupported-stanza-type"


def test_a_plugin_that_is_stopped_offers_nothing(host):
    host.disable("sasl2")
    stream = host.open_stream(tls=True)
    assert offer(stream) is None
    stream.send(f"<authenticate xmlns='{NS}' mechanism='PLAIN'/>")
    assert stream.closed_with() == "unsupported-stanza-type"


def test_messages_go_to_who_logged_in_so(host, stream):
    authenticate(stream)
    stream.receive_element()
    stream.send(BIND + "<presence/>")
    stream.received()
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.message("juliet@capulet.example", "Speak!")
    assert isinstance(stream.receive(), Message)
