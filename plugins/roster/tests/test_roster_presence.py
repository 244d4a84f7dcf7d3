"""Presence: broadcast, and its end (RFC 6121, 4.2, 4.4 and 4.5)."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.plugin import HANDLED
from stonechat.stanza import Element, Presence

ROMEO = "romeo@capulet.example"
JULIET = "juliet@capulet.example"
ORCHARD = f"{ROMEO}/orchard"
BALCONY = f"{JULIET}/balcony"
TYBALT = "tybalt@capulet.example"


def probe(sender, to):
    return Presence(type="probe", from_=JID.parse(sender), to=JID.parse(to))


# Coming (4.2)


def test_a_session_sees_its_own_presence(juliet):
    juliet.available(show="dnd")
    presence = juliet.receive_presence()
    assert (presence.from_.text, presence.show) == (BALCONY, "dnd")


def test_an_accounts_sessions_see_each_other(capulet, juliet, talk):
    juliet.available()
    juliet.received()
    chamber = capulet.connect(f"{JULIET}/chamber")
    chamber.available()
    assert talk.presences(juliet) == [("", f"{JULIET}/chamber")]
    assert sorted(talk.presences(chamber)) == [("", BALCONY), ("", f"{JULIET}/chamber")]


def test_contacts_see_each_other(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available(status="Wherefore?")
    romeo.received()
    juliet.available()
    assert talk.presences(romeo) == [("", BALCONY)]
    (seen,) = [p for p in juliet.received() if p.from_.bare == romeo.bare]
    assert (seen.from_.text, seen.to.text) == (ORCHARD, BALCONY)
    assert seen.element.find_text("status") == "Wherefore?"


def test_presence_reaches_watchers_as_it_was_sent(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    romeo.received()
    mood = "<x xmlns='urn:example:mood'>love &amp; fear</x>"
    juliet.send(f"<presence><show>xa</show>{mood}</presence>")
    seen = romeo.receive_presence()
    assert (seen.from_.text, seen.to.text, seen.show) == (BALCONY, ROMEO, "xa")
    assert seen.find("urn:example:mood", "x").text == "love & fear"


def test_presence_goes_only_where_the_subscription_leads(juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(romeo, "subscribed", JULIET)
    romeo.available()
    juliet.received()
    romeo.received()
    juliet.available()
    assert talk.presences(romeo) == []
    assert ("", ORCHARD) in talk.presences(juliet)


def test_who_only_asked_sees_nothing(juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    juliet.available()
    juliet.received()
    romeo.available()
    assert talk.presences(juliet) == []


def test_presence_survives_a_restart(server, capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    server.restart()
    juliet = capulet.connect(BALCONY)
    romeo = capulet.connect(ORCHARD)
    juliet.available()
    juliet.received()
    romeo.available()
    assert talk.presences(juliet) == [("", ORCHARD)]
    assert ("", BALCONY) in talk.presences(romeo)


def test_a_change_is_told_and_nothing_is_asked_again(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    juliet.available()
    juliet.received()
    romeo.received()
    juliet.available(show="away", priority=-3)
    assert talk.presences(romeo) == [("", BALCONY)]
    assert talk.presences(juliet) == [("", BALCONY)]


def test_contacts_on_two_hosts_see_each_other(server, capulet, talk):
    montague = server.host("montague.example", roster={})
    juliet = capulet.connect(BALCONY)
    romeo = montague.connect("romeo@montague.example/orchard")
    talk.befriend(juliet, romeo)
    romeo.available()
    romeo.received()
    juliet.available()
    assert talk.presences(romeo) == [("", BALCONY)]
    assert ("", "romeo@montague.example/orchard") in talk.presences(juliet)


def test_a_server_that_no_longer_knows_the_subscription_corrects_it(server, capulet, talk):
    montague = server.host("montague.example", roster={})
    juliet = capulet.connect(BALCONY)
    romeo = montague.connect("romeo@montague.example/orchard")
    talk.befriend(juliet, romeo)
    # As if Montague's database were lost.
    montague.plugin("roster").store.erase("romeo")
    talk.get(juliet)
    juliet.available()
    assert talk.items(juliet)["romeo@montague.example"]["subscription"] == "from"


def test_who_comes_does_not_see_a_contact_that_does_not_let_it(capulet, juliet, romeo, talk):
    capulet.kernel.service("roster").set("juliet", romeo.bare, subscription="to")
    romeo.available()
    juliet.available()
    assert talk.presences(juliet) == [("", BALCONY)]


class Oracle:
    """A plugin that lets everybody see everybody, as shared rosters do."""

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return True


def test_another_plugin_may_let_contacts_be_seen(capulet, juliet, romeo, talk):
    capulet.kernel.service("roster").set("juliet", romeo.bare, subscription="to")
    capulet.kernel.hooks.add("oracle", Oracle())
    romeo.available()
    juliet.available()
    assert ("", ORCHARD) in talk.presences(juliet)
    capulet.kernel.route(probe(BALCONY, ROMEO))
    assert talk.presences(juliet) == [("", ORCHARD)]


# Going (4.5)


def test_who_goes_is_seen_to_go(juliet, romeo, capulet, talk):
    talk.befriend(juliet, romeo)
    chamber = capulet.connect(f"{JULIET}/chamber")
    for client in (juliet, romeo, chamber):
        client.available()
    for client in (juliet, romeo, chamber):
        client.received()
    juliet.send("<presence type='unavailable'><status>Good night!</status></presence>")
    for client in (juliet, romeo, chamber):
        gone = client.receive_presence()
        assert (gone.type, gone.from_.text) == ("unavailable", BALCONY)
        assert gone.element.find_text("status") == "Good night!"
        assert client.received() == []


def test_a_lost_session_is_seen_to_go(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    juliet.available()
    romeo.available()
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]


def test_a_session_that_leaves_is_seen_to_go_once(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    juliet.available()
    romeo.available()
    romeo.received()
    juliet.unavailable()
    juliet.disconnect()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]


def test_a_session_that_was_never_available_goes_silently(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    romeo.received()
    juliet.disconnect()
    assert talk.presences(romeo) == []


def test_who_comes_back_is_told_all_anew(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    juliet.available()
    juliet.unavailable()
    juliet.received()
    juliet.available()
    assert ("", ORCHARD) in talk.presences(juliet)


# Who may see (robustness rule 29)


def test_only_watchers_may_see(capulet, juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(romeo, "subscribed", JULIET)
    may_see = capulet.kernel.may_see_presence
    assert may_see(JID.parse(ROMEO), JID.parse(JULIET))
    assert not may_see(JID.parse(JULIET), JID.parse(ROMEO))
    assert not may_see(JID.parse(ROMEO), JID.parse(TYBALT))
    assert not may_see(JID.parse("nobody@capulet.example"), JID.parse(JULIET))


# Many (robustness promise R21)


def make_watchers(capulet, count):
    service = capulet.kernel.service("roster")
    jids = [JID.parse(f"guest{number}@capulet.example") for number in range(count)]
    for jid in jids:
        service.set("juliet", jid, subscription="from")
    return jids


def test_a_large_fan_out_lets_others_run(capulet, juliet, talk):
    make_watchers(capulet, 200)
    juliet.available()
    session = capulet.kernel.session(JID.parse(BALCONY))
    broadcast = capulet.plugin("roster").broadcast
    turns = []

    def count():
        while True:
            turns.append(1)
            gevent.sleep(0)

    other = gevent.spawn(count)
    try:
        broadcast.show(session.jid.bare, JID.parse(ROMEO))
        assert len(turns) == 0
        broadcast.changed(session, session.presence, session.presence)
        assert len(turns) == 3
    finally:
        other.kill()


class Gate:
    """A plugin that holds up what comes for guest0, when it comes from an available Juliet."""

    def __init__(self):
        self.opened = Event()

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        if presence.to.localpart == "guest0" and not presence.type:
            self.opened.wait()


def test_a_session_lost_in_the_middle_of_its_broadcast_is_seen_to_go(capulet, juliet, talk):
    """Whoever heard that it came hears after that that it went."""
    guest, other = make_watchers(capulet, 2)
    clients = [capulet.connect(f"{jid}/hall") for jid in (guest, other)]
    juliet.available()
    for client in clients:
        client.available()
        client.received()
    gate = Gate()
    capulet.kernel.hooks.add("gate", gate)
    session = capulet.kernel.session(JID.parse(BALCONY))
    broadcast = capulet.plugin("roster").broadcast
    here = Presence(from_=session.jid)
    gone = Presence(from_=session.jid, type="unavailable")
    coming = gevent.spawn(broadcast.changed, session, here, None)
    gevent.sleep(0)
    going = gevent.spawn(broadcast.changed, session, gone, here)
    capulet.server.settle()
    gate.opened.set()
    gevent.joinall([coming, going], raise_error=True)
    for client in clients:
        assert talk.presences(client) == [("", BALCONY), ("unavailable", BALCONY)]


class Looker:
    """A plugin that looks something up before the roster tells of a presence."""

    def __init__(self):
        self.found = Event()

    @hookimpl(tryfirst=True)
    def stonechat_presence_changed(self, presence):
        if not presence.type:
            self.found.wait()

    @hookimpl(tryfirst=True)
    def stonechat_presence_from_user(self, presence):
        self.found.wait()


@pytest.mark.parametrize("attributes", ["", f"to='{ROMEO}'"])
@pytest.mark.parametrize("end", ["kick", "unregister"])
def test_a_session_closed_before_its_presence_is_told_is_seen_to_come_and_to_go(
    server, capulet, juliet, romeo, talk, attributes, end
):
    if not attributes:
        talk.befriend(juliet, romeo)
    romeo.available()
    romeo.received()
    looker = Looker()
    capulet.kernel.hooks.add("looker", looker)
    juliet.send(f"<presence {attributes}/>")
    ending = gevent.spawn(server.command, end, jid=JULIET)
    server.settle()
    assert talk.presences(romeo) == []
    looker.found.set()
    ending.get(timeout=5)
    server.settle()
    assert talk.presences(romeo)[:2] == [("", BALCONY), ("unavailable", BALCONY)]


def test_what_comes_to_be_told_only_after_the_session_has_gone_is_told_to_nobody(
    capulet, juliet, romeo, talk
):
    """A plugin may have blocked for longer than the session's end waits."""
    talk.befriend(juliet, romeo)
    romeo.available()
    juliet.available()
    session = capulet.kernel.session(JID.parse(BALCONY))
    here = session.presence
    juliet.drop()
    romeo.received()
    capulet.plugin("roster").broadcast.changed(session, here, None)
    assert talk.presences(romeo) == []


class Wall:
    """A plugin that keeps Romeo's presence from everybody else."""

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        return HANDLED if presence.from_.bare.text == ROMEO != presence.to.bare.text else None


def test_presence_passes_the_filters_of_other_plugins(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    capulet.kernel.hooks.add("wall", Wall())
    juliet.available()
    capulet.kernel.route(probe(BALCONY, ROMEO))
    romeo.available(show="away")
    assert talk.presences(juliet) == [("", BALCONY)]


def test_an_unknown_child_does_not_matter(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    romeo.received()
    juliet.send(Presence(Element("urn:example", "x", None, "y" * 5000)))
    assert romeo.receive_presence().find("urn:example", "x").text == "y" * 5000
