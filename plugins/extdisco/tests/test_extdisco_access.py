"""Who is told of services by where they connect from (an access rule with addresses)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element

NS = "urn:xmpp:extdisco:2"
STUN = {"type": "stun", "host": "stun.capulet.example"}
ASK = Element(NS, "services", {"type": "stun"})


@pytest.fixture
def host(server):
    server.configure(access={"at-home": {"addresses": ["192.0.2.0/24"]}})
    return server.host("capulet.example", extdisco={"services": [STUN], "access": "at-home"})


def test_whoever_connects_from_there_is_told(host):
    inside = host.connect("juliet@capulet.example/balcony", address="192.0.2.7")
    assert [service.name for service in inside.get(ASK, host.name).payload.elements] == ["service"]
    outside = host.connect("juliet@capulet.example/street", address="203.0.113.7")
    with pytest.raises(StanzaError) as refusal:
        outside.get(ASK, host.name)
    assert refusal.value.condition == "forbidden"


def test_whoever_connects_from_there_is_told_of_changes(host):
    inside = host.connect("juliet@capulet.example/balcony", address="192.0.2.7")
    inside.get(ASK, host.name)
    host.disable("extdisco")
    host.enable("extdisco", {"services": [{**STUN, "port": 3478}], "access": "at-home"})
    (push,) = inside.received()
    assert push.payload.namespace == NS


def test_people_of_other_servers_connect_from_nowhere_that_we_know(server, host):
    romeo = server.host("montague.example").connect("romeo@montague.example", address="192.0.2.8")
    with pytest.raises(StanzaError) as refusal:
        romeo.get(ASK, host.name)
    assert refusal.value.condition == "forbidden"
