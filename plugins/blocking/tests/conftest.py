"""What the tests of blocking say over and over."""

import pytest

from stonechat.stanza import Element
from stonechat.testing import Talk

NS_BLOCKING = "urn:xmpp:blocking"
NS_ERRORS = "urn:xmpp:blocking:errors"


class BlockingTalk(Talk):
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
        commands = self.pushed_payloads(client)
        assert {command.namespace for command in commands} <= {NS_BLOCKING}
        return [
            (command.name, [item.get("jid") for item in command.elements]) for command in commands
        ]


@pytest.fixture
def talk():
    return BlockingTalk()


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
