"""Whose presence a component sees, and when it is told."""

import pytest
from privilege_cast import DOMAIN

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Presence
from stonechat.testing import Talk, until
from stonechat_privilege import feed as feed_module

JULIET = "juliet@capulet.example/balcony"
NURSE = "nurse@capulet.example/house"
ROMEO = "romeo@montague.example/orchard"


@pytest.fixture
def make_host(make_host):
    return lambda **options: make_host(plugins={"roster": {}}, **options)


@pytest.fixture
def host(make_host):
    """The component sees users."""
    return make_host(presence="managed_entity")


@pytest.fixture
def house(make_host):
    """The component sees users and their contacts."""
    return make_host(presence="roster", roster="get", push=False)


@pytest.fixture
def elsewhere(server):
    return server.host("montague.example", roster={})


def arrive(host, join):
    """A component that has connected, and was told what it may do."""
    entity = join(host)
    entity.permissions()
    return entity


# Users


def test_a_component_sees_users_come_and_go(host, join):
    entity = arrive(host, join)
    juliet = host.connect(JULIET)
    juliet.send("<presence id='p1' xml:lang='en'><show>chat</show></presence>")
    (came,) = entity.received()
    assert (came.from_.text, came.to.text, came.id, came.show) == (JULIET, DOMAIN, "p1", "chat")
    assert came.lang == "en"
    juliet.unavailable()
    assert entity.presences() == [("unavailable", JULIET)]
    juliet.available()
    juliet.drop()
    assert entity.presences() == [("", JULIET), ("unavailable", JULIET)]


def test_between_coming_and_going_there_is_nothing_else(host, join):
    entity = arrive(host, join)
    juliet, nurse = host.connect(JULIET), host.connect(NURSE)
    Talk().befriend(juliet, nurse)
    juliet.available()
    assert entity.presences() == [("", JULIET)]
    juliet.available(show="away")
    juliet.send(f"<presence to='{NURSE}'/>")
    juliet.send("<presence type='subscribe' to='romeo@montague.example'/>")
    juliet.send(f"<presence type='error' to='{DOMAIN}'/>")
    assert entity.presences() == [("error", JULIET)]


def test_who_comes_later_sees_who_is_there(host, join):
    juliet, nurse = host.connect(JULIET), host.connect(NURSE)
    juliet.available(show="away")
    nurse.available()
    nurse.unavailable()
    host.connect("tybalt@capulet.example/street")
    entity = join(host)
    assert entity.permissions()
    (came,) = entity.received()
    assert (came.from_.text, came.show) == (JULIET, "away")


def test_each_stream_sees_the_same(host, join):
    juliet = host.connect(JULIET)
    juliet.available()
    first, second = arrive(host, join), arrive(host, join)
    juliet.unavailable()
    for entity in (first, second):
        assert entity.presences() == [("", JULIET), ("unavailable", JULIET)]


@pytest.mark.parametrize("options", [{}, {"presence": "none"}])
def test_without_the_permission_it_sees_nobody(make_host, join, options):
    host = make_host(**options)
    juliet = host.connect(JULIET)
    juliet.available()
    entity = arrive(host, join)
    juliet.unavailable()
    assert entity.presences() == []


def test_users_do_not_notice(host, join):
    entity = arrive(host, join)
    juliet = host.connect(JULIET)
    juliet.available()
    juliet.received()
    assert entity.presences() == [("", JULIET)]
    entity.drop()
    assert not host.plugin("privilege").feeds
    assert juliet.received() == []
    assert host.kernel.service("roster").contacts("juliet") == ()


def test_who_sees_users_alone_does_not_see_their_contacts(host, elsewhere, join):
    entity = arrive(host, join)
    juliet, romeo = host.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    romeo.available()
    assert entity.presences() == []


# Contacts


def test_a_component_sees_the_contacts_of_users(house, elsewhere, join):
    entity = arrive(house, join)
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    romeo.available(status="with Rosaline")
    (came,) = (p for p in entity.received() if isinstance(p, Presence))
    assert (came.from_.text, came.to.text) == (ROMEO, DOMAIN)
    assert came.element.find_text("status") == "with Rosaline"
    romeo.available(show="away")
    romeo.unavailable()
    assert entity.presences() == [("", ROMEO), ("unavailable", ROMEO)]


def test_so_it_does_while_the_user_is_not_there(house, elsewhere, join):
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    juliet.disconnect()
    entity = arrive(house, join)
    romeo.available()
    assert entity.presences() == [("", ROMEO)]


def test_what_comes_to_several_users_is_told_once(house, elsewhere, join):
    entity = arrive(house, join)
    juliet, nurse = house.connect(JULIET), house.connect(NURSE)
    romeo = elsewhere.connect(ROMEO)
    Talk().befriend(juliet, nurse, romeo)
    entity.received()
    romeo.available()
    assert entity.presences() == [("", ROMEO)]
    juliet.available()
    nurse.available()
    assert ("", ROMEO) not in entity.presences()
    romeo.unavailable()
    assert entity.presences() == [("unavailable", ROMEO)]
    romeo.available()
    romeo.unavailable()
    assert entity.presences() == [("", ROMEO), ("unavailable", ROMEO)]


def test_who_sees_users_alone_does_not_see_what_another_component_sees(make_host, elsewhere, join):
    other = {"domain": "filter.@HOST@", "presence": "managed_entity"}
    house = make_host(presence="roster", roster="get", push=False, more=[other])
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    romeo.available()
    filter, entity = join(house, "filter.capulet.example"), arrive(house, join)
    romeo.available(show="away")
    assert [p for p in filter.received() if isinstance(p, Presence)] == []
    assert entity.presences() == [("", ROMEO), ("", ROMEO)]


def test_who_comes_later_sees_the_contacts_that_are_there(house, elsewhere, join):
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    mercutio = elsewhere.connect("mercutio@montague.example/square")
    Talk().befriend(juliet, romeo, mercutio)
    romeo.available(show="away")
    mercutio.available()
    mercutio.unavailable()
    entity = join(house)
    entity.permissions()
    (came,) = entity.received()
    assert (came.from_.text, came.to.text, came.show) == (ROMEO, DOMAIN, "away")


def test_strangers_are_not_seen(house, elsewhere, join):
    entity = arrive(house, join)
    house.create_account("juliet")
    tybalt = elsewhere.connect("tybalt@montague.example/street")
    tybalt.send(f"<presence to='{JULIET.partition('/')[0]}'/>")
    tybalt.send(f"<presence type='unavailable' to='{JULIET.partition('/')[0]}'/>")
    assert entity.presences() == []


def test_who_sees_the_user_but_is_not_seen_by_him_is_not_seen(house, elsewhere, join):
    entity = arrive(house, join)
    juliet, paris = house.connect(JULIET), elsewhere.connect("paris@montague.example/gate")
    Talk().say(paris, "subscribe", juliet.bare)
    Talk().say(juliet, "subscribed", paris.bare)
    paris.send(f"<presence to='{juliet.bare}'/>")
    assert entity.presences() == []


def test_what_is_no_presence_of_somebody_is_not_told(house, elsewhere, join):
    entity = arrive(house, join)
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    for type in ("probe", "subscribe", "unsubscribed", "error"):
        romeo.send(f"<presence type='{type}' to='{juliet.bare}'/>")
    assert entity.presences() == []


def test_changes_of_users_are_told_where_another_has_them_for_contacts(house, join):
    entity = arrive(house, join)
    juliet, nurse = house.connect(JULIET), house.connect(NURSE)
    juliet.available()
    juliet.available(show="away")
    assert entity.presences() == [("", JULIET)]
    Talk().befriend(juliet, nurse)
    juliet.available(show="dnd")
    assert entity.presences() == [("", JULIET)]


def test_who_sees_a_contact_no_more_makes_it_unseen(house, elsewhere, join):
    entity = arrive(house, join)
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    romeo.available()
    Talk().say(romeo, "unsubscribed", juliet.bare)
    assert entity.presences() == [("", ROMEO), ("unavailable", ROMEO)]


def test_blocked_contacts_are_not_seen(house, elsewhere, join):
    house.enable("blocking", {})
    entity = arrive(house, join)
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    juliet.send(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>"
        "<item jid='romeo@montague.example'/></block></iq>"
    )
    romeo.available()
    assert entity.presences() == []


def test_only_so_much_is_remembered(make_host, elsewhere, join):
    house = make_host(
        presence="roster", roster="get", push=False, options={"contact_memory": "1 KiB"}
    )
    juliet = house.connect(JULIET)
    friends = [elsewhere.connect(f"friend{n}@montague.example/x") for n in range(6)]
    Talk().befriend(juliet, *friends)
    for friend in friends:
        friend.available()
    told = arrive(house, join).presences()
    assert 0 < len(told) < 6
    # What was heard of last.
    assert told == [("", friend.jid.text) for friend in friends[-len(told) :]]
    presences = house.plugin("privilege").presences
    assert 0 < presences._used <= 1024
    for friend in friends:
        friend.unavailable()
    assert presences._used == 0


def test_what_has_gone_is_forgotten_sooner_or_later(house, elsewhere, monkeypatch):
    monkeypatch.setattr("stonechat_privilege.presences._MAX_GONE", 3)
    juliet = house.connect(JULIET)
    friends = [elsewhere.connect(f"friend{n}@montague.example/x") for n in range(6)]
    Talk().befriend(juliet, *friends)
    for friend in friends:
        friend.available()
        friend.unavailable()
    assert len(house.plugin("privilege").presences._gone) == 3


def test_nothing_is_remembered_where_nobody_may_see_it(host, elsewhere):
    juliet, romeo = host.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    romeo.available()
    assert not host.plugin("privilege").presences._contacts


def test_presence_is_delivered_though_the_roster_cannot_be_read(
    server, house, elsewhere, join, monkeypatch
):
    entity = arrive(house, join)
    juliet, romeo = house.connect(JULIET), elsewhere.connect(ROMEO)
    Talk().befriend(juliet, romeo)
    juliet.available()
    juliet.received()

    def fail(*arguments):
        raise StanzaError("internal-server-error")

    roster = house.kernel.service("roster")
    monkeypatch.setattr(roster, "subscription", fail)
    monkeypatch.setattr(roster, "watchers", fail)
    romeo.available()
    assert juliet.receive_presence().from_ == romeo.jid
    juliet.available(show="away")
    assert juliet.receive_presence().show == "away"
    assert ("", ROMEO) not in entity.presences()
    assert server.logged("presence was not told")


# A component that reads slowly


class SlowStream:
    """A component's stream whose other end reads when a test says so."""

    def __init__(self):
        self.domain = DOMAIN
        self.address = "198.51.100.7"
        self.is_open = True
        self.takes_stanzas = True
        self.sent = []
        self.error = None

    def send(self, stanza):
        self.sent.append(stanza)

    def close(self, error=None):
        self.is_open = False
        self.error = error

    @property
    def presences(self):
        return [(s.type, s.from_.text) for s in self.sent if isinstance(s, Presence)]


@pytest.fixture
def slow(server, host, monkeypatch):
    """It has connected, and reads nothing."""
    monkeypatch.setattr(feed_module, "LOOK_SECONDS", 0.001)
    stream = SlowStream()
    plugin = host.plugin("privilege")
    plugin.stonechat_component_connected(stream)
    server.settle()
    stream.takes_stanzas = False
    yield stream
    stream.is_open = False
    plugin.stonechat_component_disconnected(stream)


def test_who_reads_slowly_hears_the_last_word_on_each(host, slow):
    juliet, nurse = host.connect(JULIET), host.connect(NURSE)
    for _ in range(3):
        juliet.available()
        juliet.unavailable()
    nurse.available()
    assert slow.presences == []
    slow.takes_stanzas = True
    until(lambda: len(slow.presences) == 2, "presence")
    assert slow.presences == [("unavailable", JULIET), ("", NURSE)]
    juliet.available()
    assert slow.presences[2:] == [("", JULIET)]
    assert host.plugin("privilege").feeds[slow]._waiting_bytes == 0


def test_who_is_too_far_behind_has_to_begin_anew(host, slow, monkeypatch):
    monkeypatch.setattr(feed_module, "MAX_WAITING_BYTES", 1000)
    juliet = host.connect(JULIET)
    juliet.available(status="O" * 500)
    assert slow.is_open
    host.connect(NURSE).available(status="O" * 500)
    assert slow.error.condition == "resource-constraint"
    assert not host.plugin("privilege").feeds[slow]._waiting


def test_what_changes_while_it_is_told_who_is_there_is_told_behind_that(server, host):
    clients = [host.connect(f"guest{n}@capulet.example/x") for n in range(200)]
    for client in clients:
        client.available()
    stream = SlowStream()
    plugin = host.plugin("privilege")
    plugin.stonechat_component_connected(stream)
    # Nobody else has run so far.
    gone = Presence(type="unavailable", from_=clients[0].jid)
    session = host.kernel.session(clients[0].jid)
    plugin.stonechat_presence_changed(session, gone, session.presence)
    assert stream.presences == []
    server.settle()
    assert len(stream.presences) == 201
    assert stream.presences[-1] == ("unavailable", clients[0].jid.text)
    plugin.stonechat_component_disconnected(stream)


def test_a_presence_that_is_past_is_not_told(host, join):
    entity = arrive(host, join)
    juliet = host.connect(JULIET)
    session = host.kernel.session(JID.parse(JULIET))
    # Another plugin has blocked for so long that the session is over meanwhile.
    plugin = host.plugin("privilege")
    plugin.stonechat_presence_changed(session, Presence(from_=juliet.jid), None)
    assert entity.presences() == []
