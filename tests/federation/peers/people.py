"""Users of servers, by slixmpp. Each stays logged in until the end of the run."""

from __future__ import annotations

from typing import Protocol

from stonechat.errors import StanzaError
from stonechat.testing import SlixmppClient, SlixmppPeers


def refusal(one: SlixmppClient, other: SlixmppClient) -> StanzaError:
    """The error that comes back to one who has said something to another.

    Some leave out of it what was said.
    """
    message = one.take(
        f"an error for what was said to {other.jid}",
        lambda stanza: (
            stanza.name == "message" and stanza["type"] == "error" and stanza["from"] == other.jid
        ),
    )
    return one.error_of(message)


class HasClients(Protocol):
    """A server of any make."""

    address: str
    port: int


class People:
    """Makes clients as they are needed. What waits in line with one may be of another test."""

    def __init__(self) -> None:
        self._peers = SlixmppPeers()
        self._clients: dict[str, tuple[HasClients, SlixmppClient]] = {}

    def client(self, server: HasClients, jid: str) -> SlixmppClient:
        """Somebody who has logged in and is available."""
        if jid not in self._clients:
            self._clients[jid] = server, self.guest(server, jid)
        return self._clients[jid][1]

    def guest(self, server: HasClients, jid: str) -> SlixmppClient:
        """One who has just logged in and is nobody else's."""
        how = {"port": server.port, "address": server.address}
        client = self._peers.login(server, jid, "xep_0092", **how)
        # Some tell of subscriptions only those who have asked for their roster.
        client.get_roster()
        client.available()
        return client

    def forget(self, server: HasClients) -> None:
        """A server has gone, and all its users with it."""
        for jid, (its_server, client) in list(self._clients.items()):
            if its_server is server:
                client.close()
                del self._clients[jid]

    def close(self) -> None:
        self._peers.close()
