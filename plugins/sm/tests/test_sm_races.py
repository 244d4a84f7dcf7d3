"""Two things at once: resumptions, ends of sessions, and what comes in between."""

from functools import partial
from types import SimpleNamespace

import gevent
import pytest
from gevent.event import Event
from sm_clients import (
    JULIET,
    PASSWORD,
    REQUEST,
    ROMEO,
    ack,
    acks,
    away,
    bodies,
    errors,
    first_client,
    logged_in,
    managed_client,
    managed_of,
    resumable_client,
    resume,
    resume_element,
)

from stonechat import hookimpl
from stonechat.custody import Custody
from stonechat.errors import StreamError
from stonechat.jid import JID
from stonechat.stanza import Element, Message
from stonechat_sm import resumption
from stonechat_sm.elements import NS_SM
from stonechat_sm.resumption import Refusal

SLOW = b"<message to='x@y'><body>slow</body></message>"


class Slow:
    """Keeps messages that say so until the test lets them go."""

    def __init__(self, host, options):
        self.host = host
        self.go_on = Event()
        self.held = []

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        if message.body == "slow":
            self.go_on.wait(5)
        elif message.body == "held":
            self.held.append(message.hold())


@pytest.fixture
def host(server):
    return server.host("capulet.example", sm={}, offline={}, plugin_classes={"slow": Slow})


@pytest.fixture
def slow(host):
    return host.plugin("slow")


@pytest.fixture
def plugin(host):
    return host.plugin("sm")


def stream_of(account):
    return SimpleNamespace(account=JID.parse(account))


# Two who resume


def test_of_two_who_resume_while_the_old_connection_is_at_work_the_later_has_it(
    server, host, slow
):
    juliet, id = resumable_client(host, JULIET)
    juliet.stream.connection.deliver(SLOW)
    server.settle()
    first, second = logged_in(host), logged_in(host)
    first.send(resume_element(id))
    second.send(resume_element(id))
    assert (first.received(), second.received()) == ([], [])
    slow.go_on.set()
    server.settle()
    assert first.closed_with() == "conflict"
    assert second.receive_element().name == "resumed"
    host.connect(ROMEO).message(JULIET, "one")
    assert bodies(second) == ["one"]
    assert not second.is_closed


def test_one_who_comes_when_the_old_connection_has_just_come_to_rest_is_the_later(
    server, host, slow
):
    juliet, id = resumable_client(host, JULIET)
    juliet.stream.connection.deliver(SLOW)
    server.settle()
    first, second = logged_in(host), logged_in(host)
    first.send(resume_element(id))
    second.connection.deliver(resume_element(id).encode())
    slow.go_on.set()
    server.settle()
    assert first.closed_with() == "conflict"
    assert second.receive_element().name == "resumed"
    assert not second.is_closed


def blocked(monkeypatch, target, name):
    """Make a method wait; returns what it waits for."""
    go_on = Event()
    method = getattr(target, name)

    def wait(*arguments):
        go_on.wait(5)
        return method(*arguments)

    monkeypatch.setattr(target, name, wait)
    return go_on


def test_of_two_who_resume_after_a_restart_both_find_the_session(server, host, monkeypatch):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    go_on = blocked(monkeypatch, host.plugin("sm").spool.tables, "kept")
    first, second = logged_in(host), logged_in(host)
    first.send(resume_element(id))
    second.send(resume_element(id))
    go_on.set()
    server.settle()
    assert first.receive_element().name == "resumed"
    assert first.closed_with() == "conflict"
    assert second.receive_element().name == "resumed"
    assert bodies(second) == ["one"]


def test_who_waits_too_long_for_its_turn_is_refused(server, host, plugin, monkeypatch):
    id = away(host, JULIET)
    plugin.resumption._turns._seconds = 0.01
    go_on = blocked(monkeypatch, plugin.resumption, "_take_over")
    first, second = logged_in(host), logged_in(host)
    first.send(resume_element(id))
    second.send(resume_element(id))
    failed = second.receive_element()
    assert failed.find("resource-constraint", "urn:ietf:params:xml:ns:xmpp-stanzas") is not None
    go_on.set()
    assert first.receive_element().name == "resumed"
    assert len(plugin.resumption._turns) == 0


# A session that ends meanwhile


def test_a_session_that_is_just_ending_says_what_it_has_handled(host, plugin):
    juliet, id = resumable_client(host, JULIET)
    juliet.message(ROMEO, "one")
    host.kernel.session(juliet.jid).close()
    with pytest.raises(Refusal) as refused:
        plugin.resumption.resume(stream_of("juliet@capulet.example"), id, 0)
    assert refused.value.h == 2
    with pytest.raises(Refusal) as refused:
        plugin.resumption.resume(stream_of("tybalt@capulet.example"), id, 0)
    assert refused.value.h is None


def test_a_session_that_ends_while_it_is_resumed_leaves_only_what_its_client_has_not(
    server, host, slow
):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(4):
        romeo.message(JULIET, f"{number}")
    juliet.message(ROMEO, "held")
    juliet.drop()
    server.settle()
    stream = logged_in(host)
    h = managed_of(host, JULIET).waiting - 2
    stream.connection.deliver(resume_element(id, h).encode())
    gevent.sleep(0.02)
    host.kernel.session(JID.parse(JULIET)).close(StreamError("policy-violation"))
    server.settle()
    slow.held.pop()()
    assert stream.closed_with() == "policy-violation"
    assert [item.name for item in stream.received()] == ["error"]
    assert bodies(first_client(host)) == ["2", "3"]


def refused(stream):
    def resume(session):
        raise StreamError("host-gone")

    stream.resume = resume
    return stream


def test_a_session_goes_on_as_before_when_a_stream_cannot_take_it_over(server, host, plugin):
    juliet, id = resumable_client(host, JULIET)
    with pytest.raises(StreamError):
        plugin.resumption.resume(refused(stream_of("juliet@capulet.example")), id, 0)
    host.connect(ROMEO).message(JULIET, "one")
    assert bodies(juliet) == ["one"]


def test_a_session_that_waits_does_so_on_when_a_stream_cannot_take_it_over(server, host, plugin):
    id = away(host, JULIET)
    with pytest.raises(StreamError):
        plugin.resumption.resume(refused(stream_of("juliet@capulet.example")), id, 0)
    server.clock.advance(299)
    assert host.kernel.session(JID.parse(JULIET)) is not None
    server.clock.advance(2)
    assert host.kernel.session(JID.parse(JULIET)) is None


def test_a_session_that_is_resumed_at_the_last_moment_goes_on(server, host, plugin):
    id = away(host, JULIET)
    managed = managed_of(host, JULIET)
    resume(host, id, 0)
    # The timer was due already.
    plugin.resumption._time_is_over(managed)
    assert managed.session.is_open


def test_what_comes_to_a_session_after_its_end_goes_to_others(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    managed = managed_of(host, juliet)
    juliet.drop()
    server.settle()
    romeo.message(JULIET, "earlier")
    safe = []
    for text in ("one", "two"):
        body = Element("jabber:client", "body", None, text)
        message = Message(body, to=juliet.jid, from_=romeo.jid, type="chat")
        message.custody = Custody(partial(safe.append, text))
        # From an outlet in front of it that has just let go of it.
        managed.send(message)
    assert safe == []
    assert bodies(first_client(host)) == ["earlier", "one", "two"]
    assert safe == ["one", "two"]
    assert managed.queue is None


def test_offline_messages_to_a_session_that_has_just_ended_are_not_stuck(
    server, host, monkeypatch
):
    host.create_account("juliet", PASSWORD)
    romeo = host.connect(ROMEO)
    romeo.message("juliet@capulet.example", "one")
    spool = host.plugin("offline").spool
    go_on = blocked(monkeypatch, spool, "first")
    juliet = host.connect(JULIET)
    juliet.send(f"<enable xmlns='{NS_SM}'/>")
    juliet.stream.connection.deliver(b"<presence/>")
    server.settle()
    juliet.drop()
    go_on.set()
    server.settle()
    assert bodies(first_client(host)) == ["one"]


# What is not safe in time


def test_counts_agree_when_something_is_not_safe_in_time(server, host, slow, monkeypatch):
    monkeypatch.setattr(resumption, "SAFE_SECONDS", 0.01)
    juliet, id = resumable_client(host, JULIET)
    juliet.message(ROMEO, "held")
    juliet.message(ROMEO, "after it")
    juliet.drop()
    server.settle()
    stream, resumed = resume(host, id, 0)
    assert resumed.get("h") == "1"
    # So she sends them again, and both sides count them once.
    for text in ("not held", "after it"):
        stream.send(f"<message to='{ROMEO}'><body>{text}</body></message>")
    stream.send(REQUEST)
    assert acks(stream)[-1] == "3"
    slow.held.pop()()
    stream.send(REQUEST)
    assert acks(stream) == ["3"]


def test_nobody_hears_that_something_is_safe_because_the_plugin_stops(server, host):
    host.connect(JULIET)
    managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "one")
    romeo.send(REQUEST)
    host.disable("sm")
    assert acks(romeo) == []


def test_a_session_that_waits_when_the_plugin_stops_is_over(server, host):
    away(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    host.disable("sm")
    assert host.kernel.session(JID.parse(JULIET)) is None
    romeo.message(JULIET, "two")
    assert bodies(first_client(host)) == ["one", "two"]


# Too much


def test_requests_without_end_end_the_session(server, host):
    away(host, JULIET)
    tybalt = host.connect("tybalt@capulet.example/street")
    large = "x" * 200_000
    for number in range(30):
        tybalt.send(
            f"<iq type='get' id='{number}' to='{JULIET}'><x xmlns='urn:x'>{large}</x></iq>"
        )
    assert host.kernel.session(JID.parse(JULIET)) is None
    assert set(errors(tybalt)) == {"service-unavailable"}


def test_presence_without_end_ends_the_session(server):
    host = server.host("montague.example", sm={"max_unacked": 10})
    juliet = managed_client(host, "juliet@montague.example/balcony")
    tybalt = host.connect("tybalt@montague.example/street")
    for _ in range(20):
        tybalt.send(f"<presence to='{juliet.jid}'/>")
    assert not juliet.is_closed
    tybalt.send(f"<presence to='{juliet.jid}'/>")
    assert juliet.closed_with() == "policy-violation"


def test_a_large_answer_does_not(server):
    host = server.host("montague.example", sm={"max_unacked_bytes": "1 KiB"})
    juliet = managed_client(host, "juliet@montague.example/balcony")
    tybalt = host.connect("tybalt@montague.example/street")
    large = "x" * 200_000
    for number in range(10):
        tybalt.send(
            f"<iq type='get' id='{number}' to='{juliet.jid}'><x xmlns='urn:x'>{large}</x></iq>"
        )
    juliet.send(ack(10))
    assert not juliet.is_closed
