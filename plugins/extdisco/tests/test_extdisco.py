"""STUN and TURN servers, and what lets users in there (XEP-0215)."""

import base64
import hashlib

import pytest

from stonechat import timestamps
from stonechat.errors import StanzaError
from stonechat.namespaces import NS_DISCO_INFO
from stonechat.stanza import Element
from stonechat_extdisco import Options

NS = "urn:xmpp:extdisco:2"
ROMEO = "romeo@capulet.example"
SECRET = "a plague o' both your houses"

STUN = {"type": "stun", "host": "stun.capulet.example", "port": 3478, "transport": "udp"}


def ask(type=""):
    return Element(NS, "services", {"type": type} if type else {})


def want(**attributes):
    request = Element(NS, "credentials")
    request.add("service", **attributes)
    return request


def rows(payload):
    return [element.attributes for element in payload.elements]


def refusal(call, *arguments):
    with pytest.raises(StanzaError) as caught:
        call(*arguments)
    return caught.value.condition, caught.value.type


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "turn.secret"
    path.write_text(f"{SECRET}\n")
    return str(path)


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "ftp.password"
    path.write_text("guest of honour\n")
    return str(path)


@pytest.fixture
def turn(secret_file):
    return {
        "type": "turn",
        "host": "relay.capulet.example",
        "port": 3478,
        "transport": "udp",
        "secret_file": secret_file,
        "ttl": "1 h",
    }


@pytest.fixture
def ftp(password_file):
    return {
        "type": "ftp",
        "host": "192.0.2.1",
        "port": 20,
        "transport": "tcp",
        "name": "Shakespearean File Server",
        "username": "guest",
        "password_file": password_file,
    }


@pytest.fixture
def make(server):
    """Makes the host with these services."""

    def make(*services, **options):
        options["services"] = list(services)
        return server.host("capulet.example", extdisco=options, disco={})

    return make


# All and some


def test_all_services_are_listed(make, turn, ftp):
    romeo = make(STUN, turn, ftp).connect(ROMEO)
    answer = romeo.get(ask(), "capulet.example").payload
    assert (answer.name, answer.attributes) == ("services", {})
    stun, relay, files = rows(answer)
    assert stun == {
        "host": "stun.capulet.example",
        "type": "stun",
        "port": "3478",
        "transport": "udp",
    }
    assert (relay["host"], relay["type"]) == ("relay.capulet.example", "turn")
    assert files == {
        "host": "192.0.2.1",
        "type": "ftp",
        "port": "20",
        "transport": "tcp",
        "name": "Shakespearean File Server",
        "restricted": "true",
        "username": "guest",
        "password": "guest of honour",
    }


def test_services_of_one_type_are_listed(make, turn):
    romeo = make(STUN, turn, {**STUN, "port": 5349, "transport": ""}).connect(ROMEO)
    answer = romeo.get(ask("stun"), "capulet.example").payload
    assert answer.attributes == {"type": "stun"}
    assert [row["port"] for row in rows(answer)] == ["3478", "5349"]
    assert "transport" not in rows(answer)[1]
    assert rows(romeo.get(ask("ftp"), "capulet.example").payload) == []


def test_there_may_be_none(make):
    assert rows(make().connect(ROMEO).get(ask(), "capulet.example").payload) == []


def test_hosts_are_told_as_dns_knows_them(make):
    services = [
        {"type": "stun", "host": host}
        for host in ("STUN.Vérone.example", "2001:DB8::1", "[2001:db8::2]", "192.0.2.7")
    ]
    answer = make(*services).connect(ROMEO).get(ask(), "capulet.example").payload
    assert [row["host"] for row in rows(answer)] == [
        "stun.xn--vrone-bsa.example",
        "2001:db8::1",
        "2001:db8::2",
        "192.0.2.7",
    ]
    assert "port" not in rows(answer)[0]


# Credentials that hold for a while


def sha1(octets):
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def hmac_sha1(key, message):
    """RFC 2104, section 2, written down once more."""
    key = (sha1(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner = sha1(bytes(octet ^ 0x36 for octet in key) + message)
    return sha1(bytes(octet ^ 0x5C for octet in key) + inner)


def test_the_password_is_the_one_that_a_relay_works_out(make, server, turn):
    romeo = make(turn).connect(ROMEO)
    (service,) = rows(romeo.get(ask("turn"), "capulet.example").payload)
    expected = hmac_sha1(SECRET.encode(), service["username"].encode())
    assert service["password"] == base64.b64encode(expected).decode()
    # As openssl has worked it out, for one name.
    assert base64.b64encode(hmac_sha1(b"secret", b"1400000000:romeo")).decode() == KNOWN


# printf %s 1400000000:romeo | openssl dgst -sha1 -hmac secret -binary | base64
KNOWN = "WBuqjL1NaNU7u4qP0SVlfqVikwc="


def test_credentials_say_until_when_they_hold(make, server, turn):
    romeo = make(turn).connect(ROMEO)
    now = server.clock.now() // 1_000_000
    (service,) = rows(romeo.get(ask(), "capulet.example").payload)
    expires, _, _ = service["username"].partition(":")
    assert now + 3600 <= int(expires) <= now + 3601
    assert service["expires"] == timestamps.written(int(expires) * 1_000_000)
    assert service["expires"].endswith("Z")
    assert service["restricted"] == "true"


def test_later_ones_hold_until_later(make, server, turn):
    romeo = make(turn).connect(ROMEO)
    (first,) = rows(romeo.get(ask(), "capulet.example").payload)
    server.clock.advance(100)
    (second,) = rows(romeo.get(ask(), "capulet.example").payload)
    later = timestamps.read(second["expires"]) - timestamps.read(first["expires"])
    assert 100_000_000 <= later <= 102_000_000
    assert first["password"] != second["password"]


def test_a_relay_can_tell_users_apart_but_not_who_they_are(make, turn):
    host = make(turn)
    clients = [
        host.connect(jid) for jid in (f"{ROMEO}/orchard", f"{ROMEO}/tomb", "paris@capulet.example")
    ]
    names = []
    for client in clients:
        (service,) = rows(client.get(ask(), "capulet.example").payload)
        names.append(service["username"].partition(":")[2])
    assert names[0] == names[1] != names[2]
    assert not any("romeo" in name for name in names)
    assert all(name.isalnum() for name in names)


# Credentials on request


def test_credentials_can_be_asked_for(make, turn, ftp):
    romeo = make(STUN, turn, ftp).connect(ROMEO)
    request = want(host="relay.capulet.example", type="turn")
    answer = romeo.get(request, "capulet.example").payload
    assert answer.name == "credentials"
    (service,) = rows(answer)
    assert (service["host"], service["type"]) == ("relay.capulet.example", "turn")
    expected = hmac_sha1(SECRET.encode(), service["username"].encode())
    assert service["password"] == base64.b64encode(expected).decode()
    assert service["expires"]
    files = rows(romeo.get(want(host="192.0.2.1", type="ftp"), "capulet.example").payload)
    assert (files[0]["username"], files[0]["password"]) == ("guest", "guest of honour")


def test_they_may_be_given_on_request_only(make, turn):
    romeo = make({**turn, "on_request": True}).connect(ROMEO)
    (listed,) = rows(romeo.get(ask(), "capulet.example").payload)
    assert listed["restricted"] == "true"
    assert not {"username", "password", "expires"} & set(listed)
    request = want(host="relay.capulet.example", type="turn")
    (service,) = rows(romeo.get(request, "capulet.example").payload)
    assert service["username"]
    assert service["password"]


def test_of_several_ports_one_is_asked_for_or_all(make, turn):
    romeo = make(turn, {**turn, "port": 5349}, {**turn, "transport": "tcp"}).connect(ROMEO)

    def found(**more):
        request = want(host="RELAY.capulet.example", type="turn", **more)
        return [
            (row["port"], row["transport"])
            for row in rows(romeo.get(request, "capulet.example").payload)
        ]

    assert found() == [("3478", "udp"), ("5349", "udp"), ("3478", "tcp")]
    assert found(port="5349") == [("5349", "udp")]
    assert found(port="3478", transport="tcp") == [("3478", "tcp")]


@pytest.mark.parametrize(
    "wanted",
    [
        {"host": "stun.capulet.example", "type": "stun"},
        {"host": "relay.capulet.example", "type": "stun"},
        {"host": "relay.montague.example", "type": "turn"},
        {"host": "relay.capulet.example", "type": "turn", "port": "1"},
        {"host": "relay.capulet.example", "type": "turn", "transport": "tcp"},
        {"host": "a b c", "type": "turn"},
    ],
)
def test_without_credentials_there_is_nothing_to_give(make, turn, wanted):
    romeo = make(STUN, turn).connect(ROMEO)
    refused = refusal(romeo.get, want(**wanted), "capulet.example")
    assert refused == ("item-not-found", "cancel")


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<service type='turn'/>",
        "<service host='relay.capulet.example'/>",
        "<service host='relay.capulet.example' type='turn' port='http'/>",
        "<service host='a.example' type='turn'/><service host='b.example' type='turn'/>",
    ],
)
def test_a_request_that_names_no_service_is_bad(make, turn, inside):
    romeo = make(turn).connect(ROMEO)
    request = f"<credentials xmlns='{NS}'>{inside}</credentials>"
    assert refusal(romeo.get, request, "capulet.example") == ("bad-request", "modify")


def test_other_requests_of_the_namespace_are_bad(make, turn):
    romeo = make(turn).connect(ROMEO)
    assert refusal(romeo.get, Element(NS, "service"), "capulet.example")[0] == "bad-request"


def test_nothing_can_be_set(make, turn):
    romeo = make(turn).connect(ROMEO)
    assert refusal(romeo.set, ask(), "capulet.example") == ("service-unavailable", "cancel")


# Who is told


@pytest.mark.parametrize(
    ("access", "insider", "outsider"),
    [("local", True, False), ("open", True, True), ("callers", False, True), ("no", False, False)],
)
def test_who_is_told_is_the_operators_choice(server, make, turn, access, insider, outsider):
    server.configure(access={"callers": {"users": ["paris@montague.example"]}})
    romeo = make(turn, access=access).connect(ROMEO)
    paris = server.host("montague.example").connect("paris@montague.example/hall")
    for client, may in ((romeo, insider), (paris, outsider)):
        for request in (ask(), want(host="relay.capulet.example", type="turn")):
            if may:
                assert rows(client.get(request, "capulet.example").payload)
            else:
                assert refusal(client.get, request, "capulet.example") == ("forbidden", "auth")


def test_the_feature_is_advertised(make):
    info = make().connect(ROMEO).get(Element(NS_DISCO_INFO, "query"), "capulet.example").payload
    assert NS in [feature.get("var") for feature in info.find_all("feature")]


# Pushes


def reload(host, *services, **options):
    host.disable("extdisco")
    host.enable("extdisco", {"services": list(services), **options})


def test_who_has_asked_for_a_type_is_told_what_is_different(make, server, turn):
    host = make(turn, {**turn, "port": 5349}, STUN)
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.get(ask("turn"), "capulet.example")
    reload(host, {**turn, "ttl": "2 h"}, {**turn, "transport": "tcp"}, {**STUN, "port": 1})
    push = romeo.receive_iq()
    assert (push.type, push.from_, push.to) == ("set", host.jid, romeo.jid)
    assert push.id
    assert (push.payload.name, push.payload.attributes) == ("services", {"type": "turn"})
    changed, added, deleted = rows(push.payload)
    assert (changed["action"], changed["port"]) == ("modify", "3478")
    assert changed["username"]
    assert changed["password"]
    assert (added["action"], added["transport"]) == ("add", "tcp")
    assert deleted == {
        "action": "delete",
        "host": "relay.capulet.example",
        "type": "turn",
        "port": "5349",
        "transport": "udp",
    }
    romeo.send(push.result())
    assert romeo.received() == []


def test_each_change_is_told_once(make, turn):
    host = make(STUN)
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.get(ask("turn"), "capulet.example")
    reload(host, STUN, turn)
    assert [row["action"] for row in rows(romeo.receive_iq().payload)] == ["add"]
    reload(host, STUN, turn)
    assert romeo.received() == []


def test_a_new_secret_is_told_by_new_credentials(make, turn, tmp_path):
    host = make(turn)
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.get(ask("turn"), "capulet.example")
    (tmp_path / "turn.secret").write_text("another")
    reload(host, turn)
    (service,) = rows(romeo.receive_iq().payload)
    assert service["action"] == "modify"
    expected = hmac_sha1(b"another", service["username"].encode())
    assert service["password"] == base64.b64encode(expected).decode()


def test_nobody_else_is_told(make, turn):
    """Nor is, by the text, who has asked for all types at once."""
    host = make(STUN)
    romeo, paris = host.connect(f"{ROMEO}/orchard"), host.connect("paris@capulet.example/hall")
    romeo.get(ask(), "capulet.example")
    reload(host, turn)
    assert romeo.received() == paris.received() == []


def test_who_may_not_know_is_told_no_more(make, turn):
    host = make(STUN)
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.get(ask("turn"), "capulet.example")
    reload(host, turn, access="nobody")
    assert romeo.received() == []


def test_a_session_is_told_of_few_types(make, turn):
    host = make()
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.get(ask("x" * 64), "capulet.example")
    for number in range(20):
        romeo.get(ask(f"type-{number}"), "capulet.example")
    (session,) = host.kernel.session_manager.sessions("romeo")
    assert list(session.data["extdisco"]) == [f"type-{number}" for number in range(10)]
    romeo.get(ask("turn"), "capulet.example")
    reload(host, turn)
    assert romeo.received() == []


# Options


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"username": "guest"}, "belong together"),
        ({"password_file": "@password"}, "belong together"),
        (
            {"username": "guest", "password_file": "@password", "secret_file": "@secret"},
            "not both",
        ),
        ({"on_request": True}, "needs credentials"),
        ({"host": "a b"}, "host"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"type": "s t"}, "type"),
        ({"transport": "u p"}, "transport"),
        ({"ttl": "1 s"}, "ttl"),
    ],
)
def test_what_an_operator_gets_wrong_is_found(change, reason, secret_file, password_file):
    files = {"@password": password_file, "@secret": secret_file}
    change = {name: files.get(value, value) for name, value in change.items()}
    with pytest.raises(ValueError, match=reason):
        Options(services=[{**STUN, **change}])


def test_a_service_is_there_once():
    with pytest.raises(ValueError, match=r"stun at stun\.capulet\.example is there twice"):
        Options(services=[STUN, {**STUN, "name": "again"}])


def test_a_missing_secret_stops_the_start(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        Options(services=[{**STUN, "secret_file": str(tmp_path / "nothing")}])


def test_secrets_are_not_shown(turn, ftp):
    options = Options(services=[turn, ftp])
    assert SECRET not in repr(options)
    assert "guest of honour" not in repr(options)
