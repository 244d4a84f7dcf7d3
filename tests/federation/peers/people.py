"""Users of servers, by slixmpp. Each stays logged in until the end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeVar

from peers import DEADLINE
from stonechat.errors import StanzaError
from stonechat.testing import SlixmppClient, SlixmppPeers

# After so long what has not come is taken for lost, where it may be.
ATTEMPT = 2.0


def refusal(one: SlixmppClient, other: SlixmppClient, timeout: float = DEADLINE) -> StanzaError:
    """The error that comes back to one who has said something to another.

    Some leave out of it what was said.
    """
    message = one.take(
        f"an error for what was said to {other.jid}",
        lambda stanza: (
            stanza.name == "message" and stanza["type"] == "error" and stanza["from"] == other.jid
        ),
        timeout,
    )
    return one.error_of(message)


_T = TypeVar("_T")


def _again(attempt: Callable[[], _T]) -> _T:
    """What an attempt comes to that fails while others have not noticed a change, or rest."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return attempt()
        except AssertionError:
            if time.monotonic() > deadline:
                raise


_numbers = count()


def told(one: SlixmppClient, other: SlixmppClient) -> None:
    """One speaks until the other has heard it: its server may not try for a while."""

    def attempt() -> None:
        text = f"Hist! {next(_numbers)}"
        one.say(other.jid, text)
        other.take(
            text, lambda stanza: stanza.name == "message" and stanza["body"] == text, ATTEMPT
        )

    _again(attempt)


def refused(one: SlixmppClient, other: SlixmppClient) -> StanzaError:
    """One speaks until that is refused: what its server sends over a stream that ends is lost."""

    def attempt() -> StanzaError:
        one.say(other.jid, f"In vain {next(_numbers)}")
        return refusal(one, other, ATTEMPT)

    return _again(attempt)


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
