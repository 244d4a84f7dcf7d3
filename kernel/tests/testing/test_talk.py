"""The short forms for conversations that plugins' tests share."""

import pytest

from stonechat import hookimpl
from stonechat.plugin import HANDLED
from stonechat.stanza import Element, Iq, Message
from stonechat.testing import Talk


class Window:
    """In place of a roster: shows users every presence stanza that comes for them."""

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        for session in self.host.sessions(presence.to.localpart):
            session.send(presence)
        return HANDLED


@pytest.fixture
def host(server):
    return server.host("capulet.example", plugin_classes={"window": Window})


@pytest.fixture
def talk():
    return Talk()


def test_presence_is_sent_and_shown(talk, juliet, romeo):
    talk.say(juliet, "subscribe", romeo.bare)
    talk.say(juliet, "probe", "romeo@capulet.example")
    juliet.message(romeo.jid, "Romeo?")
    assert talk.presences(romeo) == [
        ("subscribe", juliet.jid.text),
        ("probe", juliet.jid.text),
    ]
    assert romeo.received() == []


def test_texts_of_messages_are_shown(talk, juliet, romeo):
    juliet.message(romeo.jid, "O Romeo,")
    talk.say(juliet, "subscribe", romeo.bare)
    juliet.message(romeo.jid, "Romeo!")
    assert talk.bodies(romeo) == ["O Romeo,", "Romeo!"]
    assert romeo.received() == []


def test_friends_have_subscribed_and_have_nothing_in_line(talk, host, juliet, romeo):
    came = {}

    def watch(client):
        receive = client.stream.received

        def received():
            items = receive()
            came[client] = {(item.type, item.from_.text) for item in items}
            return items

        client.stream.received = received

    watch(juliet)
    watch(romeo)
    chamber = host.connect("juliet@capulet.example/chamber")
    talk.befriend(juliet, romeo, chamber)
    kinds = ("subscribe", "subscribed")
    assert came[juliet] == {(kind, romeo.jid.text) for kind in kinds}
    assert came[romeo] == {(kind, one.jid.text) for kind in kinds for one in (juliet, chamber)}
    assert juliet.received() == chamber.received() == romeo.received() == []


def test_what_was_pushed_is_shown_and_has_to_be_of_the_account_itself(talk, host, juliet):
    (session,) = host.kernel.sessions("juliet")

    def push(**addresses):
        session.send(Iq(Element("urn:example:news", "news"), type="set", id="p1", **addresses))

    push(to=juliet.jid)
    session.send(Message(to=juliet.jid))
    (payload,) = talk.pushed_payloads(juliet)
    assert payload.name == "news"
    assert juliet.received() == []
    push(to=juliet.jid, from_=juliet.bare)
    with pytest.raises(AssertionError):
        talk.pushed_payloads(juliet)
    push(to=juliet.bare)
    with pytest.raises(AssertionError):
        talk.pushed_payloads(juliet)
