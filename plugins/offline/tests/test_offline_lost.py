"""Clients that are lost: others get what they were to get, in order and once."""

import pytest
from gevent.event import Event
from offline_cast import (
    DEADLINE,
    JULIET,
    NS_SM,
    ROMEO,
    Gate,
    acknowledge,
    arrive,
    bodies,
    count,
    lines,
    settled,
    spool,
)

from stonechat import hookimpl, timestamps
from stonechat.namespaces import NS_CARBONS, NS_DELAY
from stonechat.stanza import Element, Message
from stonechat.testing.kit import PASSWORD
from stonechat_offline.backlog import MAX_HELD


def test_a_client_that_takes_its_resource_over_gets_what_is_old_first(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first")
    arrive(host)  # and its network is gone
    again = arrive(host)
    romeo.message(JULIET, "new")
    assert bodies(again) == []
    reading.opened.set()
    assert [again.receive_message().body for _ in range(2)] == ["old", "new"]


def test_another_client_gets_all_that_a_lost_one_was_to_get_in_order(host, romeo, gate):
    spool(romeo, *lines(2))
    reading = gate("first", before=True)
    lost = arrive(host)
    other = arrive(host, "chamber", priority=-1)
    spool(romeo, *lines(2, 5))
    other.available(0)
    lost.drop()
    spool(romeo, *lines(5, 7))
    reading.opened.set()
    assert [other.receive_message().body for _ in range(7)] == lines(7)


def test_what_was_held_keeps_its_place_before_what_no_longer_could_be(host, romeo, gate):
    spool(romeo, "0")
    reading = gate("first", before=True)
    lost = arrive(host)
    numbers = lines(1, MAX_HELD + 10)
    spool(romeo, *numbers)
    lost.drop()
    reading.opened.set()
    host.server.settle()
    assert bodies(arrive(host, "chamber")) == ["0", *numbers]


def test_so_it_does_where_another_client_is_there(host, romeo, gate):
    spool(romeo, "0")
    reading = gate("first", before=True)
    lost = arrive(host)
    other = arrive(host, "chamber", priority=-1)
    numbers = lines(1, MAX_HELD + 10)
    spool(romeo, *numbers)
    other.available(0)
    lost.drop()
    romeo.message(JULIET, "last")
    reading.opened.set()
    expected = ["0", *numbers, "last"]
    assert [other.receive_message().body for _ in expected] == expected


def test_who_comes_while_it_is_being_kept_gets_nothing_past_it(host, romeo, gate):
    spool(romeo, "0")
    reading = gate("first", before=True)
    lost = arrive(host)
    numbers = lines(1, MAX_HELD + 10)
    spool(romeo, *numbers)
    writing = gate("put", before=True)
    lost.drop()
    assert writing.reached.is_set()
    reading.opened.set()
    other = arrive(host, "chamber")
    assert bodies(other) == []
    writing.opened.set()
    expected = ["0", *numbers]
    assert [other.receive_message().body for _ in expected] == expected


def test_it_goes_there_in_the_order_of_the_times_at_which_all_of_it_came(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    romeo.message(JULIET, "held")
    # She reads nothing any more: what comes now is kept.
    lost.stream.connection.stop_reading()
    session = host.kernel.session(lost.jid)
    while session.takes_messages:
        session.write(b" ")
    romeo.message(JULIET, "kept")
    other = arrive(host, "chamber", priority=-1)
    other.available(0)
    lost.stream.connection.abort("the network is gone")
    host.server.settle()
    romeo.message(JULIET, "last")
    reading.opened.set()
    texts = [other.receive_message().body for _ in range(4)]
    assert texts == ["old", "held", "kept", "last"]


def test_it_goes_to_the_one_that_is_most_available(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    less = arrive(host, "chamber", priority=-1)
    more = arrive(host, "garden", priority=-1)
    spool(romeo, "one")
    less.available(0)
    more.available(5)
    lost.drop()
    reading.opened.set()
    assert [more.receive_message().body for _ in range(2)] == ["old", "one"]
    assert settled(host, less) == []


def test_what_comes_back_late_takes_the_place_that_its_time_gives_it(server, host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    sent_at = timestamps.written(server.clock.now())
    server.clock.advance(1)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    # As from a managed session that has ended.
    body = Element("jabber:client", "body", None, "unacknowledged")
    mark = Element(NS_DELAY, "delay", {"from": host.name, "stamp": sent_at})
    host.kernel.redeliver(Message(body, mark, to=juliet.bare, from_=romeo.jid, type="chat"))
    reading.opened.set()
    assert settled(host, juliet) == ["old", "unacknowledged", "new"]


def test_its_sender_hears_that_it_is_safe_when_it_is_kept(host, romeo, gate):
    host.enable("sm")
    spool(romeo, "old")
    romeo.send(f"<enable xmlns='{NS_SM}'/>")
    reading = gate("first", before=True)
    lost = arrive(host)
    romeo.message(JULIET, "new")
    lost.drop()
    reading.opened.set()
    host.server.settle()
    romeo.received()
    romeo.send(f"<r xmlns='{NS_SM}'/>")
    assert [item.get("h") for item in romeo.received()] == ["1"]
    assert count(host) == 2


def test_what_was_held_is_kept_with_the_time_at_which_it_came(server, host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    before = server.clock.now()
    romeo.message(JULIET, "new")
    after = server.clock.now()
    server.clock.advance(60)
    lost.drop()
    reading.opened.set()
    host.server.settle()
    _, message = (item for item in arrive(host, "chamber").received() if item.name == "message")
    delays = [e for e in message.element.elements if e.namespace == NS_DELAY]
    assert [delay.get("from") for delay in delays] == ["capulet.example"]
    assert before <= timestamps.read(delays[0].get("stamp")) <= after


class Dawdler:
    """Takes its time over what Juliet's balcony does."""

    def __init__(self, host, options):
        self.goes_on = Event()

    def dawdle(self, session):
        if session.jid.resource == "balcony":
            assert self.goes_on.wait(DEADLINE)


class OverHerMessage(Dawdler):
    @hookimpl
    def stonechat_message_from_user(self, session, message):
        self.dawdle(session)


class OverHerDeparture(Dawdler):
    @hookimpl
    def stonechat_presence_changed(self, session, presence, previous):
        if presence.type == "unavailable":
            self.dawdle(session)


@pytest.mark.parametrize("dawdler", [OverHerMessage, OverHerDeparture])
def test_what_comes_while_a_session_ends_does_not_overtake_what_was_held_for_it(
    host, romeo, gate, dawdler
):
    dawdler = host.enable("dawdler", plugin_class=dawdler)
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    other = arrive(host, "chamber", priority=-1)
    spool(romeo, "one", "two")
    other.available(0)
    lost.message(romeo.jid, "Anon!")
    host.kernel.session(lost.jid).close()
    host.server.settle()
    romeo.message(JULIET, "three")
    assert bodies(other) == []
    reading.opened.set()
    dawdler.goes_on.set()
    assert [other.receive_message().body for _ in range(4)] == ["old", "one", "two", "three"]


def test_what_is_sent_because_a_session_ends_does_not_wait_for_that(host, romeo, gate):
    class Undertaker:
        def __init__(self, host, options):
            self.host = host
            self.is_done = False

        @hookimpl
        def stonechat_presence_changed(self, session, presence, previous):
            if presence.type == "unavailable":
                news = Message(to=session.jid.bare, from_=self.host.jid, type="headline")
                self.host.route(news)
                self.is_done = True

    undertaker = host.enable("undertaker", plugin_class=Undertaker)
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    spool(romeo, "one")
    lost.drop()
    reading.opened.set()
    host.server.settle()
    assert undertaker.is_done
    assert bodies(arrive(host, "chamber")) == ["old", "one"]


def test_what_several_were_given_is_not_given_again_when_one_is_lost(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host)
    other = arrive(host, "chamber")
    romeo.message(JULIET, "for both")
    assert bodies(other) == ["for both"]
    lost.drop()
    reading.opened.set()
    assert settled(host, other) == ["old"]
    assert count(host) == 0


def test_when_all_are_lost_that_were_given_it_the_next_one_gets_it_once(host, romeo, gate):
    spool(romeo, "old")
    reading = gate("first", before=True)
    clients = [arrive(host), arrive(host, "chamber")]
    clients[1].stream.connection.stop_reading()
    romeo.message(JULIET, "for both")
    for client in reversed(clients):
        client.stream.connection.abort("the network is gone")
        host.server.settle()
    reading.opened.set()
    host.server.settle()
    assert bodies(arrive(host, "garden")) == ["old", "for both"]


def test_who_has_had_a_copy_is_not_given_what_was_held(host, romeo, gate):
    host.enable("carbons")
    spool(romeo, "old")
    reading = gate("first", before=True)
    lost = arrive(host, priority=5)
    other = arrive(host, "chamber")
    other.set(Element(NS_CARBONS, "enable"))
    other.received()
    romeo.message(JULIET, "new")
    (copy,) = other.received()
    assert copy.has(NS_CARBONS, "received")
    lost.drop()
    reading.opened.set()
    assert settled(host, other) == ["old"]


def test_what_a_managed_session_has_left_comes_before_what_was_held_for_it(host, romeo, gate):
    host.enable("sm")
    lost = arrive(host, managed=True)
    romeo.message(JULIET, "sent")
    assert bodies(lost) == ["sent"]
    # She becomes available anew, with something old to come.
    lost.available(-1)
    romeo.message(JULIET, "old")
    reading = gate("first", before=True)
    lost.available(0)
    romeo.message(JULIET, "new")
    host.kernel.session(lost.jid).close()
    reading.opened.set()
    host.server.settle()
    assert bodies(arrive(host, "chamber")) == ["sent", "old", "new"]


def test_who_comes_while_that_comes_back_waits_for_it(host, romeo, gate):
    host.enable("sm")
    lost = arrive(host, managed=True)
    spool(romeo, "one", "two")
    assert bodies(lost) == ["one", "two"]
    lost.available(-1)
    romeo.message(JULIET, "three")
    writing = gate("put", before=True)
    host.kernel.session(lost.jid).close()
    host.server.settle()
    assert writing.reached.is_set()
    other = arrive(host, "chamber")
    assert bodies(other) == []
    writing.opened.set()
    assert [other.receive_message().body for _ in range(3)] == ["one", "two", "three"]


def test_what_was_held_and_not_acknowledged_comes_back_to_the_place_of_its_time(host, romeo, gate):
    host.enable("sm")
    spool(romeo, "0")
    reading = gate("first", before=True)
    lost = arrive(host, managed=True)
    numbers = lines(1, MAX_HELD + 10)
    spool(romeo, *numbers)
    reading.opened.set()
    assert lost.receive_message().body == "0"
    acknowledge(lost, 1)
    assert lost.receive_message().body == "1"
    host.kernel.session(lost.jid).close()
    host.server.settle()
    assert bodies(arrive(host, "chamber")) == numbers


def test_a_bounced_sender_hears_of_what_no_spool_has_room_for(server, monkeypatch):
    host = server.host("capulet.example", offline={"max_messages": 1})
    host.create_account("juliet")
    romeo = host.connect(ROMEO)
    spool(romeo, "old")
    reading = Gate(monkeypatch, host.plugin("offline").spool, "first", before=True)
    lost = arrive(host)
    romeo.message(JULIET, "new")
    lost.drop()
    reading.opened.set()
    (answer,) = romeo.received()
    assert (answer.type, answer.element.find_text("body")) == ("error", "new")
    assert answer.find(NS_DELAY, "delay") is None


def test_over_a_restart_a_resumed_client_gets_the_messages_once(host, romeo):
    host.enable("sm")
    spool(romeo, *lines(3))
    juliet = arrive(host, managed=True)
    assert bodies(juliet) == lines(3)
    host.server.restart()
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    stream.send(f"<resume xmlns='{NS_SM}' previd='{juliet.id}' h='1'/>")
    host.server.settle()
    texts = [item.body for item in stream.received() if isinstance(item, Message)]
    assert texts == lines(1, 3)
    assert count(host) == 0
