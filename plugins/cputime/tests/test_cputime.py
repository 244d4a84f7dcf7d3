"""The smallest example: a number for everybody who asks."""

import re

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element

CPUTIME = "ejabberd:cputime"


@pytest.fixture
def juliet(server):
    host = server.host("capulet.example", cputime={})
    return host.connect("juliet@capulet.example/balcony")


def test_tells_the_cpu_time_in_seconds_with_three_decimals(juliet):
    query = juliet.get(Element(CPUTIME, "query"), to="capulet.example").payload
    assert query.qualified_name == f"{CPUTIME} query"
    assert re.fullmatch(r"\d+\.\d{3}", query.find_text("cputime"))


def test_cpu_time_only_grows(juliet):
    seconds = []
    for _ in range(2):
        query = juliet.get(Element(CPUTIME, "query"), to="capulet.example").payload
        seconds.append(float(query.find_text("cputime")))
    assert 0 < seconds[0] <= seconds[1]


def test_cpu_time_cannot_be_set(juliet):
    with pytest.raises(StanzaError) as refused:
        juliet.set(Element(CPUTIME, "query"), to="capulet.example")
    assert refused.value.condition == "not-allowed"


def test_a_refusal_holds_what_was_asked(juliet):
    question = Element(CPUTIME, "query")
    question.add("cputime", "0.000")
    reply = juliet.request("set", question, to="capulet.example")
    assert reply.type == "error"
    assert reply.payload == question
