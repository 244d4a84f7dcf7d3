"""A page, or a large archive, is nobody else's burden."""

from types import SimpleNamespace

import gevent
import pytest
from sqlalchemy.dialects import sqlite

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.rsm import ResultSet
from stonechat_mam import answers, pages, requests, retraction
from stonechat_mam.pages import Bounds
from stonechat_mam.query import Query

JULIET = "juliet@capulet.example"


def test_others_have_their_turn_while_a_page_is_sent(juliet, ask, monkeypatch):
    assert requests.SENT_AT_ONCE == 64
    monkeypatch.setattr(requests, "SENT_AT_ONCE", 2)
    for number in range(5):
        juliet.message(JULIET, str(number))
    ask(juliet)
    order = []
    make = answers.result

    def result(*arguments):
        order.append("result")
        gevent.spawn(order.append, "other")
        return make(*arguments)

    monkeypatch.setattr(answers, "result", result)
    assert len(ask(juliet).results) == 5
    assert order[:7] == ["result", "result", "other", "other", "result", "result", "other"]


def client(unsent, is_open=True):
    return SimpleNamespace(unsent=unsent, is_open=is_open)


def test_who_does_not_read_gets_no_further_page(monkeypatch):
    monkeypatch.setattr(requests, "UNSENT_SECONDS", 0.01)
    with pytest.raises(StanzaError) as refusal:
        requests._wait_until_read(client(requests.MAX_UNSENT + 1))
    assert (refusal.value.condition, refusal.value.type) == ("resource-constraint", "wait")
    requests._wait_until_read(client(requests.MAX_UNSENT))


def test_who_reads_in_the_end_gets_it():
    slow = client(requests.MAX_UNSENT + 1)
    gevent.spawn(setattr, slow, "unsent", 0)
    requests._wait_until_read(slow)


# What the database has to look at


ROMEO = JID.parse("romeo@capulet.example")
FIRST, LAST, AFTER, BEFORE = (
    ResultSet(max=10),
    ResultSet(max=10, before=""),
    ResultSet(max=10, after="5"),
    ResultSet(max=10, before="5"),
)


def plan(server, statement):
    compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})

    def explain(connection):
        return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()

    return [row[-1] for row in server.kernel.store.read(explain)]


def search(query):
    return pages._Search(None, Bounds(1, 0, 0), query, None)


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("request_", [FIRST, LAST, AFTER, BEFORE])
@pytest.mark.parametrize("who", [None, ROMEO])
@pytest.mark.parametrize("start", [None, 1])
def test_a_page_is_found_by_an_index_without_sorting(server, capulet, request_, who, start):
    page = search(Query(request_, with_=who, start=start))
    index = (
        "PRIMARY KEY (account=? AND id>? AND id<?)"
        if who is None
        else "COVERING INDEX mam_catalogue_by_peer (account=? AND peer=? AND id>? AND id<?)"
    )
    assert plan(server, page._statement(1, 2, 10, 0)) == [
        f"SEARCH mam_catalogue USING {index}",
        "SEARCH mam_messages USING INTEGER PRIMARY KEY (rowid=?)",
    ]


@pytest.mark.usefixtures("sqlite_only")
@pytest.mark.parametrize("who", [None, ROMEO])
def test_messages_are_counted_without_reading_them(server, capulet, who):
    counted = []

    class Connection:
        def execute(self, statement):
            counted.append(statement)
            return SimpleNamespace(scalar_one=lambda: 0)

    page = pages._Search(Connection(), Bounds(1, 0, 0), Query(FIRST, with_=who), None)
    page._count(1, 2, 100)
    steps = plan(server, counted[0])
    assert not any("mam_messages" in step for step in steps), steps
    assert any("SEARCH mam_catalogue USING" in step for step in steps), steps


@pytest.mark.usefixtures("sqlite_only")
def test_what_a_retraction_means_is_found_without_reading_the_rest(server, capulet):
    bound = retraction._FIND.params(its_account=1, its_peer=2, before=3, its_origin=4)

    def explain(connection):
        compiled = bound.compile(dialect=sqlite.dialect())
        values = [compiled.params.get(name) or 5 for name in compiled.positiontup]
        return connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(values)).all()

    steps = [row[-1] for row in server.kernel.store.read(explain)]
    assert any(
        "USING COVERING INDEX mam_catalogue_by_peer (account=? AND peer=? AND id<?)" in step
        for step in steps
    )
