"""The catalogue: whatever becomes of it, what is in the log is found."""

from functools import partial

import pytest
from sqlalchemy import func, select, text

from stonechat_mam import catalogue, index
from stonechat_mam.catalogue import Catalogue
from stonechat_mam.tables import CATALOGUE

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


def entered(server):
    """How many messages are in the catalogue."""
    return server.kernel.store.read(
        lambda connection: connection.execute(select(func.count(CATALOGUE.c.id))).scalar_one()
    )


def is_committed(host):
    """Whether all that was archived is in the log."""
    batcher = host.plugin("mam").archive.recorder._batcher
    return batcher.added > 0 and batcher.settled == batcher.added


def say(sender, to, texts):
    for line in texts:
        sender.message(to, line)


def test_nothing_is_entered_before_it_is_worth_while(server, capulet, juliet, romeo, until):
    say(romeo, JULIET, "123")
    until(lambda: is_committed(capulet), "the commit")
    assert entered(server) == 0


def test_many_are_entered_together(server, capulet, juliet, romeo, until, monkeypatch):
    monkeypatch.setattr(catalogue, "ENTERED_TOGETHER", 2)
    say(romeo, JULIET, "12")
    until(lambda: is_committed(capulet), "the commit")
    say(romeo, JULIET, "3")
    until(lambda: entered(server) >= 4, "the catalogue")


def test_the_last_ones_do_not_wait_for_ever(server, capulet, juliet, romeo, until):
    say(romeo, JULIET, "1")
    until(lambda: is_committed(capulet), "the commit")
    server.clock.advance(catalogue.ENTERED_EVERY)
    until(lambda: entered(server) == 2, "the catalogue")


def test_who_asks_finds_what_was_said_a_moment_ago(juliet, romeo, ask):
    for number in range(5):
        juliet.message(ROMEO, str(number))
        assert len(ask(juliet).results) == len(ask(romeo).results) == number + 1


def test_messages_are_entered_a_few_at_a_time(server, juliet, romeo, ask, monkeypatch):
    monkeypatch.setattr(catalogue, "ENTERED_AT_ONCE", 2)
    say(romeo, JULIET, "1234567")
    assert ask(juliet).bodies == list("1234567")
    assert entered(server) == 14


def test_what_a_crash_has_left_is_found_after_it(server, capulet, juliet, romeo, ask, monkeypatch):
    say(romeo, JULIET, "12")
    with monkeypatch.context() as crash:
        crash.setattr(Catalogue, "bring_to", lambda self, committed: None)
        server.restart()
    assert entered(server) == 4  # by the new server's start
    again = next(iter(server._hosts.values())).connect(f"{JULIET}/balcony")
    assert ask(again).bodies == ["1", "2"]


def test_a_number_that_comes_again_is_entered_again(server, capulet, juliet, romeo, ask):
    """The database gives the numbers of the last messages again once these are deleted."""
    juliet.message(JULIET, "to myself")
    romeo.message(JULIET, "1")
    assert len(ask(juliet).results) == 2
    server.command("mam-delete", jid=JULIET)
    server.command("mam-delete", jid=ROMEO)
    say(romeo, JULIET, "23")
    assert ask(juliet).bodies == ask(romeo).bodies == ["2", "3"]


def test_what_others_have_not_entered_yet_survives_a_deletion(
    server, capulet, juliet, romeo, ask, monkeypatch
):
    romeo.message(JULIET, "1")
    ask(romeo)
    # Juliet's is behind what is deleted, and in nobody's catalogue when that happens.
    juliet.message(JULIET, "2")
    server.command("mam-delete", jid=ROMEO)
    assert ask(juliet).bodies == ["1", "2"]


def test_two_hosts_enter_what_both_have_written(server, ask):
    one = server.host("capulet.example", mam={})
    other = server.host("montague.example", mam={})
    juliet = one.connect(f"{JULIET}/balcony")
    romeo = other.connect("romeo@montague.example/orchard")
    romeo.message(JULIET, "1")
    assert ask(romeo).bodies == ask(juliet).bodies == ["1"]
    romeo.message(JULIET, "2")
    assert ask(juliet).bodies == ask(romeo).bodies == ["1", "2"]


def test_while_nothing_can_be_entered_the_rest_is_shown(
    server, capulet, juliet, romeo, ask, monkeypatch, until
):
    romeo.message(JULIET, "1")
    assert ask(juliet).bodies == ["1"]
    server.expect_errors()
    with monkeypatch.context() as broken:
        broken.setattr(catalogue, "_ENTER", text("INSERT INTO nowhere VALUES (:after, :until)"))
        romeo.message(JULIET, "2")
        until(lambda: is_committed(capulet), "the commit")
        answer = ask(juliet)
        assert answer.bodies == ["1"]
        assert answer.fin.get("stable") == "false"
        assert server.logged("catalogue of messages not updated")
    assert ask(juliet).bodies == ["1", "2"]


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("fulltext", ["scan", "index"])
@pytest.mark.parametrize("version", [1, 2])
def test_an_archive_of_an_older_version_is_converted(server, ask, until, fulltext, version):
    host = server.host("capulet.example", mam={"fulltext": fulltext})
    juliet = host.connect(f"{JULIET}/balcony")
    romeo = host.connect(f"{ROMEO}/orchard")
    say(romeo, JULIET, ["the sun", "the moon"])
    ids = ask(juliet).ids, ask(romeo).ids
    server.kernel.store.write(partial(_as_version, version))
    server.restart()
    host = next(iter(server._hosts.values()))
    juliet = host.connect(f"{JULIET}/balcony")
    assert (ask(juliet).ids, ask(host.connect(f"{ROMEO}/orchard")).ids) == ids
    if fulltext == "index":
        until(lambda: server.logged("full-text index complete"), "the index")
    assert ask(juliet, with_=ROMEO, rsm={"max": 1, "before": ""}).bodies == ["the moon"]
    juliet.message(JULIET, "the stars")
    assert ask(juliet).bodies == ["the sun", "the moon", "the stars"]
    assert ask(juliet, fulltext="moon").bodies == ["the moon"]
    assert ask(juliet, fulltext="stars").bodies == ["the stars"]


def _as_version(version, connection):
    """As an older version has left it: each message twice, with its indexes beside it in 1."""
    triggers = connection.exec_driver_sql(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'mam_messages'"
    ).scalar_one()
    statements = _EARLIER.format(
        version=version, unique=", UNIQUE (account, id)" if version == 1 else ""
    )
    for statement in (statements + (_VERSION_1 if version == 1 else "")).split(";"):
        connection.exec_driver_sql(statement)
    if triggers:
        for statement in index._CREATE:
            connection.execute(statement)


_EARLIER = """
CREATE TABLE old (
    number INTEGER NOT NULL, account BIGINT NOT NULL, id BIGINT NOT NULL, stamp BIGINT NOT NULL,
    peer BIGINT NOT NULL, full_peer BIGINT NOT NULL, origin BIGINT NOT NULL, text TEXT,
    stanza BLOB NOT NULL, PRIMARY KEY (number){unique}
);
INSERT INTO old (account, id, stamp, peer, full_peer, origin, text, stanza)
    SELECT account, id, stamp, peer, full_peer, origin, text, stanza FROM mam_messages
    UNION ALL
    SELECT other, other_id, stamp, other_peer, other_full_peer, origin, text, stanza
    FROM mam_messages WHERE other IS NOT NULL ORDER BY 2;
DROP TABLE mam_messages;
ALTER TABLE old RENAME TO mam_messages;
UPDATE mam_catalogue SET number =
    (SELECT number FROM mam_messages m WHERE m.account = mam_catalogue.account
     AND m.id = mam_catalogue.id);
UPDATE mam_state SET value = (SELECT max(number) FROM mam_messages);
UPDATE stonechat_schema SET version = {version} WHERE name = 'mam'
"""
_VERSION_1 = """;
DROP TABLE mam_catalogue;
DROP TABLE mam_state;
CREATE INDEX mam_messages_by_peer ON mam_messages (account, peer, id, origin)
"""
