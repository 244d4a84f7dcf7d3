"""Acks on streams that we open to other servers (XEP-0198), and what is done without them."""

import pytest
from sm_clients import ENABLE, REQUEST, ack, acks, managed_client, nonzas
from sm_servers import (
    CAPULET,
    ENABLED,
    FAILED,
    MONTAGUE,
    NS_BOTH,
    Both,
    admit,
    hark,
    managed,
    names,
    refusal,
    say,
)

from stonechat import timestamps
from stonechat.namespaces import NS_DELAY
from stonechat.stanza import Element, Message
from stonechat.testing import error_of
from stonechat_sm.elements import NS_SM

JULIET = f"juliet@{CAPULET}/balcony"


@pytest.fixture
def montague(server):
    return server.remote(MONTAGUE)


@pytest.fixture
def make_juliet(server, montague):
    """Juliet, whose client counts, on a host with these options."""

    def make(**options):
        host = server.host(CAPULET, sm=options, offline={}, plugin_classes={"both": Both})
        return managed_client(host, JULIET)

    return make


@pytest.fixture
def juliet(make_juliet):
    return make_juliet()


def the_next(server, montague):
    """The stream that takes the place of one that was lost."""
    server.clock.advance(10)
    return managed(montague)


# Agreeing


def test_enable_comes_before_all_that_waits(server, juliet, montague):
    say(juliet, "one", "two")
    stream = admit(montague)
    assert names(stream) == ["enable", "one", "two"]
    stream.send(ENABLED)
    assert names(stream) == ["r"]
    stream.send(ack(2))
    server.clock.advance(100)
    assert names(stream) == []


def test_a_further_pair_on_the_stream_changes_nothing(server, make_juliet, montague):
    server.configure(federation={"trust": "any"})
    say(make_juliet(), "one")
    stream = managed(montague)
    stream.received()
    stream.send(Element(NS_BOTH, "pair", {"from": "chat.montague.example"}))
    assert names(stream) == []
    stream.send(ack(1))
    assert not stream.is_closed


def test_a_peer_that_does_not_offer_it_is_not_asked(server, juliet, montague):
    say(juliet, "one")
    stream = montague.admit()
    juliet.send(REQUEST)
    assert acks(juliet) == ["1"]
    server.clock.advance(100)
    assert names(stream) == ["one"]
    assert not stream.is_closed


def test_it_can_be_switched_off(make_juliet, montague):
    say(make_juliet(servers=False), "one")
    assert names(admit(montague)) == ["one"]


def test_a_peer_that_refuses_is_spoken_to_without_acks(server, make_juliet, montague):
    juliet = make_juliet(max_unacked=2)
    say(juliet, "one", "two", "three")
    stream = admit(montague)
    juliet.send(REQUEST)
    assert names(stream) == ["enable", "one", "two"]
    assert acks(juliet) == []
    stream.send(FAILED)
    assert names(stream) == ["three"]
    assert acks(juliet) == ["3"]
    server.clock.advance(100)
    assert names(stream) == []
    assert not stream.is_closed


def test_a_peer_that_never_answers_enable_is_lost(server, juliet, montague):
    say(juliet, "one")
    stream = admit(montague)
    assert names(stream) == ["enable", "one"]
    server.clock.advance(80)
    assert stream.closed_with() == "connection-timeout"


def test_who_has_not_opened_the_stream_does_not_enable(juliet, montague):
    say(juliet, "one")
    stream = montague.admit()
    stream.received()
    stream.send(ENABLE)
    assert refusal(stream) == "unexpected-request"


def test_acks_before_the_answer_to_enable_are_refused(juliet, montague):
    say(juliet, "one")
    stream = admit(montague)
    stream.received()
    stream.send(ack(1))
    assert refusal(stream) == "unexpected-request"
    stream.send(REQUEST)
    assert refusal(stream) == "unexpected-request"
    stream.send(ENABLED)
    stream.send(ENABLED)
    assert stream.closed_with() == "policy-violation"


def test_what_came_before_the_answer_is_not_counted(juliet, montague):
    say(juliet, "one")
    stream = admit(montague, Element(NS_BOTH, "both"))
    stream.send(hark("not counted"))
    stream.send(ENABLED)
    stream.send(f"<presence from='romeo@{MONTAGUE}' to='{JULIET}'/>")
    stream.send(REQUEST)
    assert acks(stream) == ["1"]


# Asking


def test_a_peer_is_asked_soon_and_at_once_when_much_waits(server, juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    stream.send(ack(1))
    stream.received()
    say(juliet, "two")
    assert names(stream) == ["two"]
    server.clock.advance(1)
    assert names(stream) == ["r"]
    stream.send(ack(2))
    say(juliet, *range(8))
    assert names(stream) == [*"01234567", "r"]
    say(juliet, *range(20))
    assert "r" not in names(stream)


def test_the_sender_hears_that_a_message_is_safe_when_the_peer_has_it(juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    stream.send(ack(1))
    stream.received()
    say(juliet, "two")
    juliet.send(REQUEST)
    # Asked at once, because somebody waits.
    assert names(stream) == ["two", "r"]
    assert acks(juliet) == []
    stream.send(ack(2))
    assert acks(juliet) == ["2"]


def test_who_acknowledges_more_than_was_sent_is_shown_the_door(juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    stream.send(ack(2))
    assert stream.closed_with() == "undefined-condition"
    error = stream.error.find("handled-count-too-high", NS_SM)
    assert error.attributes == {"h": "2", "send-count": "1"}


# Bounds


@pytest.mark.parametrize("bound", [{"max_unacked": 3}, {"max_unacked_bytes": 512}])
def test_where_too_much_is_not_acknowledged_more_waits_and_leaves_in_order(
    make_juliet, montague, bound
):
    juliet = make_juliet(**bound)
    say(juliet, *range(12))
    stream = managed(montague)
    came = []
    while batch := [name for name in names(stream) if name != "r"]:
        assert len(batch) < 6
        came += batch
        stream.send(ack(len(came)))
    assert came == [f"{number}" for number in range(12)]


def test_no_more_is_kept_than_can_wait_for_the_next_stream(juliet, montague, monkeypatch):
    monkeypatch.setattr("stonechat_sm.managed_server.MOST_UNACKED", 2)
    say(juliet, "one", "two", "three")
    assert names(managed(montague)) == ["one", "two", "r"]


def test_what_waits_behind_them_for_too_long_is_answered(server, make_juliet, montague):
    juliet = make_juliet(max_unacked=2, ack_timeout=600)
    say(juliet, "one", "two", "three")
    stream = managed(montague)
    assert names(stream) == ["one", "two", "r"]
    server.clock.advance(61)
    assert error_of(juliet.receive_message()).condition == "remote-server-timeout"
    stream.send(ack(2))
    assert names(stream) == []
    say(juliet, "four")
    assert names(stream) == ["four"]


# Losing


def test_what_was_not_acknowledged_goes_once_over_the_next_stream(server, juliet, montague):
    say(juliet, *range(6))
    stream = managed(montague)
    stream.send(ack(2))
    server.clock.advance(20)
    stream.drop()
    say(juliet, 6, 7)
    following = the_next(server, montague)
    assert names(following) == [*"234567", "r"]
    following.send(ack(6))
    server.clock.advance(20)
    following.drop()
    say(juliet, 8)
    assert names(the_next(server, montague)) == ["8", "r"]


def test_it_says_when_it_was_sent_first(server, juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    sent_by = server.kernel.now()
    server.clock.advance(20)
    stream.drop()
    server.clock.advance(10)
    again = admit(montague).receive_first(Message)
    (delay,) = [each for each in again.element.elements if each.name == "delay"]
    assert (delay.namespace, delay.get("from")) == (NS_DELAY, CAPULET)
    assert 0 <= sent_by - timestamps.read(delay.get("stamp")) < 1_000_000


def test_a_peer_that_never_acknowledges_is_lost(server, juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    server.clock.advance(50)
    assert not stream.is_closed
    server.clock.advance(40)
    assert stream.closed_with() == "connection-timeout"
    assert names(the_next(server, montague)) == ["one", "r"]


def test_the_sender_hears_nothing_before_the_next_peer_has_it(server, juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    juliet.send(REQUEST)
    server.clock.advance(20)
    stream.drop()
    juliet.send(REQUEST)
    following = the_next(server, montague)
    juliet.send(REQUEST)
    assert set(acks(juliet)) <= {"0"}
    following.send(ack(1))
    juliet.send(REQUEST)
    assert acks(juliet)[-1:] == ["1"]


def test_what_no_stream_takes_is_answered_and_is_safe_then(server, juliet, montague):
    say(juliet, "one")
    managed(montague).drop()
    # It was not held for five seconds: that counts as none at all.
    assert error_of(juliet.receive_message()).condition == "remote-server-timeout"
    juliet.send(REQUEST)
    assert acks(juliet) == ["1"]


def test_what_waits_survives_that_the_plugin_is_switched_off(server, juliet, montague):
    say(juliet, "one", "two")
    stream = managed(montague)
    stream.send(ack(1))
    server.clock.advance(20)
    host = next(iter(server._hosts.values()))
    romeo = host.connect(f"nurse@{CAPULET}/chamber")
    host.disable("sm")
    assert stream.closed_with() == "reset"
    server.clock.advance(10)
    following = admit(montague)
    assert names(following) == ["two"]
    say(romeo, "three")
    assert names(following) == ["three"]
    assert nonzas(following) == []


def test_nothing_is_kept_of_a_stream_that_is_over(server, juliet, montague):
    say(juliet, "one")
    stream = managed(montague)
    servers = next(iter(server._hosts.values())).plugin("sm").servers
    (kept,) = servers._managed
    stream.drop()
    assert not servers._managed
    assert not kept.queue


def test_what_the_peer_acknowledges_behind_our_end_is_not_sent_again(server, juliet, montague):
    say(juliet, "one", "two")
    stream = managed(montague)
    stream.received()
    server.clock.advance(5)
    server.command("s2s-close", domain=MONTAGUE)
    # Both are the last words: what we have had, and the question what it has.
    assert [element.name for element in nonzas(stream)][-2:] == ["a", "r"]
    assert stream.has_ended
    stream.send(ack(1))
    stream.close()
    assert names(admit(montague))[-1] == "two"


def test_at_the_end_nobody_is_asked_who_has_not_agreed_to_count(server, juliet, montague):
    say(juliet, "one")
    stream = admit(montague)
    assert stream.receive_element().name == "enable"
    server.command("s2s-close", domain=MONTAGUE)
    assert nonzas(stream) == []
    assert stream.has_ended
