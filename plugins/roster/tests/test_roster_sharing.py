"""Contacts that other plugins put into rosters, by the hook `stonechat_shared_contacts`."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.plugin import SharedContacts, SharedGroup
from stonechat.stanza import Element, Iq, Presence

NOTHING = SharedContacts(())
BALCONY = "juliet@capulet.example/balcony"


class Houses:
    """A plugin that shares what a test wants: `contacts` by localpart."""

    requires = ("roster",)

    def __init__(self, host, options):
        self.host = host
        self.contacts = {}
        self.asked = []

    @hookimpl
    def stonechat_shared_contacts(self):
        return self.answer

    def answer(self, localpart):
        self.asked.append(localpart)
        return self.contacts.get(localpart, NOTHING)

    def share(self, *groups, among=()):
        """Everybody in any of the groups sees all of them."""
        contacts = SharedContacts(groups)
        names = set(among).union(*(group.members for group in groups))
        self.contacts = dict.fromkeys(names, contacts)
        self.changed()

    def changed(self):
        self.host.service("roster").shared_contacts_changed()


class Courts(Houses):
    """Another one."""


def group(*members, name="capulets", label="House of Capulet", **named):
    return SharedGroup(name, label, {**dict.fromkeys(members, ""), **named})


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", plugin_classes={"houses": Houses}, roster={})


@pytest.fixture
def houses(server, capulet):
    plugin = capulet.plugin("houses")

    def share(*groups, **options):
        plugin.share(*groups, **options)
        server.settle()

    plugin.share_and_settle = share
    return plugin


@pytest.fixture
def share(houses):
    return houses.share_and_settle


def entries(talk, client, ver=None):
    """The roster: {jid: (name, groups)}."""
    return {
        item.get("jid"): (item.get("name"), [g.text for g in item.find_all("group")])
        for item in talk.get(client, ver).elements
    }


def test_a_plugin_puts_contacts_into_rosters(share, juliet, romeo, talk):
    share(group("juliet", "romeo"))
    assert entries(talk, juliet) == {"romeo@capulet.example": ("", ["House of Capulet"])}
    assert entries(talk, romeo) == {"juliet@capulet.example": ("", ["House of Capulet"])}


def test_the_plugins_name_for_a_contact_gives_way_to_the_users_own(share, juliet, talk):
    share(
        group("juliet", romeo="Romeo Montague"),
        group("romeo", "juliet", name="lovers", label="Lovers"),
        group("juliet", romeo="Foe", name="foes", label="Foes"),
    )
    groups = ["House of Capulet", "Lovers", "Foes"]
    assert entries(talk, juliet) == {"romeo@capulet.example": ("Romeo Montague", groups)}
    talk.set(juliet, "romeo@capulet.example", "Husband")
    assert entries(talk, juliet) == {"romeo@capulet.example": ("Husband", groups)}


def test_a_name_that_a_plugin_changes_is_pushed(share, juliet, talk):
    share(group("juliet", romeo="Romeo"))
    version = talk.get(juliet).get("ver")
    share(group("juliet", romeo="Romeo Montague"))
    assert talk.push(juliet).get("name") == "Romeo Montague"
    assert talk.get(juliet, version) is not None


def test_two_plugins_share_side_by_side(server, talk):
    capulet = server.host(
        "capulet.example", plugin_classes={"houses": Houses, "courts": Courts}, roster={}
    )
    juliet = capulet.connect(BALCONY)
    capulet.plugin("houses").share(group("juliet", "nurse"))
    capulet.plugin("courts").share(group("juliet", "romeo", label="Court"))
    server.settle()
    assert entries(talk, juliet) == {
        "nurse@capulet.example": ("", ["House of Capulet"]),
        "romeo@capulet.example": ("", ["Court"]),
    }
    capulet.disable("courts")
    assert sorted(entries(talk, juliet)) == ["nurse@capulet.example", "romeo@capulet.example"]
    server.clock.advance(5)
    assert talk.pushes(juliet) == [{"jid": "romeo@capulet.example", "subscription": "remove"}]
    assert list(entries(talk, juliet)) == ["nurse@capulet.example"]


def test_contacts_of_other_hosts_are_not_meant(share, capulet, juliet):
    share(group("juliet", "romeo"))
    store = capulet.plugin("roster").store
    assert store.roster("juliet").grants(JID.parse("romeo@capulet.example"))
    assert not store.roster("juliet").grants(JID.parse("romeo@montague.example"))
    assert not store.shares("juliet", JID.parse("romeo@montague.example"))
    assert not store.shares("juliet", JID.parse("capulet.example"))
    assert not store.shares("juliet", juliet.bare)


# What it costs


def test_an_answer_is_kept_while_somebody_is_online(share, houses, capulet, juliet, romeo, talk):
    share(group("juliet", "romeo"))
    talk.get(juliet)
    juliet.available()
    romeo.available()
    houses.asked.clear()
    for show in ("away", "dnd", ""):
        juliet.available(show=show)
        romeo.available(show=show)
    talk.get(romeo)
    assert houses.asked == []


def test_nothing_is_kept_of_those_who_are_gone(share, capulet, juliet, romeo, talk):
    shared = capulet.plugin("roster").shared
    share(group("juliet", "romeo"))
    for client in (juliet, romeo):
        talk.get(client)
    assert sorted(shared._told) == ["juliet", "romeo"]
    capulet.kernel.may_see_presence(JID.parse("nurse@capulet.example"), juliet.bare)
    assert sorted(shared._told) == ["juliet", "romeo"]
    juliet.disconnect()
    romeo.drop()
    assert shared._told == shared._current == {}
    assert len(shared._known) == 0


def test_without_such_a_plugin_a_roster_is_what_is_stored(server):
    capulet = server.host("capulet.example", roster={})
    juliet = capulet.connect(BALCONY)
    juliet.available()
    plugin = capulet.plugin("roster")
    assert plugin.store.roster("juliet") is plugin.store.own("juliet")
    assert plugin.store.told("juliet") is plugin.store.own("juliet")
    plugin.service.shared_contacts_changed()
    assert plugin.shared._told == {}
    assert not plugin.telling._is_telling


def test_a_long_roster_is_written_in_turns(share, capulet, juliet):
    share(group("juliet", *(f"servant{number}" for number in range(600))))
    turns = []

    def other():
        for _ in range(100):
            turns.append(1)
            gevent.sleep(0)

    watcher = gevent.spawn(other)
    _, items = capulet.plugin("roster").requests._written("juliet")
    assert len(items) == 600
    assert len(turns) >= 2
    watcher.join()


def test_presence_goes_to_those_who_are_here(share, capulet, juliet, romeo, talk, monkeypatch):
    share(group("juliet", "romeo", *(f"servant{number}" for number in range(50))))
    juliet.available()
    romeo.available()
    juliet.received()
    routed = []
    route = capulet.kernel.router.route

    def watched(stanza):
        routed.append(stanza.to.localpart)
        route(stanza)

    monkeypatch.setattr(capulet.kernel.router, "route", watched)
    romeo.available(show="away")
    assert routed == ["romeo", "juliet"]


# Things that happen at once


def test_what_changes_while_a_plugin_is_asked_is_told_afterwards(
    server, houses, capulet, juliet, talk
):
    houses.contacts = {"juliet": SharedContacts((group("juliet", "nurse"),))}
    answer, gate = houses.answer, Event()
    roster = capulet.plugin("roster")

    def slow(localpart):
        found = answer(localpart)
        gate.wait()
        return found

    roster.shared._sources = (slow,)
    asking = gevent.spawn(talk.get, juliet)
    gevent.sleep(0)
    while "juliet" not in houses.asked:
        gevent.sleep(0)
    roster.shared._sources = (answer,)
    houses.contacts = {"juliet": SharedContacts((group("juliet", "nurse", "romeo"),))}
    houses.changed()
    gate.set()
    query = asking.get(timeout=5)
    server.settle()
    assert [item.get("jid") for item in query.elements] == ["nurse@capulet.example"]
    pushed = talk.push_query(juliet)
    assert pushed.first().get("jid") == "romeo@capulet.example"
    assert talk.get(juliet, pushed.get("ver")) is None


def test_what_changes_while_a_long_roster_is_written_is_in_it(
    share, houses, capulet, juliet, talk
):
    names = {"juliet", *(f"servant{number}" for number in range(600))}
    share(group(*names))
    talk.get(juliet)
    store = capulet.plugin("roster").store
    told, looks = store.told, []

    def change_meanwhile(localpart):
        looks.append(localpart)
        if len(looks) == 2:
            gevent.spawn(houses.share, group(*names, "nurse"))
        return told(localpart)

    store.told = change_meanwhile
    juliet.send(Iq(Element("jabber:iq:roster", "query"), type="get", id="roster"))
    known, version = set(), ""
    for stanza in juliet.received():
        found = {item.get("jid") for item in stanza.payload.elements}
        known = known | found if stanza.type == "set" else found
        version = stanza.payload.get("ver")
    store.told = told
    assert known == {f"{name}@capulet.example" for name in names - {"juliet"} | {"nurse"}}
    assert talk.get(juliet, version) is None


def test_who_may_see_whom_changes_at_once(houses, capulet, juliet, romeo):
    houses.share(group("juliet", "romeo"))
    assert capulet.kernel.may_see_presence(juliet.bare, romeo.bare)
    houses.share()
    assert not capulet.kernel.may_see_presence(juliet.bare, romeo.bare)


def test_what_changes_back_before_it_is_told_is_not_told(server, houses, juliet, talk):
    talk.get(juliet)
    houses.share(group("juliet", "romeo"))
    houses.share()
    server.settle()
    assert juliet.received() == []


def test_many_changes_are_told_as_one(server, houses, juliet, talk):
    talk.get(juliet)
    for number in range(5):
        names = [f"servant{n}" for n in range(number)]
        houses.share(group("juliet", *names))
    server.settle()
    assert len(talk.pushes(juliet)) == 4


def test_a_roster_that_cannot_be_known_is_refused_for_now(houses, capulet, juliet, talk):
    def fail(localpart):
        raise StanzaError("internal-server-error", type="wait")

    capulet.plugin("roster").shared._sources = (fail,)
    with pytest.raises(StanzaError) as excinfo:
        talk.get(juliet)
    assert (excinfo.value.condition, excinfo.value.type) == ("internal-server-error", "wait")


def test_presence_that_may_not_be_sent_is_not_sent_by_a_group_either(
    server, share, capulet, juliet, romeo, talk
):
    class Guard:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_may_send_presence(self, account, contact):
            return False if contact.localpart == "romeo" else None

    capulet.enable("guard", plugin_class=Guard)
    juliet.available()
    romeo.available()
    romeo.received()
    share(group("juliet", "romeo"))
    assert talk.presences(romeo) == []
    juliet.available(show="away")
    assert talk.presences(romeo) == []
    assert ("", "romeo@capulet.example/orchard") in talk.presences(juliet)


def test_presence_sent_directly_ends_once(share, juliet, romeo, talk):
    juliet.send(Presence(to=romeo.jid))
    romeo.available()
    share(group("juliet", "romeo"))
    juliet.available()
    romeo.received()
    juliet.unavailable()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]
