"""Directed presence: shown to one entity alone (RFC 6121, 4.6)."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Presence

ROMEO = "romeo@capulet.example"
JULIET = "juliet@capulet.example"
ORCHARD = f"{ROMEO}/orchard"
BALCONY = f"{JULIET}/balcony"


def directed(client, to, type_=""):
    client.send(Presence(type=type_, to=JID.parse(to)))


def test_who_was_sent_presence_directly_hears_of_its_end_only(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    romeo.received()
    directed(juliet, ORCHARD)
    assert talk.presences(romeo) == [("", BALCONY)]
    juliet.available(show="away")
    assert talk.presences(romeo) == []
    juliet.send("<presence type='unavailable'><status>Adieu!</status></presence>")
    gone = romeo.receive_presence()
    assert (gone.type, gone.from_.text, gone.to.text) == ("unavailable", BALCONY, ORCHARD)
    assert gone.element.find_text("status") == "Adieu!"
    juliet.disconnect()
    assert talk.presences(romeo) == []


def test_the_end_is_told_when_the_session_is_lost(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    directed(juliet, ORCHARD)
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]


def test_the_end_is_told_for_a_session_that_was_never_available(juliet, romeo, talk):
    romeo.available()
    directed(juliet, ORCHARD)
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]


def test_the_end_is_not_told_twice(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    directed(juliet, ORCHARD)
    directed(juliet, ORCHARD, "unavailable")
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == []


def test_a_watcher_hears_of_the_end_once(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    directed(juliet, ORCHARD)
    juliet.available()
    directed(juliet, ORCHARD)
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == [("unavailable", BALCONY)]


def test_an_accounts_own_sessions_hear_of_the_end_once(capulet, juliet, talk):
    chamber = capulet.connect(f"{JULIET}/chamber")
    chamber.available()
    juliet.available()
    directed(juliet, f"{JULIET}/chamber")
    chamber.received()
    juliet.drop()
    assert talk.presences(chamber) == [("unavailable", BALCONY)]


def test_directed_unavailable_presence_leaves_the_broadcast_as_it_was(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    juliet.available()
    directed(juliet, ORCHARD, "unavailable")
    romeo.received()
    juliet.available(show="away")
    assert talk.presences(romeo) == [("", BALCONY)]


ROOM = "feast@montague.example/maskedguest"


def test_who_was_sent_presence_directly_may_probe_that_resource(capulet, juliet, montague, talk):
    """4.6.6: it is told that the session is there, and nothing of others."""
    guest = montague.connect(ROOM)
    chamber = capulet.connect(f"{JULIET}/chamber")
    juliet.available(show="dnd")
    chamber.available()
    directed(juliet, ROOM)
    guest.received()
    talk.say(guest, "probe", BALCONY)
    (seen,) = guest.received()
    assert (seen.type, seen.from_.text, seen.to.text, seen.children) == ("", BALCONY, ROOM, ())
    for other in (JULIET, f"{JULIET}/chamber"):
        talk.say(guest, "probe", other)
        assert talk.presences(guest) == [("unsubscribed", JULIET)]
    directed(juliet, ROOM, "unavailable")
    guest.received()
    talk.say(guest, "probe", BALCONY)
    assert talk.presences(guest) == [("unsubscribed", JULIET)]


def test_another_than_who_was_sent_presence_directly_may_not_probe(juliet, montague, talk):
    guest = montague.connect("feast@montague.example/tybalt")
    juliet.available()
    directed(juliet, ROOM)
    guest.received()
    talk.say(guest, "probe", BALCONY)
    assert talk.presences(guest) == [("unsubscribed", JULIET)]


@pytest.mark.parametrize("to", [BALCONY, JULIET])
def test_who_says_that_it_is_gone_hears_of_the_end_no_more(juliet, montague, talk, to):
    """4.6.1."""
    guest = montague.connect(ROOM)
    other = montague.connect("garden@montague.example/juliet")
    juliet.available()
    directed(juliet, ROOM)
    directed(juliet, other.jid.text)
    directed(guest, to, "unavailable")
    assert ("unavailable", ROOM) in talk.presences(juliet)
    guest.received()
    other.received()
    juliet.drop()
    assert guest.received() == []
    assert talk.presences(other) == [("unavailable", BALCONY)]


def test_what_one_session_is_told_changes_nothing_for_the_others(capulet, juliet, montague, talk):
    guest = montague.connect(ROOM)
    chamber = capulet.connect(f"{JULIET}/chamber")
    for client in (juliet, chamber):
        directed(client, ROOM)
    directed(guest, f"{JULIET}/chamber", "unavailable")
    guest.received()
    juliet.drop()
    chamber.drop()
    assert talk.presences(guest) == [("unavailable", BALCONY)]


def test_directed_presence_has_a_bound(server, talk):
    capulet = server.host("capulet.example", roster={"max_directed": 2})
    juliet = capulet.connect(BALCONY)
    romeo = capulet.connect(ORCHARD)
    romeo.available()
    romeo.received()
    directed(juliet, f"{ROMEO}/a")
    directed(juliet, f"{ROMEO}/b")
    directed(juliet, f"{ROMEO}/b")
    directed(juliet, ORCHARD)
    assert romeo.received() == []
    refused = juliet.receive_presence()
    assert (refused.type, refused.from_.text) == ("error", ORCHARD)
    directed(juliet, f"{ROMEO}/a", "unavailable")
    directed(juliet, ORCHARD)
    assert talk.presences(romeo) == [("", BALCONY)]


def test_leaving_twice_is_told_once(juliet, romeo, talk):
    romeo.available()
    directed(juliet, ORCHARD)
    juliet.available()
    juliet.unavailable()
    romeo.received()
    juliet.drop()
    assert talk.presences(romeo) == []
