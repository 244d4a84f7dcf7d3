"""The example of a service: everything comes back, but never for ever."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Element, Iq

ECHO = JID.parse("echo.capulet.example")


@pytest.fixture
def host(server):
    return server.host("capulet.example", echo={})


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


def test_sends_a_message_back(juliet):
    juliet.message("nurse@echo.capulet.example/kitchen", "What says he?", type="chat")
    message = juliet.receive_message()
    assert message.body == "What says he?"
    assert message.type == "chat"
    assert message.from_ == JID.parse("nurse@echo.capulet.example/kitchen")
    assert message.to == juliet.jid


def test_sends_a_presence_back(juliet):
    juliet.send("<presence to='echo.capulet.example'><show>away</show></presence>")
    presence = juliet.receive_presence()
    assert presence.from_ == ECHO
    assert presence.show == "away"


def test_sends_a_request_back_as_a_request(juliet):
    juliet.send("<iq type='get' id='q1' to='echo.capulet.example'><ask xmlns='urn:q'/></iq>")
    iq = juliet.receive_iq()
    assert (iq.type, iq.id, iq.from_) == ("get", "q1", ECHO)
    assert iq.payload == Element("urn:q", "ask")


def test_sends_no_error_back(juliet):
    juliet.send("<message type='error' to='echo.capulet.example'><body>Alas</body></message>")
    juliet.send("<message to='echo.capulet.example'><body>Hark</body></message>")
    assert juliet.receive_message().body == "Hark"
    assert juliet.received() == []


def test_stops_when_nobody_is_there_to_get_it_back(host, juliet):
    # The message cannot come back to her; its bounce, an error, ends the matter.
    juliet.send("<presence><priority>-1</priority></presence>")
    juliet.message("echo.capulet.example", "Is anybody there?")
    juliet.drop()
    assert host.connect("romeo@capulet.example/orchard").received() == []


def test_is_listed_as_a_service(host):
    assert host.plugin("echo").stonechat_disco_items() == [(ECHO, "", "Echo")]


def test_takes_another_domain(server):
    host = server.host("capulet.example", echo={"domain": "mirror.@HOST@"})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.message("mirror.capulet.example", "Hark")
    assert juliet.receive_message().from_ == JID.parse("mirror.capulet.example")


def test_the_domain_is_nobodys_when_the_plugin_has_stopped(host, juliet):
    host.disable("echo")
    reply = juliet.request("get", Element("urn:xmpp:ping", "ping"), to="echo.capulet.example")
    assert isinstance(reply, Iq)
    assert reply.type == "error"
    assert "remote-server-not-found" in str(reply.element)
