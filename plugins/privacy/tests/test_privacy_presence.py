"""Who sees whom when lists change (XEP-0016, 2.11 and 2.12)."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Presence

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
NURSE = "nurse@capulet.example"
BALCONY = f"{JULIET}/balcony"
CHAMBER = f"{JULIET}/chamber"
ORCHARD = f"{ROMEO}/orchard"
INVISIBLE = (1, "deny", "", "", "presence-out")
DEAF = (1, "deny", "", "", "presence-in")


@pytest.fixture
def nurse(capulet):
    return capulet.connect(f"{NURSE}/house")


@pytest.fixture
def friends(juliet, romeo, nurse, talk):
    """Juliet, and two who see her and whom she sees: one elsewhere, one on the same host."""
    for client in (juliet, romeo, nurse):
        client.available()
    talk.befriend(juliet, romeo)
    talk.befriend(juliet, nurse)
    for client in (juliet, romeo, nurse):
        client.received()
    return juliet, romeo, nurse


def test_who_becomes_invisible_is_gone_to_all_contacts(friends, talk):
    juliet, romeo, nurse = friends
    talk.apply(juliet, INVISIBLE)
    assert talk.presences(romeo) == talk.presences(nurse) == [("unavailable", BALCONY)]
    # She sees them as before.
    romeo.available(show="away")
    assert talk.presences(juliet) == [("", ORCHARD)]


def test_who_becomes_visible_is_there_again(friends, talk):
    juliet, romeo, nurse = friends
    talk.apply(juliet, INVISIBLE)
    juliet.available(show="dnd")
    romeo.received()
    nurse.received()
    talk.activate(juliet)
    for contact in (romeo, nurse):
        presence = contact.receive_presence()
        assert (presence.type, presence.from_.text, presence.show) == ("", BALCONY, "dnd")


def test_an_invisible_session_comes_changes_and_goes_unseen(capulet, friends, talk):
    juliet, romeo, nurse = friends
    chamber = capulet.connect(CHAMBER)
    talk.edit(juliet, "invisible", INVISIBLE)
    talk.activate(chamber, "invisible")
    chamber.available()
    assert {stanza for stanza in talk.presences(chamber) if stanza[0] == ""} == {
        ("", BALCONY),
        ("", CHAMBER),
        ("", ORCHARD),
        ("", f"{NURSE}/house"),
    }
    chamber.available(show="away")
    for contact in (romeo, nurse):
        talk.say(contact, "probe", JULIET)
        assert talk.presences(contact) == [("", BALCONY)]
        talk.say(contact, "probe", CHAMBER)
        assert talk.presences(contact) == [("unavailable", CHAMBER)]
    chamber.drop()
    assert romeo.received() == nurse.received() == []
    # The other session is seen all the time.
    juliet.available(show="away")
    assert talk.presences(romeo) == [("", BALCONY)]


def test_an_invisible_session_is_not_shown_to_a_contact_who_comes(friends, talk):
    juliet, _, nurse = friends
    talk.apply(juliet, INVISIBLE)
    nurse.unavailable()
    nurse.received()
    nurse.available()
    assert talk.presences(nurse) == [("", f"{NURSE}/house")]


def test_a_new_contact_of_an_invisible_session_does_not_see_it(juliet, romeo, talk):
    for client in (juliet, romeo):
        client.available()
    talk.apply(juliet, INVISIBLE)
    romeo.get("<query xmlns='jabber:iq:roster'/>")
    romeo.received()
    talk.say(romeo, "subscribe", JULIET)
    talk.say(juliet, "subscribed", ROMEO)
    talk.say(juliet, "unsubscribed", ROMEO)
    assert [kind for kind, _ in talk.presences(romeo)] == ["subscribed", "unsubscribed"]


def test_presence_sent_directly_is_denied_to_the_sender(friends, talk):
    juliet, romeo, _ = friends
    talk.apply(juliet, INVISIBLE)
    romeo.received()
    juliet.received()
    juliet.send(Presence(to=romeo.jid))
    assert juliet.receive_presence().type == "error"
    assert romeo.received() == []


def test_a_group_may_be_hidden_from(capulet, friends, talk):
    juliet, romeo, nurse = friends
    capulet.kernel.service("roster").set("juliet", nurse.bare, groups=("House",))
    talk.apply(juliet, (1, "deny", "group", "House", "presence-out"))
    assert talk.presences(nurse) == [("unavailable", BALCONY)]
    assert talk.presences(romeo) == []
    juliet.available(show="away")
    assert talk.presences(nurse) == []
    assert talk.presences(romeo) == [("", BALCONY)]


def test_only_what_changes_is_told(friends, talk):
    juliet, romeo, nurse = friends
    talk.apply(juliet, (1, "deny", "jid", ROMEO, "presence-out"))
    talk.presences(romeo)
    talk.edit(juliet, "other", (1, "deny", "jid", ROMEO), (2, "deny", "jid", NURSE, "message"))
    talk.activate(juliet, "other")
    talk.edit(juliet, "other", (7, "deny", "jid", ROMEO))
    assert romeo.received() == nurse.received() == []


def test_contacts_go_out_of_sight_of_a_session_that_hears_nothing_of_them(capulet, friends, talk):
    juliet, romeo, nurse = friends
    chamber = capulet.connect(CHAMBER)
    chamber.available()
    for client in (juliet, chamber, romeo, nurse):
        client.received()
    talk.apply(juliet, DEAF)
    # A contact elsewhere may have any resources.
    assert sorted(talk.presences(juliet)) == [
        ("unavailable", f"{NURSE}/house"),
        ("unavailable", ROMEO),
    ]
    assert talk.presences(chamber) == []
    assert romeo.received() == nurse.received() == []
    romeo.available(show="away")
    assert talk.presences(juliet) == []
    assert talk.presences(chamber) == [("", ORCHARD)]
    talk.activate(juliet)
    assert sorted(talk.presences(juliet)) == [("", f"{NURSE}/house"), ("", ORCHARD)]


def test_the_default_list_is_followed_by_all_sessions_that_use_it(capulet, friends, talk):
    juliet, romeo, _ = friends
    chamber = capulet.connect(CHAMBER)
    chamber.available()
    talk.edit(juliet, "public", (1, "allow", "", ""))
    talk.edit(juliet, "invisible", INVISIBLE)
    talk.activate(chamber, "public")
    romeo.received()
    talk.default(juliet, "invisible")
    assert talk.presences(romeo) == [("unavailable", BALCONY)]
    talk.activate(chamber)
    assert talk.presences(romeo) == [("unavailable", CHAMBER)]
    talk.activate(juliet, "public")
    assert talk.presences(romeo) == [("", BALCONY)]


def test_removing_a_list_of_ones_own_is_followed_too(friends, talk):
    juliet, romeo, _ = friends
    talk.apply(juliet, INVISIBLE)
    romeo.received()
    talk.remove(juliet, "test")
    assert talk.presences(romeo) == [("", BALCONY)]


def test_a_room_is_left_when_it_is_denied(capulet, juliet, talk):
    heard = []
    capulet.plugin("privacy").host.register_route("rooms.example", heard.append)
    room = JID.parse("masque@rooms.example/Julia")
    juliet.available()
    juliet.send(Presence(to=room))
    talk.apply(juliet, (1, "deny", "jid", "rooms.example"))
    assert [(stanza.type, stanza.to) for stanza in heard] == [("", room), ("unavailable", room)]
    assert ("unavailable", room.text) in talk.presences(juliet)
    juliet.drop()
    assert len(heard) == 2


def test_who_may_not_hear_of_a_user_may_learn_nothing_by_other_means(capulet, friends, talk):
    juliet, romeo, _ = friends
    may_see = capulet.kernel.may_see_presence
    assert may_see(juliet.bare, romeo.bare)
    talk.apply(juliet, INVISIBLE)
    assert not may_see(juliet.bare, romeo.bare)
    assert may_see(juliet.bare, juliet.bare)
    chamber = capulet.connect(CHAMBER)
    chamber.available()
    assert may_see(juliet.bare, romeo.bare)


def test_a_session_that_goes_on_after_a_restart_keeps_its_active_list(capulet, friends, talk):
    juliet, romeo, _ = friends
    talk.apply(juliet, INVISIBLE)
    romeo.received()
    session = capulet.kernel.session(juliet.jid)
    kept = capulet.kernel.collect("stonechat_session_state", {"session": session})
    state = {key: value for answer in kept for key, value in answer.items()}
    chamber = capulet.connect(CHAMBER)
    later = capulet.kernel.session(chamber.jid)
    capulet.kernel.notify("stonechat_session_restored", {"session": later, "state": state})
    chamber.available()
    assert talk.names(chamber)[0] == ["test"]
    assert romeo.received() == []


def test_a_session_that_takes_the_place_of_another_begins_without_a_list(capulet, friends, talk):
    juliet, _, _ = friends
    talk.apply(juliet, INVISIBLE)
    session = capulet.kernel.session(juliet.jid)
    applied = capulet.plugin("privacy").applied
    juliet.disconnect()
    again = capulet.connect(BALCONY)
    talk.activate(again, "test")
    # The end of the old one comes late.
    applied.closed(session)
    assert talk.names(again)[0] == ["test"]
