"""Streams are set up so many at a time, on the places of a domain in turn, or shared."""

import pytest
from gevent.event import Event
from s2s_world import LOCAL, REMOTE, World, no_such_domain, refused_connection

from stonechat.core.s2s_setup import SHARING_SECONDS
from stonechat.federation import Pair
from stonechat.net.resolver import Target

CHAT = f"chat.{REMOTE}"
FIRST, SECOND = (Target(f"{name}.{REMOTE}", 5269, False) for name in ("first", "second"))


@pytest.fixture
def world(server):
    return World(server)


def hang(world, *domains):
    world.ways.dns |= {domain: Event() for domain in domains}


# Places


def test_no_more_are_set_up_at_once_than_there_are_places(server):
    world = World(server, connecting=20)
    domains = [f"d{number}.example" for number in range(25)]
    hang(world, *domains)
    for domain in domains:
        world.route("1", remote=domain)
    world.settle()
    assert world.ways.asked == domains[:20]
    assert world.s2s.figures.connecting == 20
    world.ways.dns["d3.example"].set()
    world.stream().authorize()
    world.settle()
    assert world.ways.asked == domains[:21]


def test_a_place_is_free_again_when_a_setup_fails(server):
    world = World(server, connecting=1)
    world.ways.dns[REMOTE] = no_such_domain(REMOTE)
    world.say("1")
    world.say("2", to="verona.example")
    assert world.stream().pair.remote == "verona.example"


def test_one_domain_gets_a_tenth_of_the_places_however_many_want_it(server):
    ours = [f"host{number}.example" for number in range(3)]
    world = World(server, connecting=20, more_hosts=ours)
    hang(world, REMOTE)
    for domain in ours:
        world.route("1", local=domain)
    world.route("2", remote="verona.example")
    world.settle()
    assert world.ways.asked == [REMOTE, REMOTE, "verona.example"]
    world.ways.dns[REMOTE].set()
    world.settle()
    for stream in world.ways.streams:
        stream.authorize()
    world.settle()
    assert world.ways.asked.count(REMOTE) == 3


def test_waiting_in_line_counts_as_waiting(server):
    world = World(server, connecting=1)
    hang(world, "verona.example")
    world.route("0", remote="verona.example")
    world.say("1")
    world.pass_(61)
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert world.ways.asked == ["verona.example"]


def test_the_line_may_be_long(server):
    world = World(server, connecting=1)
    hang(world, "d0.example")
    for number in range(2000):
        world.route("1", remote=f"d{number}.example")
    world.ways.dns["d0.example"].set()
    for number in range(2000):
        world.stream(number).lose()
    world.settle()
    assert world.s2s.figures == (0, 0, 0, 0, 2000)
    assert world.s2s.links == {}


# Time, and the places of a domain


def test_connecting_has_the_time_that_is_left(world):
    world.ways.dns[REMOTE] = Event()
    world.say("1")
    world.pass_(20)
    world.ways.dns[REMOTE].set()
    assert world.stream().seconds == pytest.approx(40, abs=1)
    [(_, seconds)] = world.ways.dialed
    assert seconds == pytest.approx(40, abs=1)


def test_where_a_place_says_nothing_the_next_is_tried(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.say("1")
    first = world.stream()
    assert first.target == FIRST
    # The other place is left half of the time.
    assert first.seconds == pytest.approx(30, abs=1)
    first.lose("TLS handshake failed")
    second = world.stream()
    assert second.target == SECOND
    assert second.seconds == pytest.approx(60, abs=1)
    second.authorize()
    assert second.ids == ["1"]
    assert world.ways.asked == [REMOTE]
    assert world.errors() == []


def test_the_refusal_of_an_xmpp_server_is_its_domains(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.say("1")
    stream = world.stream()
    stream.offer()
    stream.lose("not-authorized")
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert len(world.ways.streams) == 1


def test_where_a_place_shows_the_wrong_certificate_the_next_is_tried(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.say("1")
    first = world.stream()
    first.refuse()
    first.close()
    second = world.stream()
    assert second.target == SECOND
    second.refuse("not-acceptable")
    second.close()
    assert world.errors() == [("1", "not-acceptable", "modify")]


def test_when_no_place_is_left_it_has_failed(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.ways.sockets[SECOND.host] = refused_connection(REMOTE)
    world.say("1")
    world.stream().lose()
    assert world.errors() == [("1", "remote-server-timeout", "wait")]


def lose_in_tls(stream):
    stream.may_do_without_tls = True
    stream.lose("TLS handshake failed")


def test_where_tls_is_begun_in_vain_everywhere_it_goes_without_at_last(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.say("1")
    lose_in_tls(world.stream())
    # First of all whoever may yet encrypt.
    assert (world.stream().target, world.stream().avoids_tls) == (SECOND, False)
    lose_in_tls(world.stream())
    assert (world.stream().target, world.stream().avoids_tls) == (FIRST, True)
    world.stream().lose()
    third = world.stream()
    assert (third.target, third.avoids_tls) == (SECOND, True)
    third.authorize()
    assert third.ids == ["1"]
    assert world.errors() == []


def test_it_goes_without_but_once(world):
    world.say("1")
    lose_in_tls(world.stream())
    lose_in_tls(world.stream())
    assert len(world.ways.streams) == 2
    assert world.errors() == [("1", "remote-server-timeout", "wait")]


def test_it_goes_without_too_where_the_other_places_do_not_answer(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.ways.sockets[SECOND.host] = refused_connection(REMOTE)
    world.say("1")
    lose_in_tls(world.stream())
    stream = world.stream()
    assert (stream.target, stream.avoids_tls) == (FIRST, True)
    stream.authorize()
    assert world.errors() == []


def test_where_another_place_speaks_to_us_its_word_is_the_last(world):
    world.ways.dns[REMOTE] = [FIRST, SECOND]
    world.say("1")
    lose_in_tls(world.stream())
    world.stream().offer()
    world.stream().refuse("not-acceptable")
    assert world.errors() == [("1", "not-acceptable", "modify")]
    assert len(world.ways.streams) == 2


def test_a_stream_that_cannot_start_is_given_up(world, monkeypatch):
    open_ = world.ways.open

    def broken(*arguments):
        stream = open_(*arguments)
        stream.start = lambda: 1 / 0
        return stream

    world.server.expect_errors()
    monkeypatch.setattr(world.ways, "open", broken)
    world.say("1")
    assert world.errors() == [("1", "internal-server-error", "cancel")]
    assert not world.stream().is_open


def test_a_domain_that_is_gone_meanwhile_opens_no_stream(server):
    class Echo:
        def __init__(self, host, options):
            self.host = host
            host.register_route(f"echo.{LOCAL}", print)

    world = World(server, plugins={"echo": Echo})
    hang(world, REMOTE)
    world.route("1", local=f"echo.{LOCAL}")
    world.settle()
    world.host.plugin("echo").host.unregister_route(f"echo.{LOCAL}")
    world.ways.dns[REMOTE].set()
    world.settle()
    assert world.ways.streams == []
    assert world.s2s.links == {}


@pytest.mark.parametrize("is_bidirectional", [True, False])
def test_a_stream_that_is_not_needed_any_more_is_closed_unless_the_peer_may_use_it(
    world, is_bidirectional
):
    world.say("1")
    ours, theirs = world.stream(), world.incoming(is_bidirectional=True)
    ours.is_bidirectional = is_bidirectional
    theirs.authorize()
    assert theirs.ids == ["1"]
    # It may have let us in, and have sent something before we hear of that (XEP-0288).
    assert ours.is_open is is_bidirectional
    assert world.s2s.figures.connecting == 0


def test_a_stream_for_both_directions_ends_when_it_takes_too_long(world):
    world.say("1")
    ours = world.stream()
    ours.is_bidirectional = True
    world.pass_(61)
    assert world.errors() == [("1", "remote-server-timeout", "wait")]
    assert not ours.is_open


# Sharing (XEP-0220, multiplexing)


@pytest.fixture
def shared(server):
    """Two hosts of ours, the first of which has a stream already."""
    world = World(server, more_hosts=["verona.example"])
    world.first = world.open()
    return world


VERONA = Pair("verona.example", REMOTE)


def test_another_domain_of_ours_may_use_the_stream_that_is_there(shared):
    stream = shared.first
    stream.proves = True
    shared.route("1", local="verona.example")
    shared.settle()
    assert stream.proofs == [VERONA]
    assert stream.sent == []
    stream.authorize(VERONA)
    assert stream.ids == ["1"]
    assert len(shared.ways.streams) == 1
    assert shared.ways.asked == [REMOTE]


def test_where_nobody_can_prove_it_the_pair_gets_a_stream_of_its_own(shared):
    shared.route("1", local="verona.example")
    own = shared.stream()
    assert own is not shared.first
    assert own.pair == VERONA
    own.authorize()
    assert own.ids == ["1"]


def test_where_the_peer_refuses_it_the_pair_gets_a_stream_of_its_own(shared):
    shared.first.proves = True
    shared.route("1", local="verona.example")
    shared.settle()
    shared.first.refuse("resource-constraint", VERONA)
    own = shared.stream()
    assert own.pair == VERONA
    # And gives up when it hears the same there.
    own.refuse("resource-constraint")
    shared.settle()
    assert shared.s2s.figures.refused == 1
    assert shared.first.is_open


@pytest.mark.parametrize("is_good", [True, False])
def test_a_stream_for_both_directions_is_shared_if_the_certificate_is_for_the_domain(
    shared, is_good
):
    stream = shared.first
    stream.proves = True
    stream.is_bidirectional = True
    stream.has_certificate_of = lambda remote: remote == REMOTE and is_good
    shared.route("1", local="verona.example")
    shared.settle()
    # Else the peer would have a say for it by no more than our own proof (XEP-0288).
    assert stream.proofs == ([VERONA] if is_good else [])
    assert len(shared.ways.streams) == (1 if is_good else 2)


def test_it_may_be_refused_at_once(shared):
    def refuse(pair):
        shared.first.refuse("policy-violation", pair)
        return True

    shared.first.proves = refuse
    shared.route("1", local="verona.example")
    own = shared.stream()
    own.authorize()
    assert own.ids == ["1"]
    assert shared.s2s.figures.connecting == 0


def test_what_is_given_up_after_a_refusal_opens_no_stream(shared):
    def refuse(pair):
        shared.first.refuse("policy-violation", pair)
        return True

    shared.first.proves = refuse
    waiting = shared.ways.sockets[f"xmpp.{REMOTE}"] = Event()
    shared.route("1", local="verona.example")
    shared.settle()
    shared.server.command("s2s-close", domain=REMOTE)
    waiting.set()
    shared.settle()
    assert len(shared.ways.streams) == 1


def test_a_stream_that_others_use_stays_when_a_proof_takes_too_long(server):
    world = World(server, more_hosts=["verona.example"], timeout="5 s")
    stream = world.open()
    stream.proves = True
    world.route("1", local="verona.example")
    world.pass_(6)
    world.settle()
    assert world.s2s.figures.refused == 1
    assert stream.is_open


def test_a_peer_that_says_nothing_to_it_is_not_waited_for_long(shared):
    shared.first.proves = True
    shared.route("1", local="verona.example")
    shared.pass_(SHARING_SECONDS + 1)
    own = shared.stream()
    assert own.pair == VERONA
    # A proof that comes late is good all the same.
    shared.first.authorize(VERONA)
    assert shared.first.ids == ["1"]
    assert not own.is_open
    assert shared.first.is_open


def test_where_the_shared_stream_is_lost_the_pair_gets_its_own(shared):
    shared.pass_(100)
    shared.first.proves = True
    shared.route("1", local="verona.example")
    shared.settle()
    shared.first.lose()
    own = shared.stream()
    assert own.pair == VERONA
    own.authorize()
    assert own.ids == ["1"]


def test_another_domain_of_the_same_server_may_share_its_stream(world):
    place = [Target(f"xmpp.{REMOTE}", 5269, False)]
    world.ways.dns |= {REMOTE: place, CHAT: place}
    stream = world.open()
    stream.proves = True
    world.say("1", to=CHAT)
    world.settle()
    assert stream.proofs == [Pair(LOCAL, CHAT)]
    stream.authorize(Pair(LOCAL, CHAT))
    world.say("2", to=CHAT)
    assert stream.ids == ["1", "2"]


def test_a_stream_that_does_not_satisfy_us_for_a_domain_is_not_shared(world):
    place = [Target(f"xmpp.{REMOTE}", 5269, False)]
    world.ways.dns |= {REMOTE: place, CHAT: place}
    stream = world.open()
    stream.proves = True
    stream.faults[CHAT] = f"the certificate is not for {CHAT}"
    world.say("1", to=CHAT)
    assert world.stream() is not stream
    assert stream.proofs == []


def test_a_stream_elsewhere_is_not_shared(world):
    stream = world.open()
    stream.proves = True
    world.say("1", to=CHAT)
    assert world.stream() is not stream
    assert stream.proofs == []
