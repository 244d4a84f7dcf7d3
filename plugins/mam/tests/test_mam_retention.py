"""How long messages stay, and how they go."""

import pytest
from sqlalchemy import func, select

from stonechat.commands import CommandError
from stonechat.errors import StanzaError, StorageError
from stonechat_mam import retention
from stonechat_mam.tables import CATALOGUE, MESSAGES

NS_MAM = "urn:xmpp:mam:2"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def a_few_at_a_time(monkeypatch):
    """As if the archives were large."""
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0)


def host_with(server, **options):
    host = server.host("capulet.example", mam=options)
    return host, host.connect(f"{JULIET}/balcony"), host.connect(f"{ROMEO}/orchard")


def counted(server, column):
    return server.kernel.store.read(
        lambda connection: connection.execute(select(func.count(column))).scalar_one()
    )


def lines(server):
    """How many messages lie in the log, shown or not."""
    return counted(server, MESSAGES.c.id)


def places(server):
    """How many there are in all archives together."""
    return counted(server, CATALOGUE.c.id)


def test_what_is_too_old_is_not_shown_and_deleted_within_an_hour(server, until, ask):
    _, juliet, romeo = host_with(server, keep_for="90 min")
    for text in ("1", "2"):
        romeo.message(JULIET, text)
    old = ask(juliet).ids
    server.clock.advance(1.4 * HOUR)
    romeo.message(JULIET, "3")
    assert ask(juliet).bodies == ["1", "2", "3"]
    server.clock.advance(0.2 * HOUR)
    answer = ask(juliet)
    assert answer.bodies == ["3"]
    assert answer.of_set("count") == "1"
    assert server.command("mam-count", jid=JULIET) == 1
    for how in ({"rsm": {"after": old[0]}}, {"ids": [old[0]]}):
        with pytest.raises(StanzaError) as refusal:
            ask(juliet, **how)
        assert refusal.value.condition == "item-not-found"
    start = juliet.get(f"<metadata xmlns='{NS_MAM}'/>").payload.find("start")
    assert start.get("id") == answer.ids[0]
    assert places(server) == 6
    server.clock.advance(0.5 * HOUR)
    until(lambda: places(server) == 2, "the expiry")
    assert lines(server) == 1
    assert server.logged("messages expired")


def test_without_a_bound_messages_stay(server, juliet, romeo, ask):
    romeo.message(JULIET, "1")
    ask(juliet)
    server.clock.advance(3 * DAY)
    assert ask(juliet).bodies == ["1"]


def test_of_too_many_messages_the_oldest_go(server, until, ask):
    _, juliet, romeo = host_with(server, max_messages=3)
    for number in range(7):
        romeo.message(JULIET, str(number))
    assert len(ask(juliet).results) == 7
    server.clock.advance(HOUR)
    until(lambda: len(ask(juliet).results) == 3, "the expiry")
    assert ask(juliet).bodies == ["4", "5", "6"]
    assert ask(romeo).bodies == ["4", "5", "6"]


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 8])
def test_they_go_a_few_at_a_time(server, ask, monkeypatch, at_once):
    monkeypatch.setattr(retention, "DELETED_AT_ONCE", at_once)
    host, juliet, romeo = host_with(server)
    for number in range(7):
        romeo.message(JULIET, str(number))
    ids = ask(juliet).ids
    work = host.plugin("mam").archive.retention
    account = host.plugin("mam").archive.accounts.get("juliet").number
    store = server.kernel.store
    writes = []

    def counting(work, write=store.write, **how):
        before = places(server)
        result = write(work, **how)
        writes.append(before - places(server))
        return result

    monkeypatch.setattr(store, "write", counting)
    assert work.delete(account, int(ids[5])) == 5
    assert ask(juliet).ids == ids[5:]
    assert work.delete(account) == 2
    assert ask(juliet).ids == []
    assert sum(writes) == 7
    assert max(writes) <= at_once
    assert len(ask(romeo).results) == 7


def test_all_accounts_are_gone_through(server, ask, monkeypatch):
    monkeypatch.setattr(retention, "ACCOUNTS_AT_ONCE", 2)
    host = server.host("capulet.example", mam={})
    other = server.host("montague.example", mam={})
    names = ["a", "b", "c", "d", "e"]
    clients = [host.connect(f"{name}@capulet.example/x") for name in names]
    clients.append(other.connect("f@montague.example/x"))
    for client in clients:
        client.message(client.bare, "old")
    server.clock.advance(2 * DAY)
    for client in clients:
        client.message(client.bare, "new")
        ask(client)
    assert server.command("mam-purge", days=1, host="capulet.example") == 5
    for client in clients[:-1]:
        assert ask(client).bodies == ["new"]
    assert ask(clients[-1]).bodies == ["old", "new"]


def test_an_expiry_that_fails_is_tried_again(server, until, ask, monkeypatch):
    server.expect_errors()
    _, juliet, romeo = host_with(server, keep_for="1 d")
    romeo.message(JULIET, "1")
    ask(juliet)
    with monkeypatch.context() as broken:

        def write(work, **_):
            raise StorageError("out of order")

        broken.setattr(server.kernel.store, "write", write)
        server.clock.advance(DAY + HOUR)
        until(lambda: server.logged("messages not expired"), "the failure")
    server.clock.advance(HOUR)
    until(lambda: lines(server) == 0, "the expiry")


# Commands


def test_messages_can_be_counted_and_deleted(server, juliet, romeo, ask):
    for number in range(3):
        romeo.message(JULIET, str(number))
    assert server.command("mam-count", jid=JULIET) == 3
    assert server.command("mam-delete", jid=JULIET) == 3
    assert server.command("mam-count", jid=JULIET) == 0
    assert server.command("mam-delete", jid=JULIET) == 0
    assert ask(juliet).results == []
    assert server.command("mam-count", jid=ROMEO) == 3


def test_ids_do_not_come_again_when_all_is_deleted(server, juliet, ask):
    juliet.message(JULIET, "1")
    (before,) = ask(juliet).ids
    server.command("mam-delete", jid=JULIET)
    server.clock.jump(-DAY)
    server.restart()
    juliet = next(iter(server._hosts.values())).connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "2")
    (after,) = ask(juliet).ids
    assert int(after) > int(before)


def test_what_is_old_can_be_deleted(server, juliet, ask):
    juliet.message(JULIET, "old")
    server.clock.advance(3 * DAY)
    juliet.message(JULIET, "new")
    assert server.command("mam-delete", jid=JULIET, days=4) == 0
    assert server.command("mam-delete", jid=JULIET, days=2) == 1
    assert ask(juliet).bodies == ["new"]


def test_who_has_nothing_has_nothing(server, capulet):
    capulet.create_account("rosaline")
    assert server.command("mam-count", jid="rosaline@capulet.example") == 0
    assert server.command("mam-delete", jid="rosaline@capulet.example") == 0


@pytest.mark.parametrize("name", ["mam-count", "mam-delete"])
@pytest.mark.parametrize("jid", ["nobody@capulet.example", "capulet.example"])
def test_there_must_be_such_an_account(server, capulet, name, jid):
    with pytest.raises(CommandError):
        server.command(name, jid=jid)


@pytest.mark.parametrize("days", [0, -1])
def test_not_everything_is_purged_by_a_slip(server, juliet, days):
    with pytest.raises(CommandError):
        server.command("mam-purge", days=days)
    if days:
        with pytest.raises(CommandError):
            server.command("mam-delete", jid=JULIET, days=days)
