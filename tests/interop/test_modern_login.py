"""Logins by XEP-0388, 0386, 0440, 0474 and 0484 over real sockets, bound to real TLS.

No client in Python speaks these: ours takes the server's elements one by one. slixmpp,
which ignores them, logs in beside it.
"""

import base64
import hashlib
import hmac
import xml.etree.ElementTree as ET

import pytest
from OpenSSL import SSL
from witnesses.cast import PASSWORD, Cast
from witnesses.node import CAPULET, Node
from witnesses.pipes import PyOpenSslPipe, ask_for_tls, open_socket
from witnesses.scram import OwnScram

SASL2 = "{urn:xmpp:sasl:2}"
BIND2 = "{urn:xmpp:bind:0}"
FAST = "{urn:xmpp:fast:0}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
BINDINGS = "{urn:xmpp:sasl-cb:0}"
STREAM = "{http://etherx.jabber.org/streams}"
PHONE = "d4565fa7-4d72-4749-b3d3-740edbf87770"
TABLET = "0d9bf1a1-2a4c-4b7e-9d53-8f1f2c1a3b4c"
BIND = f"<bind xmlns='{BIND2[1:-1]}'><tag>Gate</tag></bind>"
MESSAGE = "<message to='{to}' type='chat' id='m1'><body>Hist!</body></message>"


class ModernNode(Node):
    """The server with the plugins for these logins."""

    def _configuration(self):
        configuration = super()._configuration()
        configuration["plugins"] |= {"sasl2": {}, "fast": {}}
        return configuration


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = ModernNode(tmp_path_factory.mktemp("modern"))
    node.process.start()
    yield node
    faults = node.new_faults()
    assert node.process.stop() == 0, node.process.story()
    assert faults == []


@pytest.fixture
def cast(node, loop):
    cast = Cast(node, loop)
    yield cast
    cast.close()


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def authenticate(client, mechanism, message, payload="", agent=PHONE):
    return client.exchange(
        f"<authenticate xmlns='{SASL2[1:-1]}' mechanism='{mechanism}'>"
        f"<initial-response>{b64(message)}</initial-response><user-agent id='{agent}'/>"
        f"{payload}</authenticate>"
    )


def finish(client, scram, challenge):
    """Go on with SCRAM after its first challenge; the server's last answer."""
    assert challenge.tag == f"{SASL2}challenge", ET.tostring(challenge)
    scram.set_server_first(base64.b64decode(challenge.text).decode())
    final = b64(scram.get_client_final())
    answer = client.exchange(f"<response xmlns='{SASL2[1:-1]}'>{final}</response>")
    if answer.tag == f"{SASL2}success":
        data = answer.findtext(f"{SASL2}additional-data")
        scram.set_server_final(base64.b64decode(data).decode())
        features = client.receive()
        assert features.tag == f"{STREAM}features"
    return answer


def log_in(client, name, payload="", *, type="tls-exporter", **options):
    """By SCRAM-SHA-256-PLUS; <success/>."""
    binding = (type, client.pipe.bindings()[type])
    scram = OwnScram("SCRAM-SHA-256-PLUS", name, PASSWORD, binding)
    challenge = authenticate(
        client, scram.mechanism_name, scram.get_client_first(), payload, **options
    )
    success = finish(client, scram, challenge)
    assert success.tag == f"{SASL2}success", ET.tostring(success)
    return success


def condition(failure):
    assert failure.tag == f"{SASL2}failure", ET.tostring(failure)
    return failure[0].tag.removeprefix(SASL)


def offer(client):
    found = client.features.find(f"{SASL2}authentication")
    assert found is not None, ET.tostring(client.features)
    return found


# What is advertised


def test_the_types_of_binding_are_those_that_tls_has(connect):
    for version, types in (
        (SSL.TLS1_3_VERSION, {"tls-exporter", "tls-server-end-point"}),
        (SSL.TLS1_2_VERSION, {"tls-unique", "tls-server-end-point"}),
    ):
        client = connect(version)
        advertised = client.features.find(f"{BINDINGS}sasl-channel-binding")
        assert {element.get("type") for element in advertised} == types
        assert types == set(client.pipe.bindings())


def test_both_profiles_offer_the_same_mechanisms(connect):
    client = connect()
    assert [e.text for e in offer(client).iter(f"{SASL2}mechanism")] == client.mechanisms


def test_tokens_are_offered_for_what_the_channel_allows(connect):
    def mechanisms(client):
        return [e.text for e in offer(client).iter(f"{FAST}mechanism")]

    names = [f"HT-SHA-256-{end}" for end in ("EXPR", "UNIQ", "ENDP", "NONE")]
    assert mechanisms(connect()) == [names[0], *names[2:]]
    assert mechanisms(connect(SSL.TLS1_2_VERSION)) == names[1:]


def test_scram_tells_in_both_profiles_what_was_advertised(connect, name):
    client = connect()
    text = "\x1e".join(sorted(client.mechanisms)) + "\x1f"
    advertised = client.features.find(f"{BINDINGS}sasl-channel-binding")
    text += "\x1e".join(sorted(element.get("type") for element in advertised))
    expected = b64(hashlib.sha512(text.encode()).digest())
    first = f"n,,n={name},r=abc"
    challenges = [
        authenticate(client, "SCRAM-SHA-512", first),
        connect().authenticate("SCRAM-SHA-512", first),
    ]
    for challenge in challenges:
        fields = base64.b64decode(challenge.text).decode().split(",")
        assert fields[3:] == [f"h={expected}"]


# Logging in


@pytest.mark.parametrize("by_program", ["", "-tls1_3"], ids=["pyOpenSSL", "s_client"])
def test_a_login_bound_to_the_exporter_binds_a_resource_too(connect, node, name, by_program):
    success = log_in(connect(by_program=by_program), name, BIND)
    jid = success.findtext(f"{SASL2}authorization-identifier")
    assert jid.startswith(f"{name}@{CAPULET}/Gate/")
    assert success.find(f"{BIND2}bound") is not None
    (session,) = node.sessions(f"{name}@{CAPULET}")
    assert session["jid"] == jid


@pytest.mark.parametrize("type", ["tls-unique", "tls-server-end-point"])
def test_on_tls_1_2_it_is_bound_otherwise(connect, name, type):
    assert log_in(connect(SSL.TLS1_2_VERSION), name, type=type) is not None


@pytest.mark.parametrize("type", ["tls-exporter", "tls-server-end-point"])
def test_what_binds_another_channel_is_refused(connect, name, type):
    client = connect()
    scram = OwnScram("SCRAM-SHA-256-PLUS", name, PASSWORD, (type, b"\0" * 32))
    challenge = authenticate(client, scram.mechanism_name, scram.get_client_first(), BIND)
    assert condition(finish(client, scram, challenge)) == "not-authorized"


def test_whoever_was_not_shown_plus_is_told_of_the_downgrade(connect, name):
    client = connect()
    scram = OwnScram("SCRAM-SHA-256", name, PASSWORD, flag="y")
    failure = authenticate(client, scram.mechanism_name, scram.get_client_first())
    assert condition(failure) == "not-authorized"


def test_header_and_login_may_be_sent_in_one_go(node, connect, name):
    """As clients do that remember what was offered: the round trip is saved."""
    client = connect()
    plain = b64(f"\0{name}\0{PASSWORD}")
    connection = open_socket(node.starttls)
    ask_for_tls(connection, CAPULET)
    pipe = PyOpenSslPipe(connection, CAPULET, node.authority.file)
    try:
        pipe.send(
            (
                f"<stream:stream to='{CAPULET}' from='{name}@{CAPULET}' version='1.0'"
                " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
                f"<authenticate xmlns='{SASL2[1:-1]}' mechanism='PLAIN'><initial-response>{plain}"
                f"</initial-response>{BIND}</authenticate>"
                f"{MESSAGE.format(to=f'{name}@{CAPULET}')}<presence/>"
            ).encode()
        )
        said = b""
        while b"</message>" not in said:
            piece = pipe.receive()
            assert piece, said
            said += piece
    finally:
        pipe.close()
    text = said.decode()
    assert text.index("<success") < text.index("<bound") < text.rindex("<stream:features")
    assert text.rindex("<stream:features") < text.index("<message")
    assert client.features is not None


def test_a_session_by_the_new_way_talks_to_one_by_the_old(cast, connect, name):
    juliet = cast.login(f"juliet@{CAPULET}/balcony")
    juliet.available()
    client = connect()
    jid = log_in(client, name, BIND).findtext(f"{SASL2}authorization-identifier")
    client.send(MESSAGE.format(to=f"juliet@{CAPULET}/balcony"))
    assert juliet.message("Hist!")["from"].full == jid


def test_guesses_end_the_stream(connect, name):
    client = connect()
    wrong = f"\0{name}\0wrong"
    for _ in range(2):
        assert condition(authenticate(client, "PLAIN", wrong)) == "not-authorized"
    client.send(
        f"<authenticate xmlns='{SASL2[1:-1]}' mechanism='PLAIN'>"
        f"<initial-response>{b64(wrong)}</initial-response></authenticate>"
    )
    said = b""
    while piece := client.pipe.receive():
        said += piece
    text = said.decode()
    assert text.index("<not-authorized") < text.index("<policy-violation")
    assert text.endswith("</stream:stream>")


# Tokens


def proof(client, name, token, type):
    binding = client.pipe.bindings()[type] if type else b""
    return (
        name.encode() + b"\0" + hmac.digest(token.encode(), b"Initiator" + binding, "sha256"),
        hmac.digest(token.encode(), b"Responder" + binding, "sha256"),
    )


def new_token(client, name, mechanism, **options):
    request = f"<request-token xmlns='{FAST[1:-1]}' mechanism='{mechanism}'/>"
    return log_in(client, name, request, **options).find(f"{FAST}token").get("token")


def come_back(client, name, token, mechanism, type, *, agent=PHONE, fast=""):
    message, expected = proof(client, name, token, type)
    answer = authenticate(
        client, mechanism, message, f"<fast xmlns='{FAST[1:-1]}' {fast}/>{BIND}", agent
    )
    if answer.tag == f"{SASL2}success":
        assert base64.b64decode(answer.findtext(f"{SASL2}additional-data")) == expected
    return answer


KINDS = [
    ("HT-SHA-256-EXPR", "tls-exporter"),
    ("HT-SHA-256-ENDP", "tls-server-end-point"),
    ("HT-SHA-256-NONE", ""),
]


@pytest.mark.parametrize(("mechanism", "type"), KINDS)
@pytest.mark.parametrize("by_program", ["", "-tls1_3"], ids=["pyOpenSSL", "s_client"])
def test_a_token_opens_the_account_on_another_connection(
    connect, node, name, mechanism, type, by_program
):
    token = new_token(connect(), name, mechanism)
    client = connect(by_program=by_program)
    success = come_back(client, name, token, mechanism, type, fast="count='1'")
    jid = success.findtext(f"{SASL2}authorization-identifier")
    assert [session["jid"] for session in node.sessions(f"{name}@{CAPULET}")] == [jid]


def test_on_tls_1_2_a_token_is_bound_to_the_handshake(connect, name):
    token = new_token(connect(SSL.TLS1_2_VERSION), name, "HT-SHA-256-UNIQ", type="tls-unique")
    client = connect(SSL.TLS1_2_VERSION)
    success = come_back(client, name, token, "HT-SHA-256-UNIQ", "tls-unique")
    assert success.tag == f"{SASL2}success"


def test_what_was_heard_on_one_connection_opens_nothing_on_another(connect, name):
    token = new_token(connect(), name, "HT-SHA-256-EXPR")
    client, other = connect(), connect()
    message, _ = proof(client, name, token, "tls-exporter")
    payload = f"<fast xmlns='{FAST[1:-1]}'/>"
    assert authenticate(client, "HT-SHA-256-EXPR", message, payload).tag == f"{SASL2}success"
    failure = authenticate(other, "HT-SHA-256-EXPR", message, payload)
    assert condition(failure) == "not-authorized"


def test_with_a_count_the_same_login_opens_nothing_a_second_time(connect, name):
    token = new_token(connect(), name, "HT-SHA-256-NONE")
    arguments = (name, token, "HT-SHA-256-NONE", "")
    assert come_back(connect(), *arguments, fast="count='7'").tag == f"{SASL2}success"
    failure = come_back(connect(), *arguments, fast="count='7'")
    assert condition(failure) == "not-authorized"


def test_tokens_of_others_and_of_other_clients_open_nothing(cast, connect, name):
    other = "tybalt"
    cast.account(f"{other}@{CAPULET}")
    kind = ("HT-SHA-256-NONE", "")
    token = new_token(connect(), other, kind[0])
    assert condition(come_back(connect(), name, token, *kind)) == "not-authorized"
    token = new_token(connect(), name, kind[0], agent=TABLET)
    assert condition(come_back(connect(), name, token, *kind)) == "not-authorized"


def test_tokens_outlive_a_kill_and_end_with_the_password(node, connect, name):
    kind = ("HT-SHA-256-EXPR", "tls-exporter")
    token = new_token(connect(), name, kind[0])
    node.process.kill()
    node.process.start()
    assert come_back(connect(), name, token, *kind).tag == f"{SASL2}success"
    node.ask("change-password", jid=f"{name}@{CAPULET}", password="another one")
    assert condition(come_back(connect(), name, token, *kind)) == "not-authorized"


def test_an_operator_takes_a_token_back(node, connect, name):
    kind = ("HT-SHA-256-NONE", "")
    token = new_token(connect(), name, kind[0])
    assert node.ask("fast-clients", jid=f"{name}@{CAPULET}")[0]["client"] == PHONE
    assert node.ask("fast-revoke", jid=f"{name}@{CAPULET}") == 1
    assert condition(come_back(connect(), name, token, *kind)) == "not-authorized"


# Those who know nothing of it


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-512", "PLAIN"])
def test_slixmpp_logs_in_beside_it(cast, mechanism):
    juliet = cast.login(f"juliet@{CAPULET}/balcony", mechanism=mechanism)
    assert juliet.mechanism == mechanism
