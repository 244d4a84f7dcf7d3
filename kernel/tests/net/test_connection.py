"""Connections over real sockets: octets both ways, back-pressure, and pauses of the shaper."""

import os
import socket
from contextlib import suppress

import gevent
from gevent.event import Event

from stonechat.net.shaper import Shaper

BIG = os.urandom(10 << 20)
SMALL_BUFFERS = 16384


def echo(handler, data):
    handler.connection.write(data)


# Octets


def test_what_the_client_sends_reaches_the_handler_and_back(net, connect):
    _, juliet = connect(echo)
    juliet.sendall(b"Wherefore art thou?")
    assert net.receive(juliet, 19) == b"Wherefore art thou?"


def test_much_goes_both_ways_and_arrives_whole(net, connect):
    handler, juliet = connect(echo, unsent_limit=20 << 20)
    sender = gevent.spawn(juliet.sendall, BIG)
    assert net.receive(juliet, len(BIG)) == BIG
    sender.get()
    handler.until_received(BIG)


def test_one_large_write_arrives_whole(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20)
    handler.connection.write(BIG)
    assert net.receive(juliet, len(BIG)) == BIG
    assert handler.connection.unsent == 0


def test_small_writes_behind_one_that_is_half_sent_keep_their_order(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    connection = handler.connection
    pieces = [b"%08d" % number * 40 for number in range(2000)]
    for number, piece in enumerate(pieces):
        connection.write(piece)
        if number % 100 == 0:
            gevent.sleep(0)
    expected = b"".join(pieces)
    assert net.receive(juliet, len(expected)) == expected


# A peer that does not read


def test_a_peer_that_does_not_read_is_noticed_once_and_flows_again_when_it_reads(net, connect):
    handler, juliet = connect(unsent_limit=1 << 18, buffers=SMALL_BUFFERS)
    connection = handler.connection
    written = 0
    while connection.unsent <= 1 << 18:
        connection.write(b"x" * 1000)
        written += 1000
    for _ in range(50):
        connection.write(b"x" * 1000)
    written += 50_000
    assert handler.calls == ["stuck"]
    assert len(net.receive(juliet, written)) == written
    handler.until(lambda _: "flowing" in handler.calls)
    assert handler.calls == ["stuck", "flowing"]
    assert connection.unsent == 0


def test_no_more_than_twice_the_bound_ever_waits(net, connect):
    handler, _ = connect(unsent_limit=1 << 18, buffers=SMALL_BUFFERS)
    connection = handler.connection
    most = 0
    while not connection.is_closed:
        connection.write(b"x" * 1000)
        most = max(most, connection.unsent)
    assert most <= 2 * (1 << 18)
    assert handler.until_lost() == "the peer does not read"
    assert handler.calls == ["stuck", "lost"]


def test_who_takes_nothing_from_us_is_not_read(net, connect):
    speech = BIG[: 4 << 20]
    handler, juliet = connect(echo, unsent_limit=1 << 16, buffers=1 << 17)
    sender = gevent.spawn(juliet.sendall, speech)
    handler.until(lambda _: "stuck" in handler.calls)
    net.settle()
    assert len(handler.received) < len(speech)
    assert not sender.dead
    # Nor is it lost: it goes on where it stood.
    assert net.receive(juliet, len(speech)) == speech
    handler.until_received(speech)


def test_a_write_in_output_flowing_is_sent(net, connect):
    handler, juliet = connect(unsent_limit=1 << 16, buffers=SMALL_BUFFERS)
    connection = handler.connection
    handler.output_flowing = lambda: connection.write(b"!")
    while connection.unsent <= 1 << 16:
        connection.write(b"x" * 1000)
    size = connection.unsent
    while (data := juliet.recv(65536))[-1:] != b"!":
        size -= len(data)
    assert not connection.is_closed


def test_an_abort_in_output_flowing_is_an_end_like_any_other(net, connect):
    handler, juliet = connect(unsent_limit=1 << 16, buffers=SMALL_BUFFERS)
    connection = handler.connection
    handler.output_flowing = lambda: connection.abort("enough")
    while connection.unsent <= 1 << 16:
        connection.write(b"x" * 1000)
    with suppress(OSError):
        net.receive(juliet)
    assert handler.until_lost() == "enough"


# Writes that wait


def fill(connection):
    """Write until the socket takes no more."""
    while not connection.waiting:
        connection.write(b"x" * 50_000)
        connection.flush()


def test_writes_are_counted_while_the_socket_takes_none(net, connect):
    handler, juliet = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    for _ in range(100):
        connection.write(b"O")
    assert connection.waiting == 0
    assert net.receive(juliet, 100) == b"O" * 100
    fill(connection)
    for number in range(1, 101):
        connection.write(b"O")
        assert connection.waiting == 1 + number
    while connection.unsent:
        juliet.recv(50_000)
        net.settle()
    assert connection.waiting == 0


def test_writes_that_are_half_sent_together_are_counted_one_by_one(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    connection = handler.connection
    pieces = [b"%08d" % number * 100 for number in range(5000)]
    sent = b"".join(pieces)
    for piece in pieces:
        connection.write(piece)
    counts = []
    received = b""
    while len(received) < len(sent):
        received += juliet.recv(20_000)
        net.settle()
        # All of them but those that have left whole.
        assert connection.waiting == -(-connection.unsent // 800)
        counts.append(connection.waiting)
    assert received == sent
    assert 0 < counts[0] < 5000
    assert len(set(counts)) > 5
    assert counts[-1] == 0


def test_writes_behind_those_that_are_half_sent_are_counted_too(net, connect):
    handler, juliet = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    for least in (50, 50, 0, 50, 0):
        while connection.waiting < 100:
            connection.write(b"x" * 800)
            net.settle()
        while connection.waiting > least:
            juliet.recv(10_000)
            net.settle()
            assert connection.waiting == -(-connection.unsent // 800)


def test_there_is_room_until_so_many_writes_wait(net, connect):
    handler, juliet = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    fill(connection)
    most = connection.waiting + 10
    for _ in range(10):
        assert connection.has_room(most)
        connection.write(b"O")
    assert not connection.has_room(most)
    size = connection.unsent
    while connection.waiting:
        size -= len(juliet.recv(20_000))
        net.settle()
    assert connection.has_room(most)


def test_many_writes_in_one_turn_find_room_if_the_socket_takes_them(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    for _ in range(500):
        assert connection.has_room(64)
        connection.write(b"O")
    assert net.receive(juliet, 500) == b"O" * 500


def test_many_writes_in_one_turn_find_no_more_room_than_there_is(net, connect):
    handler, _ = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    while connection.has_room(64):
        connection.write(b"x" * 800)
    assert connection.waiting == 64
    assert handler.calls == []


def test_who_is_found_gone_while_asked_for_room_has_none(net):
    handler, _ = net.connect()
    connection = handler.connection
    connection.write(b"O")
    connection._socket.shutdown(socket.SHUT_WR)
    assert not connection.has_room(1)
    assert handler.until_lost()


# The shaper


def test_who_sends_too_fast_is_left_unread_for_a_while(net, connect):
    handler, juliet = connect()
    handler.connection.shaper = Shaper(100, burst=1000)
    juliet.sendall(b"x" * 1100)
    handler.until_received(b"x" * 1100)
    juliet.sendall(b"y")
    net.settle()
    assert len(handler.received) == 1100
    net.advance(1.2)
    handler.until_received(b"x" * 1100 + b"y")


def test_a_pause_in_reading_is_none_in_writing(net, connect):
    handler, juliet = connect(unsent_limit=20 << 20)
    handler.connection.shaper = Shaper(100, burst=0)
    juliet.sendall(b"x" * 1000)
    handler.until_received(b"x" * 1000)
    handler.connection.write(BIG)
    assert net.receive(juliet, len(BIG)) == BIG


def test_a_pause_that_ends_while_the_handler_blocks_is_over_when_it_is_through(net):
    gate = Event()
    handler, juliet = net.connect(lambda handler, data: gate.wait())
    handler.connection.shaper = Shaper(100, burst=0)
    juliet.sendall(b"1")
    juliet.sendall(b"2")
    net.settle()
    net.advance(60)
    gate.set()
    handler.until_received(b"12")


def test_a_pause_does_not_outlive_its_connection(net):
    handler, juliet = net.connect()
    handler.connection.shaper = Shaper(1, burst=0)
    juliet.sendall(b"O")
    handler.until_received(b"O")
    assert len(net.timers) == 1
    handler.connection.abort("banished")
    assert len(net.timers) == 0
    handler.until_lost()


# What is kept back


def test_what_is_kept_back_leaves_behind_what_is_put_before_it(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.write(b"before ")
    connection.hold()
    connection.write(b"later ")
    assert net.receive(juliet, 7) == b"before "
    net.settle()
    connection.write(b"last")
    assert connection.unsent == 10
    connection.release(b"first ")
    assert net.receive(juliet, 16) == b"first later last"


def test_what_is_half_sent_comes_before_what_is_put_in(net, connect):
    handler, juliet = connect(buffers=SMALL_BUFFERS)
    connection = handler.connection
    fill(connection)
    size = connection.unsent
    connection.hold()
    connection.write(b"later")
    connection.release(b"first ")
    assert connection.unsent == size + 11
    connection.close()
    data = net.receive(juliet)
    assert len(data) >= size
    assert data.strip(b"x") == b"first later"


def test_an_end_waits_for_what_is_kept_back(net, connect):
    handler, juliet = connect()
    connection = handler.connection
    connection.hold()
    connection.close()
    net.settle()
    assert not connection.is_closed
    connection.release(b"farewell")
    assert net.receive(juliet) == b"farewell"


def test_with_nothing_to_send_the_end_comes_as_soon_as_it_may(net, connect):
    handler, juliet = connect()
    handler.connection.hold()
    handler.connection.close()
    handler.connection.release(b"")
    assert net.receive(juliet) == b""


def test_what_is_released_after_the_connection_is_lost_goes_nowhere(net, connect):
    handler, _ = connect()
    connection = handler.connection
    connection.hold()
    connection.abort("enough")
    connection.release(b"first")
    assert connection.unsent == 0
