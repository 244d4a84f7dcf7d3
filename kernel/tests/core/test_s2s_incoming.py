"""Streams from other servers: bounded, and used for the way back where both have agreed to it."""

import pytest
from gevent.event import Event
from s2s_world import PAIR, REMOTE, World, no_such_domain

from stonechat.core import s2s_incoming


@pytest.fixture
def world(server):
    return World(server)


def test_a_stream_for_both_directions_carries_what_we_say(world):
    stream = world.incoming(is_bidirectional=True)
    stream.authorize()
    world.say("1")
    assert stream.ids == ["1"]
    assert world.ways.asked == []
    assert world.s2s.figures.incoming == 1


def test_one_for_their_direction_only_does_not(world):
    world.incoming().authorize()
    world.say("1")
    assert world.stream().is_outgoing


def test_what_waits_leaves_by_it(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.settle()
    stream = world.incoming(is_bidirectional=True)
    stream.authorize()
    assert stream.ids == ["1"]
    assert world.s2s.figures.connecting == 0


def test_a_stream_that_is_being_opened_is_given_up_for_it(world):
    world.say("1")
    ours = world.stream()
    world.incoming(is_bidirectional=True).authorize()
    assert not ours.is_open
    assert world.errors() == []


def test_where_there_is_a_stream_already_that_stays_in_use(world):
    ours = world.open()
    theirs = world.incoming(is_bidirectional=True)
    theirs.authorize()
    world.say("1")
    assert (ours.ids, theirs.ids) == (["1"], [])
    world.pass_(100)
    ours.lose()
    world.say("2")
    assert theirs.ids == ["2"]
    assert len(world.ways.streams) == 1


def test_a_server_that_speaks_to_us_is_tried_at_once(world):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    world.errors()
    world.incoming().authorize()
    del world.ways.dns[REMOTE]
    world.say("2")
    world.stream().authorize()
    assert world.stream().ids == ["2"]


def test_no_more_streams_come_in_than_a_bound(server):
    world = World(server, incoming=2)
    streams = [world.incoming(f"d{number}.example") for number in range(3)]
    for stream in streams:
        stream.authorize()
    assert [stream.is_open for stream in streams] == [True, True, False]
    assert streams[2].error.condition == "resource-constraint"
    # Nor is another one let begin.
    late = world.incoming()
    assert late.error.condition == "resource-constraint"
    streams[0].lose()
    again = world.incoming()
    again.authorize()
    assert again.is_open


def test_of_one_domain_the_oldest_stream_goes(world, monkeypatch):
    monkeypatch.setattr(s2s_incoming, "MAX_PER_DOMAIN", 2)
    streams = [world.incoming() for _ in range(3)]
    for stream in streams:
        stream.authorize()
    assert [stream.is_open for stream in streams] == [False, True, True]
    assert streams[0].error.condition == "conflict"
    assert world.s2s.figures.incoming == 2


def test_a_further_domain_of_a_stream_is_not_counted_again(world):
    stream = world.incoming()
    stream.authorize(PAIR)
    stream.authorize(PAIR._replace(remote="verona.example"))
    assert world.s2s.figures.incoming == 1
    stream.lose()
    assert world.s2s.figures.incoming == 0
    assert list(world.s2s.incoming) == []


def test_those_that_are_ending_take_no_place_of_others_for_ever(world, monkeypatch):
    monkeypatch.setattr(s2s_incoming, "MAX_PER_DOMAIN", 2)
    streams = []
    for _ in range(6):
        stream = world.incoming()
        stream.lingers = True
        stream.authorize()
        streams.append(stream)
    # Each was told, and heard out as long as there was room.
    assert [stream.is_open for stream in streams] == [False] * 4 + [True] * 2
    assert [stream.was_left for stream in streams] == [True] * 2 + [False] * 4
    assert {stream.error.condition for stream in streams[:4]} == {"conflict"}
