"""Who may send to many by where they connect from (an access rule with addresses)."""

import pytest

JULIET = "juliet@capulet.example"
MULTICAST = "multicast.capulet.example"


@pytest.fixture
def options():
    return {"access": "at-home"}


@pytest.fixture
def server(server):
    server.configure(access={"at-home": {"addresses": ["192.0.2.0/24"]}})
    return server


def test_whoever_connects_from_there_may(host, juliet, talk):
    inside = host.connect("romeo@capulet.example/orchard", address="192.0.2.7")
    outside = host.connect("romeo@capulet.example/street", address="203.0.113.7")
    talk.say(outside, ("to", JULIET))
    assert talk.refusals(outside) == [("forbidden", MULTICAST)]
    assert juliet.received() == []
    talk.say(inside, ("to", JULIET))
    assert juliet.receive_message().from_ == inside.jid
