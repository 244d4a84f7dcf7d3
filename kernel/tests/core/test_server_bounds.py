"""Bounds on streams between servers: time, room, and peers that do not read (R18)."""

import pytest
from server_cast import MONTAGUE, NS_PROOF, established, message

from stonechat.core.peer_stream import STUCK_SECONDS
from stonechat.core.server_stream import WATCH_SECONDS
from stonechat.core.server_writer import MOST_WAITING

BOTH = f"<both xmlns='{NS_PROOF}'/>"
OUT = message("romeo@montague.example", "juliet@capulet.example")


@pytest.fixture
def outgoing(manager):
    return established(manager)


def fill(manager):
    """Send as many stanzas as the stream takes; returns how many that were."""
    sent = 0
    while manager.stream.takes_stanzas:
        assert manager.stream.send(message(body=str(sent)))
        sent += 1
    return sent


# Strangers


def test_a_stranger_has_thirty_seconds_in_all(server, manager):
    peer = manager.incoming()
    for _ in range(4):
        server.clock.advance(7)
        peer.send(" ")
    assert not peer.is_closed
    server.clock.advance(3)
    assert peer.closed_with() == "connection-timeout"


def test_who_says_nothing_is_closed_behind_a_header(server, manager):
    peer = manager.incoming(header=False)
    server.clock.advance(31)
    assert peer.closed_with() == "connection-timeout"
    assert peer.header is not None


def test_a_handshake_that_never_ends_is_cut_off_without_a_word(server, manager):
    peer = manager.incoming()
    peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    assert peer.receive_element().name == "proceed"
    server.clock.advance(31)
    assert peer.is_closed
    assert peer.received() == []


def test_a_certificate_alone_is_not_enough(server, manager):
    peer = manager.incoming(direct=True)
    peer.authenticate()
    server.clock.advance(31)
    assert peer.closed_with() == "connection-timeout"


def test_a_proof_ends_the_wait(server, manager):
    assert manager.incoming(direct=True).connection.is_stranger
    peer = manager.proven()
    assert not peer.connection.is_stranger
    server.clock.advance(3600)
    assert not peer.is_closed


def test_the_oldest_stranger_makes_room(server, manager):
    server.configure(limits={"unauthenticated_per_address": 2})
    server.kernel.set_bounds(server.kernel.configuration.limits)
    proven = manager.proven()
    peers = [manager.incoming() for _ in range(3)]
    assert [peer.error_condition for peer in peers] == ["resource-constraint", "", ""]
    assert not proven.is_closed
    assert manager.end.startswith("resource-constraint")


def test_the_books_know_of_the_end(server, manager):
    for connect in (manager.incoming, manager.proven):
        peer = connect()
        assert server.kernel.books.connection_count == 1
        peer.drop()
        assert server.kernel.books.connection_count == 0


@pytest.mark.parametrize("element", ["message", "presence", "iq", "x"])
def test_a_stranger_has_little_room(manager, element):
    peer = manager.incoming(direct=True)
    peer.send(f"<{element}>{'o' * 10_000}")
    assert peer.closed_with() == "policy-violation"


def test_who_is_known_has_more(manager):
    peer = manager.proven()
    peer.send(message("nobody@capulet.example", body="o" * 200_000))
    assert not peer.is_closed
    peer.send("<message><body>" + "o" * 300_000)
    assert peer.closed_with() == "policy-violation"


def test_so_it_is_on_streams_of_ours(manager):
    peer = manager.outgoing()
    peer.send(f"<stream:stream x='{'o' * 10_000}")
    assert peer.closed_with() == "policy-violation"


def test_a_stranger_that_does_not_read_is_cut_off(server, manager):
    server.configure(limits={"unsent_bytes": 65536})
    peer = manager.incoming(direct=True)
    peer.connection.stop_reading()
    manager.stream.send_element(message(body="o" * 70_000).element)
    server.settle()
    assert peer.is_closed
    assert manager.end == "the peer does not read"


# Peers that read too slowly


def test_only_so_much_waits_for_a_peer_that_does_not_read(manager, outgoing):
    outgoing.connection.stop_reading()
    assert fill(manager) == MOST_WAITING
    assert not manager.stream.takes_stanzas
    assert manager.stream.is_open


def test_a_peer_that_reads_again_gets_it_all_and_more(server, manager, outgoing):
    outgoing.connection.stop_reading()
    sent = fill(manager)
    server.clock.advance(STUCK_SECONDS - 1)
    outgoing.connection.go_on_reading()
    server.clock.advance(2)
    assert manager.told[-1] == "flowing"
    assert manager.stream.takes_stanzas
    assert [each.body for each in outgoing.received()] == [str(n) for n in range(sent)]
    server.clock.advance(STUCK_SECONDS + 1)
    assert manager.end is None


def test_a_peer_that_reads_a_little_is_waited_for(server, manager, outgoing):
    outgoing.connection.stop_reading()
    fill(manager)
    for _ in range(4):
        server.clock.advance(STUCK_SECONDS - 2)
        outgoing.connection.read(1)
        server.clock.advance(1.5)
    assert manager.stream.is_open
    assert not manager.stream.takes_stanzas


def test_a_peer_that_reads_nothing_is_given_up(server, manager, outgoing):
    outgoing.connection.stop_reading()
    sent = fill(manager)
    outgoing.connection.read(10)
    server.clock.advance(STUCK_SECONDS + 3)
    assert manager.end == "the peer does not read"
    # What it has not had is given back, in order.
    assert [stanza.body for stanza in manager.left] == [str(n) for n in range(10, sent)]


def test_large_stanzas_count_by_their_octets(server, manager, outgoing):
    outgoing.connection.stop_reading()
    body = "o" * 200_000
    sent = 0
    while manager.stream.takes_stanzas:
        manager.stream.send(message(body=body))
        sent += 1
    assert sent == 6
    outgoing.connection.go_on_reading()
    assert manager.told[-1] == "flowing"


def test_elements_between_stanzas_are_not_given_back(server, manager, outgoing):
    outgoing.connection.stop_reading()
    stream = manager.stream
    stream.send(message(body="1"))
    stream.send_element(message().element)
    stream.send(message(body="2"))
    fill(manager)
    server.clock.advance(STUCK_SECONDS + 3)
    assert [stanza.body for stanza in manager.left][:3] == ["1", "2", "0"]


def test_what_is_sent_already_is_not_given_back(server, manager, outgoing):
    manager.stream.send(OUT)
    outgoing.drop()
    assert manager.left == ()


def test_a_cut_while_it_waits_gives_back_what_waited(manager, outgoing):
    manager.stream.send(OUT)
    outgoing.connection.stop_reading()
    sent = fill(manager)
    outgoing.connection._destroy("connection reset by peer")
    manager.server.settle()
    assert manager.end == "connection reset by peer"
    assert len(manager.left) == sent


def test_a_close_while_it_waits_gives_it_back_too(manager, outgoing):
    outgoing.connection.stop_reading()
    sent = fill(manager)
    manager.stream.close()
    manager.server.settle()
    assert manager.end == "closed"
    assert len(manager.left) == sent


def test_what_has_left_meanwhile_is_not_given_back(manager, outgoing):
    outgoing.connection.stop_reading()
    sent = fill(manager)
    # Nobody says so: it is seen within a second.
    outgoing.connection.read(sent)
    assert not manager.stream.takes_stanzas
    manager.stream.close()
    manager.server.settle()
    assert manager.left == ()


def test_few_that_wait_for_long_are_noticed_too(server, manager, outgoing):
    outgoing.connection.stop_reading()
    manager.stream.send(OUT)
    server.clock.advance(WATCH_SECONDS + STUCK_SECONDS + 3)
    assert manager.end == "the peer does not read"
    assert manager.left == (OUT,)


# Idle streams


def test_a_stream_that_nobody_uses_is_closed(server, manager):
    peer = established(manager, idle=600)
    server.clock.advance(500)
    manager.stream.send(OUT)
    server.clock.advance(599)
    assert manager.end is None
    server.clock.advance(2)
    assert peer.has_ended
    assert not manager.stream.is_open


def test_it_is_not_where_nobody_wants_that(server, manager, outgoing):
    server.clock.advance(100_000)
    assert manager.stream.is_open


def test_stanzas_that_come_keep_it_open_too(server, manager):
    server.configure(limits={"idle_timeout": "10 min"})
    peer = manager.proven()
    for _ in range(5):
        server.clock.advance(400)
        peer.send(message("nobody@capulet.example"))
    assert manager.stream.is_open
    server.clock.advance(601)
    assert not manager.stream.is_open


def test_white_space_shows_who_is_still_there(server, manager, outgoing):
    octets = []
    outgoing.octets_came = octets.append
    server.clock.advance(WATCH_SECONDS + 1)
    octets.clear()
    server.clock.advance(WATCH_SECONDS * 3)
    assert octets == [b" "] * 3
    octets.clear()
    for _ in range(6):
        server.clock.advance(WATCH_SECONDS / 2)
        manager.stream.send(OUT)
    assert b" " not in octets


def test_what_was_sent_is_not_kept_for_ever(server, manager, outgoing):
    manager.stream.send(OUT)
    assert OUT in manager.stream._written
    server.clock.advance(WATCH_SECONDS)
    assert OUT not in manager.stream._written


class Holding:
    """A keeper whose peer acknowledges nothing."""

    takes_stanzas = True

    def __init__(self):
        self.kept = []

    def sent(self, stanza):
        self.kept.append(stanza)

    def receiving(self, stanza):
        pass

    def received(self, stanza):
        pass

    def settle(self, settled):
        return True

    def ending(self, *, is_answered):
        return True

    def unacknowledged(self):
        return self.kept


def test_what_is_not_acknowledged_keeps_it_open(server, manager):
    peer = established(manager, idle=600)
    keeper = manager.stream.keeper = Holding()
    manager.stream.send(OUT)
    octets = []
    peer.octets_came = octets.append
    server.clock.advance(1000)
    assert manager.stream.is_open
    assert len(octets) <= 1000 / WATCH_SECONDS + 1
    keeper.kept.clear()
    server.clock.advance(WATCH_SECONDS)
    assert not manager.stream.is_open


def test_a_certificate_that_expires_ends_the_stream(server, manager):
    peer = manager.proven()
    year = 365 * 86400
    server.clock.jump(year * 20)
    server.clock.advance(WATCH_SECONDS + 1)
    assert peer.closed_with() == "reset"


def test_it_does_not_where_nothing_stands_on_it(server, manager):
    manager.trusts[MONTAGUE] = "dialback"
    peer = manager.proven()
    server.clock.jump(20 * 365 * 86400)
    server.clock.advance(WATCH_SECONDS + 1)
    assert not peer.is_closed


def test_a_bidirectional_stream_that_is_stuck_is_not_read(server, manager):
    # Or one that sends requests without reading the answers would have no bound.
    peer = manager.incoming(direct=True)
    peer.send(BOTH)
    peer.authenticate()
    peer.open()
    peer.connection.stop_reading()
    body = "o" * 200_000
    while manager.stream.takes_stanzas:
        manager.stream.send(message(body=body))
    peer.send(message("nobody@capulet.example"))
    assert manager.stream.stanzas_in == 0
    peer.connection.go_on_reading()
    server.settle()
    assert manager.stream.stanzas_in == 1
