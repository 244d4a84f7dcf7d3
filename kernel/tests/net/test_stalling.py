"""Connections that stall: to the peer a slow line, to us a timer."""

import os

import gevent

from stonechat.net.connection import FLUSH_SECONDS
from stonechat.net.shaper import Shaper


def test_nothing_is_sent_or_read_while_a_connection_stalls(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.write(b"before ")
    connection.stall(5)
    connection.write(b"after")
    juliet.sendall(b"O Romeo")
    assert net.receive(juliet, 7) == b"before "
    net.advance(4.9)
    net.settle()
    assert (connection.unsent, handler.received) == (5, b"")
    net.advance(0.3)
    assert net.receive(juliet, 5) == b"after"
    handler.until_received(b"O Romeo")
    assert connection.stalled_for == 0


def test_one_stall_begins_when_the_other_is_over(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.stall(2)
    net.advance(1)
    connection.stall(3)
    connection.write(b"late")
    assert connection.stalled_for == 4
    net.advance(3.9)
    net.settle()
    assert connection.unsent == 4
    net.advance(0.3)
    assert net.receive(juliet, 4) == b"late"


def test_a_handler_may_stall_its_connection(net, connect):
    def answer(handler, data):
        handler.connection.stall(1)
        handler.connection.write(data)

    handler, juliet = connect(answer)
    juliet.sendall(b"1")
    handler.until_received(b"1")
    juliet.sendall(b"2")
    net.settle()
    assert (handler.connection.unsent, handler.received) == (1, b"1")
    net.advance(1.2)
    assert net.receive(juliet, 1) == b"1"
    handler.until_received(b"12")


def test_a_pause_of_the_shaper_ends_no_stall(net, connect):
    handler, juliet = connect(lambda handler, data: handler.connection.stall(10))
    handler.connection.shaper = Shaper(100, burst=0)
    juliet.sendall(b"x" * 100)
    handler.until_received(b"x" * 100)
    juliet.sendall(b"y")
    net.advance(5)
    net.settle()
    assert len(handler.received) == 100
    net.advance(5.2)
    handler.until_received(b"x" * 100 + b"y")


def test_an_end_waits_until_the_stall_is_over(net, connect):
    for words in (b"farewell", b""):
        handler, juliet = connect()
        connection = handler.connection
        connection.stall(FLUSH_SECONDS)
        if words:
            connection.write(words)
        connection.close()
        net.advance(FLUSH_SECONDS - 1)
        net.settle()
        assert not connection.is_closed
        net.advance(1.2)
        assert net.receive(juliet) == words


def test_what_is_kept_back_beyond_the_stall_waits_for_its_release(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.stall(5)
    connection.hold()
    connection.write(b"later")
    net.advance(5.2)
    net.settle()
    assert connection.unsent == 5
    connection.release(b"first ")
    assert net.receive(juliet, 11) == b"first later"


def test_what_is_released_within_the_stall_waits_for_its_end(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.stall(5)
    connection.hold()
    connection.close()
    connection.release(b"")
    net.settle()
    assert not connection.is_closed
    net.advance(5.2)
    assert net.receive(juliet) == b""


def test_a_stall_does_not_outlive_its_connection(net):
    handler, _ = net.connect()
    connection = handler.connection
    connection.stall(5)
    connection.abort("banished")
    assert len(net.timers) == 0
    handler.until_lost()
    connection.stall(5)
    assert (len(net.timers), connection.stalled_for) == (0, 0)


def test_a_peer_that_leaves_meanwhile_is_lost_and_keeps_nobody_busy(net):
    handler, juliet = net.connect()
    handler.connection.stall(5)
    juliet.close()
    before = handler.connection.handled
    net.settle()
    assert handler.connection.handled == before
    net.advance(5.2)
    assert handler.until_lost() == "closed by the peer"


def test_writes_are_counted_and_bounded_while_it_stalls(net, connect):
    handler, juliet = connect(unsent_limit=1 << 16)
    connection = handler.connection
    connection.stall(5)
    for number in range(64):
        assert connection.has_room(64)
        connection.write(b"O")
        assert connection.waiting == number + 1
    assert not connection.has_room(64)
    connection.write(b"x" * (1 << 16))
    assert handler.calls == ["stuck"]
    net.advance(5.2)
    assert len(net.receive(juliet, 64 + (1 << 16))) == 64 + (1 << 16)
    assert handler.calls == ["stuck", "flowing"]
    assert connection.waiting == 0


def test_what_the_socket_does_not_take_after_it_follows(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20, buffers=16384)
    speech = os.urandom(4 << 20)
    handler.connection.stall(5)
    handler.connection.write(speech)
    gevent.sleep(0)
    net.advance(5.2)
    assert net.receive(juliet, len(speech)) == speech
