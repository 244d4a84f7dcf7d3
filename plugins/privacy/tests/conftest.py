"""What the tests of privacy lists say over and over."""

import pytest

from stonechat.stanza import Element
from stonechat.testing import Talk

NS_PRIVACY = "jabber:iq:privacy"


class PrivacyTalk(Talk):
    """Short forms for conversations about privacy lists."""

    def query(self, element="", /, *items, **attributes):
        """A request; an item is (order, action, type, value, *kinds)."""
        query = Element(NS_PRIVACY, "query")
        if element:
            child = query.add(element, **attributes)
            for order, action, type_, value, *kinds in items:
                item = child.add("item", action=action, order=str(order))
                if type_:
                    item.set("type", type_)
                    item.set("value", value)
                for kind in kinds:
                    item.add(kind)
        return query

    def edit(self, client, name, *items):
        return client.set(self.query("list", *items, name=name))

    def remove(self, client, name):
        return client.set(self.query("list", name=name))

    def activate(self, client, name=None):
        return client.set(self.query("active", **({"name": name} if name else {})))

    def default(self, client, name=None):
        return client.set(self.query("default", **({"name": name} if name else {})))

    def apply(self, client, *items, name="test"):
        """Make a list and use it for the session."""
        self.edit(client, name, *items)
        self.activate(client, name)

    def names(self, client):
        """What there is, as (active, default, lists)."""
        found = {"active": [], "default": [], "list": []}
        for child in client.get(self.query()).payload.elements:
            found[child.name].append(child.get("name"))
        return found["active"], found["default"], found["list"]

    def items(self, client, name):
        """One list, as it comes."""
        (listed,) = client.get(self.query("list", name=name)).payload.elements
        assert (listed.name, listed.get("name")) == ("list", name)
        return [
            (
                int(item.get("order")),
                item.get("action"),
                item.get("type"),
                item.get("value"),
                *(kind.name for kind in item.elements),
            )
            for item in listed.elements
        ]

    def pushes(self, client):
        """The names in all pushes that have come; the rest is dropped."""
        found = []
        for query in self.pushed_payloads(client):
            assert query.namespace == NS_PRIVACY
            (listed,) = query.elements
            assert listed.name == "list"
            assert not listed.elements
            found.append(listed.get("name"))
        return found


@pytest.fixture
def talk():
    return PrivacyTalk()


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", roster={}, privacy={})


@pytest.fixture
def montague(server, capulet):
    """A host that knows nothing of privacy lists."""
    return server.host("montague.example", roster={})


@pytest.fixture
def juliet(capulet):
    return capulet.connect("juliet@capulet.example/balcony")


@pytest.fixture
def chamber(capulet):
    return capulet.connect("juliet@capulet.example/chamber")


@pytest.fixture
def romeo(montague):
    return montague.connect("romeo@montague.example/orchard")
