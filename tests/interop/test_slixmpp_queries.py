"""slixmpp asks what there is: discovery, ping, version, time and last activity."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from stonechat import __version__
from stonechat.errors import StanzaError
from stonechat.testing import until

JULIET = "juliet@capulet.example"
NURSE = "nurse@capulet.example"
SERVER = "capulet.example"


@pytest.fixture
def juliet(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    return juliet


def test_the_server_says_what_it_is_and_can(juliet):
    info = juliet.call("xep_0030", "get_info", jid=SERVER)["disco_info"]
    assert ("server", "im", None, "Stonechat") in info["identities"]
    assert info["features"] >= {
        "http://jabber.org/protocol/disco#info",
        "http://jabber.org/protocol/disco#items",
        "jabber:iq:last",
        "jabber:iq:register",
        "jabber:iq:roster",
        "jabber:iq:version",
        "msgoffline",
        "urn:xmpp:ping",
        "urn:xmpp:time",
    }


def test_an_account_says_what_it_is_to_its_owner_and_to_contacts_only(cast, juliet):
    info = juliet.call("xep_0030", "get_info", jid=JULIET)["disco_info"]
    assert ("account", "registered", None, None) in info["identities"]
    nurse = cast.login(f"{NURSE}/house")
    with pytest.raises(StanzaError) as refusal:
        nurse.call("xep_0030", "get_info", jid=JULIET)
    assert refusal.value.condition == "service-unavailable"
    cast.befriend(JULIET, NURSE)
    assert nurse.call("xep_0030", "get_info", jid=JULIET)["disco_info"]["features"]
    items = nurse.call("xep_0030", "get_items", jid=JULIET)["disco_items"]["items"]
    assert {item[0] for item in items} == {juliet.jid}


def test_clients_ask_each_other_through_the_server(cast, juliet):
    nurse = cast.login(f"{NURSE}/house")
    info = nurse.call("xep_0030", "get_info", jid=juliet.jid)
    assert info["from"] == juliet.jid
    assert "http://jabber.org/protocol/disco#info" in info["disco_info"]["features"]


@pytest.mark.parametrize("to", [SERVER, JULIET, f"{JULIET}/balcony"])
def test_ping_is_answered_by_server_account_and_client(juliet, to):
    assert juliet.call("xep_0199", "ping", to) >= 0


def test_the_server_tells_its_version(juliet):
    version = juliet.call("xep_0092", "get_version", SERVER)["software_version"]
    assert (version["name"], version["version"]) == ("Stonechat", __version__)


def test_the_server_tells_the_time(juliet):
    answer = juliet.call("xep_0202", "get_entity_time", SERVER)
    # slixmpp 1.17 itself adds a second Z to the one that XEP-0082 wants, and fails.
    now = datetime.fromisoformat(answer.xml.findtext(".//{urn:xmpp:time}utc"))
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    assert re.fullmatch(r"Z|[+-]\d\d:\d\d", answer.xml.findtext(".//{urn:xmpp:time}tzo"))


def test_the_server_tells_how_long_it_runs(juliet):
    seconds = juliet.call("xep_0012", "get_last_activity", jid=SERVER)["last_activity"]["seconds"]
    assert 0 <= seconds < 3600


def test_a_contact_s_last_activity_and_last_word_are_told(cast, juliet):
    cast.befriend(JULIET, NURSE)
    nurse = cast.login(f"{NURSE}/house")
    nurse.available()
    assert last(juliet, NURSE)["seconds"] == 0
    nurse.send_presence(type="unavailable", status="Ah, my bones")
    nurse.leave()
    # It is written down a moment later.
    said = until(lambda: last(juliet, NURSE)["status"], "last word")
    assert said == "Ah, my bones"
    assert 0 <= last(juliet, NURSE)["seconds"] < 60


def last(person, jid):
    return person.call("xep_0012", "get_last_activity", jid=jid)["last_activity"]


def test_strangers_are_not_told_of_last_activity(cast, juliet):
    cast.account(NURSE)
    with pytest.raises(StanzaError) as refusal:
        last(juliet, NURSE)
    assert refusal.value.condition == "service-unavailable"


@pytest.mark.parametrize("to", [SERVER, JULIET, f"{JULIET}/tomb", "echo.capulet.example"])
def test_what_nobody_answers_is_an_error(juliet, to):
    with pytest.raises(StanzaError) as refusal:
        juliet.call("xep_0030", "get_info", jid=to, node="no such node")
    assert refusal.value.condition in {
        "item-not-found",
        "service-unavailable",
        "remote-server-not-found",
    }
