"""What the tests of blocking say over and over."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence

NS_BLOCKING = "urn:xmpp:blocking"
NS_ERRORS = "urn:xmpp:blocking:errors"


class Talk:
    """Short forms for conversations about blocking."""

    def command(self, name, *jids):
        command = Element(NS_BLOCKING, name)
        for jid in jids:
            command.add("item", jid=str(jid))
        return command

    def block(self, client, *jids):
        """Block some; returns the result."""
        return client.set(self.command("block", *jids))

    def unblock(self, client, *jids):
        """Unblock some, or all."""
        return client.set(self.command("unblock", *jids))

    def blocked(self, client):
        """The list, as the client gets it."""
        answer = client.get(self.command("blocklist")).payload
        assert (answer.namespace, answer.name) == (NS_BLOCKING, "blocklist")
        return [item.get("jid") for item in answer.elements]

    def pushes(self, client):
        """All pushes that have come, as (command, addresses); the rest is dropped."""
        found = []
        for stanza in client.received():
            if isinstance(stanza, Iq) and stanza.type == "set":
                assert "from" not in stanza.attributes
                assert stanza.to == client.jid
                command = stanza.payload
                assert command.namespace == NS_BLOCKING
                found.append((command.name, [item.get("jid") for item in command.elements]))
        return found

    def presences(self, client):
        """All presence that has come, as (type, from); the rest is dropped."""
        return [
            (stanza.type, stanza.from_.text)
            for stanza in client.received()
            if isinstance(stanza, Presence)
        ]

    def bodies(self, client):
        """The texts of all messages that have come; the rest is dropped."""
        return [s.body for s in client.received() if isinstance(s, Message)]

    def say(self, client, kind, to):
        """Send a subscription stanza, or a probe."""
        client.send(Presence(type=kind, to=JID.parse(str(to))))

    def befriend(self, *clients):
        """Each two of them see each other's presence; what they got meanwhile is dropped."""
        for one in clients:
            for other in clients:
                if one.bare != other.bare:
                    self.say(one, "subscribe", other.bare)
                    self.say(other, "subscribed", one.bare)
        for client in clients:
            client.received()


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", roster={}, blocking={})


@pytest.fixture
def montague(server, capulet):
    """A host that knows nothing of blocking."""
    return server.host("montague.example", roster={})


@pytest.fixture
def juliet(capulet):
    return capulet.connect("juliet@capulet.example/balcony")


@pytest.fixture
def romeo(montague):
    return montague.connect("romeo@montague.example/orchard")
