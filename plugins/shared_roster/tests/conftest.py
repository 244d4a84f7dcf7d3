"""What the tests of shared groups say over and over."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.testing import Talk

NS_ROSTER = "jabber:iq:roster"
HOST = "capulet.example"


class GroupTalk(Talk):
    """Short forms for conversations about rosters."""

    def query(self, client, ver=None):
        """Ask for the roster; returns the query, or None for an empty result."""
        query = Element(NS_ROSTER, "query")
        if ver is not None:
            query.set("ver", ver)
        return client.get(query).payload

    def roster(self, client):
        """The roster as {localpart: (subscription, name, groups)}."""
        return dict(map(self.item, self.query(client).elements))

    def version(self, client):
        return self.query(client).get("ver")

    def item(self, element):
        assert element.get("ask") == ""
        return (
            JID.parse(element.get("jid")).localpart,
            (
                element.get("subscription"),
                element.get("name"),
                [group.text for group in element.find_all("group")],
            ),
        )

    def set(self, client, localpart, name="", groups=(), **attributes):
        """Add or change an item."""
        query = Element(NS_ROSTER, "query")
        item = query.add("item", jid=f"{localpart}@{HOST}", **attributes)
        if name:
            item.set("name", name)
        for group in groups:
            item.add("group", group)
        return client.set(query)

    def remove(self, client, localpart):
        return self.set(client, localpart, subscription="remove")

    def pushes(self, client):
        """The items and the versions of all pushes that have come; the rest is dropped."""
        found = []
        for query in self.pushed_payloads(client):
            (item,) = query.elements
            found.append((*self.item(item), query.get("ver")))
        return found

    def pushed(self, client):
        """The same without versions: {localpart: (subscription, name, groups)}."""
        return {localpart: item for localpart, item, _ in self.pushes(client)}

    def presences(self, client):
        """All presence that has come, as (type, localpart); the rest is dropped."""
        return [(kind, jid.partition("@")[0]) for kind, jid in super().presences(client)]

    def say(self, client, kind, localpart):
        """Send a subscription stanza, or a probe."""
        super().say(client, kind, f"{localpart}@{HOST}")

    def come(self, client):
        """Ask for the roster and come online; what comes of it is dropped."""
        self.query(client)
        client.available()
        client.received()


@pytest.fixture
def talk():
    return GroupTalk()


@pytest.fixture
def capulet(server):
    return server.host(HOST, roster={}, shared_roster={})


@pytest.fixture
def groups(server, capulet):
    """Give commands: `groups("create", "capulets", label="House of Capulet")`."""

    def give(name, group="", host=HOST, **arguments):
        if group:
            arguments["group"] = group
        return server.command(f"shared-group-{name}", host=host, **arguments)

    return give


@pytest.fixture
def house(capulet, groups):
    """A group of Juliet and her nurse; returns it as a function that adds others."""
    groups("create", "capulets", label="House of Capulet")

    def add(*localparts):
        for localpart in localparts:
            if not capulet.kernel.accounts.exists(localpart):
                capulet.create_account(localpart)
            groups("add", "capulets", member=f"{localpart}@{HOST}")

    add("juliet", "nurse")
    return add


@pytest.fixture
def juliet(capulet):
    return capulet.connect(f"juliet@{HOST}/balcony")


@pytest.fixture
def nurse(capulet):
    return capulet.connect(f"nurse@{HOST}/house")


@pytest.fixture
def romeo(capulet):
    return capulet.connect(f"romeo@{HOST}/orchard")
