"""What the tests of the roster say over and over."""

import pytest

from stonechat import hookimpl
from stonechat.plugin import HANDLED
from stonechat.stanza import Element
from stonechat.testing import Talk

NS_ROSTER = "jabber:iq:roster"


class RosterTalk(Talk):
    """Short forms for conversations about rosters."""

    def get(self, client, ver=None):
        """Ask for the roster; returns the query, or None for an empty result."""
        query = Element(NS_ROSTER, "query")
        if ver is not None:
            query.set("ver", ver)
        return client.get(query).payload

    def items(self, client):
        """The roster as {jid: {attribute: value}}."""
        return {item.get("jid"): item.attributes for item in self.get(client).elements}

    def query(self, jid, name=None, groups=(), **attributes):
        """The payload of a roster set."""
        query = Element(NS_ROSTER, "query")
        item = query.add("item", jid=str(jid), **attributes)
        if name is not None:
            item.set("name", name)
        for group in groups:
            item.add("group", group)
        return query

    def set(self, client, jid, name=None, groups=(), **attributes):
        """Add or change an item."""
        return client.set(self.query(jid, name, groups, **attributes))

    def remove(self, client, jid):
        """Remove an item."""
        return client.set(self.query(jid, subscription="remove"))

    def push(self, client):
        """The item of the next push."""
        return self.push_query(client).first()

    def push_query(self, client):
        """The payload of the next push."""
        push = client.receive_iq()
        assert push.type == "set", push
        assert push.namespace == NS_ROSTER
        assert "from" not in push.attributes
        assert push.to == client.jid
        return push.payload

    def pushes(self, client):
        """All pushes that have come, as attributes of their items; the rest is dropped."""
        return [query.first().attributes for query in self.pushed_payloads(client)]


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
def montague(server, capulet):
    """A host that knows nothing of subscriptions, and hides nothing from its users."""
    return server.host("montague.example", plugin_classes={"window": Window})


@pytest.fixture
def talk():
    return RosterTalk()


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", roster={})


@pytest.fixture
def juliet(capulet):
    return capulet.connect("juliet@capulet.example/balcony")


@pytest.fixture
def romeo(capulet):
    return capulet.connect("romeo@capulet.example/orchard")
