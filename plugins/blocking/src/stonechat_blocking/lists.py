"""Block lists: whom an account has blocked, in memory and in the database."""

from __future__ import annotations

from stonechat.account_cache import AccountCache
from stonechat.jid import JID
from stonechat_blocking import tables

# A block list holds the texts of prepared addresses. Most accounts share this one.
BlockList = frozenset[str]
EMPTY: BlockList = frozenset()


def blocks(blocked: BlockList, jid: JID) -> bool:
    """Whether a list names an address: itself, its account, or its domain (section 5).

    `domain/resource` is found as the address itself, and so matches nothing else.
    """
    return jid.text in blocked or jid.bare.text in blocked or jid.domain in blocked


class Lists(AccountCache[BlockList]):
    """The block lists of a host.

    StanzaError when the database fails: who cannot tell whether somebody is blocked lets
    nobody through.
    """

    what = "The block list"

    def load(self, localpart: str) -> BlockList:
        name = self.host.name
        return self.host.storage.read(lambda c: tables.load(c, name, localpart))

    def size(self, value: BlockList) -> int:
        return len(value)

    def save(self, localpart: str, before: BlockList, after: BlockList) -> None:
        """Write what the list is from now on. Only inside `change`, with what it gave."""
        name = self.host.name
        added, removed = after - before, before - after
        self.write(localpart, after, lambda c: tables.save(c, name, localpart, added, removed))

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        name = self.host.name
        self.remove(localpart, lambda c: tables.erase(c, name, localpart))
