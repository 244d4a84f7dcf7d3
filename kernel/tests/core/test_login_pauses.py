"""Whoever guesses has to wait for the answer, and costs nobody anything while he does."""

import base64

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.namespaces import NS_SASL
from stonechat.sasl import SaslFailed, SaslSuccess
from stonechat.stanza import Message
from stonechat.testing.kit import PASSWORD
from stonechat.xml import Element

HOME = "192.0.2.1"
AWAY = "198.51.100.7"
DOOR = "urn:example:door"
END = "</stream:stream>"


def plain(localpart, password):
    return base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()


def auth(localpart="juliet", password="wrong"):
    return f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{plain(localpart, password)}</auth>"


class Door:
    """Logs in by the text of a knock, binds, and says hail: as XEP-0388 and XEP-0386 do it."""

    def __init__(self, host, options):
        self.events = []

    @hookimpl
    def stonechat_unbound_stream_elements(self):
        return {(DOOR, "knock"): self.knock}

    def knock(self, stream, element):
        event = stream.authenticate("PLAIN", element.text)
        self.events.append(event)
        stream.send(Element(DOOR, "answer"))
        if isinstance(event, SaslSuccess):
            session = stream.bind("balcony")
            session.send(Message(to=session.jid, type="headline"))


def knock(localpart="juliet", password="wrong"):
    return f"<knock xmlns='{DOOR}'>{plain(localpart, password)}</knock>"


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"door": Door})
    host.create_account("juliet", PASSWORD)
    return host


@pytest.fixture
def guess(host):
    """So many wrong guesses, on streams of their own that are gone before they are answered."""

    def guess(times, localpart="juliet", address=HOME):
        for _ in range(times):
            stream = host.open_stream(tls=True, address=address)
            stream.send(auth(localpart))
            stream.connection.abort("he has left")

    return guess


@pytest.fixture
def stream(host):
    return host.open_stream(tls=True, address=HOME)


def outcomes(stream):
    return [item.first().name if item.elements else item.name for item in stream.received()]


# The answer waits


@pytest.mark.parametrize("localpart", ["juliet", "nobody"])
def test_after_two_failures_the_answer_waits_longer_each_time(server, host, guess, localpart):
    for failures, pause in enumerate([0, 0, 0.5, 1, 2, 4, 8, 10, 10]):
        stream = host.open_stream(tls=True, address=HOME)
        stream.received()
        stream.send(auth(localpart))
        if pause:
            server.clock.advance(pause - 0.1)
            assert stream.received() == []
            server.clock.advance(0.1)
        assert outcomes(stream) == ["not-authorized"], failures


def test_who_is_right_waits_like_who_is_not(server, guess, stream):
    guess(5)
    stream.received()
    stream.send(auth(password=PASSWORD))
    server.clock.advance(3.9)
    assert stream.received() == []
    server.clock.advance(0.1)
    assert outcomes(stream) == ["success"]
    stream.open()
    assert "bind" in [feature.name for feature in stream.features.elements]


def test_others_do_not_wait(host, guess):
    guess(5)
    host.create_account("romeo", PASSWORD)
    for address, localpart in ((AWAY, "juliet"), (HOME, "romeo")):
        stream = host.open_stream(tls=True, address=address)
        assert stream.authenticate(localpart, PASSWORD).name == "success"


def test_nothing_else_of_the_stream_is_read_meanwhile(server, host, guess, stream):
    guess(3)
    stream.received()
    stream.send(auth())
    stream.send(auth())
    assert host.kernel.login_failures == 4
    server.clock.advance(1)
    assert host.kernel.login_failures == 5
    assert outcomes(stream) == ["not-authorized"]
    server.clock.advance(2)
    assert outcomes(stream) == ["not-authorized"]


def test_guesses_that_come_in_one_piece_wait_one_after_the_other(server, guess, stream):
    guess(2)
    stream.received()
    stream.send(auth() * 3)
    server.clock.advance(0.5 + 1 + 2 - 0.1)
    assert stream.received() == []
    server.clock.advance(0.1)
    assert outcomes(stream) == ["not-authorized"] * 3 + ["policy-violation"]
    assert stream.is_closed


def test_who_ends_the_stream_is_not_answered_sooner(server, guess, stream):
    guess(4)
    stream.received()
    stream.send(auth() + END)
    server.clock.advance(1.9)
    assert (stream.received(), stream.has_ended) == ([], False)
    server.clock.advance(0.1)
    assert outcomes(stream) == ["not-authorized"]
    assert stream.closed_with() == ""


def test_who_is_left_waiting_is_not_taken_for_slow_himself(server, guess, stream):
    server.configure(limits={"handshake_timeout": "5 s"})
    guess(6)
    stream.send(auth())
    server.clock.advance(8 + 4.9)
    assert not stream.is_closed
    server.clock.advance(0.2)
    assert stream.closed_with() == "connection-timeout"


def test_the_whole_login_still_has_its_deadline(server, guess, stream):
    guess(8)
    stream.received()
    server.clock.advance(5)
    stream.send(auth() + auth() + auth(password=PASSWORD))
    server.clock.advance(30)
    assert outcomes(stream) == ["not-authorized"] * 2 + ["success", "connection-timeout"]
    assert stream.is_closed


# And costs nothing


def test_no_greenlet_waits_with_him_and_only_a_timer_of_his_connection(server, host, guess):
    guess(7)
    streams = [host.open_stream(tls=True, address=HOME) for _ in range(10)]
    timers = len(server.kernel.timers)
    for stream in streams:
        stream.send(auth())
        assert stream.connection._worker is None
    assert len(server.kernel.timers) == timers + 10
    for stream in streams:
        stream.connection.abort("he has left")
    server.settle()
    assert len(server.kernel.timers) < timers


# By way of a plugin


def test_the_answer_of_a_plugin_waits_as_well(server, host, guess, stream):
    guess(3)
    stream.received()
    stream.send(knock())
    assert isinstance(host.plugin("door").events[-1], SaslFailed)
    server.clock.advance(0.9)
    assert stream.received() == []
    server.clock.advance(0.1)
    assert outcomes(stream) == ["answer"]


def test_a_session_that_was_bound_meanwhile_is_sent_what_waits_in_its_order(
    server, host, guess, stream
):
    guess(3)
    stream.received()
    stream.send(knock(password=PASSWORD))
    (session,) = host.kernel.sessions("juliet")
    host.kernel.route(Message(to=session.jid, type="headline", id="m2"))
    assert stream.received() == []
    assert session.unsent
    server.clock.advance(1)
    answer, first, second = stream.received()
    assert (answer.name, first.id, second.id) == ("answer", "", "m2")
    assert session.unsent == 0


# The lock


def test_twenty_failures_lock_the_pair_for_ten_minutes_and_are_refused_at_once(
    server, host, guess
):
    guess(20)
    for send in (auth(password=PASSWORD), auth()):
        stream = host.open_stream(tls=True, address=HOME)
        stream.received()
        stream.send(send)
        assert outcomes(stream) == ["temporary-auth-failure"]
    server.clock.advance(600)
    stream = host.open_stream(tls=True, address=HOME)
    assert stream.authenticate("juliet", PASSWORD).name == "success"


def test_who_was_asked_about_before_the_lock_learns_nothing_after_it(
    server, host, guess, monkeypatch
):
    may_go_on = Event()
    chain = host.kernel.accounts._chain
    check = chain.check_password

    def check_slowly(*arguments):
        may_go_on.wait()
        return check(*arguments)

    monkeypatch.setattr(chain, "check_password", check_slowly)
    streams = [host.open_stream(tls=True, address=HOME) for _ in range(3)]
    words = (auth(password=PASSWORD), auth(), knock(password=PASSWORD))
    for stream, word in zip(streams, words, strict=True):
        stream.received()
        stream.connection.deliver(word.encode())
    gevent.sleep(0)
    monkeypatch.setattr(chain, "check_password", check)
    guess(20)
    may_go_on.set()
    server.settle()
    assert outcomes(streams[0]) == outcomes(streams[1]) == ["temporary-auth-failure"]
    event = host.plugin("door").events[-1]
    assert (type(event), event.failure.condition) == (SaslFailed, "temporary-auth-failure")
    assert host.kernel.sessions("juliet") == ()
    assert host.kernel.logins == 0
