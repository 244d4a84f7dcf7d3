"""Connections whose octets go through a codec, in the clear and over TLS."""

import os
import weakref

import gevent
import pytest
from gevent.event import Event

from stonechat.errors import StreamError
from stonechat.net.coded_socket import PIECE
from stonechat.net.shaper import Shaper

SMALL_BUFFERS = 16384
UNSENT_LIMIT = 20 << 20

# What says "so much of the next letter" to `Bellows`, and what stands for nothing.
HUGE = b"\x02"
NOTHING = b"\x01"


class Bellows:
    """Letters change their case on their way; `HUGE` before one makes it 16 pieces long."""

    def __init__(self):
        self.has_more = False
        self.encoded = []  # what it was given at a time
        self.decoded = []
        self.left = b""

    def encode(self, octets):
        self.encoded.append(octets)
        return octets.swapcase()

    def decode(self, octets, limit):
        self.decoded.append(octets)
        if b"!" in octets:
            raise StreamError("undefined-condition", "it is torn")
        octets = octets.replace(NOTHING, b"").swapcase()
        while HUGE in octets:
            before, _, behind = octets.partition(HUGE)
            octets = before + behind[:1] * (16 * PIECE) + behind[1:]
        octets = self.left + octets
        self.left = octets[limit:]
        self.has_more = bool(self.left)
        return octets[:limit]


@pytest.fixture
def coded(connect):
    """Makes connections with such a codec, which is the handler's `codec`."""

    def coded(on_data=None, **options):
        handler, client = connect(on_data, **options)
        handler.codec = Bellows()
        handler.failures = []
        handler.input_failed = handler.failures.append
        handler.connection.transform(handler.codec)
        return handler, client

    return coded


def echo(handler, data):
    handler.connection.write(data)


# Both ways


def test_octets_go_through_the_codec_both_ways(net, coded):
    handler, juliet = coded(echo)
    juliet.sendall(b"wherefore art thou")
    assert net.receive(juliet, 18) == b"wherefore art thou"
    handler.until_received(b"WHEREFORE ART THOU")


def test_what_was_written_before_leaves_as_it_was(net, connect):
    handler, juliet = connect()
    handler.connection.write(b"before ")
    handler.connection.transform(Bellows())
    handler.connection.write(b"after")
    assert net.receive(juliet, 12) == b"before AFTER"


def test_what_cannot_leave_before_ends_the_connection(connect):
    handler, _ = connect(unsent_limit=UNSENT_LIMIT, buffers=SMALL_BUFFERS)
    handler.connection.write(b"x" * (10 << 20))
    handler.connection.transform(Bellows())
    assert handler.until_lost() == "the peer does not read"


def test_a_connection_has_one_codec(coded):
    handler, _ = coded()
    with pytest.raises(ValueError, match="codec"):
        handler.connection.transform(Bellows())


def test_the_codec_is_let_go_when_the_connection_ends(coded):
    handler, juliet = coded()
    codec = weakref.ref(handler.codec)
    del handler.codec
    juliet.close()
    handler.until_lost()
    assert codec() is None


# Writing


def test_all_that_a_turn_has_queued_is_encoded_at_once(net, coded):
    handler, juliet = coded()
    for letter in b"romeo":
        handler.connection.write(bytes([letter]))
    assert net.receive(juliet, 5) == b"ROMEO"
    assert handler.codec.encoded == [b"romeo"]


def test_much_is_encoded_by_the_piece_and_arrives_whole(net, coded):
    handler, juliet = coded(unsent_limit=UNSENT_LIMIT, buffers=SMALL_BUFFERS)
    speech = os.urandom(4 << 20)
    for start in range(0, len(speech), 100_000):
        handler.connection.write(speech[start : start + 100_000])
    assert net.receive(juliet, len(speech)) == speech.swapcase()
    assert max(map(len, handler.codec.encoded)) == PIECE
    assert handler.connection.unsent == 0


def test_nothing_is_encoded_ahead_for_a_peer_that_does_not_read(net, coded):
    handler, juliet = coded(unsent_limit=UNSENT_LIMIT, buffers=SMALL_BUFFERS)
    connection = handler.connection
    while not connection.waiting:
        connection.write(b"x" * 50_000)
        connection.flush()
    pieces = len(handler.codec.encoded)
    for _ in range(100):
        connection.write(b"x" * 5000)
        net.settle()
    assert len(handler.codec.encoded) == pieces
    # Counted is what was written, and not what is made of it.
    assert connection.unsent >= 100 * 5000
    assert connection.waiting == 101
    connection.close()
    assert set(net.receive(juliet)) == set(b"X")


def test_the_bound_on_what_waits_is_that_of_the_octets_before(net, coded):
    handler, juliet = coded(unsent_limit=1 << 18, buffers=SMALL_BUFFERS)
    connection = handler.connection
    written = 0
    while "stuck" not in handler.calls:
        connection.write(b"x" * 1000)
        written += 1000
    assert len(net.receive(juliet, written)) == written
    handler.until(lambda _: "flowing" in handler.calls)
    while not connection.is_closed:
        connection.write(b"x" * 1000)
    assert handler.until_lost() == "the peer does not read"


def test_what_is_queued_is_sent_before_the_end(net, coded):
    handler, juliet = coded()
    handler.connection.write(b"farewell")
    handler.connection.close()
    assert net.receive(juliet) == b"FAREWELL"
    juliet.close()
    assert handler.until_lost() == "closed by the peer"


def test_what_cannot_be_encoded_ends_the_connection(net, coded):
    handler, _ = coded()

    def fail(octets):
        raise StreamError("internal-server-error", "it is torn")

    handler.codec.encode = fail
    handler.connection.write(b"O")
    assert handler.until_lost() == "it is torn"
    assert net.errors == []


# Reading


def test_what_makes_much_is_handled_by_the_piece_and_in_order(coded):
    handler, juliet = coded()
    sizes = []
    handler.on_data = lambda handler, data: sizes.append(len(data))
    juliet.sendall(HUGE + b"a" + b"b" + HUGE + b"c")
    handler.until_received(b"A" * 16 * PIECE + b"B" + b"C" * 16 * PIECE)
    assert max(sizes) == PIECE


def test_others_have_their_turn_between_the_pieces(net, coded):
    heard = []
    _, juliet = coded(lambda handler, data: heard.append("juliet"))
    romeo_handler, romeo = coded(lambda handler, data: heard.append("romeo"))
    juliet.sendall(HUGE + b"a")
    romeo.sendall(b"O")
    romeo_handler.until_received(b"o")
    net.settle()
    assert heard.count("juliet") == 16
    assert heard.index("romeo") < 15


def test_a_peer_is_not_read_while_there_is_more_of_what_it_sent(net, coded):
    gate = Event()
    handler, juliet = coded(lambda handler, data: gate.wait())
    juliet.sendall(HUGE + b"a")
    net.settle()
    juliet.sendall(b"b")
    net.settle()
    assert handler.codec.decoded == [HUGE + b"a"]
    gate.set()
    handler.until_received(b"A" * 16 * PIECE + b"B")
    assert handler.codec.decoded == [HUGE + b"a", *[b""] * 15, b"b"]


def test_a_handler_that_blocks_gets_the_next_piece_when_it_is_through(net, coded):
    handler, juliet = coded(lambda handler, data: gevent.sleep(0))
    juliet.sendall(HUGE + b"a")
    handler.until_received(b"A" * 16 * PIECE)
    juliet.sendall(b"b")
    handler.until(lambda _: handler.received[-1:] == b"B")
    assert net.errors == []


def test_a_poll_has_nothing_to_say_once_all_is_handled(net, coded):
    handler, juliet = coded()
    juliet.sendall(HUGE + b"a")
    handler.until_received(b"A" * 16 * PIECE)
    net.settle()
    handled = handler.connection.handled
    net.settle()
    assert handler.connection.handled == handled


def test_who_takes_nothing_from_us_is_not_decoded_either(net, coded):
    handler, juliet = coded(echo, unsent_limit=PIECE, buffers=SMALL_BUFFERS)
    juliet.sendall(HUGE + b"a" + HUGE + b"b")
    handler.until(lambda _: "stuck" in handler.calls)
    net.settle()
    assert len(handler.received) < 32 * PIECE
    expected = b"a" * 16 * PIECE + b"b" * 16 * PIECE
    assert net.receive(juliet, len(expected)) == expected


def test_what_there_is_more_waits_for_a_peer_whose_line_is_full_and_no_longer(net, coded):
    handler, juliet = coded(unsent_limit=UNSENT_LIMIT, buffers=SMALL_BUFFERS)
    connection = handler.connection
    while not connection.waiting:
        connection.write(b"x" * 50_000)
        net.settle()
    size = connection.unsent
    juliet.sendall(HUGE + b"a")
    handler.until(lambda _: handler.received)
    net.settle()
    assert len(handler.received) < 16 * PIECE
    while len(handler.received) < 16 * PIECE:
        juliet.recv(1 << 20)
        net.settle()
    assert connection.unsent < size


def test_all_that_came_is_handled_before_the_end_of_who_sent_it(coded):
    handler, juliet = coded()
    juliet.sendall(HUGE + b"a")
    juliet.close()
    handler.until_lost()
    assert handler.received == b"A" * 16 * PIECE


def test_an_end_of_ours_waits_for_nothing_that_came(net, coded):
    handler, juliet = coded(lambda handler, data: handler.connection.close())
    juliet.sendall(HUGE + b"a")
    assert net.receive(juliet) == b""
    juliet.close()
    handler.until_lost()
    assert handler.received == b"A" * PIECE


# The shaper, and time


def test_the_shaper_counts_what_comes_out(net, coded):
    handler, juliet = coded()
    handler.connection.shaper = Shaper(PIECE, burst=0)
    juliet.sendall(HUGE + b"a")
    handler.until(lambda _: handler.received)
    for pieces in range(1, 16):
        net.settle()
        assert len(handler.received) == pieces * PIECE
        net.advance(pieces + 1)
    handler.until_received(b"A" * 16 * PIECE)


def test_a_pause_is_none_in_writing_and_what_waits_is_not_decoded_for_it(net, coded):
    handler, juliet = coded(unsent_limit=UNSENT_LIMIT, buffers=SMALL_BUFFERS)
    handler.connection.shaper = Shaper(PIECE, burst=0)
    juliet.sendall(HUGE + b"a")
    handler.until(lambda _: handler.received)
    handler.connection.write(b"x" * (1 << 20))
    assert net.receive(juliet, 1 << 20) == b"X" * (1 << 20)
    net.settle()
    assert len(handler.received) == PIECE


def test_octets_that_stand_for_nothing_count_all_the_same(net, coded):
    handler, juliet = coded()
    connection = handler.connection
    connection.shaper = Shaper(100, burst=0)
    connection.read_at = 0.0
    juliet.sendall(NOTHING * 100)
    net.settle()
    assert connection.read_at > 0.0
    juliet.sendall(b"a")
    net.settle()
    assert handler.received == b""
    net.advance(1.2)
    handler.until_received(b"A")


# What cannot be decoded


def test_what_cannot_be_decoded_is_told_once_and_the_peer_hears_of_it(net, coded):
    handler, juliet = coded()

    def input_failed(error):
        handler.failures.append(error.condition)
        handler.connection.write(b"torn")
        handler.connection.close()

    handler.input_failed = input_failed
    juliet.sendall(b"a!")
    assert net.receive(juliet) == b"TORN"
    juliet.sendall(b"!" * 100_000)
    juliet.close()
    handler.until_lost()
    assert handler.failures == ["undefined-condition"]
    assert handler.received == b""


def test_behind_what_cannot_be_decoded_nothing_is(net, coded):
    handler, juliet = coded()
    juliet.sendall(HUGE + b"a")
    handler.until(lambda _: handler.received)
    handler.until_received(b"A" * 16 * PIECE)
    for octets in (b"!", b"b", b"!"):
        juliet.sendall(octets)
        net.settle()
    assert len(handler.received) == 16 * PIECE
    assert len(handler.failures) == 1
    assert not handler.connection.is_closed
    juliet.close()
    handler.until_lost()


def test_who_knows_no_codecs_loses_a_connection_that_cannot_be_decoded(connect):
    handler, juliet = connect()
    handler.connection.transform(Bellows())
    juliet.sendall(b"!")
    assert handler.until_lost() == "it is torn"
