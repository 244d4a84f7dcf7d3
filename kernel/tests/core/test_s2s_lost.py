"""Streams that are lost: what they left is sent again or answered, and nobody hammers a server."""

import pytest
from s2s_world import LOCAL, PAIR, REMOTE, World, no_such_domain, refused_connection

from stonechat.core import s2s_rests
from stonechat.core.s2s_rests import FIRST_REST, LONGEST_REST, Rests, with_jitter
from stonechat.errors import StanzaError
from stonechat.federation import Pair
from stonechat.jid import JID
from stonechat.stanza import Message


@pytest.fixture
def world(server):
    return World(server)


def left(stream, *ids):
    """The peer has not said that it has these."""
    romeo, juliet = JID.parse(f"romeo@{REMOTE}"), JID.parse(f"juliet@{LOCAL}/balcony")
    stream.left = [Message(to=romeo, from_=juliet, id=id) for id in ids]


def test_a_lost_stream_is_opened_anew_only_when_somebody_wants_it(world):
    stream = world.open()
    world.pass_(100)
    stream.lose()
    assert world.s2s.links == {}
    world.pass_(100)
    assert len(world.ways.streams) == 1
    world.say("1")
    again = world.stream()
    assert again is not stream
    again.authorize()
    assert again.ids == ["1"]


def test_what_the_peer_may_not_have_goes_first_over_the_next_stream(world):
    stream = world.open()
    world.pass_(100)
    stream.takes_stanzas = False
    world.say("3")
    left(stream, "1", "2")
    stream.lose()
    world.say("4")
    # Not at once: all who had a stream to it would come in the same moment.
    assert len(world.ways.streams) == 1
    world.pass_(FIRST_REST + 1)
    again = world.stream()
    again.authorize()
    assert again.ids == ["1", "2", "3", "4"]
    assert world.errors() == []


def test_what_comes_back_waits_no_longer_than_anything_else(world):
    world.ways.sockets[f"xmpp.{REMOTE}"] = None
    stream = world.open()
    world.pass_(100)
    left(stream, "1")
    stream.lose()
    world.pass_(FIRST_REST + 1)
    world.stream()
    world.pass_(60)
    assert world.errors() == [("1", "remote-server-timeout", "wait")]


def test_what_there_is_no_room_for_any_more_is_answered(server):
    world = World(server, queue_stanzas=2)
    stream = world.open()
    world.pass_(100)
    stream.takes_stanzas = False
    world.say("3")
    world.say("4")
    left(stream, "1", "2")
    stream.lose()
    assert world.errors() == [
        ("3", "remote-server-timeout", "wait"),
        ("4", "remote-server-timeout", "wait"),
    ]
    world.pass_(FIRST_REST + 1)
    world.stream().authorize()
    assert world.stream().ids == ["1", "2"]


def test_a_stanza_that_ends_every_stream_is_not_sent_for_ever(world):
    stream = world.open()
    for _ in range(3):
        world.pass_(10)
        left(stream, "poison")
        stream.lose("policy-violation")
        world.pass_(FIRST_REST + 1)
        stream = world.stream()
        if stream.is_open:
            stream.authorize()
            assert stream.ids == ["poison"]
    assert not stream.is_open
    assert len(world.ways.streams) == 3
    assert world.errors() == [("poison", "remote-server-timeout", "wait")]


def test_a_stream_that_holds_for_long_clears_the_account(world):
    stream = world.open()
    for _ in range(5):
        world.pass_(100)
        left(stream, "1")
        stream.lose()
        world.pass_(FIRST_REST + 1)
        stream = world.stream()
        stream.authorize()
        assert stream.ids == ["1"]
    assert world.errors() == []


def test_a_server_that_ends_each_stream_at_once_is_left_alone(world):
    stream = world.open()
    stream.lose()
    world.say("1")
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert len(world.ways.streams) == 1


def test_streams_that_are_to_be_idle_for_a_moment_only_are_no_failure(server):
    world = World(server, idle_timeout="2 s")
    stream = world.open()
    world.pass_(3)
    stream.lose("idle")
    world.say("1")
    assert world.stream() is not stream


def test_of_stanzas_of_two_pairs_each_goes_back_to_its_own(server):
    world = World(server, more_hosts=["verona.example"])
    stream = world.open()
    stream.proves = True
    world.route("0", local="verona.example")
    world.settle()
    stream.authorize(Pair("verona.example", REMOTE))
    world.pass_(100)
    romeo = JID.parse(f"romeo@{REMOTE}")
    stream.left = [
        Message(to=romeo, from_=JID.parse(f"nurse@{domain}"), id=id)
        for domain, id in ((LOCAL, "1"), ("verona.example", "2"), (LOCAL, "3"))
    ]
    stream.lose()
    world.pass_(FIRST_REST + 1)
    for each in world.ways.streams[1:]:
        each.authorize()
    assert {each.pair.local: each.ids for each in world.ways.streams[1:]} == {
        LOCAL: ["1", "3"],
        "verona.example": ["2"],
    }


def test_what_was_sent_for_a_pair_that_has_another_stream_by_now_leaves_by_that(world):
    stream = world.open()
    world.pass_(100)
    theirs = world.incoming(is_bidirectional=True)
    theirs.authorize()
    left(theirs, "1")
    theirs.lose()
    assert stream.ids == ["1"]


def test_nothing_is_kept_of_a_domain_that_is_not_spoken_to_any_more(world):
    ours, theirs = world.open(), world.incoming(is_bidirectional=True)
    theirs.authorize()
    world.pass_(100)
    ours.lose()
    theirs.lose()
    assert world.s2s.links == world.s2s._remotes == {}
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    world.errors()
    assert world.s2s.links == world.s2s._remotes == {}


# Rests


def test_a_domain_that_cannot_be_reached_rests_and_stanzas_are_answered_at_once(world):
    world.ways.sockets[f"xmpp.{REMOTE}"] = refused_connection(REMOTE)
    world.say("1")
    world.errors()
    world.say("2")
    assert world.errors() == [("2", "remote-server-timeout", "wait")]
    assert world.ways.asked == [REMOTE]
    world.pass_(FIRST_REST + 1)
    world.ways.sockets.clear()
    world.say("3")
    world.stream().authorize()
    assert world.stream().ids == ["3"]


def test_the_answer_while_it_rests_is_that_of_the_failure(world):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    world.errors()
    world.say("2")
    world.say("3")
    assert world.errors() == [
        ("2", "remote-server-not-found", "cancel"),
        ("3", "remote-server-not-found", "cancel"),
    ]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_each_rest_is_twice_as_long_as_the_one_before_up_to_a_bound():
    clock = Clock()
    rests = Rests(clock)
    longest = FIRST_REST
    for _ in range(10):
        seconds = rests.failed(PAIR, StanzaError("remote-server-timeout"), "gone")
        assert longest / 2 <= seconds <= longest
        assert rests.error(PAIR).condition == "remote-server-timeout"
        clock.now += seconds
        assert rests.error(PAIR) is None
        longest = min(2 * longest, LONGEST_REST)
    clock.now += LONGEST_REST + 1
    assert rests.failed(PAIR, StanzaError("remote-server-timeout"), "gone") <= FIRST_REST


def test_an_answer_is_a_new_one_each_time():
    rests = Rests(Clock())
    rests.failed(PAIR, StanzaError("remote-server-not-found", "No.", type="wait"), "gone")
    one, other = rests.error(PAIR), rests.error(PAIR)
    assert one is not other
    assert (one.condition, one.text, one.type) == ("remote-server-not-found", "No.", "wait")


def test_rests_do_not_all_end_in_the_same_moment():
    found = {with_jitter(FIRST_REST) for _ in range(100)}
    assert len(found) > 10
    assert all(FIRST_REST / 2 <= seconds <= FIRST_REST for seconds in found)


def test_no_more_rests_are_kept_than_a_bound(monkeypatch):
    monkeypatch.setattr(s2s_rests, "MAX_RESTING", 2)
    rests = Rests(Clock())
    for domain in ("a.example", "b.example", "c.example"):
        rests.failed(Pair(LOCAL, domain), StanzaError("remote-server-timeout"), "gone")
    assert [pair.remote for pair, _, _ in rests.resting()] == ["b.example", "c.example"]
