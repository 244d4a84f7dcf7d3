"""What may be said on a component's stream, octet by octet, to a server that is a process."""

import json
import re

import pytest

GATEWAY = "gateway.capulet.example"
SMS = "sms.capulet.example"
PUSH = "push.capulet.example"
SECRET = "What's in a name?"
JULIET = "juliet@capulet.example"
NS_COMPONENT = "jabber:component:accept"
FROM = f"from='{GATEWAY}'"


# The header


def test_a_header_is_answered_in_the_components_name(connect):
    component = connect()
    component.open(GATEWAY)
    assert f"xmlns='{NS_COMPONENT}'" in component.header
    assert FROM in component.header
    assert "version" not in component.header.partition("<stream:stream")[2]
    assert len(component.id) >= 20


def test_no_two_streams_have_the_same_id(connect):
    ids = set()
    for _ in range(3):
        component = connect()
        component.open(GATEWAY)
        ids.add(component.id)
    assert len(ids) == 3


@pytest.mark.parametrize(
    "domain",
    ["capulet.example", "elsewhere.example", "x.gateway.capulet.example", "", "a b", "a@b/c"],
)
def test_nobody_connects_for_a_domain_that_is_no_components(connect, domain):
    component = connect()
    component.open(domain)
    component.ends_with("host-unknown")


def test_a_domain_may_be_written_in_another_way(connect):
    component = connect()
    component.open("GateWay.Capulet.EXAMPLE")
    assert FROM in component.header
    component.handshake()


@pytest.mark.parametrize("namespace", ["jabber:client", "jabber:component:connect", "x"])
def test_another_content_namespace_is_refused(connect, namespace):
    component = connect()
    component.open(GATEWAY, namespace)
    component.ends_with("invalid-namespace")


def test_another_stream_namespace_is_refused(connect):
    component = connect()
    component.send(f"<stream:stream xmlns='{NS_COMPONENT}' to='{GATEWAY}' xmlns:stream='x'>")
    component.ends_with("invalid-namespace")


def test_what_is_no_stream_is_refused(connect):
    component = connect()
    component.send(f"<handshake xmlns='{NS_COMPONENT}'/>")
    component.ends_with("bad-format")


# The handshake


def test_a_component_that_knows_the_secret_is_admitted(process, join):
    component = join()
    component.sync()
    shown = process.command("metrics")
    assert (
        f'stonechat_component_streams{{host="capulet.example",domain="{GATEWAY}"}} 1'
        in shown.stdout
    )


@pytest.mark.parametrize("secret", ["", SECRET.lower(), f"{SECRET}\n", "Montague"])
def test_a_wrong_secret_ends_the_stream(connect, secret):
    component = connect()
    component.open(GATEWAY)
    component.send(f"<handshake>{component.proof(secret)}</handshake>")
    component.ends_with("not-authorized")


@pytest.mark.parametrize("text", ["", "ÿ" * 40, "0" * 40, "0" * 5000])
def test_a_handshake_that_is_no_hash_ends_the_stream(connect, text):
    component = connect()
    component.open(GATEWAY)
    component.send(f"<handshake>{text}</handshake>")
    component.ends_with("not-authorized")


def test_a_handshake_holds_for_its_own_stream_only(connect):
    first, second = connect(), connect()
    first.open(GATEWAY)
    second.open(GATEWAY)
    second.send(f"<handshake>{first.proof()}</handshake>")
    second.ends_with("not-authorized")


@pytest.mark.parametrize(
    "early",
    [
        f"<message {FROM} to='{JULIET}'><body>Hark!</body></message>",
        "<handshake xmlns='jabber:iq:auth'/>",
        "<other/>",
    ],
)
def test_nothing_comes_before_the_handshake(connect, login, early):
    juliet = login()
    component = connect()
    component.open(GATEWAY)
    component.send(f"{early}<handshake>{component.proof()}</handshake>")
    assert "<handshake" not in component.ends_with("not-authorized")
    juliet.send("<iq type='get' id='1' to='capulet.example'><query xmlns='x'/></iq>")
    assert "Hark" not in juliet.read("</iq>")


def test_there_is_one_handshake(join):
    component = join()
    component.send("<handshake/>")
    component.ends_with("unsupported-stanza-type")


def test_a_stream_is_ended_in_order(join):
    component = join()
    component.send("</stream:stream>")
    assert component.rest() == "</stream:stream>"


# Bounds, and what is no XML


def test_little_fits_in_before_the_handshake(connect):
    component = connect()
    component.open(GATEWAY)
    component.send("<handshake>" + "0" * 10_001)
    component.ends_with("policy-violation")


def test_a_stanza_has_a_bound(join):
    component = join()
    component.send(f"<message {FROM} to='{JULIET}'><body>" + "o" * 262_144)
    component.ends_with("policy-violation")


def test_up_to_the_bound_a_stanza_is_taken(join):
    component = join()
    component.send(
        f"<message {FROM} to='{JULIET}' type='error'><body>{'o' * 200_000}</body></message>"
    )
    assert "disco#info" in component.sync()


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        ("<message></presence>", "not-well-formed"),
        ("<!DOCTYPE x [<!ENTITY e 'e'>]>", "restricted-xml"),
        ("<!-- hark -->", "restricted-xml"),
        ("<?hark?>", "restricted-xml"),
        ("<message>&e;</message>", "restricted-xml"),
        (b"<message>\xff</message>", "unsupported-encoding"),
        ("hark<message/>", "bad-format"),
    ],
)
@pytest.mark.parametrize("is_admitted", [False, True])
def test_what_is_no_xml_ends_the_stream(connect, octets, condition, is_admitted):
    component = connect()
    component.open(GATEWAY)
    if is_admitted:
        component.handshake()
    component.send(octets)
    component.ends_with(condition)


# Senders


@pytest.mark.parametrize(
    "sender",
    [
        JULIET,
        "capulet.example",
        "montague.example",
        f"evil-{GATEWAY}",
        f"x.{GATEWAY}",
        f"{GATEWAY}.example",
        SMS,
        f"{GATEWAY}@montague.example",
        "a@b@c",
        "",
    ],
)
def test_a_component_speaks_for_its_own_domain_only(join, login, sender):
    juliet = login()
    component = join()
    component.send(f"<message from='{sender}' to='{JULIET}'><body>Hark!</body></message>")
    component.ends_with("invalid-from")
    juliet.send("<iq type='get' id='1' to='capulet.example'><query xmlns='x'/></iq>")
    assert "Hark" not in juliet.read("id='1'.*</iq>")


@pytest.mark.parametrize(
    "sender", [GATEWAY, f"nurse@{GATEWAY}", f"nurse@{GATEWAY}/x", "Nurse@GATEWAY.capulet.example."]
)
def test_any_address_of_the_domain_may_write(join, login, sender):
    juliet = login()
    component = join()
    component.send(f"<message from='{sender}' to='{JULIET}'><body>Hark!</body></message>")
    assert "Hark!" in juliet.read("</message>")


def test_its_addresses_arrive_prepared(join, login):
    juliet = login()
    component = join()
    sender, to = "Nurse@GATEWAY.capulet.example.", JULIET.replace("juliet@", "Juliet@")
    component.send(f"<message from='{sender}' to='{to}'><body>Hark!</body></message>")
    octets = juliet.read("</message>")
    assert f"from='nurse@{GATEWAY}'" in octets
    assert f"to='{JULIET}'" in octets


@pytest.mark.parametrize("addresses", [FROM, f"to='{JULIET}'", ""])
@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_a_stanza_needs_both_addresses(join, addresses, kind):
    component = join()
    component.send(f"<{kind} {addresses} type='set' id='1'><x xmlns='x'/></{kind}>")
    component.ends_with("improper-addressing")


def test_a_recipient_that_is_no_address_is_answered(join):
    component = join()
    component.send(f"<message {FROM} to='a@b@c' id='1'><body>Hark!</body></message>")
    answer = component.read("</message>")
    assert "<jid-malformed" in answer
    assert "type='error'" in answer


@pytest.mark.parametrize(
    "request_",
    [
        "<iq {} type='get' to='capulet.example'><x xmlns='x'/></iq>",
        "<iq {} type='get' id='1' to='capulet.example'/>",
        "<iq {} type='hark' id='1' to='capulet.example'><x xmlns='x'/></iq>",
        "<iq {} type='get' id='1' to='capulet.example'><x xmlns='x'/><y xmlns='y'/></iq>",
        "<presence {} type='hark' id='1' to='capulet.example'/>",
    ],
)
def test_what_is_no_request_is_answered_with_bad_request(join, request_):
    component = join()
    component.send(request_.format(FROM))
    assert "<bad-request" in component.read("</(iq|presence)>")
    component.sync()


def test_a_stanza_to_another_server_is_answered(join):
    component = join()
    component.send(f"<message {FROM} to='benvolio@elsewhere.example' id='1'><body/></message>")
    assert "remote-server-not-found" in component.read("</message>")


def test_marks_of_our_own_server_are_not_a_components_to_make(join, login):
    juliet = login()
    component = join()
    component.send(
        f"<message {FROM} to='{JULIET}'><body>Hark!</body>"
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{JULIET}' id='forged'/>"
        "<delay xmlns='urn:xmpp:delay' from='capulet.example' stamp='2002-09-10T23:08:25Z'/>"
        f"<stanza-id xmlns='urn:xmpp:sid:0' by='{GATEWAY}' id='own'/>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='room'/></message>"
    )
    message = juliet.read("</message>")
    assert "forged" not in message
    assert "2002-09-10" not in message
    assert "own" in message
    assert "room" in message


# Namespaces


@pytest.mark.parametrize(
    "stanza",
    [
        "<message {}><body>Hark!</body></message>",
        "<message xmlns='jabber:component:accept' {}><body>Hark!</body></message>",
        "<message {}><body xmlns='jabber:component:accept'>Hark!</body></message>",
        "<c:message xmlns:c='jabber:component:accept' {}><c:body>Hark!</c:body></c:message>",
        "<message xmlns='jabber:client' {}><body>Hark!</body></message>",
    ],
)
def test_the_namespace_of_a_component_is_replaced(join, login, stanza):
    juliet = login()
    component = join()
    component.send(stanza.format(f"{FROM} to='{JULIET}'"))
    message = juliet.read("</message>")
    assert message.startswith("<message")
    assert "<body>Hark!</body>" in message
    assert "component" not in message


def test_a_prefix_for_the_content_namespace_is_understood(connect, login):
    juliet = login()
    component = connect()
    component.open(GATEWAY, "x", f" xmlns:c='{NS_COMPONENT}'")
    component.send(f"<c:handshake>{component.proof()}</c:handshake>")
    component.read("<handshake/>")
    component.send(f"<c:message {FROM} to='{JULIET}'><c:body>Hark!</c:body></c:message>")
    assert "<body>Hark!</body>" in juliet.read("</message>")


@pytest.mark.parametrize(
    "stanza",
    [
        "<message {}><body>Hark!</body></message>",
        "<message xmlns='jabber:client' {}><body>Hark!</body></message>",
        "<message {}><body xmlns='jabber:client'>Hark!</body></message>",
    ],
)
def test_the_namespace_of_a_client_is_replaced(join, login, stanza):
    component = join()
    login().send(stanza.format(f"to='{GATEWAY}'"))
    message = component.read("</message>")
    assert "<body>Hark!</body>" in message
    assert "jabber:client" not in message


def test_what_is_forwarded_stays_a_clients(join, login):
    component = join()
    login().send(
        f"<message to='{GATEWAY}'><forwarded xmlns='urn:xmpp:forward:0'>"
        "<message xmlns='jabber:client'><body>Hark!</body></message></forwarded></message>"
    )
    message = component.read("</forwarded></message>")
    assert re.search("<message xmlns=.jabber:client.><body>Hark!</body></message>", message)


# Several streams, and none


def test_another_stream_to_the_same_domain_is_refused(connect, join):
    first = join()
    second = connect()
    second.open(GATEWAY)
    second.send(f"<handshake>{second.proof()}</handshake>")
    second.ends_with("conflict")
    first.sync()


def test_domains_with_one_secret_have_streams_of_their_own(join, login):
    gateway, sms = join(), join(SMS)
    juliet = login()
    juliet.send(f"<message to='{SMS}'><body>short</body></message>")
    juliet.send(f"<message to='{GATEWAY}'><body>long</body></message>")
    assert "short" in sms.read("</message>")
    assert "long" in gateway.read("</message>")


def test_two_streams_share_the_work_by_sender(connect, join, login):
    first, second = join(PUSH), join(PUSH)
    third = connect()
    third.open(PUSH)
    third.send(f"<handshake>{third.proof()}</handshake>")
    third.ends_with("conflict")
    juliet = login()
    for number in range(20):
        juliet.send(f"<message to='{PUSH}' id='n{number}'><body/></message>")
    juliet.send("<iq type='get' id='1' to='capulet.example'><query xmlns='x'/></iq>")
    juliet.read("id='1'.*</iq>")
    # One of them has all of hers, the other none.
    seen = [re.findall(r" id='n(\d+)'", stream.sync(PUSH)) for stream in (first, second)]
    assert sorted(map(len, seen)) == [0, 20]
    # And when that one goes, the other has them.
    busy, idle = (first, second) if seen[0] else (second, first)
    busy.send("</stream:stream>")
    busy.rest()
    juliet.send(f"<message to='{PUSH}' id='late'><body/></message>")
    idle.read("id='late'")


@pytest.mark.parametrize("how", ["end", "lose"])
def test_who_writes_to_a_component_that_is_gone_is_told(join, login, how):
    juliet = login()
    component = join()
    component.sync()
    if how == "end":
        component.send("</stream:stream>")
        component.rest()
    component.socket.close()
    while True:
        juliet.send(f"<message to='{GATEWAY}' id='1'><body>Hark!</body></message>")
        juliet.send("<iq type='get' id='2' to='capulet.example'><query xmlns='x'/></iq>")
        if "remote-server-timeout" in (text := juliet.read("id=.2..*</iq>")):
            break
    assert "type='wait'" in text.replace('"', "'")
    # It may come back.
    component = join()
    juliet.send(f"<message to='{GATEWAY}' id='3'><body>Hark!</body></message>")
    component.read("Hark!")


def test_who_comes_and_goes_is_in_the_log(process, connect, join):
    component, other = join(SMS), join(PUSH)
    component.send("</stream:stream>")
    component.rest()
    component.socket.close()
    refused = connect()
    refused.open(SMS)
    refused.send("<handshake>x</handshake>")
    refused.rest()
    expected = {"component connected", "component disconnected", "component refused"}
    said = set()
    for _ in range(1000):
        lines = [json.loads(line) for line in process.log.splitlines()]
        said = {line["event"] for line in lines if line.get("component") == SMS}
        if expected <= said:
            break
        other.sync(PUSH)
    assert expected <= said
    assert not [line for line in lines if line["level"] == "error"]
    assert SECRET not in process.log
