"""The store fails: what was acknowledged is not lost, and nobody gets it again and again."""

import pytest
from offline_cast import JULIET, acknowledge, arrive, bodies, count, lines, spool

from stonechat.errors import StorageError
from stonechat_offline.deliveries import RETRY_SECONDS

MOMENT = RETRY_SECONDS + 0.1


@pytest.fixture
def broken(server, host):
    """Makes methods of the spool fail; returns what mends them."""
    server.expect_errors()
    patches = []

    def break_(*names):
        def fail(*arguments, **named):
            raise StorageError("the disk is full")

        patches.append(pytest.MonkeyPatch())
        for name in names:
            patches[-1].setattr(host.plugin("offline").spool, name, fail)
        return patches[-1].undo

    yield break_
    for patch in patches:
        patch.undo()


def test_what_cannot_be_deleted_is_sent_once_as_long_as_the_server_runs(
    server, host, romeo, broken
):
    spool(romeo, "Once")
    mend = broken("delete")
    assert bodies(arrive(host)) == ["Once"]
    for number in range(3):
        server.clock.advance(MOMENT)
        assert bodies(arrive(host, f"chamber {number}")) == []
    mend()
    assert count(host) == 1
    server.clock.advance(MOMENT)
    assert count(host) == 0


def test_it_is_deleted_later_though_nobody_is_there(server, host, romeo, broken):
    spool(romeo, "Once")
    mend = broken("delete")
    juliet = arrive(host)
    juliet.disconnect()
    mend()
    server.clock.advance(MOMENT)
    assert count(host) == 0


def test_what_is_acknowledged_is_not_sent_to_the_next_client_either(server, host, romeo, broken):
    host.enable("sm")
    spool(romeo, "one", "two")
    mend = broken("delete")
    juliet = arrive(host, managed=True)
    assert bodies(juliet) == ["one", "two"]
    acknowledge(juliet, 2)
    juliet.disconnect()
    mend()
    assert bodies(arrive(host, "chamber")) == []
    assert count(host) == 0


def test_all_whom_it_concerned_get_their_messages_when_the_store_is_back(
    server, host, romeo, broken
):
    for name in ("nurse", "tybalt"):
        host.create_account(name)
        romeo.message(f"{name}@capulet.example", name)
    mend = broken("first", "count")
    clients = []
    for name in ("nurse", "tybalt"):
        clients.append(host.connect(f"{name}@capulet.example/garden"))
        clients[-1].available()
    server.clock.advance(3 * MOMENT)
    assert [bodies(client) for client in clients] == [[], []]
    mend()
    server.clock.advance(MOMENT)
    assert [bodies(client) for client in clients] == [["nurse"], ["tybalt"]]


def test_the_store_is_asked_once_for_all_while_it_fails(server, host, romeo, broken, monkeypatch):
    asked = []

    def fail(localpart):
        asked.append(localpart)
        raise StorageError("away")

    mend = broken("first")
    for name in lines(20):
        client = host.connect(f"{name}@capulet.example/garden")
        client.available()
    with monkeypatch.context() as patch:
        patch.setattr(host.plugin("offline").spool, "count", fail)
        server.clock.advance(MOMENT)
    mend()
    assert len(asked) == 1
    server.clock.advance(MOMENT)


def test_that_it_fails_is_said_once_a_minute(server, host, broken):
    broken("first", "count")
    arrive(host)
    arrive(host, "chamber")
    server.clock.advance(50)
    assert len(server.logged("messages not delivered yet")) == 1
    server.clock.advance(12)
    assert len(server.logged("messages not delivered yet")) == 2


def test_new_messages_are_not_held_while_the_store_fails(host, romeo, broken):
    broken("first")
    juliet = arrive(host)
    romeo.message(JULIET, "new")
    assert bodies(juliet) == ["new"]
