"""What happens while messages are on their way: two sessions, a lost one, a slow one."""

import pytest
from gevent.event import Event

from stonechat.jid import JID
from stonechat.stanza import Element, Message
from stonechat_offline.spool import PAGE_BYTES, PAGE_MESSAGES

JULIET = "juliet@capulet.example"
DEADLINE = 5


@pytest.fixture
def host(server):
    host = server.host("capulet.example", offline={})
    host.create_account("juliet")
    return host


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")


def body(text):
    return Element("jabber:client", "body", None, text)


def bodies(stanzas):
    return [stanza.body for stanza in stanzas]


class Gate:
    """Holds up a method of the spool, before or after its work, until it is opened."""

    def __init__(self, monkeypatch, spool, name, *, before=False):
        self.reached = Event()
        self.opened = Event()
        work = getattr(spool, name)

        def held(*arguments, **named):
            result = None if before else work(*arguments, **named)
            self.reached.set()
            assert self.opened.wait(DEADLINE)
            return work(*arguments, **named) if before else result

        monkeypatch.setattr(spool, name, held)


def test_of_two_sessions_that_come_at_once_one_gets_all(host, romeo, monkeypatch):
    for line in ("one", "two"):
        romeo.message(JULIET, line)
    gate = Gate(monkeypatch, host.plugin("offline").spool, "first")
    balcony = host.connect(f"{JULIET}/balcony")
    chamber = host.connect(f"{JULIET}/chamber")
    balcony.available()  # held up after it has read the messages
    assert gate.reached.is_set()
    chamber.available()
    gate.opened.set()
    assert bodies([balcony.receive_message(), balcony.receive_message()]) == ["one", "two"]
    assert balcony.received() == chamber.received() == []


def test_a_message_that_is_stored_while_somebody_arrives_is_not_left(host, romeo, monkeypatch):
    gate = Gate(monkeypatch, host.plugin("offline").spool, "put", before=True)
    romeo.message(JULIET, "Just now")
    assert gate.reached.is_set()
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()  # and finds nothing
    assert juliet.received() == []
    gate.opened.set()
    assert juliet.receive_message().body == "Just now"


def test_a_message_that_comes_while_others_are_read_is_not_left(host, romeo, monkeypatch):
    plugin = host.plugin("offline")
    gate = Gate(monkeypatch, plugin.spool, "first")
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()  # held up: she has read that there is nothing
    assert gate.reached.is_set()
    late = Message(body("Late"), to=JID.parse(JULIET), from_=romeo.jid)
    assert plugin.stonechat_message_undelivered(late)
    gate.opened.set()
    assert juliet.receive_message().body == "Late"


def test_who_loses_the_connection_meanwhile_leaves_them_to_the_next(host, romeo, monkeypatch):
    romeo.message(JULIET, "Stay but a little")
    gate = Gate(monkeypatch, host.plugin("offline").spool, "first")
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available()
    assert gate.reached.is_set()
    balcony.stream.connection.abort("the network is gone")
    gate.opened.set()
    chamber = host.connect(f"{JULIET}/chamber")
    chamber.available()
    assert bodies([chamber.receive_message()]) == ["Stay but a little"]


def test_another_session_takes_over_from_one_that_is_lost(host, romeo, monkeypatch):
    romeo.message(JULIET, "Stay but a little")
    gate = Gate(monkeypatch, host.plugin("offline").spool, "first")
    balcony = host.connect(f"{JULIET}/balcony")
    chamber = host.connect(f"{JULIET}/chamber")
    balcony.available()
    chamber.available()
    balcony.stream.connection.abort("the network is gone")
    gate.opened.set()
    assert chamber.receive_message().body == "Stay but a little"


def test_a_client_that_reads_slowly_is_not_flooded(server):
    server.configure(limits={"unsent_bytes": 65536})
    host = server.host("capulet.example", offline={})
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    lines = [f"{number:03}" + "x" * 4000 for number in range(100)]
    for line in lines:
        romeo.message(JULIET, line)
    juliet = host.connect(f"{JULIET}/balcony")
    connection = juliet.stream.connection
    connection.stop_reading()
    juliet.available()
    # A page is sent whole; the next waits until she reads on.
    assert 0 < connection.unsent < 2 * PAGE_BYTES
    connection.go_on_reading()
    assert bodies([juliet.receive_message() for _ in lines]) == lines


def test_what_has_not_left_the_server_is_not_deleted(host, romeo):
    lines = ["O, wilt thou leave me", "so unsatisfied?"]
    for line in lines:
        romeo.message(JULIET, line)
    plugin = host.plugin("offline")
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.stream.connection.stop_reading()
    balcony.available()
    assert balcony.stream.connection.unsent > 0
    assert len(plugin.spool.first("juliet")) == 2
    balcony.stream.connection.abort("the network is gone")
    chamber = host.connect(f"{JULIET}/chamber")
    chamber.available()
    assert bodies([chamber.receive_message() for _ in lines]) == lines


def test_what_a_client_has_fetched_late_is_deleted(host, romeo, monkeypatch):
    romeo.message(JULIET, "Good night, good night!")
    spool = host.plugin("offline").spool
    gate = Gate(monkeypatch, spool, "delete")
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.stream.connection.stop_reading()
    juliet.available()
    assert not gate.reached.is_set()
    juliet.stream.connection.go_on_reading()
    assert gate.reached.wait(DEADLINE)
    assert spool.first("juliet") == []
    gate.opened.set()
    assert bodies(juliet.received()) == ["Good night, good night!"]


def test_who_does_not_read_is_heard_all_the_same(host, romeo):
    romeo.message(JULIET, "Good night, good night!")
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.stream.connection.stop_reading()
    juliet.available()
    juliet.message("romeo@capulet.example/orchard", "Sweet, so would I")
    assert bodies(romeo.received()) == ["Sweet, so would I"]


def test_what_comes_for_a_client_that_reads_slowly_waits_and_keeps_its_order(server):
    server.configure(limits={"unsent_bytes": 65536})
    host = server.host("capulet.example", offline={})
    romeo = host.connect("romeo@capulet.example/orchard")
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    juliet.stream.connection.stop_reading()
    lines = [f"{number}" + "x" * 30_000 for number in range(5)]
    for line in lines:
        romeo.message(JULIET, line)
    assert romeo.received() == []
    juliet.stream.connection.go_on_reading()
    assert bodies([juliet.receive_message() for _ in lines]) == lines


def test_a_large_spool_is_read_in_pages(host, romeo):
    spool = host.plugin("offline").spool
    for number in range(PAGE_MESSAGES + 1):
        spool.put("juliet", b"<message/>", number, (1000, 10_000_000))
    assert len(spool.first("juliet")) == PAGE_MESSAGES
    spool.clear("juliet")
    for _ in range(3):
        spool.put("juliet", b"x" * (PAGE_BYTES + 1), 0, (1000, 10_000_000))
    assert len(spool.first("juliet")) == 1
