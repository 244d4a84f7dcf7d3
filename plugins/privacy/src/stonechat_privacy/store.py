"""The privacy lists of a host, in memory and in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.locks import Locks
from stonechat.storage import StorageFull
from stonechat_privacy import tables
from stonechat_privacy.rules import EMPTY, Lists

T = TypeVar("T")

# Lists with more items are not kept once their owner is gone, so that those which are
# kept have a bound in bytes too.
LARGE = 200

# A change waits for those before it; each of them takes 5 s at most.
LOCK_SECONDS = 15.0


class Store:
    """The lists of every account.

    Those of accounts with sessions stay in memory once they were wanted, so that the
    database may be away while users talk; so do some of the others. Changes of one
    account happen one after the other. All raise StanzaError when the database fails:
    who cannot tell what the rules are lets nobody through.

    Where the blocking command is enabled, both write what is blocked, in one
    transaction: the one that is switched off later leaves the other with all of it.
    """

    def __init__(self, host: Host, cached: int) -> None:
        self._host = host
        self._cached = cached
        self._locks = Locks(LOCK_SECONDS)
        self._online: dict[str, Lists] = {}
        self._recent: OrderedDict[str, Lists] = OrderedDict()

    def __len__(self) -> int:
        """Of how many accounts the lists are in memory."""
        return len(self._online) + len(self._recent)

    # Reading

    def of(self, localpart: str) -> Lists:
        """The lists of an account, whether it exists or not."""
        lists = self._online.get(localpart)
        if lists is None:
            lists = self._find_recent(localpart)
        if lists is None:
            # A load that a change overtakes would bring back what was before it.
            with self._locks.hold(localpart):
                lists = self._load(localpart)
        return lists

    def _find_recent(self, localpart: str) -> Lists | None:
        lists = self._recent.get(localpart)
        if lists is not None:
            self._keep(localpart, lists)
        return lists

    def _find(self, localpart: str) -> Lists | None:
        lists = self._online.get(localpart)
        return self._recent.get(localpart) if lists is None else lists

    def _load(self, localpart: str) -> Lists:
        lists = self._find(localpart)
        if lists is None:
            name, blocking = self._host.name, self._blocking

            def read(connection: Connection) -> Lists:
                found = tables.load(connection, name, localpart)
                if blocking is None:
                    return found
                # What was blocked while there were no privacy lists, or these were off.
                missing = blocking.load(connection, localpart) - found.blocked
                return found.with_blocked(sorted(missing)) if missing else found

            lists = self._try(localpart, self._host.storage.read, read)
            self._keep(localpart, lists)
        return lists

    # Changing

    @contextmanager
    def change(self, localpart: str) -> Iterator[Lists]:
        """The lists of an account, which nobody else changes meanwhile."""
        with self._locks.hold(localpart):
            yield self._load(localpart)

    def save(self, localpart: str, before: Lists, after: Lists) -> None:
        """Write what the lists are from now on. Only inside `change`, with what it gave."""
        name, blocking = self._host.name, self._blocking
        was, now = before.blocked, after.blocked

        def write(connection: Connection) -> None:
            tables.save(connection, name, localpart, after)
            if blocking is not None and was != now:
                blocking.write(connection, localpart, now - was, was - now)

        try:
            self._try(localpart, self._host.storage.write, write)
        finally:
            if blocking is not None:
                blocking.written(localpart)
        if self._find(localpart) is before:
            self._keep(localpart, after)
        else:
            # All was forgotten meanwhile, or is not kept.
            self.forget(localpart)

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        name = self._host.name
        with self._locks.hold(localpart):
            self._try(
                localpart, self._host.storage.write, lambda c: tables.erase(c, name, localpart)
            )
            self.forget(localpart)

    @property
    def _blocking(self) -> Any:
        return self._host.service("blocking")

    # Keeping

    def release(self, localpart: str) -> None:
        """An account's last session may have gone."""
        if not self._host.sessions(localpart):
            lists = self._online.pop(localpart, None)
            if lists is not None:
                self._keep(localpart, lists)

    def forget(self, localpart: str) -> None:
        """Read the account's lists anew when they are next wanted."""
        self._online.pop(localpart, None)
        self._recent.pop(localpart, None)

    def forget_all(self) -> None:
        """Read everything anew."""
        self._online.clear()
        self._recent.clear()

    def _keep(self, localpart: str, lists: Lists) -> None:
        self.forget(localpart)
        if not lists.by_name:
            lists = EMPTY
        if self._host.sessions(localpart):
            self._online[localpart] = lists
        elif sum(len(rules.items) for rules in lists.by_name.values()) <= LARGE:
            self._recent[localpart] = lists
            if len(self._recent) > self._cached:
                self._recent.popitem(last=False)

    def _try(
        self,
        localpart: str,
        carry_out: Callable[[Callable[[Connection], T]], T],
        work: Callable[[Connection], T],
    ) -> T:
        try:
            return carry_out(work)
        except StorageError as error:
            # It may have been written after all.
            self.forget(localpart)
            raise _refusal(error) from error


def _refusal(error: StorageError) -> StanzaError:
    """What the sender of a stanza gets when the database fails (robustness promise R5)."""
    if isinstance(error, StorageFull):
        return StanzaError("resource-constraint", "The server has no room.", type="wait")
    text = "The privacy lists cannot be reached."
    return StanzaError("internal-server-error", text, type="wait")
