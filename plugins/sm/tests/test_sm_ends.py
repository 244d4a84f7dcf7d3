"""Sessions end, or the server does, while the store refuses or does not answer."""

import pytest
from gevent.event import Event
from sm_clients import (
    JULIET,
    REQUEST,
    ROMEO,
    Store,
    ack,
    acks,
    bodies,
    errors,
    first_client,
    managed_client,
    managed_of,
    resumable_client,
    resume,
)

from stonechat import batcher
from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError, StorageError
from stonechat.stanza import Message
from stonechat_sm.managed import Sent


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(batcher, "RETRY_SECONDS", 0.001)


@pytest.fixture
def plugin(host):
    return host.plugin("sm")


def refuse(*arguments, **options):
    raise StorageError("the store is down")


# When sessions end


def test_what_was_acknowledged_stays_in_the_spool_until_it_can_be_delivered(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "safe")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    assert acks(romeo) == ["1"]
    romeo.message(JULIET, "not yet")
    with store.refuses():
        juliet.drop()
        server.settle()
        # What was not safe yet is answered; what was is kept.
        assert errors(romeo) == ["resource-constraint"]
    server.clock.advance(61)
    assert bodies(first_client(host)) == ["safe"]
    host.plugin("sm").spool.flush()
    assert host.plugin("sm").spool.tables.orphans() == []


def test_who_comes_meanwhile_gets_it_at_once(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    for text in ("one", "two"):
        romeo.message(JULIET, text)
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    with store.refuses():
        juliet.drop()
        server.settle()
    assert bodies(first_client(host)) == ["one", "two"]
    server.clock.advance(130)
    assert bodies(first_client(host, "juliet@capulet.example/chamber")) == []


def test_nothing_overtakes_what_is_stuck_in_the_spool(server, host, monkeypatch):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    for number in range(4):
        romeo.message(JULIET, f"{number}")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    offline = host.plugin("offline")
    keep = offline.keep
    refused = []

    def keep_all_but_one(localpart, message):
        if message.body == "1" and not refused:
            refused.append(message)
            raise StanzaError("resource-constraint", type="wait")
        return keep(localpart, message)

    monkeypatch.setattr(offline, "keep", keep_all_but_one)
    juliet.drop()
    server.settle()
    server.clock.advance(61)
    assert bodies(first_client(host)) == ["0", "1", "2", "3"]


def test_what_another_client_has_strikes_off_nothing_that_is_stuck(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    other = managed_client(host, "juliet@capulet.example/chamber")
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "one")
    romeo.message("juliet@capulet.example", "two")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    other.received()
    other.send(ack(1))
    other.unavailable()
    with store.refuses():
        juliet.drop()
        server.settle()
    other.disconnect()
    server.clock.advance(61)
    assert "one" in bodies(first_client(host))


def test_an_account_that_cannot_be_looked_up_now_loses_nothing(server, host, monkeypatch):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    for text in ("one", "two"):
        romeo.message(JULIET, text)
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    romeo.message(JULIET, "three")

    def unavailable(localpart):
        raise AuthUnavailable("the directory is down")

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel.accounts, "exists", unavailable)
        juliet.drop()
        server.settle()
        assert errors(romeo) == ["internal-server-error"]
    server.clock.advance(61)
    assert bodies(first_client(host)) == ["one", "two"]


def test_a_message_that_nobody_can_read_does_not_hold_up_the_others(server, host):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(3):
        romeo.message(JULIET, f"{number}")
    managed_of(host, juliet).queue[1].octets = b"<message"
    juliet.drop()
    server.settle()
    assert bodies(first_client(host)) == ["0", "2"]
    assert len(server.logged("stanza not delivered again")) == 1


def test_rows_that_cannot_be_struck_off_are_not_delivered_again(server, host, store, plugin):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    other = host.connect("juliet@capulet.example/chamber")
    other.available(priority=-1)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "Good night")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    other.available(priority=1)
    other.received()
    with store.is_full():
        juliet.drop()
        server.settle()
        assert bodies(other) == ["Good night"]
        plugin.ends.is_recovering = True
        plugin.ends.recover()
        plugin.ends.recover_account("juliet")
        assert bodies(other) == []


# After a crash


def test_what_sessions_that_are_here_have_in_the_spool_is_theirs(server, host, plugin):
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "one")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    assert bodies(juliet) == ["one"]
    plugin.ends.is_recovering = True
    plugin.ends.recover()
    plugin.ends.recover_account("juliet")
    server.settle()
    assert bodies(juliet) == []


def left_by_a_crash(plugin, *texts, token="of another run.1"):
    """Rows of a session that nobody knows any more."""
    for number, text in enumerate(texts, 1):
        octets = f"<message to='{JULIET}' from='{ROMEO}' type='chat'><body>{text}</body></message>"
        plugin.spool.put(token, number, "juliet", Sent(octets.encode(), 1_000_000, None))
    plugin.spool.flush()
    plugin.ends.is_recovering = True


def test_recovery_is_tried_again(server, host, plugin, monkeypatch):
    server.expect_errors()
    host.create_account("juliet")
    left_by_a_crash(plugin, "one", "two")
    with monkeypatch.context() as patch:
        patch.setattr(plugin.spool.tables, "orphans", refuse)
        plugin.ends.recover()
        assert plugin.ends.is_recovering
    server.clock.advance(61)
    assert not plugin.ends.is_recovering
    assert bodies(first_client(host)) == ["one", "two"]


def test_what_is_recovered_while_nothing_can_be_written_comes_once(server):
    server.expect_errors()
    host = server.host("capulet.example", sm={})
    plugin = host.plugin("sm")
    juliet = first_client(host)
    left_by_a_crash(plugin, *map(str, range(250)))
    with Store(host).refuses():
        plugin.ends.recover()
        plugin.ends.recover_account("juliet")
    plugin.ends.recover_account("juliet")
    assert bodies(juliet) == [f"{number}" for number in range(250)]


def test_what_comes_meanwhile_waits_behind_what_is_recovered(server, host, plugin, monkeypatch):
    juliet = first_client(host)
    romeo = host.connect(ROMEO)
    left_by_a_crash(plugin, "one", "two")
    deliver = plugin.ends._deliver_message

    def deliver_slowly(session, message, sent_at):
        if message.body == "one":
            plugin.host.spawn(
                host.kernel.router.route,
                Message.from_bytes(
                    f"<message from='{romeo.jid}' to='juliet@capulet.example' type='chat'>"
                    "<body>new</body></message>".encode()
                ),
            )
            server.settle()
        deliver(session, message, sent_at)

    monkeypatch.setattr(plugin.ends, "_deliver_message", deliver_slowly)
    plugin.ends.recover()
    server.settle()
    assert bodies(juliet) == ["one", "two", "new"]


# At the stop


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_session_that_cannot_be_kept_loses_nothing(server, host, store, room):
    server.expect_errors()
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(3):
        romeo.message(JULIET, f"{number}")
    juliet.drop()
    server.settle()
    with store.is_full(room):
        server.restart()
    assert len(server.logged("session not kept")) == 1
    assert resume(host, id, h=1)[1].name == "failed"
    assert bodies(first_client(host)) == ["0", "1", "2"]
    assert host.plugin("sm").spool.tables.orphans() == []


def test_offline_messages_of_such_a_session_stay_where_they_are(server, host, store):
    server.expect_errors()
    host.create_account("juliet")
    romeo = host.connect(ROMEO)
    for number in range(3):
        romeo.message("juliet@capulet.example", f"{number}")
    juliet, _ = resumable_client(host, JULIET)
    server.settle()
    assert managed_of(host, juliet).waiting == 4
    with store.is_full(room=2):
        server.restart()
    assert bodies(first_client(host)) == ["0", "1", "2"]


def test_what_waits_for_a_session_is_delivered_though_its_state_cannot_be_written(
    server, host, plugin, monkeypatch
):
    server.expect_errors()
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    monkeypatch.setattr(plugin.spool, "keep", refuse)
    server.restart()
    (line,) = server.logged("sessions not kept")
    assert line["sessions"] == 1
    assert resume(host, id, h=1)[1].name == "failed"
    server.settle()
    assert bodies(first_client(host, juliet.jid)) == ["one"]


def test_what_ended_sessions_have_left_outlives_a_stop_that_cannot_wait(
    server, host, plugin, monkeypatch
):
    monkeypatch.setattr("stonechat_sm.STOP_SECONDS", (0.01, 1.5, 1.5))
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(3):
        romeo.message(JULIET, f"{number}")

    def hangs(session, message, sent_at):
        Event().wait()

    monkeypatch.setattr(plugin.ends, "_deliver_message", hangs)
    monkeypatch.setattr("stonechat_sm.ends.WAIT_SECONDS", 0.01)
    juliet.drop()
    server.restart()
    server.settle()
    assert bodies(first_client(host)) == ["0", "1", "2"]
