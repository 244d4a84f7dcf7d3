"""Who is blocked sees the user go, and who is unblocked sees them come (XEP-0191, 3.3, 3.4)."""

import pytest

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.plugin import HANDLED
from stonechat.stanza import Presence

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
BALCONY = f"{JULIET}/balcony"
ORCHARD = f"{ROMEO}/orchard"
ROOM = "masque@rooms.example"


@pytest.fixture
def friends(juliet, romeo, talk):
    """Both are available, and see each other."""
    for client in (juliet, romeo):
        client.available()
    talk.befriend(juliet, romeo)
    return juliet, romeo


def test_the_blocked_contact_hears_that_the_user_is_gone(capulet, friends, talk):
    juliet, romeo = friends
    chamber = capulet.connect(f"{JULIET}/chamber")
    chamber.available()
    romeo.received()
    talk.block(juliet, ROMEO)
    assert sorted(talk.presences(romeo)) == [
        ("unavailable", BALCONY),
        ("unavailable", f"{JULIET}/chamber"),
    ]


def test_the_user_hears_that_the_blocked_contact_is_gone(friends, talk):
    # XEP-0016, 2.11, which is to apply where XEP-0191 says nothing.
    juliet, _ = friends
    talk.block(juliet, ROMEO)
    # A contact elsewhere may have any resources.
    assert talk.presences(juliet) == [("unavailable", ROMEO)]


def test_a_blocked_contact_of_the_same_host_goes_by_its_resources(capulet, juliet, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    garden = capulet.connect("nurse@capulet.example/garden")
    for client in (juliet, nurse, garden):
        client.available()
    talk.befriend(juliet, nurse)
    talk.block(juliet, nurse.bare)
    assert sorted(talk.presences(juliet)) == [
        ("unavailable", "nurse@capulet.example/garden"),
        ("unavailable", "nurse@capulet.example/house"),
    ]
    talk.unblock(juliet, nurse.bare)
    assert sorted(talk.presences(juliet)) == [
        ("", "nurse@capulet.example/garden"),
        ("", "nurse@capulet.example/house"),
    ]


def test_a_blocked_stranger_hears_nothing(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    romeo.received()
    talk.block(juliet, ROMEO)
    talk.unblock(juliet, ROMEO)
    assert romeo.received() == []


def test_a_contact_that_may_not_see_the_user_hears_nothing(juliet, romeo, talk):
    for client in (juliet, romeo):
        client.available()
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(romeo, "subscribed", JULIET)
    romeo.received()
    talk.block(juliet, ROMEO)
    talk.unblock(juliet, ROMEO)
    # The probe of who may hear of Romeo again is answered by the server.
    assert romeo.received() == []


def test_an_unblocked_contact_gets_the_presence_of_the_user(friends, talk):
    juliet, romeo = friends
    talk.block(juliet, ROMEO)
    juliet.available(show="away", status="Thinking")
    romeo.received()
    talk.unblock(juliet, ROMEO)
    presence = romeo.receive_presence()
    assert (presence.type, presence.from_.text, presence.show) == ("", BALCONY, "away")
    assert romeo.received() == []


@pytest.mark.parametrize("chosen", [(), (ROMEO,)])
def test_the_user_gets_the_presence_of_an_unblocked_contact(friends, talk, chosen):
    juliet, romeo = friends
    talk.block(juliet, ROMEO)
    romeo.available(show="dnd")
    juliet.received()
    talk.unblock(juliet, *chosen)
    presence = juliet.receive_presence()
    assert (presence.type, presence.from_.text, presence.show) == ("", ORCHARD, "dnd")


def test_a_user_who_is_not_available_tells_nothing(friends, talk):
    juliet, romeo = friends
    juliet.unavailable()
    romeo.received()
    juliet.received()
    talk.block(juliet, ROMEO)
    talk.unblock(juliet, ROMEO)
    assert romeo.received() == []
    assert juliet.received() == []


def test_blocking_somebody_twice_tells_it_once(friends, talk):
    juliet, romeo = friends
    talk.block(juliet, ROMEO)
    romeo.received()
    talk.block(juliet, ROMEO, "montague.example")
    talk.unblock(juliet, ROMEO)
    assert romeo.received() == []
    talk.unblock(juliet)
    assert talk.presences(romeo) == [("", BALCONY)]


def test_a_blocked_domain_is_all_contacts_there(montague, friends, talk):
    juliet, romeo = friends
    benvolio = montague.connect("benvolio@montague.example/street")
    benvolio.available()
    talk.befriend(juliet, benvolio)
    romeo.received()
    talk.block(juliet, "montague.example")
    assert talk.presences(romeo) == talk.presences(benvolio) == [("unavailable", BALCONY)]


def test_a_blocked_resource_hears_it_alone(montague, friends, talk):
    juliet, romeo = friends
    street = montague.connect(f"{ROMEO}/street")
    street.available()
    romeo.received()
    street.received()
    juliet.received()
    talk.block(juliet, ORCHARD)
    assert talk.presences(romeo) == [("unavailable", BALCONY)]
    assert street.received() == []
    assert talk.presences(juliet) == [("unavailable", ORCHARD)]
    talk.unblock(juliet, ORCHARD)
    assert talk.presences(romeo) == [("", BALCONY)]
    assert street.received() == []


def test_no_broadcast_goes_to_the_blocked(friends, talk):
    juliet, romeo = friends
    talk.block(juliet, ROMEO)
    romeo.received()
    juliet.available(show="away")
    juliet.unavailable()
    juliet.available()
    juliet.drop()
    assert romeo.received() == []


def test_the_blocked_are_not_shown_when_the_user_comes(capulet, friends, talk):
    juliet, _ = friends
    talk.block(juliet, ROMEO)
    chamber = capulet.connect(f"{JULIET}/chamber")
    chamber.available()
    assert ROMEO not in {stanza.from_.bare.text for stanza in chamber.received()}


def test_a_user_who_comes_is_not_shown_to_a_contact_who_blocks_them(capulet, juliet, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    for client in (juliet, nurse):
        client.available()
    talk.befriend(juliet, nurse)
    talk.block(nurse, JULIET)
    nurse.received()
    juliet.unavailable()
    juliet.received()
    juliet.available()
    assert talk.presences(juliet) == [("", BALCONY)]
    assert nurse.received() == []


def test_a_probe_of_the_blocked_is_not_answered(friends, talk):
    juliet, romeo = friends
    talk.block(juliet, ROMEO)
    romeo.received()
    for to in (JULIET, BALCONY):
        talk.say(romeo, "probe", to)
    assert romeo.received() == []


def test_subscriptions_outlive_the_block(friends, talk):
    # "Polite blocking" (section 4).
    juliet, _ = friends
    talk.block(juliet, ROMEO)
    roster = juliet.get("<query xmlns='jabber:iq:roster'/>").payload
    assert [item.get("subscription") for item in roster.elements] == ["both"]
    assert not [s for s in juliet.received() if s.name == "iq"]


def test_a_request_that_waits_is_not_shown_while_its_sender_is_blocked(capulet, romeo, talk):
    juliet = capulet.connect(BALCONY)
    talk.say(romeo, "subscribe", JULIET)
    talk.block(juliet, ROMEO)
    juliet.available()
    assert ("subscribe", ROMEO) not in talk.presences(juliet)
    talk.unblock(juliet, ROMEO)
    juliet.unavailable()
    juliet.available()
    assert ("subscribe", ROMEO) in talk.presences(juliet)


class Rooms:
    """Answers for rooms.example: notes what presence comes."""

    def __init__(self, host, options):
        self.host = host
        self.heard = []

    def start(self):
        self.host.register_route("rooms.example", self.hear)

    def hear(self, stanza):
        self.heard.append((stanza.type, stanza.from_.text, stanza.to.text))


@pytest.fixture
def rooms(capulet):
    return capulet.enable("rooms", plugin_class=Rooms)


@pytest.mark.parametrize("jid", [ROOM, "rooms.example", f"{ROOM}/Julia"])
def test_a_blocked_room_is_left(rooms, juliet, talk, jid):
    juliet.available()
    juliet.send(Presence(to=JID.parse(f"{ROOM}/Julia")))
    juliet.received()
    rooms.heard.clear()
    talk.block(juliet, jid)
    assert rooms.heard == [("unavailable", BALCONY, f"{ROOM}/Julia")]
    # To the client it looks as if the room had gone.
    assert talk.presences(juliet) == [("unavailable", f"{ROOM}/Julia")]
    juliet.drop()
    assert len(rooms.heard) == 1


def test_a_room_is_not_entered_again_by_itself(rooms, juliet, talk):
    juliet.available()
    juliet.send(Presence(to=JID.parse(f"{ROOM}/Julia")))
    talk.block(juliet, ROOM)
    rooms.heard.clear()
    talk.unblock(juliet, ROOM)
    assert rooms.heard == []


class Probes:
    """In place of a roster: shows what presence comes, and answers nothing."""

    def __init__(self, host, options):
        self.seen = []

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        self.seen.append((presence.type, presence.from_.text))
        return HANDLED


def test_the_server_of_a_blocked_contact_is_not_asked(server, capulet, juliet, talk):
    far = server.host("far.example", plugin_classes={"probes": Probes})
    far.create_account("paris")
    roster = capulet.kernel.service("roster")
    roster.set("juliet", JID.parse("paris@far.example"), subscription="both")
    talk.block(juliet, "paris@far.example")
    juliet.available()
    assert far.plugin("probes").seen == []
    talk.unblock(juliet)
    assert far.plugin("probes").seen == [("", BALCONY), ("probe", JULIET)]


def test_no_request_is_sent_again_to_the_blocked(server, capulet, juliet, talk):
    far = server.host("far.example", plugin_classes={"probes": Probes})
    far.create_account("paris")
    talk.say(juliet, "subscribe", "paris@far.example")
    talk.block(juliet, "paris@far.example")
    seen = far.plugin("probes").seen
    seen.clear()
    server.clock.advance(86_401)
    juliet.available()
    assert seen == []
    talk.unblock(juliet)
    juliet.unavailable()
    juliet.available()
    assert ("subscribe", JULIET) in seen


def test_all_goes_without_a_roster(server, talk):
    host = server.host("capulet.example", blocking={})
    juliet = host.connect(BALCONY)
    juliet.available()
    talk.block(juliet, ROMEO)
    talk.unblock(juliet, ROMEO)
    assert talk.blocked(juliet) == []
