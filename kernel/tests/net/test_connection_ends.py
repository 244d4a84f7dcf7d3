"""Every kind of end of a connection, and what must not get lost on the way to it."""

import os
import socket
import struct
import sys
from types import SimpleNamespace

import gevent
import pytest

from stonechat.net import connection as connection_module
from stonechat.net.connection import FLUSH_SECONDS, LINGER_SECONDS, READ_SIZE
from stonechat.net.shaper import Shaper

BIG = os.urandom(10 << 20)
SMALL_BUFFERS = 16384


def until_taken(connection):
    """Wait for the client's system to say that it has all; it may take its time."""
    with gevent.Timeout(20):
        while connection_module._held_by_the_system(connection._socket):
            gevent.sleep(0.001)


def reset(client):
    """Close so that the other end is reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_peer_that_leaves_is_lost(net, connect):
    handler, juliet = connect()
    juliet.close()
    handler.until_lost()
    assert handler.calls == ["lost"]


def test_a_connection_that_is_reset_is_lost(net):
    handler, juliet = net.connect()
    reset(juliet)
    assert "reset" in handler.until_lost()


def test_close_sends_all_that_is_queued_and_then_the_end(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20)
    handler.connection.write(BIG)
    handler.connection.close()
    assert net.receive(juliet) == BIG
    juliet.close()
    assert handler.until_lost() == "closed by the peer"


def test_close_with_nothing_queued_is_seen_at_once(net, connect):
    handler, juliet = connect()
    handler.connection.close()
    assert juliet.recv(10) == b""


def test_nothing_can_be_written_after_close(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.write(b"parting")
    connection.close()
    connection.write(b"sorrow")
    connection.close()
    assert connection.is_ending
    assert net.receive(juliet) == b"parting"


def test_what_the_peer_sends_after_our_end_costs_it_nothing_of_ours(net, connect):
    handler, juliet = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    connection.write(b"x" * 100_000)
    connection.close()
    sender = gevent.spawn(juliet.sendall, b"y" * 200_000)
    net.settle()
    assert len(net.receive(juliet)) == 100_000
    sender.get()
    juliet.close()
    assert handler.until_lost() == "closed by the peer"
    assert handler.calls == ["lost"]


def test_a_peer_that_ends_its_side_first_still_gets_what_was_queued(net):
    handler, juliet = net.connect(unsent_limit=20 << 20)
    connection = handler.connection
    connection.write(BIG)
    connection.close()
    net.settle()
    juliet.shutdown(socket.SHUT_WR)
    net.settle()
    handled = connection.handled
    assert net.receive(juliet) == BIG
    handler.until_lost()
    assert handled < 10


def test_a_peer_that_never_closes_is_dropped_after_a_while(net, connect):
    handler, _ = connect()
    handler.connection.close()
    until_taken(handler.connection)
    net.advance(LINGER_SECONDS - 0.5)
    assert not handler.connection.is_closed
    net.advance(1)
    assert handler.until_lost() == "closed"


def test_a_peer_that_never_fetches_what_is_queued_is_dropped_after_a_while(net, connect):
    handler, _ = connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    handler.connection.write(b"x" * 1_000_000)
    handler.connection.close()
    net.settle()
    net.advance(FLUSH_SECONDS - 0.5)
    assert not handler.connection.is_closed
    net.advance(1)
    assert handler.until_lost() == "the peer does not read"


def test_the_time_to_close_begins_when_all_is_fetched(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    handler.connection.write(b"x" * 1_000_000)
    handler.connection.close()
    net.settle()
    net.advance(FLUSH_SECONDS - 0.5)
    assert len(net.receive(juliet)) == 1_000_000
    until_taken(handler.connection)
    net.advance(LINGER_SECONDS - 0.5)
    assert not handler.connection.is_closed
    net.advance(1)
    assert handler.until_lost() == "closed"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what they hold")
def test_a_peer_that_is_still_fetching_what_the_system_holds_is_not_cut_off(net):
    handler, juliet = net.connect(buffers=1 << 18, room=4096)
    connection = handler.connection
    connection.write(b"x" * 200_000)
    connection.close()
    net.settle()
    assert connection.unsent == 0
    for _ in range(4):
        net.receive(juliet, 30_000)
        net.advance(LINGER_SECONDS + 0.5)
        assert not connection.is_closed
    # Now it has stopped.
    net.advance(LINGER_SECONDS + 0.5)
    assert handler.until_lost() == "closed"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what they hold")
def test_a_peer_that_fetches_ever_so_slowly_is_cut_off_in_the_end(net):
    handler, juliet = net.connect(buffers=1 << 18, room=4096)
    handler.connection.write(b"x" * 200_000)
    handler.connection.close()
    seconds = 0.0
    while not handler.connection.is_closed:
        net.receive(juliet, 8000)
        net.advance(LINGER_SECONDS)
        seconds += LINGER_SECONDS
    assert seconds <= FLUSH_SECONDS + 2 * LINGER_SECONDS


def test_abort_drops_what_is_queued_and_tells_once(net, connect):
    handler, _ = connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    connection = handler.connection
    connection.write(b"x" * 1_000_000)
    connection.abort("banished")
    connection.abort("banished again")
    connection.write(b"x")
    connection.close()
    assert connection.unsent == 0
    assert handler.until_lost() == "banished"
    net.settle()
    net.advance(100)
    assert handler.calls == ["lost"]


def test_a_reset_with_output_waiting_is_noticed_and_keeps_nobody_busy(net):
    handler, juliet = net.connect(buffers=SMALL_BUFFERS, unsent_limit=1 << 20)
    connection = handler.connection
    connection.write(b"x" * 500_000)
    net.settle()
    connection.shaper = Shaper(1, burst=0)
    juliet.sendall(b"O")
    handler.until_received(b"O")
    juliet.sendall(b"Romeo")
    reset(juliet)
    handler.until_lost()
    assert len(net.timers) == 0
    assert connection.handled < 10


def test_writes_that_the_socket_had_not_taken_when_it_ended_are_counted(net):
    handler, juliet = net.connect(buffers=SMALL_BUFFERS, unsent_limit=1 << 20)
    connection = handler.connection
    for _ in range(100):
        connection.write(b"x" * 8000)
    net.settle()
    waiting = connection.waiting
    assert 0 < waiting < 100
    connection.write(b"x")
    reset(juliet)
    handler.until_lost()
    assert connection.lost_writes == waiting + 1


def test_a_write_that_fails_counts_as_lost_and_one_that_left_does_not(net):
    handler, juliet = net.connect()
    connection = handler.connection
    connection.write(b"x")
    net.settle()
    assert juliet.recv(1) == b"x"
    reset(juliet)
    connection.write(b"y")
    connection.write(b"z")
    connection.flush()
    assert connection.is_closed
    assert connection.lost_writes == 2
    handler.until_lost()


def test_what_was_sent_before_a_reset_is_read_although_output_waits(net):
    handler, juliet = net.connect(unsent_limit=20 << 20)
    handler.connection.write(BIG)
    net.settle()
    assert handler.connection.unsent > 0
    # It closes with our octets unread, as a client does that is killed.
    juliet.sendall(BIG[:READ_SIZE])
    juliet.close()
    handler.until_lost()
    assert handler.received == BIG[:READ_SIZE]


def test_all_that_was_sent_before_a_reset_is_read_although_output_waits(net, monkeypatch):
    monkeypatch.setattr(connection_module, "READ_SIZE", 1000)
    handler, juliet = net.connect(unsent_limit=20 << 20)
    if not hasattr(net.poller._source, "_epoll"):
        pytest.skip("nothing else tells a reset from room to write")
    handler.connection.write(BIG)
    net.settle()
    juliet.sendall(BIG[:100_000])
    juliet.close()
    handler.until_lost()
    assert handler.received == BIG[:100_000]


def test_a_peer_that_was_slow_is_seen_to_close_like_any_other(net, connect):
    handler, juliet = connect(unsent_limit=1 << 16, buffers=SMALL_BUFFERS)
    connection = handler.connection
    while "stuck" not in handler.calls:
        connection.write(b"x" * 1000)
    connection.close()
    net.receive(juliet)
    juliet.close()
    assert handler.until_lost() == "closed by the peer"


def test_the_peer_counts_as_idle_also_while_nobody_else_sends_anything(net, monkeypatch):
    handler, juliet = net.connect()
    juliet.sendall(b"O")
    handler.until_received(b"O")
    read_at = handler.connection.read_at
    monkeypatch.setattr(
        connection_module, "time", SimpleNamespace(monotonic=lambda: read_at + 300)
    )
    assert handler.connection.idle_seconds == pytest.approx(300)
