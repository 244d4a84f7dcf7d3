"""Copies and stream management (XEP-0198): nothing comes twice, and nothing is lost."""

import pytest

from stonechat import timestamps
from stonechat.namespaces import NS_CARBONS, NS_DELAY, NS_STANZA_ID
from stonechat.stanza import Element, Message
from stonechat_carbons import ends

ROMEO = "romeo@montague.example"
JULIET = "juliet@capulet.example/balcony"
NS_SM = "urn:xmpp:sm:3"
PASSWORD = "Wherefore art thou?"


@pytest.fixture
def host(server):
    return server.host("montague.example", carbons={}, offline={}, sm={})


@pytest.fixture
def juliet(server, host):
    juliet = server.host("capulet.example").connect(JULIET)
    juliet.available()
    return juliet


def romeo_at(host, resource, priority=0, *, managed=True):
    client = host.connect(f"{ROMEO}/{resource}")
    if managed:
        client.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
        client.id = client.receive().get("id")
    client.set(Element(NS_CARBONS, "enable"))
    client.available(priority)
    client.received()
    return client


def ack(client, h):
    client.send(f"<a xmlns='{NS_SM}' h='{h}'/>")


def bodies(client):
    found = []
    for item in client.received():
        if isinstance(item, Message):
            copy = item.find(NS_CARBONS, "received") or item.find(NS_CARBONS, "sent")
            found.append(
                item.body if copy is None else f"copy of {inside(item).find_text('body')}"
            )
    return found


def inside(copy):
    return copy.element.first().first().first()


def resume(host, client, h):
    stream = host.open_stream(tls=True)
    stream.authenticate("romeo", PASSWORD)
    stream.open()
    stream.send(f"<resume xmlns='{NS_SM}' previd='{client.id}' h='{h}'/>")
    assert stream.receive_element().name == "resumed"
    return stream


def is_over(host, client):
    """Its connection is lost, and it does not come back until its time is over."""
    client.drop()
    host.kernel.session(client.jid).close()
    host.server.settle()


def first_client(host):
    """What a client gets that comes when all others are gone."""
    client = host.connect(f"{ROMEO}/square")
    client.available()
    return client


# Not twice


@pytest.mark.parametrize("id_", ["m1", ""], ids=["with an id", "without"])
@pytest.mark.parametrize("priority", [0, -1])
def test_what_somebody_has_a_copy_of_is_not_delivered_again(server, host, juliet, id_, priority):
    garden, home = romeo_at(host, "garden", 1), romeo_at(host, "home", priority)
    juliet.message(garden.jid, "Good night", id=id_)
    is_over(host, garden)
    assert bodies(home) == ["copy of Good night"]
    home.drop()
    server.settle()
    resume(host, home, 0)
    assert bodies(first_client(host)) == []


def test_what_several_have_got_themselves_is_not_delivered_again(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.message(ROMEO, "Good night", id="m1")
    is_over(host, garden)
    assert bodies(home) == ["Good night"]


def test_a_copy_that_was_left_goes_to_nobody_else(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    third = romeo_at(host, "third", managed=False)
    juliet.message(garden.jid, "Good night", id="m1")
    garden.message(JULIET, "A thousand times", id="m2")
    is_over(host, home)
    assert bodies(garden) == ["Good night"]
    assert bodies(third) == ["copy of Good night", "copy of A thousand times"]
    for client in (garden, third):
        client.disconnect()
    assert bodies(first_client(host)) == []


# Not lost


def test_who_came_later_has_no_copy_and_gets_the_message(server, host, juliet):
    garden = romeo_at(host, "garden")
    juliet.message(garden.jid, "Good night", id="m1")
    home = romeo_at(host, "home")
    is_over(host, garden)
    assert bodies(home) == ["Good night"]


def test_who_disabled_copies_meanwhile_is_not_relied_on(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.message(garden.jid, "Good night", id="m1")
    assert bodies(home) == ["copy of Good night"]
    home.set(Element(NS_CARBONS, "disable"))
    home.set(Element(NS_CARBONS, "enable"))
    is_over(host, garden)
    assert bodies(home) == ["Good night"]


def test_a_private_message_is_delivered_again(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.message(garden.jid, "Good night", Element(NS_CARBONS, "private"), id="m1")
    is_over(host, garden)
    assert bodies(home) == ["Good night"]


def test_a_message_that_both_have_left_waits_for_who_comes(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    sent_at = server.clock.now()
    juliet.message(garden.jid, "Good night", id="m1")
    is_over(host, garden)
    is_over(host, home)
    (message,) = [item for item in first_client(host).received() if isinstance(item, Message)]
    assert message.body == "Good night"
    assert not message.has(NS_CARBONS, "received")
    stamps = [
        timestamps.read(delay.get("stamp"))
        for delay in message.element.find_all("delay", NS_DELAY)
    ]
    assert min(stamps) - sent_at < 10_000_000


def test_of_three_the_last_one_leaves_it(server, host, juliet):
    clients = [romeo_at(host, resource) for resource in ("garden", "home", "third")]
    juliet.message(clients[0].jid, "Good night", id="m1")
    for client in clients:
        assert bodies(first_client_gone(host)) == []
        is_over(host, client)
    assert bodies(first_client(host)) == ["Good night"]


def first_client_gone(host):
    client = first_client(host)
    client.disconnect()
    return client


def test_a_note_to_oneself_that_all_have_left_waits_for_who_comes(server, host, juliet):
    shy, home = romeo_at(host, "shy", -1), romeo_at(host, "home")
    garden = romeo_at(host, "garden", -1)
    # Not all clients give each message an id of its own.
    for to, body in ((JULIET, "Farewell"), (ROMEO, "Remember")):
        garden.message(to, body, id="n1")
    assert bodies(shy) == ["copy of Farewell", "copy of Remember"]
    garden.disconnect()
    is_over(host, home)
    is_over(host, shy)
    assert bodies(first_client(host)) == ["Remember"]


def test_what_the_other_has_handled_does_not_come_again(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.message(garden.jid, "Good night", id="m1")
    is_over(host, garden)
    ack(home, sent_to(host, home))
    is_over(host, home)
    assert bodies(first_client(host)) == []


def sent_to(host, client):
    managed = host.kernel.session(client.jid).data["sm"]
    return managed.acked + managed.waiting


def test_what_waited_for_a_slow_client_is_not_lost_with_it(server, host, juliet):
    garden = romeo_at(host, "garden")
    home = romeo_at(host, "home", -1, managed=False)
    home.stream.connection.stop_reading()
    for number in range(70):
        juliet.message(garden.jid, f"{number}", id=f"m{number}")
    is_over(host, garden)
    home.stream.connection.hang_up()
    server.settle()
    # What had left for the slow one's socket is out of our hands.
    assert bodies(first_client(host)) == [f"{number}" for number in range(64, 70)]


def test_we_rely_on_one_client_for_so_many_messages(server, host, juliet, monkeypatch):
    monkeypatch.setattr(ends, "MAX_RELIED", 3)
    garden, _ = romeo_at(host, "garden", -1), romeo_at(host, "home", -1)
    for number in range(5):
        juliet.message(garden.jid, f"{number}", id=f"m{number}")
    is_over(host, garden)
    assert bodies(first_client(host)) == ["3", "4"]
    # A day later there is room again.
    server.clock.jump(2 * 86400)
    garden = romeo_at(host, "garden", -1)
    juliet.message(garden.jid, "5", id="m5")
    is_over(host, garden)
    assert bodies(first_client(host)) == []


# A session goes on


def test_copies_go_on_after_a_resumption(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    h = sent_to(host, home)
    home.drop()
    juliet.message(garden.jid, "one")
    stream = resume(host, home, h)
    juliet.message(garden.jid, "two")
    assert bodies(stream) == ["copy of one", "copy of two"]


def test_copies_go_on_after_a_restart(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    plain = romeo_at(host, "plain")
    plain.set(Element(NS_CARBONS, "disable"))
    h, plain_h = sent_to(host, home), sent_to(host, plain)
    room = "verona@rooms.example"
    home.send(
        f"<presence to='{room}/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    )
    home.received()
    h = sent_to(host, home)
    server.restart()
    stream, other = resume(host, home, h), resume(host, plain, plain_h)
    stream.received()
    other.received()
    session = host.kernel.session(home.jid)
    state = host.plugin("carbons").stonechat_session_state(session)
    assert state == {"carbons": {"enabled": True, "rooms": {room: "romeo"}}}
    juliet = server_juliet(server)
    garden = romeo_at(host, "garden")
    juliet.message(garden.jid, "again")
    assert bodies(stream) == ["copy of again"]
    assert bodies(other) == []


def server_juliet(server):
    juliet = server._hosts["capulet.example"].connect(JULIET)
    juliet.available()
    return juliet


def test_what_waits_for_a_slow_client_is_kept_over_a_restart(server):
    host = server.host("montague.example", carbons={}, sm={"max_unacked": 50})
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home", -1)
    juliet = server.host("capulet.example").connect(JULIET)
    h = sent_to(host, home)
    for number in range(80):
        juliet.message(garden.jid, f"{number}")
        ack(garden, sent_to(host, garden))
    assert len(bodies(home)) + h == 50
    server.restart()
    assert bodies(resume(host, home, h)) == [f"copy of {number}" for number in range(80)]


def test_copies_for_who_does_not_come_back_after_a_restart_go_to_nobody(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.message(garden.jid, "Good night")
    ack(garden, sent_to(host, garden))
    home.drop()
    server.restart()
    server.clock.advance(600)
    assert bodies(first_client(host)) == []


# The archive


class Archive:
    """An archive as far as its service goes."""

    def __init__(self, host, options):
        host.provide("mam", self)

    def sent_id(self, session):
        return "28482-98726" if session.jid.resource == "garden" else ""


def test_copies_of_what_was_sent_carry_the_id_in_the_sender_s_archive(server, juliet):
    host = server.host("verona.example", carbons={}, plugin_classes={"archive": Archive})
    garden = host.connect("romeo@verona.example/garden")
    home = host.connect("romeo@verona.example/home")
    third = host.connect("romeo@verona.example/third")
    for client in (garden, home, third):
        client.set(Element(NS_CARBONS, "enable"))
    garden.message(JULIET, "Good night")
    garden.send(f"<message to='{JULIET}' type='chat'/>")
    home.message(JULIET, "A thousand times")
    marks = [
        [
            (mark.get("by"), mark.get("id"))
            for mark in inside(copy).find_all("stanza-id", NS_STANZA_ID)
        ]
        for copy in third.received()
    ]
    mark = ("romeo@verona.example", "28482-98726")
    assert marks == [[mark], [mark], []]
    # It is nobody else's business.
    assert not any(item.has(NS_STANZA_ID, "stanza-id") for item in juliet.received())
