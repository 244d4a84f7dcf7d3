"""Several clients of one account: those that are slow, and those that take no messages."""

from offline_cast import (
    DEADLINE,
    JULIET,
    arrive,
    bodies,
    count,
    lines,
    outlets,
    settled,
    spool,
)

from stonechat_offline.backlog import MAX_HELD

# Those that take none


def test_who_takes_no_messages_any_more_gets_none_that_were_under_way(host, romeo, gate):
    spool(romeo, *lines(3))
    reading = gate("first")
    juliet = arrive(host)
    juliet.available(-1)
    reading.opened.set()
    assert settled(host, juliet) == []
    assert outlets(host, juliet) is None
    assert count(host) == 3
    juliet.available(0)
    assert settled(host, juliet) == lines(3)


def test_who_becomes_unavailable_gets_none_that_were_under_way(host, romeo, gate):
    spool(romeo, *lines(3))
    reading = gate("first")
    juliet = arrive(host)
    juliet.unavailable()
    reading.opened.set()
    assert settled(host, juliet) == []
    assert count(host) == 3


def test_held_messages_to_the_account_are_for_others_then_and_those_to_the_client_its_own(
    host, romeo, gate
):
    spool(romeo, "old")
    reading = gate("first")
    juliet = arrive(host)
    romeo.message(JULIET, "for any")
    romeo.message(juliet.jid, "for the balcony")
    juliet.available(-1)
    reading.opened.set()
    assert settled(host, juliet) == ["for the balcony"]
    assert bodies(arrive(host, "chamber")) == ["old", "for any"]


def test_who_comes_while_they_go_to_others_gets_nothing_past_them(host, romeo, gate):
    spool(romeo, "0")
    reading = gate("first")
    juliet = arrive(host)
    numbers = lines(1, MAX_HELD + 10)
    spool(romeo, *numbers)
    juliet.available(-1)
    writing = gate("put", before=True)
    reading.opened.set()
    assert writing.reached.wait(DEADLINE)
    other = arrive(host, "chamber")
    assert bodies(other) == []
    writing.opened.set()
    expected = ["0", *numbers]
    assert [other.receive_message().body for _ in expected] == expected


def test_who_takes_none_any_more_while_one_is_kept_for_her_is_not_held_back(host, romeo, gate):
    slow = stuck(host, romeo, "balcony")
    writing = gate("put", before=True)
    romeo.message(slow.jid, "for any")
    assert writing.reached.is_set()
    slow.available(-1)
    writing.opened.set()
    host.server.settle()
    assert outlets(host, slow) is None
    assert bodies(arrive(host, "chamber")) == ["for any"]


# Slow ones


def stuck(host, romeo, resource="balcony"):
    """A client that has not read what it was sent, and that no message goes to now."""
    client = arrive(host, resource)
    client.stream.connection.stop_reading()
    while host.kernel.session(client.jid).takes_messages:
        romeo.message(client.jid, "unread")
    return client


def test_who_reads_gets_what_waits_for_another_that_does_not(host, romeo):
    slow = stuck(host, romeo)
    romeo.message(slow.jid, "old")
    other = arrive(host, "chamber")
    assert other.receive_message().body == "old"
    romeo.message(JULIET, "new")
    assert bodies(other) == ["new"]
    slow.stream.connection.go_on_reading()
    assert set(settled(host, slow)) == {"unread"}


def test_what_is_new_does_not_go_past_a_full_backlog_of_who_does_not_read(host, romeo):
    slow = stuck(host, romeo)
    numbers = lines(MAX_HELD + 20)
    spool(romeo, *numbers)
    slow.stream.connection.go_on_reading()
    texts = []
    while numbers[-1] not in texts:
        texts.append(slow.receive_message().body)
    assert [text for text in texts if text != "unread"] == numbers


def test_when_one_slow_client_is_lost_while_a_message_is_kept_another_gets_it(host, romeo, gate):
    lost = stuck(host, romeo)
    other = stuck(host, romeo, "chamber")
    lost.available(5)
    writing = gate("put", before=True)
    romeo.message(lost.jid, "for any")
    assert writing.reached.is_set()
    lost.stream.connection.abort("the network is gone")
    writing.opened.set()
    other.stream.connection.go_on_reading()
    while (text := other.receive_message().body) != "for any":
        assert text == "unread"


def test_of_two_slow_clients_one_reads_on_and_the_other_does_not_wait_for_it(host, romeo, gate):
    first = stuck(host, romeo)
    romeo.message(first.jid, "old")
    second = arrive(host, "chamber", priority=-1)
    second.stream.connection.stop_reading()
    while host.kernel.session(second.jid).takes_messages:
        romeo.message(second.jid, "unread")
    second.available(0)
    reading = gate("first", before=True)
    first.stream.connection.go_on_reading()
    assert reading.reached.wait(DEADLINE)
    second.stream.connection.go_on_reading()
    romeo.message(JULIET, "new")
    assert bodies(second)[-1] == "new"
    reading.opened.set()
    host.server.settle()
    assert bodies(first)[-2:] == ["old", "new"]
