"""A component with privileges, as the tests of privileges speak to it."""

from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_FORWARD
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat.testing import TestComponent, error_of

DOMAIN = "pubsub.capulet.example"
SECRET = "What's in a name?"
NS_PRIVILEGE = "urn:xmpp:privilege:2"
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_ROSTER = "jabber:iq:roster"
NS_VERSION = "jabber:iq:version"


class Entity(TestComponent):
    """A privileged entity."""

    def permissions(self):
        """What it is told that it may do: by access; requests by namespace."""
        message = self.receive_where(
            lambda item: (
                f"{NS_PRIVILEGE} privilege" in getattr(item, "children", ())
                and item.name == "message"
            ),
            "A list of permissions",
        )
        assert message.from_.text == "capulet.example"
        assert message.to == self.jid
        assert message.id
        found = {}
        for perm in message.find(NS_PRIVILEGE, "privilege").find_all("perm"):
            what = dict(perm.attributes)
            if what["access"] == "iq":
                what["namespaces"] = {
                    each.get("ns"): each.get("type") for each in perm.find_all("namespace")
                }
            found[what.pop("access")] = what
        return found

    def presences(self):
        """The presence that has come, as (type, from); the rest is dropped."""
        return [
            (item.type, item.from_.text) for item in self.received() if isinstance(item, Presence)
        ]

    def pushes(self):
        """The roster pushes that have come, as (account, attributes of the item)."""
        found = []
        for item in self.received():
            if isinstance(item, Iq) and item.type == "set" and item.namespace == NS_ROSTER:
                assert item.to == self.jid
                assert item.id
                found.append((item.from_.text, dict(item.payload.first().attributes)))
        return found

    def receive_iq_set(self):
        """The next request of type set."""
        return self.receive_where(
            lambda item: isinstance(item, Iq) and item.type == "set", "A request of type set"
        )

    # Requests for users

    def ask_for(self, account, *inner, type="set"):
        """Send a `<privileged_iq/>`; returns its id."""
        wrapper = Element(NS_PRIVILEGE, "privileged_iq", None, *inner)
        return self.ask(type, wrapper, account)

    def refusal(self, id_):
        return error_of(self.answer_to(id_)).condition

    def answer_for(self, id_):
        """The answer that is forwarded to it."""
        answer = self.answer_to(id_)
        assert answer.type == "result", answer
        privilege = answer.payload
        assert privilege.qualified_name == f"{NS_PRIVILEGE} privilege"
        (forwarded,) = privilege.elements
        assert forwarded.qualified_name == f"{NS_FORWARD} forwarded"
        (inner,) = forwarded.elements
        assert inner.qualified_name == f"{NS_CLIENT} iq"
        return inner

    # Messages for users

    def forward(self, *inner, to="capulet.example"):
        """Send a message for somebody, and return the error that comes back, or None."""
        privilege = Element(
            NS_PRIVILEGE, "privilege", None, Element(NS_FORWARD, "forwarded", None, *inner)
        )
        self.send(Message(privilege, to=JID.parse(to), from_=self.jid, id="notif1"))
        errors = [
            item
            for item in self.received()
            if isinstance(item, Message) and item.type == "error" and item.id == "notif1"
        ]
        return error_of(errors[0]).condition if errors else None


def request(payload=None, type="set", id="sub_1", **attributes):
    """A request to be sent for somebody."""
    if payload is None:
        payload = Element(NS_PUBSUB, "pubsub")
    given = {"type": type, "id": id, **{k.rstrip("_"): v for k, v in attributes.items()}}
    head = {name: value for name, value in given.items() if value is not None}
    return Element(NS_CLIENT, "iq", head, payload)


def message(*payload, **attributes):
    """A message to be sent for somebody."""
    head = {name.rstrip("_"): value for name, value in attributes.items() if value is not None}
    return Element(
        NS_CLIENT, "message", head, *(payload or [Element(NS_CLIENT, "body", None, "Hark!")])
    )
