"""The s2s manager: commands, figures, another configuration, the end."""

import subprocess
import sys
from dataclasses import replace

import gevent
import pytest
from gevent.event import Event
from s2s_world import LOCAL, PAIR, REMOTE, Stream, World, no_such_domain

from stonechat.commands import CommandError
from stonechat.core.metrics import render
from stonechat.core.peer_stream import PATIENCE
from stonechat.custody import Custody
from stonechat.federation import Pair
from stonechat.jid import JID
from stonechat.stanza import Message


@pytest.fixture
def world(server):
    return World(server)


# Commands and figures


def test_streams_are_listed_with_what_waits_for_them(world):
    world.open()
    world.say("1")
    world.incoming("verona.example").authorize()
    world.ways.dns["mantua.example"] = Event()
    world.say("2", to="mantua.example")
    world.ways.dns["padua.example"] = no_such_domain("padua.example")
    world.say("3", to="padua.example")
    world.incoming()
    world.errors()
    rows = world.server.command("s2s-list")
    told = [(row["direction"], row["remote"], row["state"], row["waiting"]) for row in rows]
    assert told[:2] == [("out", REMOTE, "open", 0), ("out", "mantua.example", "being set up", 1)]
    assert set(told[2:4]) == {
        ("in", "verona.example", "open", 0),
        ("in", REMOTE, "has proven nothing", 0),
    }
    assert told[4][:2] == ("out", "padua.example")
    assert told[4][2].startswith("rests for ")
    assert rows[4]["reason"] == "padua.example does not exist"
    assert rows[0]["sent"] == 1
    assert world.server.command("s2s-list", domain="Mantua.Example") == [rows[1]]
    assert world.server.command("s2s-list", limit=1) == rows[:1]


def test_streams_of_a_domain_are_closed_and_it_may_be_tried_again(world):
    ours, theirs = world.open(), world.incoming()
    theirs.authorize()
    other = world.open("verona.example")
    assert world.server.command("s2s-close", domain=REMOTE) == 2
    assert (ours.is_open, theirs.is_open, other.is_open) == (False, False, True)
    assert ours.error is None
    # That it has lived for a moment only was our doing.
    world.say("1")
    assert world.stream() is not ours


def test_what_waits_for_a_domain_that_is_closed_is_answered(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    assert world.server.command("s2s-close", domain=REMOTE) == 0
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("2")
    world.errors()
    world.server.command("s2s-close", domain=REMOTE)
    del world.ways.dns[REMOTE]
    world.say("3")
    world.stream().authorize()
    assert world.stream().ids == ["3"]


def test_what_comes_while_a_closed_stream_ends_waits_for_that_only(world):
    stream = world.open()
    world.pass_(100)
    # The peer has something to say before it ends its side.
    stream.close = lambda error=None: setattr(stream, "is_open", False)
    world.server.command("s2s-close", domain=REMOTE)
    world.say("1")
    stream.lose()
    assert world.stream() is not stream
    world.stream().authorize()
    assert world.stream().ids == ["1"]


def test_a_pause_after_a_lost_stream_ends_with_a_close_too(world):
    stream = world.open()
    world.pass_(100)
    stream.takes_stanzas = False
    world.say("1")
    stream.lose()
    world.server.command("s2s-close", domain=REMOTE)
    assert [id for id, *_ in world.errors()] == ["1"]
    assert world.s2s.links == {}


def test_a_domain_that_is_none_is_refused(world):
    with pytest.raises(CommandError, match="domain"):
        world.server.command("s2s-close", domain="a b")


def test_status_and_metrics_count_streams_and_stanzas(world):
    world.open()
    world.incoming().authorize()
    world.ways.dns["mantua.example"] = Event()
    world.say("1", to="mantua.example")
    world.ways.dns["padua.example"] = no_such_domain("padua.example")
    world.say("2", to="padua.example")
    world.errors()
    assert world.server.command("status")["federation"] == {
        "outgoing": 1,
        "incoming": 1,
        "connecting": 1,
        "waiting": 1,
        "refused": 1,
    }
    lines = render(world.server.kernel).splitlines()
    assert 'stonechat_server_streams{direction="out"} 1' in lines
    assert 'stonechat_server_streams{direction="in"} 1' in lines
    assert "stonechat_server_connecting 1" in lines
    assert "stonechat_server_waiting_stanzas 1" in lines
    assert "stonechat_server_refused_stanzas_total 1" in lines


# Another configuration


def reconfigure(world, **federation):
    old = world.server.kernel.configuration
    world.server.configure(federation=federation)
    world.s2s.reload(old)
    world.settle()


def test_a_stream_that_does_not_satisfy_a_stricter_policy_is_closed(world):
    stream, other = world.open(), world.open("verona.example")
    stream.faults[REMOTE] = "the certificate is not trusted"
    reconfigure(world)
    assert stream.error.condition == "policy-violation"
    assert other.is_open
    # Not as if the peer had ended it after a moment.
    world.say("1")
    assert world.stream().pair == PAIR
    assert world.stream().is_open


def test_incoming_streams_have_to_satisfy_it_too(world):
    stream = world.incoming()
    stream.authorize()
    stream.faults[REMOTE] = "the certificate is not trusted"
    reconfigure(world)
    assert stream.error.condition == "policy-violation"


def test_what_waits_for_a_domain_that_is_denied_now_is_answered(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.settle()
    reconfigure(world, domains={REMOTE: {"access": "deny"}})
    assert world.errors() == [("1", "not-allowed", "cancel")]
    assert world.s2s.figures.connecting == 0
    reconfigure(world, domains={})
    world.ways.dns[REMOTE].set()
    world.say("2")
    world.stream().authorize()
    assert world.stream().ids == ["2"]


DENIALS = [
    ({"domains": {REMOTE: {"access": "deny"}}}, "not-allowed"),
    ({"enabled": False}, "remote-server-not-found"),
]


@pytest.mark.parametrize(("options", "condition"), DENIALS)
def test_what_comes_while_a_stream_ends_that_is_forbidden_now_is_answered(
    world, options, condition
):
    stream = world.open()
    stream.lingers = True
    reconfigure(world, **options)
    world.say("1")
    assert world.errors() == [("1", condition, "cancel")]
    stream.lose()
    assert len(world.ways.dialed) == 1
    assert world.s2s.links == {}


@pytest.mark.parametrize(("options", "condition"), DENIALS)
def test_what_such_a_stream_gives_back_is_answered_too(world, options, condition):
    stream = world.open()
    world.pass_(100)
    stream.lingers = True
    world.say("1")
    reconfigure(world, **options)
    stream.left = list(stream.sent)
    stream.lose()
    assert world.errors() == [("1", condition, "cancel")]
    assert len(world.ways.dialed) == 1
    assert world.s2s.links == {}


@pytest.mark.parametrize(("options", "condition"), DENIALS)
def test_what_waits_behind_a_stream_that_is_forbidden_now_is_answered(world, options, condition):
    stream = world.open()
    stream.takes_stanzas = False
    stream.lingers = True
    world.say("1")
    reconfigure(world, **options)
    assert world.errors() == [("1", condition, "cancel")]


def test_what_could_not_be_may_be_by_another_configuration(world):
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    world.errors()
    reconfigure(world)
    assert world.ways.renewed == 1
    del world.ways.dns[REMOTE]
    world.say("2")
    assert world.stream().pair == PAIR


def test_bounds_change_for_what_is_to_come(world):
    world.ways.dns |= {REMOTE: Event(), "verona.example": Event()}
    reconfigure(world, queue_stanzas=1, connecting=1)
    world.say("1")
    world.say("2")
    assert world.errors() == [("2", "resource-constraint", "wait")]
    world.route("3", remote="verona.example")
    world.settle()
    assert world.ways.asked == [REMOTE]
    reconfigure(world, connecting=2)
    assert world.ways.asked == [REMOTE, "verona.example"]


def test_streams_of_a_host_that_is_gone_end_when_it_has_had_its_say(world):
    kernel, old = world.server.kernel, world.server.kernel.configuration
    stream = world.open()
    hosts = {"verona.example": old.hosts[LOCAL]}
    kernel.configuration = replace(old, hosts=hosts)
    world.s2s.reload(old)
    world.route("farewell")
    assert stream.is_open
    assert stream.ids == ["farewell"]
    kernel.configuration = old
    kernel.router.remove_route(LOCAL)
    world.s2s.hosts_gone()
    assert stream.error.condition == "host-gone"
    kernel.router.add_route(LOCAL, world.host.kernel.local_router.receive, f"host {LOCAL}")


# The end


def clock(seconds):
    """What `left` says: so much, and a little less each time."""
    times = iter(seconds - 0.01 * number for number in range(10_000))
    return lambda: next(times)


def test_at_the_end_all_streams_are_told(world):
    streams = [world.open(), world.incoming(), world.incoming("verona.example")]
    streams[1].authorize()
    world.s2s.drain(clock(1))
    assert {stream.error.condition for stream in streams} == {"system-shutdown"}
    world.say("1")
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    late = world.incoming()
    assert not late.is_open


def test_others_are_heard_out_before_ours_are_ended(world):
    ours, theirs = world.open(), world.incoming()
    theirs.authorize()
    theirs.lingers = True
    draining = gevent.spawn(world.s2s.drain, clock(100))
    gevent.sleep(0)
    assert theirs.error.condition == "system-shutdown"
    # What comes of the last that they have sent can leave yet.
    world.route("answer")
    assert ours.ids == ["answer"]
    theirs.lose()
    draining.join()
    assert ours.error.condition == "system-shutdown"
    assert not theirs.was_left


def test_one_for_both_directions_is_ended_with_ours(world):
    both = world.incoming(is_bidirectional=True)
    both.authorize()
    theirs = world.incoming("verona.example")
    theirs.authorize()
    theirs.lingers = True
    draining = gevent.spawn(world.s2s.drain, clock(100))
    gevent.sleep(0)
    assert both.is_open
    theirs.lose()
    draining.join()
    assert both.error.condition == "system-shutdown"


def test_who_does_not_end_its_side_has_had_its_time(world):
    streams = [world.open(), world.incoming()]
    streams[1].authorize()
    for stream in streams:
        stream.lingers = True
    world.s2s.drain(clock(1))
    assert [stream.was_left for stream in streams] == [True, True]


def test_what_a_stream_gives_back_at_the_end_is_dropped(world):
    stream = world.open()
    stream.lingers = True
    stream.left = [Message(to=JID.make("romeo", REMOTE), from_=world.juliet.jid, id="1")]
    world.s2s.drain(clock(0.1))
    world.settle()
    [record] = world.server.logged("stanzas to other servers are dropped")
    assert record["stanzas"] == 1
    assert world.s2s.room.waiting == 0
    assert world.s2s.links == {}
    assert len(world.ways.streams) == 1


def test_what_waits_may_leave_yet(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.settle()
    draining = gevent.spawn(world.s2s.drain, clock(100))
    gevent.sleep(0)
    world.ways.dns[REMOTE].set()
    stream = world.stream()
    stream.authorize()
    draining.join()
    assert stream.ids == ["1"]
    assert stream.error.condition == "system-shutdown"


def test_what_does_not_leave_in_time_is_answered(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.settle()
    world.s2s.drain(clock(0.1))
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert world.s2s.links == {}
    assert PATIENCE < 10


@pytest.mark.parametrize("is_stopping", [True, False])
def test_a_client_counts_what_was_answered_unless_the_server_stops(world, is_stopping):
    world.ways.dns[REMOTE] = Event()
    message = Message(to=JID.make("romeo", REMOTE), from_=world.juliet.jid, id="1")
    message.custody = Custody()
    world.server.kernel.router.route(message)
    world.settle()
    assert message.custody.is_held
    world.server.kernel.is_stopping = is_stopping
    world.s2s.drain(clock(0.1))
    world.server.kernel.is_stopping = False
    assert message.custody.is_held == is_stopping


def test_without_time_what_waits_is_dropped_and_counted(world):
    world.ways.dns[REMOTE] = Event()
    held = world.route("1", cls=Message)
    assert held.custody is None
    world.s2s.stop()
    assert world.errors() == []
    [record] = world.server.logged("stanzas to other servers are dropped")
    assert record["stanzas"] == 1
    assert world.s2s.room.waiting == 0


def test_a_proof_that_comes_after_the_end_is_of_no_use(world):
    stream = Stream(world.s2s, PAIR)
    world.s2s.stop()
    stream.authorize(Pair(LOCAL, "mantua.example"))
    assert world.s2s.links == {}


# What is not needed is not loaded

START = """
import sys
from dataclasses import replace
from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration_text
from stonechat.core.server import Server
from stonechat.jid import JID
from stonechat.stanza import Message

server = Server(load_configuration_text(sys.argv[1], "test", plugin_loader.options_of))
server.start()
server.router.route(
    Message(to=JID.parse("romeo@montague.example"), from_=JID.parse("juliet@capulet.example"))
)
server.stop()
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(
    ("section", "unwanted"),
    [
        (
            "listen: []",
            {"dns", "stonechat.core.server_stream", "stonechat.net.resolver"},
        ),
        (
            'listen: [{type: s2s, port: 0, starttls: "off"}]\nfederation: {access: deny}',
            {"dns", "stonechat.net.resolver"},
        ),
    ],
)
def test_a_server_that_speaks_to_no_other_loads_nothing_for_it(tmp_path, section, unwanted):
    text = f"data_dir: {tmp_path}\nhosts: {{capulet.example: {{}}}}\n{section}\n"
    done = subprocess.run(
        [sys.executable, "-c", START, text], capture_output=True, text=True, check=True, timeout=60
    )
    assert unwanted & set(done.stdout.split()) == set()
