"""The end of streams between servers, whoever begins it (RFC 6120, 4.4): nothing is lost by it."""

import pytest
from server_cast import CAPULET, MONTAGUE, NS_PROOF, PAIR, VERONA, established, message

from stonechat.core.peer_stream import GOODBYE_SECONDS, SENT_SECONDS, SETTLE_SECONDS, told
from stonechat.errors import StreamError
from stonechat.federation import Pair
from stonechat.net.connection import FLUSH_SECONDS
from stonechat.stanza import Message

BALCONY = "juliet@capulet.example/balcony"
BOTH = f"<both xmlns='{NS_PROOF}'/>"
END = b"</stream:stream>"
OUT = message("romeo@montague.example", BALCONY)

ENDS = [
    None,
    StreamError("system-shutdown"),
    StreamError("policy-violation", "It is not spoken to."),
    StreamError("reset", "The certificate has expired."),
    StreamError("conflict"),
]


@pytest.fixture
def juliet(server, manager):
    juliet = server._hosts[CAPULET].connect(BALCONY)
    juliet.available()
    juliet.received()
    return juliet


@pytest.fixture
def outgoing(manager):
    return established(manager)


def bidirectional(manager):
    peer = manager.incoming(direct=True)
    peer.send(BOTH)
    peer.authenticate()
    peer.open()
    return peer


def bodies(receiver):
    return [item.body for item in receiver.received() if isinstance(item, Message)]


class Keeper:
    """Says at the end whether the peer sends again what it does not hear of."""

    takes_stanzas = True

    def __init__(self, stream, *, is_sent_again):
        self.stream = stream
        self.is_sent_again = is_sent_again
        self.kept = []
        self.handled = []
        self.ends = []
        self.is_safe = True
        self.settled = None
        stream.keeper = self

    def sent(self, stanza):
        self.kept.append(stanza)

    def receiving(self, stanza):
        pass

    def received(self, stanza):
        self.handled.append(stanza)

    def settle(self, settled):
        self.settled = settled
        return self.is_safe

    def ending(self, *, is_answered):
        self.ends.append(is_answered)
        self.stream.send_element(message(body="last").element)
        return self.is_sent_again

    def unacknowledged(self):
        return self.kept


# Ours comes first


@pytest.mark.parametrize("error", ENDS, ids=lambda error: error and error.condition)
def test_what_is_on_its_way_when_we_end_it_still_arrives(manager, juliet, error):
    peer = manager.proven()
    manager.stream.close(error)
    assert peer.has_ended
    assert peer.error_condition == (error.condition if error else "")
    assert manager.end is None
    assert not manager.stream.is_open
    assert manager.stream.is_taking
    for body in "123":
        peer.send(message(BALCONY, body=body))
    assert bodies(juliet) == ["1", "2", "3"]
    peer.close()
    assert manager.end == told(error)
    assert peer.is_closed


def test_it_arrives_on_streams_for_both_directions_too(manager, juliet):
    peer = bidirectional(manager)
    manager.stream.close(StreamError("system-shutdown"))
    peer.send(message(BALCONY))
    assert bodies(juliet) == ["Hark!"]


def test_nothing_is_sent_behind_our_end(manager, outgoing):
    octets = []
    outgoing.octets_came = octets.append
    stream = manager.stream
    stream.close()
    assert not stream.may_send(PAIR)
    assert not stream.send(OUT)
    stream.send_element(message().element)
    manager.trusts[VERONA] = "any"
    stream.authorize(Pair(CAPULET, VERONA), "a word")
    assert stream.authorized_pairs == {PAIR}
    outgoing.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>")
    assert octets == [END]


def test_it_is_ended_once(manager):
    peer = manager.proven()
    octets = []
    peer.octets_came = octets.append
    stream = manager.stream
    stream.close()
    stream.close(StreamError("system-shutdown"))
    stream.end(StreamError("system-shutdown"))
    stream.close()
    stream.end()
    stream.abort("once more")
    manager.server.settle()
    assert octets == [END]
    assert manager.end == "closed"


def test_a_peer_that_does_not_end_it_is_left(server, manager, outgoing):
    manager.stream.close()
    server.clock.advance(GOODBYE_SECONDS - 1)
    assert manager.end is None
    server.clock.advance(2)
    assert manager.end == "closed"
    assert outgoing.is_closed


def test_a_peer_that_goes_on_for_ever_is_left_too(server, manager, juliet):
    peer = manager.proven()
    manager.stream.close(StreamError("system-shutdown"))
    for _ in range(4):
        server.clock.advance(GOODBYE_SECONDS / 3)
        if not peer.is_closed:
            peer.send(message(BALCONY))
    assert len(bodies(juliet)) == 2
    assert manager.end == "system-shutdown"


@pytest.mark.parametrize("its", ["an error", "a connection that is lost"])
def test_its_end_may_be_another(manager, its):
    peer = manager.proven()
    manager.stream.close(StreamError("reset", "So it is."))
    if its == "an error":
        peer.send(
            "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        )
    else:
        peer.drop()
    assert manager.end == "reset: So it is."
    assert peer.is_closed


def test_what_the_peer_may_not_say_ends_it_meanwhile(server, manager, juliet):
    peer = manager.proven()
    octets = []
    peer.octets_came = octets.append
    manager.stream.close()
    bad = message(BALCONY, from_="romeo@verona.example").to_bytes()
    peer.send(bad + message(BALCONY).to_bytes())
    assert bodies(juliet) == []
    assert octets == [END]
    assert peer.is_closed
    [record] = server.logged("stream error")
    assert record["condition"] == "invalid-from"


def test_what_is_not_allowed_any_more_is_not_handled_for_that(server, manager, juliet):
    manager.trusts = {MONTAGUE: "any", VERONA: "any"}
    peer = manager.proven()
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{VERONA}'/>")
    manager.trusts[VERONA] = None
    manager.stream.close(StreamError("policy-violation"))
    peer.send(message(BALCONY, from_="escalus@verona.example", body="1"))
    peer.send(message(BALCONY, body="2"))
    assert bodies(juliet) == ["2"]
    assert not peer.is_closed
    [record] = server.logged("stanza dropped")
    assert record["reason"] == "it is not spoken to"


def test_what_is_for_a_host_that_leaves_ends_nothing(server, manager, juliet, monkeypatch):
    peer = manager.proven()
    manager.stream.close(StreamError("host-gone"))
    monkeypatch.setattr(manager, "host_of", lambda domain: None)
    peer.send(message(BALCONY))
    assert not peer.is_closed
    [record] = server.logged("stanza dropped")
    assert record["reason"] == "the domain is not served here any more"


def test_a_stranger_is_not_heard_out(manager):
    peer = manager.incoming()
    manager.stream.close()
    assert manager.end == "closed"
    manager.server.settle()
    assert peer.is_closed


def test_who_is_left_at_once_is_not_heard_out(manager, juliet):
    peer = manager.proven()
    manager.stream.end(StreamError("resource-constraint"))
    assert manager.end == "resource-constraint"
    peer.send(message(BALCONY))
    assert bodies(juliet) == []
    assert peer.closed_with() == "resource-constraint"


# What is sent again


def test_what_the_peer_sends_again_is_not_handled_behind_our_end(manager, juliet):
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=True)
    manager.stream.close(StreamError("system-shutdown"))
    assert keeper.ends == [True]
    # The last word came before the end.
    assert bodies(peer) == ["last"]
    peer.send(message(BALCONY))
    assert keeper.handled == []
    assert bodies(juliet) == []
    assert not peer.is_closed
    peer.close()
    assert keeper.ends == [True]


def test_what_it_does_not_send_again_is_handled(manager, juliet):
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=False)
    manager.stream.close()
    peer.send(message(BALCONY))
    assert len(keeper.handled) == 1
    assert bodies(juliet) == ["Hark!"]


def test_a_keeper_that_fails_at_the_end_keeps_nobody_up(server, manager):
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=True)
    keeper.ends = None
    server.expect_errors()
    manager.stream.close()
    assert peer.has_ended
    assert [record["level"] for record in server.logged("keeper failed")] == ["error"]


def test_the_peer_hears_what_we_have_though_it_was_first(manager):
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=True)
    peer.close()
    assert keeper.ends == [False]
    assert bodies(peer) == ["last"]
    assert peer.has_ended


@pytest.mark.parametrize("way", ["its own end", "an end at once", "a cut"])
def test_what_is_kept_is_given_back_at_once_and_not_sent_as_well(manager, outgoing, way):
    stream = manager.stream
    Keeper(stream, is_sent_again=True)
    outgoing.connection.stop_reading()
    stream.send(OUT)
    if way == "its own end":
        outgoing.close()
    elif way == "an end at once":
        stream.end()
    else:
        stream.abort("cut")
    # Whoever kept it may be gone in a moment.
    assert manager.left == (OUT,)
    outgoing.connection.go_on_reading()
    assert bodies(outgoing) == []


# What came before the end is made safe


@pytest.fixture
def unsafe(manager):
    """A peer of which something is not safe yet, and who keeps it."""
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=True)
    keeper.is_safe = False
    return peer, keeper


def test_the_end_waits_until_all_that_came_is_safe(manager, juliet, unsafe):
    peer, keeper = unsafe
    stream = manager.stream
    stream.close(StreamError("system-shutdown"))
    assert not peer.has_ended
    assert not stream.is_open
    assert not stream.send(OUT)
    # It will be sent again, and what waits would have no end.
    peer.send(message(BALCONY))
    assert bodies(juliet) == []
    keeper.is_safe = True
    keeper.settled()
    assert keeper.ends == [True]
    assert peer.closed_with() == "system-shutdown"
    assert manager.end == "system-shutdown"


def test_it_does_not_wait_for_long(server, manager, unsafe):
    peer, keeper = unsafe
    manager.stream.close()
    server.clock.advance(SETTLE_SECONDS + 0.1)
    assert peer.has_ended
    octets = []
    peer.octets_came = octets.append
    keeper.settled()
    assert octets == []
    assert keeper.ends == [True]


def test_our_end_behind_the_peers_waits_too(manager, unsafe):
    peer, keeper = unsafe
    peer.close()
    assert not peer.has_ended
    assert manager.end is None
    keeper.is_safe = True
    keeper.settled()
    assert keeper.ends == [False]
    assert manager.end == "the peer has ended the stream"


def test_the_peer_may_end_it_while_ours_waits(manager, unsafe):
    peer, keeper = unsafe
    manager.stream.close()
    peer.close()
    assert not peer.has_ended
    keeper.is_safe = True
    keeper.settled()
    assert keeper.ends == [False]
    assert peer.has_ended
    assert manager.end == "closed"


@pytest.mark.parametrize("way", ["a fault", "an end at once", "a cut"])
def test_other_ends_wait_for_nothing(manager, unsafe, way):
    peer, keeper = unsafe
    manager.stream.close()
    if way == "a fault":
        peer.send("<x xmlns='urn:example'/>")
        assert peer.error_condition == "unsupported-stanza-type"
    elif way == "an end at once":
        manager.stream.end()
        assert peer.has_ended
    else:
        peer.drop()
    assert manager.end == "closed"
    keeper.settled()


def test_the_end_waits_for_the_stanza_that_is_being_handled(manager, monkeypatch):
    peer = manager.proven()
    keeper = Keeper(manager.stream, is_sent_again=True)
    router = manager.kernel.router

    def route(stanza):
        manager.stream.close()
        assert not peer.has_ended

    monkeypatch.setattr(router, "route", route)
    peer.send(message(BALCONY))
    assert len(keeper.handled) == 1
    assert keeper.ends == [True]
    assert peer.has_ended


def test_a_keeper_that_fails_then_keeps_nobody_up_either(server, manager, unsafe):
    peer, keeper = unsafe
    keeper.settle = None
    server.expect_errors()
    manager.stream.close()
    assert peer.has_ended


# The peer's comes first


def test_a_peer_that_ends_it_gets_what_was_sent_and_our_end(manager, outgoing):
    octets = []
    outgoing.octets_came = octets.append
    manager.stream.send(OUT)
    outgoing.close()
    assert octets[-1] == END
    assert len(octets) == 2
    assert manager.end == "the peer has ended the stream"
    assert manager.left == ()


def test_what_a_slow_peer_has_not_fetched_it_may_fetch_up_to_our_end(server, manager, outgoing):
    outgoing.connection.stop_reading()
    sent = []
    while manager.stream.takes_stanzas:
        sent.append(str(len(sent)))
        manager.stream.send(message(body=sent[-1]))
    outgoing.close()
    # Until that has left nobody knows what becomes of it.
    assert manager.end is None
    outgoing.connection.go_on_reading()
    assert bodies(outgoing) == sent
    assert outgoing.has_ended
    server.clock.advance(SENT_SECONDS + 1)
    assert manager.end == "the peer has ended the stream"
    assert manager.left == ()


def test_what_it_never_fetches_is_given_back(server, manager, outgoing):
    outgoing.connection.stop_reading()
    for body in "123":
        manager.stream.send(message(body=body))
    outgoing.close()
    outgoing.connection.read(1)
    server.clock.advance(FLUSH_SECONDS + 1)
    assert [stanza.body for stanza in manager.left] == ["2", "3"]
    assert manager.end == "the peer has ended the stream"


def test_what_had_not_left_when_it_was_cut_is_given_back(manager, outgoing):
    outgoing.connection.stop_reading()
    manager.stream.send(message(body="1"))
    manager.stream.send_element(message().element)
    manager.stream.send(message(body="2"))
    outgoing.connection.read(1)
    outgoing.connection._destroy("connection reset by peer")
    # Nothing that was written since can be taken for it.
    assert not manager.stream.send(message(body="3"))
    manager.server.settle()
    assert [stanza.body for stanza in manager.left] == ["2"]


def test_an_error_of_ours_with_much_on_its_way_loses_nothing(server, manager, outgoing):
    outgoing.connection.stop_reading()
    manager.stream.send(OUT)
    outgoing.send("<x xmlns='urn:example'/>")
    assert manager.end is None
    server.clock.advance(FLUSH_SECONDS + 1)
    assert manager.left == (OUT,)
    assert manager.end == "unsupported-stanza-type"


# Faults of the peer's


def test_what_comes_behind_an_error_is_nobodys(manager, juliet):
    peer = manager.proven()
    bad = message(from_="romeo@verona.example").to_bytes()
    good = message(BALCONY).to_bytes()
    peer.send(bad + good)
    assert peer.is_closed
    assert peer.error_condition == "invalid-from"
    assert bodies(juliet) == []


def test_nothing_more_is_taken_from_a_stream_that_is_cut(server, manager, monkeypatch):
    peer = manager.proven()
    monkeypatch.setattr(manager.stream, "make_bidirectional", lambda: manager.stream.abort("cut"))
    peer.send(BOTH + "<x xmlns='urn:example'/>")
    assert manager.end == "cut"
    assert server.logged("stream error") == []
