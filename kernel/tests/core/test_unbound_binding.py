"""How a plugin binds a stream to a session, a new one or an old one."""

import gevent
import pytest
from gevent.event import Event
from unbound_door import BIND, DOOR, KNOCK, MESSAGE, ROMEO, host_with_door, knock, log_in, plain

from stonechat.errors import StanzaError, StreamError
from stonechat.namespaces import NS_STREAM
from stonechat.stanza import Message
from stonechat.testing.kit import PASSWORD
from stonechat.xml import Element


@pytest.fixture
def host(server):
    return host_with_door(server)


# Binding


def bind(it, resource="balcony"):
    return it.bind(resource)


def hail(session, text):
    body = Element("jabber:client", "body", None, text)
    session.send(Message(body, to=session.jid, from_=ROMEO))


def welcome(it):
    it.send(Element(DOOR, "welcome"))


def test_a_session_is_made_and_plugins_are_told(host, stream, door):
    log_in(stream, door)
    session = knock(stream, door, bind)
    assert session.jid.text == "juliet@capulet.example/balcony"
    assert host.kernel.sessions("juliet") == (session,)
    assert door.told == [session]
    assert door.streams[-1].is_bound
    stream.send(MESSAGE)
    assert not stream.is_closed


def test_the_answer_leaves_before_anything_that_the_session_is_sent(host, stream, door):
    log_in(stream, door)
    door.bound = lambda session: hail(session, "told")

    def bind_slowly(it):
        session = it.bind("balcony")
        # Others find it as soon as it is there.
        hail(host.kernel.sessions("juliet")[0], "found")
        host.kernel.route(Message(to=session.jid, from_=ROMEO, type="headline"))
        gevent.sleep(0)
        it.send(Element(DOOR, "welcome"))
        it.send_features()

    knock(stream, door, bind_slowly)
    first, second, *others = stream.received()
    assert first.qualified_name == f"{DOOR} welcome"
    assert second.qualified_name == f"{NS_STREAM} features"
    assert second.elements == []
    assert [stanza.element.find_text("body") for stanza in others] == ["told", "found", ""]


def test_what_comes_behind_the_request_is_the_sessions(host, stream, door):
    log_in(stream, door)
    door.knocked = bind
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    stream.send(KNOCK + MESSAGE)
    assert romeo.receive_message().from_.text == "juliet@capulet.example/balcony"


def test_a_handler_that_fails_behind_the_binding_ends_the_session(server, host, stream, door):
    log_in(stream, door)
    server.expect_errors()

    def fail(it):
        it.bind("balcony")
        welcome(it)
        raise LookupError("a bug")

    knock(stream, door, fail)
    assert stream.closed_with() == "internal-server-error"
    assert stream.receive_element().name == "welcome"
    server.settle()
    assert host.kernel.sessions("juliet") == ()


def test_what_was_kept_with_the_stream_goes_over_to_the_session(stream, door):
    log_in(stream, door)

    def keep_and_bind(it):
        it.data["door"] = "open"
        return it.bind("balcony")

    assert knock(stream, door, keep_and_bind).data == {"door": "open"}


def refusal(stream, door, deed):
    """The condition of the StanzaError that a plugin gets for what it does."""

    def attempt(it):
        with pytest.raises(StanzaError) as raised:
            deed(it)
        return raised.value.condition

    return knock(stream, door, attempt)


def test_before_the_login_nothing_is_bound_or_resumed(host, stream, door):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    session = host.kernel.session(juliet.jid)
    assert refusal(stream, door, bind) == "not-allowed"
    assert refusal(stream, door, lambda it: it.resume(session)) == "not-allowed"


def test_a_resource_that_cannot_be_is_refused_and_another_may_be_tried(stream, door):
    log_in(stream, door)
    assert refusal(stream, door, lambda it: it.bind("\x00")) == "bad-request"
    assert knock(stream, door, bind).jid.resource == "balcony"


def test_an_account_has_so_many_sessions_and_no_more(server, host, stream, door):
    server.configure(limits={"sessions_per_account": 1})
    host.connect("juliet@capulet.example/garden", PASSWORD)
    log_in(stream, door)
    assert refusal(stream, door, bind) == "resource-constraint"


def test_a_stream_is_bound_once(stream, door):
    log_in(stream, door)

    def bind_twice(it):
        it.bind("balcony")
        with pytest.raises(StanzaError) as raised:
            it.bind("garden")
        return raised.value.condition

    assert knock(stream, door, bind_twice) == "not-allowed"


def test_a_stream_that_is_lost_meanwhile_leaves_no_session(host, stream, door, server):
    log_in(stream, door)

    def lose_and_bind(it):
        stream.connection.abort("the network is gone")
        return it.bind("balcony")

    knock(stream, door, lose_and_bind)
    server.settle()
    assert host.kernel.sessions("juliet") == ()
    assert door.told == []


def test_a_stream_that_is_lost_just_after_it_ends_its_session(host, stream, door, server):
    log_in(stream, door)

    def bind_and_lose(it):
        session = it.bind("balcony")
        stream.connection.abort("the network is gone")
        return session

    session = knock(stream, door, bind_and_lose)
    server.settle()
    assert session.is_ended
    assert host.kernel.sessions("juliet") == ()


def test_of_two_who_take_the_place_of_a_third_one_gets_it_and_neither_is_lost(server, host, door):
    old = host.connect("juliet@capulet.example/balcony", PASSWORD)
    may_end = Event()
    manager = host.kernel.session_manager
    clear_up = host.kernel.session(old.jid)
    notify = host.kernel.hooks.notify

    def notify_slowly(hook, arguments):
        if hook == "stonechat_session_closed" and arguments["session"] is clear_up:
            may_end.wait()
        notify(hook, arguments)

    host.kernel.hooks.notify = notify_slowly
    streams = [host.open_stream(tls=True) for _ in range(2)]
    for stream in streams:
        assert stream.authenticate("juliet", PASSWORD).name == "success"
        stream.open()
    for stream in streams:
        stream.connection.deliver(BIND.replace(">x<", ">balcony<").encode())
    gevent.sleep(0)
    may_end.set()
    server.settle()
    assert len(manager.sessions("juliet")) == 1
    # Whoever came last has it, and the other knows.
    assert sorted(stream.is_closed for stream in streams) == [False, True]


# Resuming


@pytest.fixture
def session(host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    return host.kernel.session(juliet.jid)


def test_a_session_goes_on_over_another_stream(host, stream, door, session):
    log_in(stream, door)

    def resume(it):
        it.resume(session)
        hail(session, "again")
        welcome(it)
        return it.is_bound

    assert knock(stream, door, resume) is True
    first, second = stream.received()
    assert first.qualified_name == f"{DOOR} welcome"
    assert second.element.find_text("body") == "again"
    assert host.kernel.sessions("juliet") == (session,)
    assert door.told == [session]  # of its binding, long ago
    romeo = host.connect("romeo@capulet.example/orchard", PASSWORD)
    romeo.available()
    stream.send(MESSAGE)
    assert romeo.receive_message().from_ == session.jid


def test_nobody_goes_on_with_the_session_of_another(stream, door, session):
    knock(stream, door, lambda it: it.authenticate("PLAIN", plain("romeo")))
    assert refusal(stream, door, lambda it: it.resume(session)) == "item-not-found"
    assert session.is_connected


def test_a_session_that_has_ended_does_not_go_on(server, stream, door, session):
    session.close()
    server.settle()
    log_in(stream, door)
    assert refusal(stream, door, lambda it: it.resume(session)) == "item-not-found"


def test_a_session_that_was_resumed_has_no_deadline(server, stream, door, session):
    log_in(stream, door)
    knock(stream, door, lambda it: it.resume(session))
    server.clock.advance(60)
    assert not stream.is_closed


def test_a_fault_on_a_stream_that_another_has_taken_over_leaves_the_session(
    host, stream, door, session
):
    other = host.open_stream(tls=True)
    log_in(other, door)
    takes_over = door.streams[-1]
    log_in(stream, door)

    def lose_the_race(it):
        it.resume(session)
        takes_over.resume(session)
        raise StreamError("conflict", "Somebody was quicker.")

    knock(stream, door, lose_the_race)
    assert stream.is_closed
    assert session.is_open
    assert not other.is_closed
