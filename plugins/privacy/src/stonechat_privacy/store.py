"""The privacy lists of a host, in memory and in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from stonechat.account_cache import AccountCache
from stonechat_privacy import tables
from stonechat_privacy.rules import EMPTY, Lists


class Store(AccountCache[Lists]):
    """The lists of every account.

    StanzaError when the database fails: who cannot tell what the rules are lets nobody
    through.

    Where the blocking command is enabled, both write what is blocked, in one
    transaction: the one that is switched off later leaves the other with all of it.
    """

    what = "The privacy lists"

    def load(self, localpart: str) -> Lists:
        name, blocking = self.host.name, self._blocking

        def read(connection: Connection) -> Lists:
            found = tables.load(connection, name, localpart)
            if blocking is None:
                return found
            # What was blocked while there were no privacy lists, or these were off.
            missing = blocking.load(connection, localpart) - found.blocked
            return found.with_blocked(sorted(missing)) if missing else found

        return self.host.storage.read(read)

    def size(self, value: Lists) -> int:
        return sum(len(rules.items) for rules in value.by_name.values())

    def save(self, localpart: str, before: Lists, after: Lists) -> None:
        """Write what the lists are from now on. Only inside `change`, with what it gave."""
        name, blocking = self.host.name, self._blocking
        was, now = before.blocked, after.blocked

        def write(connection: Connection) -> None:
            tables.save(connection, name, localpart, after)
            if blocking is not None and was != now:
                blocking.write(connection, localpart, now - was, was - now)

        try:
            self.write(localpart, after if after.by_name else EMPTY, write)
        finally:
            if blocking is not None:
                blocking.written(localpart)

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        name = self.host.name
        self.remove(localpart, lambda c: tables.erase(c, name, localpart))

    @property
    def _blocking(self) -> Any:
        return self.host.service("blocking")
