"""What is old comes before what is new, whatever happens meanwhile."""

import pytest
from gevent.event import Event

from stonechat.jid import JID
from stonechat.sasl import BOUND_INLINE
from stonechat.stanza import Element, Message

ROMEO = "romeo@capulet.example/orchard"
JULIET = "juliet@capulet.example"


@pytest.fixture
def host(server):
    return server.host("capulet.example", offline={})


def bodies(client):
    return [item.body for item in client.received() if isinstance(item, Message)]


class Gate:
    """Lets the reading of the spool wait for the test."""

    def __init__(self, spool):
        self.open = Event()
        self.entered = Event()
        self._first = spool.first
        spool.first = self.first

    def first(self, localpart):
        self.entered.set()
        self.open.wait()
        return self._first(localpart)


def spooled(host, count):
    host.create_account("juliet")
    romeo = host.connect(ROMEO)
    for number in range(count):
        romeo.message(JULIET, f"{number}")
    return romeo


def test_a_message_that_comes_during_the_delivery_waits_its_turn(host):
    romeo = spooled(host, 3)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    romeo.message(JULIET, "new")
    romeo.message(f"{JULIET}/balcony", "newer")
    assert bodies(juliet) == []
    gate.open.set()
    host.server.settle()
    assert bodies(juliet) == ["0", "1", "2", "new", "newer"]
    romeo.message(JULIET, "newest")
    assert bodies(juliet) == ["newest"]


def test_too_many_of_them_go_to_the_spool_and_keep_their_place(host):
    romeo = spooled(host, 3)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    for number in range(3, 100):
        romeo.message(JULIET, f"{number}")
    gate.open.set()
    assert [juliet.receive_message().body for _ in range(100)] == [
        f"{number}" for number in range(100)
    ]


def test_presence_does_not_wait(host):
    spooled(host, 1)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    host.connect(ROMEO.replace("orchard", "street")).send(f"<presence to='{JULIET}/balcony'/>")
    assert juliet.receive_presence().from_.localpart == "romeo"
    gate.open.set()


def test_what_was_held_for_a_lost_session_is_kept(host):
    romeo = spooled(host, 1)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    romeo.message(JULIET, "new")
    juliet.drop()
    gate.open.set()
    host.server.settle()
    again = host.connect(f"{JULIET}/chamber")
    again.available()
    host.server.settle()
    assert bodies(again) == ["0", "new"]


def test_another_session_does_not_wait_for_one_that_is_slow(host):
    romeo = spooled(host, 1)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    other = host.connect(f"{JULIET}/chamber")
    other.available(priority=5)
    host.server.settle()
    romeo.message(JULIET, "new")
    assert bodies(other) == ["new"]
    gate.open.set()
    host.server.settle()
    assert bodies(juliet) == ["0"]


def test_what_the_account_itself_sends_does_not_wait(host):
    spooled(host, 1)
    gate = Gate(host.plugin("offline").spool)
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert gate.entered.wait(5)
    host.kernel.session(juliet.jid).send(
        Message(Element("urn:xmpp:mam:2", "result"), from_=juliet.bare, to=juliet.jid)
    )
    assert juliet.receive_message().has("urn:xmpp:mam:2", "result")
    gate.open.set()


def test_who_has_bound_inline_gets_from_the_archive_what_is_there(host):
    host.create_account("juliet")
    romeo = host.connect(ROMEO)
    archived = Element("urn:xmpp:sid:0", "stanza-id", {"by": JULIET, "id": "1"})
    plugin = host.plugin("offline")
    for body, marks in (("archived", [archived]), ("not archived", [])):
        message = Message(
            Element("jabber:client", "body", None, body),
            *marks,
            to=JID.parse(JULIET),
            from_=romeo.jid,
        )
        assert plugin.keep("juliet", message)
    juliet = host.connect(f"{JULIET}/balcony")
    host.kernel.session(juliet.jid).data[BOUND_INLINE] = True
    juliet.available()
    host.server.settle()
    assert bodies(juliet) == ["not archived"]
    assert plugin.count(JID.parse(JULIET)) == 0
