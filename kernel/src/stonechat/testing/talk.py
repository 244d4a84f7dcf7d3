"""Short forms for what tests make clients say, and for what they look at afterwards."""

from __future__ import annotations

from stonechat.jid import JID
from stonechat.stanza import Iq, Message, Presence
from stonechat.testing.client import TestClient
from stonechat.xml import Element


class Talk:
    """What conversations about presence and messages have in common.

    The tests of a plugin add the words of its protocol in a subclass, and give it out by a
    fixture. What looks at what has come takes all that has come, and drops the rest.
    """

    def say(self, client: TestClient, kind: str, to: JID | str) -> None:
        """Send presence of a type to somebody: a subscription stanza, or a probe."""
        client.send(Presence(type=kind, to=JID.parse(str(to))))

    def befriend(self, *clients: TestClient) -> None:
        """Each two of them see each other's presence; what they got meanwhile is dropped."""
        for one in clients:
            for other in clients:
                if one.bare != other.bare:
                    self.say(one, "subscribe", other.bare)
                    self.say(other, "subscribed", one.bare)
        for client in clients:
            client.received()

    def presences(self, client: TestClient) -> list[tuple[str, str]]:
        """The presence that has come, as (type, from)."""
        return [
            (stanza.type, stanza.from_.text if stanza.from_ else "")
            for stanza in client.received()
            if isinstance(stanza, Presence)
        ]

    def bodies(self, client: TestClient) -> list[str]:
        """The texts of the messages that have come."""
        return [stanza.body for stanza in client.received() if isinstance(stanza, Message)]

    def pushed_payloads(self, client: TestClient) -> list[Element]:
        """The payloads of what the server has pushed, each by an iq of the account itself."""
        found = []
        for stanza in client.received():
            if isinstance(stanza, Iq) and stanza.type == "set":
                assert "from" not in stanza.attributes
                assert stanza.to == client.jid
                assert stanza.payload is not None
                found.append(stanza.payload)
        return found
