"""Stanzas to other servers: they leave in order, or each of them is answered (promise R18)."""

import pytest
from gevent.event import Event
from s2s_world import (
    LOCAL,
    PAIR,
    REMOTE,
    World,
    no_such_domain,
    refused_connection,
)

from stonechat.core import s2s_link, s2s_links
from stonechat.custody import Custody
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.net.dialer import DialError
from stonechat.net.resolver import Unavailable
from stonechat.stanza import Iq, Message, Presence


@pytest.fixture
def world(server):
    return World(server)


def test_what_waits_leaves_in_order_once_the_stream_is_there(world):
    world.say("1")
    world.say("2")
    stream = world.stream()
    assert stream.pair == PAIR
    assert stream.host is world.host.kernel
    stream.offer()
    world.say("3")
    assert stream.sent == []
    stream.authorize()
    world.say("4")
    assert stream.ids == ["1", "2", "3", "4"]
    assert world.ways.asked == [REMOTE]
    assert world.errors() == []


def test_over_an_open_stream_a_stanza_leaves_at_once(world):
    stream = world.open()
    world.say("1")
    assert stream.ids == ["1"]
    assert world.s2s.room.waiting == 0
    world.pass_(3600)
    assert world.errors() == []


@pytest.mark.parametrize(
    ("place", "error", "answer"),
    [
        ("dns", no_such_domain(REMOTE), ("remote-server-not-found", "cancel")),
        ("dns", Unavailable("nobody says"), ("remote-server-not-found", "wait")),
        ("sockets", refused_connection(REMOTE), ("remote-server-timeout", "wait")),
        ("sockets", DialError([], is_not_found=True), ("remote-server-not-found", "cancel")),
    ],
)
def test_a_domain_that_cannot_be_reached_is_told(world, place, error, answer):
    getattr(world.ways, place)[REMOTE if place == "dns" else f"xmpp.{REMOTE}"] = error
    world.say("1")
    assert world.errors() == [("1", *answer)]
    assert world.s2s.links == {}


def test_nobody_is_told_what_is_inside_our_network(world):
    world.ways.sockets[f"xmpp.{REMOTE}"] = refused_connection(REMOTE)
    world.say("1")
    answer = world.juliet.receive_message()
    assert "203.0.113.1" not in str(answer.element)
    assert "refused" not in str(answer.element)
    [record] = world.server.logged("no stream to a server")
    assert "203.0.113.1: Connection refused" in record["reason"]


def test_the_peers_refusal_is_handed_on(world):
    world.say("1")
    world.stream().refuse("internal-server-error")
    assert world.errors() == [("1", "internal-server-error", "cancel")]


def test_a_stream_that_is_lost_before_it_carries_anything_is_a_timeout(world):
    world.say("1")
    world.stream().lose()
    assert world.errors() == [("1", "remote-server-timeout", "wait")]


def test_a_fault_of_ours_is_logged_and_told(world):
    world.server.expect_errors()
    world.ways.dns[REMOTE] = RuntimeError("Alack")
    world.say("1")
    assert world.errors() == [("1", "internal-server-error", "cancel")]
    assert any("Alack" in error for error in world.server.errors)


def test_after_a_minute_each_that_waits_is_answered(world):
    world.ways.sockets[f"xmpp.{REMOTE}"] = Event()
    world.say("1")
    world.pass_(40)
    world.say("2")
    world.pass_(19)
    assert world.errors() == []
    world.pass_(2)
    assert world.errors() == [
        ("1", "remote-server-timeout", "wait"),
        ("2", "remote-server-timeout", "wait"),
    ]
    assert world.s2s.figures == (0, 0, 0, 0, 2)


def test_a_peer_that_is_silent_does_not_hold_stanzas_for_longer(world):
    world.say("1")
    stream = world.stream()
    world.pass_(61)
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert not stream.is_open


def test_a_thousand_stanzas_wait_and_no_more(world):
    world.ways.dns[REMOTE] = Event()
    for number in range(1000):
        world.route(str(number))
    world.say("one too many")
    assert world.errors() == [("one too many", "resource-constraint", "wait")]
    assert world.s2s.figures.waiting == 1000
    world.ways.dns[REMOTE].set()
    stream = world.stream()
    stream.authorize()
    assert stream.ids == [str(number) for number in range(1000)]
    assert world.s2s.room.waiting_octets == 0


def test_four_million_octets_wait_and_no_more(world):
    world.ways.dns[REMOTE] = Event()
    for number in range(40):
        world.route(str(number), lang="x" * 99_000)
    remote = world.s2s.links[PAIR].remote
    assert remote.octets < 4_000_000
    kept = remote.stanzas
    world.route("big", lang="x" * 99_000)
    assert remote.stanzas == kept
    world.say("small")
    assert world.errors() == []


def test_pairs_share_the_room_of_their_domain(server):
    world = World(server, more_hosts=["verona.example"], queue_stanzas=3)
    world.ways.dns[REMOTE] = Event()
    world.route("1", local="verona.example")
    world.route("2", local="verona.example")
    world.say("3")
    world.say("4")
    assert world.errors() == [("4", "resource-constraint", "wait")]


def test_all_domains_together_have_a_bound_too(world, monkeypatch):
    monkeypatch.setattr(s2s_link, "MAX_WAITING_OCTETS", 1000)
    world.ways.dns |= {REMOTE: Event(), "verona.example": Event()}
    world.route("1", lang="x" * 900)
    world.say("2", to="verona.example")
    assert world.errors() == [("2", "resource-constraint", "wait")]
    # What was refused leaves nothing behind.
    assert list(world.s2s.links) == [PAIR]


def test_no_more_pairs_than_a_bound_are_kept(world, monkeypatch):
    monkeypatch.setattr(s2s_links, "MAX_LINKS", 1)
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.say("2", to="verona.example")
    assert world.errors() == [("2", "resource-constraint", "wait")]


def test_one_domains_trouble_delays_no_other(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    stream = world.open("verona.example")
    world.say("2", to="verona.example")
    assert stream.ids == ["2"]


# What is not answered


@pytest.mark.parametrize(
    ("cls", "type_"),
    [(Message, "error"), (Iq, "error"), (Iq, "result"), (Presence, "unavailable")],
)
def test_what_nobody_waits_for_is_dropped(world, cls, type_):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    stanza = cls(to=JID.parse(f"romeo@{REMOTE}"), from_=world.juliet.jid, type=type_, id="1")
    world.server.kernel.router.route(stanza)
    assert world.errors() == []
    assert world.s2s.figures.refused == 1


def test_an_error_between_two_dead_domains_does_not_go_round(server):
    world = World(server)
    world.ways.dns |= {REMOTE: no_such_domain(REMOTE), "verona.example": no_such_domain("x")}
    # As if a plugin sent on what a third server had sent.
    stanza = Message(to=JID.parse(f"romeo@{REMOTE}"), from_=JID.parse("paris@verona.example"))
    server.kernel.router.route(stanza)
    server.settle()
    assert world.ways.asked == []
    assert world.s2s.links == {}


# Who may


def test_a_domain_that_is_denied_is_not_even_looked_up(server):
    world = World(server, domains={"*.example": {"access": "deny"}})
    world.say("1")
    assert world.errors() == [("1", "not-allowed", "cancel")]
    assert world.ways.asked == []


def test_a_server_that_is_not_federated_says_so(server):
    world = World(server, enabled=False)
    world.say("1")
    assert world.errors() == [("1", "remote-server-not-found", "cancel")]


def test_a_plugins_domain_speaks_for_itself(server):
    class Echo:
        def __init__(self, host, options):
            host.register_route(f"echo.{LOCAL}", print)

    world = World(server, plugins={"echo": Echo})
    world.route("1", local=f"echo.{LOCAL}")
    stream = world.stream()
    assert stream.pair == (f"echo.{LOCAL}", REMOTE)
    assert stream.host is world.host.kernel


# The sender is told when it is safe (promise R1)


def test_a_stanza_is_held_while_it_waits(world):
    world.ways.dns[REMOTE] = Event()
    custody = Custody()
    stanza = Message(to=JID.parse(f"romeo@{REMOTE}"), from_=world.juliet.jid)
    stanza.custody = custody
    world.s2s.route(stanza)
    assert custody.is_held
    world.ways.dns[REMOTE].set()
    world.stream().authorize()
    assert not custody.is_held


def test_a_stanza_is_held_until_it_is_answered(world):
    custody = Custody()
    stanza = Message(to=JID.parse(f"romeo@{REMOTE}"), from_=world.juliet.jid, id="1")
    stanza.custody = custody
    world.s2s.route(stanza)
    world.stream().lose()
    assert [id for id, *_ in world.errors()] == ["1"]
    assert not custody.is_held


# A peer that reads slowly


def test_what_a_slow_peer_does_not_take_waits_in_order(world):
    stream = world.open()
    stream.takes_stanzas = False
    world.say("1")
    world.say("2")
    assert stream.sent == []
    assert world.s2s.figures.waiting == 2
    stream.flow()
    world.say("3")
    assert stream.ids == ["1", "2", "3"]


def test_what_waits_is_not_overtaken_before_the_stream_is_said_to_flow(world):
    stream = world.open()
    stream.takes_stanzas = False
    world.say("1")
    stream.takes_stanzas = True
    world.say("2")
    assert stream.sent == []
    stream.flow()
    assert stream.ids == ["1", "2"]


def test_each_time_that_something_waits_it_has_all_of_the_time(world):
    stream = world.open()
    stream.takes_stanzas = False
    world.say("1")
    world.pass_(50)
    stream.flow()
    stream.takes_stanzas = False
    world.say("2")
    world.pass_(50)
    assert world.errors() == []
    stream.flow()
    assert stream.ids == ["1", "2"]


def test_a_stream_may_take_a_part_only(world):
    stream = world.open()
    stream.takes_stanzas = False
    for number in range(3):
        world.say(str(number))
    send = stream.send

    def send_one(stanza):
        try:
            return send(stanza)
        finally:
            stream.takes_stanzas = False

    stream.send = send_one
    stream.flow()
    assert stream.ids == ["0"]
    world.say("3")
    stream.flow()
    stream.flow()
    stream.flow()
    assert stream.ids == ["0", "1", "2", "3"]


def test_nobody_waits_longer_for_a_slow_peer_either(world):
    stream = world.open()
    stream.takes_stanzas = False
    world.say("1")
    world.pass_(61)
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    world.say("2")
    stream.flow()
    assert stream.ids == ["2"]


def test_a_stream_that_has_just_ended_takes_nothing(world):
    stream = world.open()
    world.pass_(30)
    stream.is_open = False
    world.say("1")
    assert world.s2s.figures.waiting == 1
    stream.lose()
    world.pass_(6)
    world.stream().authorize()
    assert world.stream().ids == ["1"]


def test_an_answer_that_fails_keeps_no_other_from_its_own(world, monkeypatch):
    world.server.expect_errors()
    router = world.server.kernel.router
    bounce = router.bounce

    def fail_first(stanza, error):
        if stanza.id == "1":
            raise RuntimeError("Alack")
        bounce(stanza, error)

    monkeypatch.setattr(router, "bounce", fail_first)
    world.say("1")
    world.say("2")
    world.stream().lose()
    assert [id for id, *_ in world.errors()] == ["2"]


def test_a_stanza_without_a_sender_goes_nowhere(world):
    with pytest.raises(StanzaError):
        world.s2s.route(Message(to=JID.parse(f"romeo@{REMOTE}")))
