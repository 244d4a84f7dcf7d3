"""The store refuses, or the clock is set, while sessions go on: all becomes safe in the end."""

import pytest
from sm_clients import (
    JULIET,
    REQUEST,
    ROMEO,
    ack,
    acks,
    managed_client,
    managed_of,
    spooled,
)

from stonechat import batcher


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(batcher, "RETRY_SECONDS", 0.001)


@pytest.fixture
def plugin(host):
    return host.plugin("sm")


def test_a_message_is_safe_once_the_store_takes_it_again(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    with store.is_full():
        romeo.message(JULIET, "Good night")
        romeo.send(REQUEST)
        server.clock.advance(5)
        assert set(acks(romeo)) == {"0"}
    assert spooled(host, managed_of(host, juliet).token) == []
    server.clock.advance(5)
    assert acks(romeo) == ["1"]
    assert [body for _, body in spooled(host, managed_of(host, juliet).token)] == ["Good night"]


def test_the_store_is_tried_again_for_each_session_and_all_they_wait_for(server, host, store):
    server.expect_errors()
    others = [managed_client(host, f"juliet@capulet.example/{number}") for number in range(3)]
    romeo = managed_client(host, ROMEO)
    with store.is_full(room=2):
        for other in others:
            for number in range(3):
                romeo.message(other.jid, f"{number}")
        romeo.send(REQUEST)
        server.clock.advance(20)
    server.clock.advance(2)
    assert acks(romeo)[-1] == "9"
    for other in others:
        rows = spooled(host, managed_of(host, other).token)
        assert [body for _, body in rows] == ["0", "1", "2"]


def test_a_full_store_is_told_of_once_a_minute(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    with store.is_full():
        for number in range(50):
            romeo.message(JULIET, f"{number}")
        romeo.send(REQUEST)
        server.clock.advance(55)
        assert len(server.logged("messages not spooled yet")) == 1
        # She is still there.
        juliet.send(ack(1))
        server.clock.advance(10)
        assert len(server.logged("messages not spooled yet")) == 2


def test_what_the_client_acknowledges_meanwhile_is_not_written(server, host, store):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    with store.is_full():
        romeo.message(JULIET, "one")
        romeo.message(JULIET, "two")
        romeo.send(REQUEST)
        server.clock.advance(5)
        juliet.send(ack(1))
    server.clock.advance(5)
    assert spooled(host, managed_of(host, juliet).token) == [(2, "two")]


def test_each_request_is_answered_while_the_store_is_down(server, host, store):
    server.expect_errors()
    managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    with store.is_full():
        romeo.message(JULIET, "Good night")
        for _ in range(3):
            romeo.send(REQUEST)
            server.clock.advance(0.6)
            assert acks(romeo) == ["0"]


def test_two_requests_are_answered_together(server, host, store):
    server.expect_errors()
    managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    with store.is_full():
        romeo.message(JULIET, "Good night")
        romeo.send(REQUEST)
        server.clock.advance(0.3)
        romeo.send(REQUEST)
        server.clock.advance(2)
        assert acks(romeo) == ["0"]


def test_what_the_store_can_never_take_is_safe_when_the_client_says_so(
    server, host, monkeypatch, plugin
):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    write_rows, tried = plugin.spool._batcher._write_rows, []

    def refuse_one(connection, rows):
        if any(b"poison" in getattr(row, "stanza", b"") for row in rows):
            tried.append(rows)
            raise ValueError("this is not for a database")
        write_rows(connection, rows)

    monkeypatch.setattr(plugin.spool._batcher, "_write_rows", refuse_one)
    for text in ("poison", "one"):
        romeo.message(JULIET, text)
        romeo.send(REQUEST)
        server.clock.advance(5)
        assert set(acks(romeo)) == {"0"}
    assert len(tried) == 1
    juliet.send(ack(1))
    assert acks(romeo) == ["2"]


def test_messages_are_spooled_though_the_clock_is_set_back(server, host):
    managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "Good night")
    romeo.send(REQUEST)
    server.clock.jump(-3600)
    server.clock.advance(0.25)
    assert acks(romeo) == ["1"]


def test_rows_are_struck_off_once_the_store_takes_it(server, host, store, plugin):
    server.expect_errors()
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "one")
    romeo.message(JULIET, "two")
    romeo.send(REQUEST)
    server.clock.advance(0.5)
    token = managed_of(host, juliet).token
    with store.is_full():
        juliet.send(ack(1))
        juliet.send(ack(2))
        assert len(server.logged("spool not cleared yet")) == 1
    server.clock.advance(2)
    plugin.spool.flush()
    assert spooled(host, token) == []
