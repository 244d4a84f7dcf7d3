"""Sessions outlive a restart (XEP-0198, section 5), on the kernel in memory."""

import pytest
from gevent.event import Event
from sm_clients import (
    JULIET,
    NS_STANZAS,
    PASSWORD,
    REQUEST,
    ROMEO,
    ack,
    away,
    bodies,
    crash,
    first_client,
    logged_in,
    managed_client,
    managed_of,
    resumable_client,
    resume,
    resume_element,
)
from sqlalchemy import delete

from stonechat.errors import StorageError, StreamError
from stonechat.jid import JID
from stonechat.plugin import HANDLED, hookimpl
from stonechat.stanza import Element, Iq, Message
from stonechat_sm.tables import _stanzas


def test_a_session_outlives_a_restart(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    server.restart()
    stream, resumed = resume(host, id, h=1)
    assert (resumed.name, resumed.get("h")) == ("resumed", "1")
    server.settle()
    assert bodies(stream) == ["one"]
    session = host.kernel.session(juliet.jid)
    assert session.presence is not None
    host.connect(ROMEO).message(JULIET, "two")
    assert bodies(stream) == ["two"]


def test_a_session_hears_of_its_roster_after_a_restart_as_before(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.get("<query xmlns='jabber:iq:roster'/>")
    server.restart()
    stream, _ = resume(host, id, h=2)
    host.plugin("roster").service.set("juliet", JID.parse("nurse@capulet.example"))
    (push,) = [item for item in stream.received() if isinstance(item, Iq)]
    assert push.has("jabber:iq:roster", "query")


def test_after_a_restart_too_it_is_its_accounts_alone(server, host):
    _, id = resumable_client(host, JULIET)
    host.create_account("tybalt", PASSWORD)
    server.restart()
    assert resume(host, id, localpart="tybalt")[1].name == "failed"
    assert resume(host, id, h=1)[1].name == "resumed"


def test_what_nobody_comes_back_for_after_a_restart_is_delivered_otherwise(server, host):
    juliet, _ = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    server.clock.advance(301)
    server.clock.advance(61)
    server.settle()
    again = host.connect(juliet.jid)
    again.available()
    server.settle()
    assert bodies(again) == ["one"]


def test_who_begins_anew_under_the_same_name_gets_what_is_left(server, host):
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    again = host.connect(juliet.jid)
    again.available()
    _, failed = resume(host, id, h=1)
    assert failed.name == "failed"
    server.settle()
    assert bodies(again) == ["one"]


def test_sessions_need_not_be_kept_over_a_restart(server):
    host = server.host("capulet.example", sm={"keep_over_restart": False}, offline={}, roster={})
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    assert resume(host, id, h=1)[1].name == "failed"
    again = host.connect(juliet.jid)
    again.available()
    server.settle()
    assert bodies(again) == ["one"]


def test_the_id_is_not_in_the_database(server, host):
    _, id = resumable_client(host, JULIET)
    server.restart()
    for path in (server.directory / "data").rglob("*.db*"):
        assert id.encode() not in path.read_bytes()


def begin(host, id, h=0):
    stream = logged_in(host)
    stream.send(resume_element(id, h))
    return stream


def test_who_begins_anew_is_told_what_was_handled_and_gets_what_it_has_not(server, host):
    _, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for text in ("one", "two"):
        romeo.message(JULIET, text)
    server.restart()
    again = first_client(host)
    _, failed = resume(host, id, h=2)
    assert (failed.name, failed.get("h")) == ("failed", "1")
    server.settle()
    assert bodies(again) == ["two"]
    # Once.
    server.clock.advance(400)
    assert bodies(again) == []


def test_what_was_not_safe_before_the_restart_is_sent_again(server):
    host = server.host("capulet.example", sm={}, offline={}, plugin_classes={"holder": Holder})
    romeo, id = resumable_client(host, ROMEO)
    romeo.message(JULIET, "safe")
    romeo.message(JULIET, "held")
    romeo.message(JULIET, "after it")
    server.restart()
    _, resumed = resume(host, id, localpart="romeo")
    # His presence, and one message.
    assert resumed.get("h") == "2"


class Holder:
    """Lets go of some messages never, and of some when somebody is in a hurry."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        if message.body == "held":
            message.hold()
        elif message.body == "slow":
            message.hold(message.custody.release)
        return HANDLED


def test_what_is_made_safe_just_before_the_restart_is_not_sent_again(server):
    host = server.host("capulet.example", sm={}, offline={}, plugin_classes={"holder": Holder})
    # One whose messages are never safe keeps nobody from being told.
    benvolio, _ = resumable_client(host, "benvolio@capulet.example/street")
    benvolio.message(JULIET, "held")
    romeo, id = resumable_client(host, ROMEO)
    romeo.message(JULIET, "slow")
    server.restart()
    _, resumed = resume(host, id, localpart="romeo")
    assert resumed.get("h") == "2"


def test_what_was_acknowledged_before_the_restart_does_not_come_again(server, host, monkeypatch):
    juliet, id = resumable_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    for text in ("one", "two"):
        romeo.message(JULIET, text)
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    # The rows were not struck off in time.
    monkeypatch.setattr(host.plugin("sm").spool, "forget", lambda token, upto: None)
    juliet.send(ack(2))
    server.restart()
    stream, resumed = resume(host, id, h=2)
    assert resumed.name == "resumed"
    assert bodies(stream) == ["two"]


def test_what_others_have_just_got_is_safe_over_the_restart(server, host):
    resumable_client(host, JULIET)
    romeo, id = resumable_client(host, ROMEO)
    for number in range(5):
        romeo.message(JULIET, f"{number}")
    server.restart()
    _, resumed = resume(host, id, h=1, localpart="romeo")
    assert resumed.get("h") == "6"


def test_a_session_of_which_something_is_missing_is_over(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(4):
        romeo.message(JULIET, f"{number}")
    managed = managed_of(host, juliet)
    server.restart()
    # Its own presence is the first.
    gone = delete(_stanzas).where(_stanzas.c.token == managed.token, _stanzas.c.number == 3)
    assert host.kernel.storage.write(lambda connection: connection.execute(gone).rowcount) == 1
    _, failed = resume(host, id, h=2)
    assert (failed.name, failed.get("h")) == ("failed", "1")
    server.settle()
    assert bodies(first_client(host)) == ["2", "3"]


def test_a_session_that_cannot_be_bound_now_rests_on(server, host):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    server.configure(limits={"sessions_per_account": 1})
    other = host.connect("juliet@capulet.example/chamber")
    _, failed = resume(host, id, h=1)
    assert failed.find("resource-constraint", NS_STANZAS) is not None
    assert failed.get("h") == "1"
    other.disconnect()
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert bodies(stream) == ["one"]


def test_what_is_left_of_a_session_that_could_not_be_bound_is_delivered_in_the_end(server, host):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    server.configure(limits={"sessions_per_account": 1})
    other = host.connect("juliet@capulet.example/chamber")
    assert resume(host, id, h=1)[1].name == "failed"
    other.disconnect()
    server.clock.advance(361)
    assert bodies(first_client(host)) == ["one"]


def test_a_session_rests_on_when_its_client_is_gone_before_it_is_back(server, host, monkeypatch):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    tables = host.plugin("sm").spool.tables
    go_on, stanzas = Event(), tables.stanzas

    def wait(*arguments):
        go_on.wait(5)
        return stanzas(*arguments)

    monkeypatch.setattr(tables, "stanzas", wait)
    stream = begin(host, id, 1)
    stream.drop()
    go_on.set()
    server.settle()
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert bodies(stream) == ["one"]


def test_a_session_rests_on_when_its_client_counts_wrong(server, host):
    id = away(host, JULIET)
    server.restart()
    assert begin(host, id, 77).closed_with() == "undefined-condition"
    assert resume(host, id, h=1)[1].name == "resumed"


def test_a_session_rests_on_while_the_store_does_not_answer(server, host, monkeypatch):
    server.expect_errors()
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()

    def refuse(*arguments):
        raise StorageError("the store is down")

    with monkeypatch.context() as patch:
        patch.setattr(host.plugin("sm").spool.tables, "stanzas", refuse)
        _, failed = resume(host, id, h=1)
        assert failed.find("internal-server-error", NS_STANZAS) is not None
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert bodies(stream) == ["one"]


def test_a_session_that_is_back_is_not_recovered_as_after_a_crash(server, host):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    ends = host.plugin("sm").ends
    # It may take long, and may have failed.
    ends.is_recovering = True
    stream, _ = resume(host, id, h=1)
    ends.recover()
    server.settle()
    assert bodies(stream) == ["one"]


def test_a_session_whose_time_is_over_just_then_comes_once(server, host, monkeypatch):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    plugin = host.plugin("sm")
    read = plugin.resting._read_queue

    def read_late(restored):
        plugin.resting._begun += 400_000_000
        plugin.resting.expire()
        read(restored)

    monkeypatch.setattr(plugin.resting, "_read_queue", read_late)
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    server.clock.advance(61)
    assert bodies(stream) == ["one"]


class Crier:
    """Has something to say to every session that is bound."""

    cries = False

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_session_bound(self, session):
        if self.cries:
            body = Element("jabber:client", "body", None, "Hear ye")
            session.send(Message(body, to=session.jid, from_=self.host.jid))


def test_what_comes_while_a_session_is_brought_back_is_counted_and_comes_last(server, monkeypatch):
    host = server.host("capulet.example", sm={}, offline={}, plugin_classes={"crier": Crier})
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    h = managed_of(host, juliet).waiting - 1
    server.restart()
    monkeypatch.setattr(Crier, "cries", True)
    stream, _ = resume(host, id, h)
    assert bodies(stream) == ["one", "Hear ye"]
    stream.send(ack(h + 2))
    assert not stream.is_closed
    assert managed_of(host, JULIET).waiting == 0


def test_a_session_is_struck_off_once_it_is_back(server, host):
    id = away(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    stream, _ = resume(host, id, h=1)
    stream.send(ack(2))
    crash(server)
    assert resume(host, id, h=2)[1].name == "failed"
    assert bodies(first_client(host)) == []


def test_nobody_resumes_what_rests_already(server, host):
    id = away(host, JULIET)
    session = host.kernel.session(JID.parse(JULIET))
    session.close(StreamError("system-shutdown"))
    server.settle()
    stream = begin(host, id)
    assert stream.closed_with() == "system-shutdown"
    server.restart()
    assert resume(host, id)[1].name == "resumed"


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_ends_no_session_and_prolongs_none(server, host, jump):
    juliet = away(host, JULIET)
    nurse = away(host, "nurse@capulet.example/kitchen")
    host.connect(ROMEO).message("nurse@capulet.example/kitchen", "one")
    server.restart()
    server.clock.jump(jump)
    server.clock.advance(240)
    assert resume(host, juliet, h=1)[1].name == "resumed"
    server.clock.advance(121)
    assert resume(host, nurse, h=1, localpart="nurse")[1].name == "failed"
    assert bodies(first_client(host, "nurse@capulet.example/kitchen")) == ["one"]
