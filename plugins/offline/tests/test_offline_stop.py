"""The plugin stops while sessions go on: nothing is held back, lost, or told twice."""

import gevent
import pytest
from offline_cast import DEADLINE, JULIET, acknowledge, arrive, bodies, outlets, spool

from stonechat.errors import StorageError
from stonechat.jid import JID
from stonechat.testing import error_of
from stonechat_offline import deliveries


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits for a client that does not read."""
    monkeypatch.setattr(deliveries, "STOP_SECONDS", 0.0)


def test_what_is_held_goes_on_when_the_plugin_stops_during_a_delivery(
    host, romeo, gate, impatient
):
    spool(romeo, "old", "older")
    gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    romeo.message(f"{JULIET}/balcony", "newer")
    kept = host.plugin("offline").spool
    host.disable("offline")
    assert bodies(juliet) == ["new", "newer"]
    assert outlets(host, juliet) is None
    assert kept.count("juliet") == 2
    romeo.message(JULIET, "newest")
    assert bodies(juliet) == ["newest"]


def test_what_is_held_goes_on_when_the_plugin_stops_before_a_delivery_has_begun(
    host, romeo, monkeypatch
):
    spool(romeo, "old")
    plugin = host.plugin("offline")
    monkeypatch.setattr(plugin.host, "spawn", lambda *_: None)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    romeo.message(JULIET, "newer")
    assert bodies(juliet) == []
    host.disable("offline")
    assert bodies(juliet) == ["new", "newer"]
    assert outlets(host, juliet) is None
    assert plugin.spool.count("juliet") == 1


def test_what_was_held_is_acknowledged_to_its_sender_when_the_plugin_stops(
    host, romeo, gate, impatient
):
    host.enable("sm")
    spool(romeo, "old")
    romeo.send("<enable xmlns='urn:xmpp:sm:3'/>")
    gate("first", before=True)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    romeo.received()
    host.disable("offline")
    romeo.send("<r xmlns='urn:xmpp:sm:3'/>")
    assert [item.get("h") for item in romeo.received()] == ["1"]
    assert bodies(juliet) == ["new"]


def test_who_reads_gets_the_page_that_is_under_way_and_nothing_of_it_comes_again(
    host, romeo, gate
):
    spool(romeo, "one", "two")
    deletion = gate("delete", before=True)
    juliet = arrive(host)
    assert deletion.reached.is_set()
    assert bodies(juliet) == ["one", "two"]
    deletion.opened.set()
    kept = host.plugin("offline").spool
    host.disable("offline")
    assert kept.count("juliet") == 0


def test_who_reads_a_little_later_gets_nothing_of_it_again_either(host, romeo):
    spool(romeo, "one", "two")
    juliet = arrive(host, "garden", priority=-1)
    juliet.stream.connection.stop_reading()
    juliet.available(0)
    kept = host.plugin("offline").spool
    stopping = gevent.spawn(host.disable, "offline")
    gevent.sleep(0)
    assert kept.count("juliet") == 2
    juliet.stream.connection.go_on_reading()
    stopping.get(timeout=DEADLINE)
    assert bodies(juliet) == ["one", "two"]
    assert kept.count("juliet") == 0


def test_what_is_acknowledged_after_the_stop_does_not_come_again(host, romeo, impatient):
    host.enable("sm")
    spool(romeo, "one", "two", "three")
    juliet = arrive(host, managed=True)
    assert bodies(juliet) == ["one", "two", "three"]
    host.disable("offline")
    acknowledge(juliet, 2)
    host.enable("offline")
    assert host.plugin("offline").count(JID.parse(JULIET)) == 1
    assert bodies(juliet) == []
    juliet.unavailable()
    juliet.available()
    assert bodies(juliet) == ["three"]


def test_what_is_acknowledged_before_the_stop_does_not_come_again(host, romeo, impatient):
    host.enable("sm")
    spool(romeo, "one", "two", "three")
    juliet = arrive(host, managed=True)
    acknowledge(juliet, 2)
    kept = host.plugin("offline").spool
    host.disable("offline")
    assert kept.count("juliet") == 1


def test_a_message_that_is_being_kept_when_the_plugin_stops_is_kept(host, romeo, gate):
    writing = gate("put", before=True)
    romeo.message(JULIET, "Just now")
    kept = host.plugin("offline").spool
    assert writing.reached.is_set()
    arrive(host)
    host.disable("offline")
    writing.opened.set()
    host.server.settle()
    assert romeo.received() == []
    assert kept.count("juliet") == 1


def test_a_delivery_goes_on_when_the_plugin_starts_again(host, romeo, gate, impatient):
    spool(romeo, "old")
    reading = gate("first", before=True)
    juliet = arrive(host)
    host.disable("offline")
    reading.opened.set()
    assert bodies(juliet) == []
    host.enable("offline")
    assert bodies(juliet) == []  # its greenlet was in the midst of it
    other = arrive(host, "chamber")
    assert bodies(other) == ["old"]


def test_who_had_not_begun_gets_all_when_the_plugin_starts_again(host, romeo, monkeypatch):
    spool(romeo, "old")
    monkeypatch.setattr(host.plugin("offline").host, "spawn", lambda *_: None)
    juliet = arrive(host)
    host.disable("offline")
    host.enable("offline")
    assert bodies(juliet) == ["old"]


def test_what_the_store_refused_is_tried_again_when_the_plugin_starts_again(
    server, host, romeo, monkeypatch
):
    def first(localpart):
        raise StorageError("away")

    server.expect_errors()
    spool(romeo, "old")
    monkeypatch.setattr(host.plugin("offline").spool, "first", first)
    juliet = arrive(host)
    host.disable("offline")
    host.enable("offline")
    assert bodies(juliet) == ["old"]


def test_what_was_held_for_a_session_that_ends_just_then_is_answered(host, romeo, monkeypatch):
    spool(romeo, "old")
    plugin = host.plugin("offline")
    monkeypatch.setattr(plugin.host, "spawn", lambda *_: None)
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    host.kernel.session(juliet.jid).close()
    host.disable("offline")
    (answer,) = romeo.received()
    assert error_of(answer).condition == "service-unavailable"
    assert answer.element.find_text("body") == "new"
    assert plugin.spool.count("juliet") == 1
