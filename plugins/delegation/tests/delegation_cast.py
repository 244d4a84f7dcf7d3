"""A component that namespaces are delegated to, as the tests of delegation speak to it."""

from stonechat.namespaces import NS_CLIENT, NS_FORWARD
from stonechat.stanza import Element, Iq
from stonechat.testing import TestComponent

DOMAIN = "pubsub.capulet.example"
SECRET = "What's in a name?"
NS_DELEGATION = "urn:xmpp:delegation:2"
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_MAM = "urn:xmpp:mam:2"

DELEGATED = [{"namespace": NS_PUBSUB}, {"namespace": NS_MAM, "attributes": ["node"]}]


class Manager(TestComponent):
    """A managing entity."""

    def delegations(self):
        """What it is told that it has: attributes by namespace. Requests stay in line."""
        message = self.receive_where(
            lambda item: (
                f"{NS_DELEGATION} delegation" in getattr(item, "children", ())
                and item.name == "message"
            ),
            "A list of delegations",
        )
        assert message.from_.text == "capulet.example"
        assert message.to == self.jid
        assert message.id
        return {
            delegated.get("namespace"): [a.get("name") for a in delegated.find_all("attribute")]
            for delegated in message.find(NS_DELEGATION, "delegation").find_all("delegated")
        }

    def forwarded(self):
        """The next request that is forwarded: ours, and the one inside."""
        outer = self.receive_where(
            lambda item: isinstance(item, Iq) and item.type == "set", "A delegated request"
        )
        assert outer.from_.text == "capulet.example"
        assert outer.to == self.jid
        delegation = outer.payload
        assert delegation.qualified_name == f"{NS_DELEGATION} delegation"
        (forwarded,) = delegation.elements
        assert forwarded.qualified_name == f"{NS_FORWARD} forwarded"
        (inner,) = forwarded.elements
        assert inner.qualified_name == f"{NS_CLIENT} iq"
        return outer, inner

    def receive_iq_get(self):
        """The next request of type get."""
        return self.receive_where(
            lambda item: isinstance(item, Iq) and item.type == "get", "A request of type get"
        )

    def requests(self):
        """The inside of all requests that have been forwarded; what else has come is dropped."""
        return [
            item.payload.elements[0].elements[0]
            for item in self.received()
            if isinstance(item, Iq) and item.type == "set"
        ]

    def settle(self, outer, inner, *payload, **changes):
        """Answer a delegated request; `changes` are of the attributes of the result inside."""
        attributes = {"id": inner.get("id"), "type": "result", "to": inner.get("from")}
        if inner.get("to"):
            attributes["from"] = inner.get("to")
        attributes.update(changes)
        attributes = {name: value for name, value in attributes.items() if value is not None}
        result = Element(NS_CLIENT, "iq", attributes, *payload)
        self.answer(outer, wrapped(result))

    def settle_next(self, *payload, **changes):
        outer, inner = self.forwarded()
        self.settle(outer, inner, *payload, **changes)
        return inner


def wrapped(*inner):
    return Element(
        NS_DELEGATION, "delegation", None, Element(NS_FORWARD, "forwarded", None, *inner)
    )
