"""Who appears in a test: accounts on the server, and slixmpp clients for them."""

from __future__ import annotations

from typing import Any

from stonechat.testing.event_loop import EventLoop
from witnesses.node import Node
from witnesses.people import Person

PASSWORD = "wherefore art thou"


class Cast:
    """Makes accounts as they are needed, and removes them at the end."""

    def __init__(self, node: Node, loop: EventLoop) -> None:
        self.node = node
        self._loop = loop
        self._accounts: list[str] = []
        self._people: list[Person] = []

    def account(self, bare_jid: str, password: str = PASSWORD) -> str:
        """An account; returns its JID."""
        if bare_jid not in self._accounts:
            self.node.ask("register", jid=bare_jid, password=password)
            self._accounts.append(bare_jid)
        return bare_jid

    def stranger(self, jid: str, password: str = PASSWORD, **how: Any) -> Person:
        """A client that is not connected, of somebody who need not have an account."""
        how.setdefault("port", self.node.direct if how.get("direct_tls") else self.node.starttls)
        how.setdefault("trusted", self.node.authority.file)
        person = Person(self._loop, jid, password, **how)
        self._people.append(person)
        return person

    def login(self, jid: str, password: str = PASSWORD, **how: Any) -> Person:
        """A client that has logged in, without presence yet; its account is made if need be."""
        self.account(jid.partition("/")[0], password)
        person = self.stranger(jid, password, **how)
        person.connect()
        return person

    def befriend(self, one: str, other: str) -> None:
        """Each sees the other's presence, as after two subscriptions."""
        for account, contact in ((one, other), (other, one)):
            self.account(account)
            self.node.ask("roster-add", account=account, contact=contact, subscription="both")

    def removes(self, bare_jid: str) -> None:
        """The test has made this account itself, and wants it removed at the end."""
        self._accounts.append(bare_jid)

    def has_removed(self, bare_jid: str) -> None:
        """The test has removed this account itself."""
        self._accounts.remove(bare_jid)

    def close(self) -> None:
        for person in self._people:
            person.close()
        if not self.node.process.is_running:
            return
        for account in self._accounts:
            self.node.ask("unregister", jid=account)
