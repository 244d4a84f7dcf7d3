"""Block lists: whom an account has blocked, in memory and in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Connection

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.locks import Locks
from stonechat.storage import StorageFull
from stonechat_blocking import tables

T = TypeVar("T")

# A block list holds the texts of prepared addresses. Most accounts share this one.
BlockList = frozenset[str]
EMPTY: BlockList = frozenset()

# A longer list is not kept once its owner is gone, so that those which are kept have a
# bound in bytes too.
LARGE = 200

# A change waits for those before it; each of them takes 5 s at most.
LOCK_SECONDS = 15.0


def blocks(blocked: BlockList, jid: JID) -> bool:
    """Whether a list names an address: itself, its account, or its domain (section 5).

    `domain/resource` is found as the address itself, and so matches nothing else.
    """
    return jid.text in blocked or jid.bare.text in blocked or jid.domain in blocked


class Lists:
    """The block lists of a host.

    Those of accounts with sessions stay in memory once they were wanted, so that the
    database may be away while users talk; so do some of the others. Changes of one
    account happen one after the other. All raise StanzaError when the database fails:
    who cannot tell whether somebody is blocked lets nobody through.
    """

    def __init__(self, host: Host, cached: int) -> None:
        self._host = host
        self._cached = cached
        self._locks = Locks(LOCK_SECONDS)
        self._online: dict[str, BlockList] = {}
        self._recent: OrderedDict[str, BlockList] = OrderedDict()

    def __len__(self) -> int:
        """How many lists are in memory."""
        return len(self._online) + len(self._recent)

    # Reading

    def of(self, localpart: str) -> BlockList:
        """Whom an account has blocked, whether it exists or not."""
        blocked = self._online.get(localpart)
        if blocked is None:
            blocked = self._find_recent(localpart)
        if blocked is None:
            # A load that a change overtakes would bring back what was before it.
            with self._locks.hold(localpart):
                blocked = self._load(localpart)
        return blocked

    def _find_recent(self, localpart: str) -> BlockList | None:
        blocked = self._recent.get(localpart)
        if blocked is not None:
            self._keep(localpart, blocked)
        return blocked

    def _load(self, localpart: str) -> BlockList:
        blocked = self._online.get(localpart)
        if blocked is None:
            blocked = self._recent.get(localpart)
        if blocked is None:
            name = self._host.name
            blocked = self._try(
                localpart, self._host.storage.read, lambda c: tables.load(c, name, localpart)
            )
            self._keep(localpart, blocked)
        return blocked

    # Changing

    @contextmanager
    def change(self, localpart: str) -> Iterator[BlockList]:
        """The list of an account, which nobody else changes meanwhile."""
        with self._locks.hold(localpart):
            yield self._load(localpart)

    def save(self, localpart: str, before: BlockList, after: BlockList) -> None:
        """Write what the list is from now on. Only inside `change`, with what it gave."""
        name = self._host.name
        self._try(
            localpart,
            self._host.storage.write,
            lambda c: tables.save(c, name, localpart, after - before, before - after),
        )
        self._keep(localpart, after)

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        name = self._host.name
        with self._locks.hold(localpart):
            self._try(
                localpart, self._host.storage.write, lambda c: tables.erase(c, name, localpart)
            )
            self.forget(localpart)

    # Keeping

    def release(self, localpart: str) -> None:
        """An account's last session may have gone."""
        if not self._host.sessions(localpart):
            blocked = self._online.pop(localpart, None)
            if blocked is not None:
                self._keep(localpart, blocked)

    def forget(self, localpart: str) -> None:
        """Read the account's list anew when it is next wanted."""
        self._online.pop(localpart, None)
        self._recent.pop(localpart, None)

    def _keep(self, localpart: str, blocked: BlockList) -> None:
        self.forget(localpart)
        if self._host.sessions(localpart):
            self._online[localpart] = blocked
        elif len(blocked) <= LARGE:
            self._recent[localpart] = blocked
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
            raise refusal(error) from error


def refusal(error: StorageError) -> StanzaError:
    """What the sender of a stanza gets when the database fails (robustness promise R5)."""
    if isinstance(error, StorageFull):
        return StanzaError("resource-constraint", "The server has no room.", type="wait")
    return StanzaError("internal-server-error", "The block list cannot be reached.", type="wait")
