"""Blocking as other plugins see it: the service `blocking`."""

from __future__ import annotations

from sqlalchemy import Connection

from stonechat.host import Host
from stonechat.jid import JID
from stonechat_blocking import tables
from stonechat_blocking.commands import Commands
from stonechat_blocking.guard import Guard
from stonechat_blocking.lists import BlockList, Lists


class BlockingService:
    """Who is blocked, and how the privacy lists keep the same list.

    Accounts are named by their localpart. What looks something up may block, and raises
    StanzaError when the database fails.
    """

    def __init__(self, host: Host, lists: Lists, guard: Guard, commands: Commands) -> None:
        self._host = host
        self._lists = lists
        self._guard = guard
        self._commands = commands

    def is_blocked(self, localpart: str, jid: JID) -> bool:
        """Whether nothing may go between an account and somebody, in either direction."""
        privacy = self._host.service("privacy")
        if privacy is not None:
            return bool(privacy.is_blocked(localpart, jid))
        return self._guard.is_blocked(localpart, jid)

    def blocked(self, localpart: str) -> frozenset[str]:
        """Whom an account has blocked."""
        return self._commands.blocked(localpart)

    # For the privacy lists (XEP-0191, section 5)

    def load(self, connection: Connection, localpart: str) -> BlockList:
        """What was blocked when this was last written."""
        return tables.load(connection, self._host.name, localpart)

    def write(
        self, connection: Connection, localpart: str, added: BlockList, removed: BlockList
    ) -> None:
        """Write a change of the default privacy list along with it."""
        tables.save(connection, self._host.name, localpart, added, removed)

    def written(self, localpart: str) -> None:
        """Such a change is committed, or may be."""
        self._lists.forget(localpart)

    def changed(self, localpart: str, before: BlockList, after: BlockList) -> None:
        """A client has changed it by means of the privacy lists: tell the others."""
        self._commands.changed(localpart, before, after)
