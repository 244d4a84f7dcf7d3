"""Streams on which other servers are asked something, and nothing is proven."""

import gevent
import pytest
from gevent.event import Event
from s2s_world import LOCAL, PAIR, REMOTE, World, no_such_domain, refused_connection

from stonechat.core import s2s_inquiries
from stonechat.errors import StanzaError
from stonechat.federation import Pair
from stonechat.net.resolver import Target

CHAT = "chat.montague.example"
PLACES = [Target("one.example", 5269, False), Target("two.example", 5269, False)]


@pytest.fixture
def make_world(server):
    """Makes the one world of a test; who asks in it yet at the end is gone."""
    worlds = []

    def make(**options):
        worlds.append(World(server, **options))
        worlds[0].users = []
        return worlds[0]

    yield make
    for user in worlds[0].users:
        user.greenlet.kill()


@pytest.fixture
def world(make_world):
    return make_world()


class User:
    """Somebody who has a question, in a greenlet."""

    def __init__(self, world, pair=PAIR, seconds=20, host=None):
        self.stream = None
        self.condition = None
        self._leave = Event()
        self.greenlet = gevent.spawn(self._run, world, pair, seconds, host)
        world.users.append(self)
        self.world = world
        world.settle()

    def _run(self, world, pair, seconds, host):
        host = host or world.host.kernel
        try:
            with world.s2s.server_stream(host, pair, seconds) as self.stream:
                self._leave.wait()
        except StanzaError as error:
            self.condition = error.condition

    def leave(self):
        self._leave.set()
        self.world.settle()


def test_a_server_is_asked_as_soon_as_it_has_said_what_it_offers(world):
    user = User(world)
    stream = world.stream()
    assert stream.pair == PAIR
    assert stream.is_for_questions
    assert user.stream is None
    stream.offer()
    world.settle()
    assert user.stream is stream
    assert stream.is_open
    user.leave()
    assert not stream.is_open


def test_all_who_ask_share_a_stream_that_ends_with_the_last(world):
    users = [User(world), User(world, Pair(LOCAL, REMOTE))]
    stream = world.stream()
    stream.offer()
    users.append(User(world))
    assert [user.stream for user in users] == [stream] * 3
    assert len(world.ways.streams) == 1
    for user in users[:2]:
        user.leave()
        assert stream.is_open
    users[2].leave()
    assert not stream.is_open
    # The next one needs another.
    User(world)
    assert world.stream() is not stream


def test_who_asks_by_another_policy_does_not_share(server, make_world):
    world = make_world(more_hosts=["verona.example"])
    verona = server.kernel.hosts["verona.example"]
    User(world)
    User(world, Pair("verona.example", REMOTE))
    User(world, host=verona)
    assert len(world.ways.streams) == 3
    assert [stream.host.name for stream in world.ways.streams] == [LOCAL, LOCAL, verona.name]


def test_a_stream_that_carries_stanzas_is_asked_and_goes_on(world):
    stream = world.open()
    user = User(world)
    assert user.stream is stream
    user.leave()
    assert stream.is_open
    assert len(world.ways.streams) == 1


@pytest.mark.parametrize("fault", ["slow", "unfit", "over", "of another host"])
def test_a_stream_that_does_not_do_is_not_asked(server, world, fault):
    stream = world.open()
    if fault == "slow":
        stream.takes_stanzas = False
    elif fault == "unfit":
        stream.faults[REMOTE] = "the stream is not encrypted"
    elif fault == "over":
        stream.is_open = False
    else:
        stream.host = server.host("verona.example").kernel
    User(world)
    assert world.stream() is not stream
    assert world.stream().is_for_questions


def test_what_came_from_a_peer_is_not_used_to_ask_it(world):
    theirs = world.incoming(is_bidirectional=True)
    theirs.authorize()
    User(world)
    assert world.stream().is_outgoing


def test_a_stream_for_questions_carries_no_stanzas(world):
    User(world)
    asking = world.stream()
    asking.offer()
    world.say("1")
    assert world.stream() is not asking
    assert asking.sent == asking.proofs == []
    world.stream().offer()
    assert asking.is_open
    # It is not shared either.
    world.ways.dns[CHAT] = [asking.target]
    world.say("2", to=CHAT)
    assert world.stream() is not asking
    assert asking.proofs == []


# What there is not


def test_who_asks_hears_that_there_is_no_server(world):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    assert User(world).condition == "remote-server-not-found"


def test_who_asks_hears_that_nobody_answers(world):
    world.ways.sockets[f"xmpp.{REMOTE}"] = refused_connection(REMOTE)
    assert User(world).condition == "remote-server-timeout"


def test_a_fault_inside_is_told(server, world):
    server.expect_errors()
    world.ways.dns[REMOTE] = RuntimeError("Alack")
    assert User(world).condition == "internal-server-error"


def test_a_failure_is_everybodys(world):
    users = [User(world), User(world)]
    world.stream().lose()
    world.settle()
    assert [user.condition for user in users] == ["remote-server-timeout"] * 2


def test_a_server_that_does_not_know_the_domain_is_none_of_it(world):
    user = User(world)
    stream = world.stream()
    stream.peer_error = "host-unknown"
    stream.lose()
    world.settle()
    assert user.condition == "remote-server-not-found"


def test_a_stream_that_does_not_satisfy_the_policy_is_no_stream(world):
    user = User(world)
    stream = world.stream()
    stream.refuse("remote-server-timeout")
    stream.lose()
    world.settle()
    assert user.condition == "remote-server-timeout"


def test_the_next_place_is_tried_where_one_agrees_to_no_stream(world):
    world.ways.dns[REMOTE] = PLACES
    user = User(world)
    world.stream().lose()
    second = world.stream()
    assert (second.target, len(world.ways.streams)) == (PLACES[1], 2)
    second.offer()
    world.settle()
    assert user.stream is second


def test_where_tls_is_begun_in_vain_everywhere_it_is_asked_without(world):
    world.ways.dns[REMOTE] = PLACES
    world.ways.sockets[PLACES[1].host] = refused_connection(REMOTE)
    user = User(world)
    first = world.stream()
    first.may_do_without_tls = True
    first.lose("TLS handshake failed")
    stream = world.stream()
    assert (stream.target, stream.avoids_tls) == (PLACES[0], True)
    stream.offer()
    world.settle()
    assert user.stream is stream
    user.leave()


def test_where_it_has_agreed_no_other_place_is_tried(world):
    world.ways.dns[REMOTE] = PLACES
    User(world)
    world.stream().offer()
    world.stream().lose()
    world.settle()
    assert len(world.ways.streams) == 1
    # Who asks now begins anew.
    User(world)
    assert len(world.ways.streams) == 2


@pytest.mark.parametrize(
    "pair", [Pair(LOCAL, LOCAL), Pair(LOCAL, "bad.example"), Pair("verona.example", REMOTE)]
)
def test_ourselves_and_whom_we_do_not_speak_with_are_not_asked(make_world, pair):
    world = make_world(domains={"bad.example": {"access": "deny"}})
    assert User(world, pair).condition == "not-allowed"
    assert world.ways.asked == []


# Bounds


def test_who_asks_does_not_wait_for_longer_than_it_wants(world):
    users = [User(world, seconds=5), User(world, seconds=10)]
    world.pass_(6)
    assert [user.condition for user in users] == ["remote-server-timeout", None]
    stream = world.stream()
    assert stream.is_open
    world.pass_(5)
    # Nobody is left.
    assert not stream.is_open


def test_a_look_up_that_nobody_waits_for_any_more_ends(world):
    world.ways.dns[REMOTE] = Event()
    User(world, seconds=5)
    world.pass_(6)
    assert len(world.s2s._inquiries) == 0
    world.ways.dns[REMOTE].set()
    world.settle()
    assert world.ways.streams == []


def test_so_many_servers_are_asked_at_a_time(world, monkeypatch):
    monkeypatch.setattr(s2s_inquiries, "MOST_INQUIRIES", 2)
    users = [User(world, Pair(LOCAL, domain)) for domain in ("a.example", "b.example")]
    assert User(world, Pair(LOCAL, "c.example")).condition == "resource-constraint"
    # Where one is asked already there is room.
    assert User(world, Pair(LOCAL, "a.example")).condition is None
    users[1].greenlet.kill()
    assert User(world, Pair(LOCAL, "c.example")).condition is None


def test_they_take_no_places_from_stanzas_and_need_none(make_world):
    world = make_world(connecting=1)
    User(world, Pair(LOCAL, "a.example"))
    User(world, Pair(LOCAL, "b.example"))
    assert len(world.ways.streams) == 2
    world.say("1")
    assert world.stream().pair == PAIR
    User(world, Pair(LOCAL, "c.example"))
    assert len(world.ways.streams) == 4


def test_a_domain_that_rests_can_be_asked_all_the_same(world):
    """Its server may be up again: it is, where it has just connected to us."""
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    assert world.errors() == [("1", "remote-server-not-found", "cancel")]
    del world.ways.dns[REMOTE]
    user = User(world)
    world.stream().offer()
    world.settle()
    assert user.stream is world.stream()


def test_what_comes_of_questions_is_nothing_to_stanzas(world):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    User(world)
    del world.ways.dns[REMOTE]
    world.say("1")
    assert world.errors() == []
    assert world.stream().pair == PAIR


def test_one_that_is_near_its_end_is_not_joined(world):
    first = User(world, seconds=60)
    old = world.stream()
    old.offer()
    world.pass_(29)
    assert User(world).stream is old
    world.pass_(2)
    User(world)
    new = world.stream()
    assert new is not old
    assert first.stream is old
    assert old.is_open


def test_they_end_with_the_server(server, world):
    user = User(world)
    stream = world.stream()
    world.s2s.stop()
    world.settle()
    assert user.condition == "remote-server-timeout"
    assert not stream.is_open
    assert User(world).condition == "remote-server-timeout"
