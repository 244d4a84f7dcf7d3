"""What a plugin stores for each account, kept in memory where it is wanted often.

It stands between a plugin and its tables: one read for many looks, changes one after the
other, and no need of the database for as long as an account is online.

    class Notes(AccountCache[frozenset[str]]):
        what = "The notes"

        def load(self, localpart: str) -> frozenset[str]:
            name = self.host.name
            return self.host.storage.read(lambda connection: find(connection, name, localpart))

        def add(self, localpart: str, note: str) -> None:
            name = self.host.name
            with self.change(localpart) as before:
                self.write(
                    localpart,
                    before | {note},
                    lambda connection: insert(connection, name, localpart, note),
                )

The plugin calls `release` from `stonechat_session_closed`, and `remove` from
`stonechat_account_removed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Generic, TypeVar

from gevent import Greenlet, getcurrent
from sqlalchemy import Connection

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.locks import Locks
from stonechat.storage import StorageFull

__all__ = ["LARGE", "AccountCache"]

T = TypeVar("T")

# What is larger is not kept once its owner is gone, so that what is kept has a bound in
# bytes too.
LARGE = 200

# Whoever wants an account waits for those before; each of them takes 5 s at most.
LOCK_SECONDS = 15.0

# How often one account is read at most while somebody has it forgotten again and again.
READS = 3


class AccountCache(ABC, Generic[T]):
    """A value for each account of a host: never None, and never changed, only replaced.

    Those of accounts with sessions stay in memory once they were wanted. Beside them so do
    `recent` others, the last ones used, none of them larger than `LARGE`.

    What may block raises StanzaError of type wait: internal-server-error if the store
    fails, resource-constraint if it is full or too much waits for the account. Other errors
    of `load` and of works are passed on. A failure leaves nothing wrong in memory.
    """

    what: ClassVar[str] = "The data of the account"
    """What the values are, for the texts of errors: `"The roster"`."""

    def __init__(self, host: Host, recent: int) -> None:
        self.host = host
        self._max_recent = recent
        self._online: dict[str, T] = {}
        self._recent: OrderedDict[str, T] = OrderedDict()
        self._locks = Locks(LOCK_SECONDS)
        # Who is alone with an account.
        self._holders: dict[str, Greenlet] = {}
        # The accounts of these, less those forgotten since: what the holder knows of such
        # a one is of before.
        self._fresh: set[str] = set()

    def __len__(self) -> int:
        """Of how many accounts the value is in memory."""
        return len(self._online) + len(self._recent)

    # For the subclass to say

    @abstractmethod
    def load(self, localpart: str) -> T:
        """Read a value from the store, also for an account that does not exist.

        Called in the greenlet of whoever asks first; the others wait. May block, and raise
        StorageError.
        """

    def size(self, value: T) -> int:
        """How large a value is, in items; without this, none is too large to be kept."""
        return 0

    # Reading

    def of(self, localpart: str) -> T:
        """The value of an account. Blocks if it is not in memory, and only then."""
        value = self._online.get(localpart)
        if value is None:
            value = self.known(localpart)
            if value is None:
                value = self._wait_for(localpart)
        return value

    def known(self, localpart: str) -> T | None:
        """The value of an account if it is in memory. Never blocks."""
        value = self._online.get(localpart)
        if value is None:
            value = self._recent.get(localpart)
            if value is not None:
                if self.host.sessions(localpart):
                    # Its owner has come: from now on it has a place of its own.
                    del self._recent[localpart]
                    self._online[localpart] = value
                else:
                    self._recent.move_to_end(localpart)
        return value

    # Changing

    @contextmanager
    def change(self, localpart: str) -> Iterator[T]:
        """Be alone with an account, and get its value. Blocks.

        Nobody else changes it meanwhile. All go on to see this value until another one is
        written, and the holder, too, may look at it by `of`.
        """
        with self._locks.hold(localpart):
            self._holders[localpart] = getcurrent()
            self._fresh.add(localpart)
            try:
                yield self._found(localpart)
            finally:
                del self._holders[localpart]
                self._fresh.discard(localpart)

    def write(self, localpart: str, value: T | None, work: Callable[[Connection], object]) -> None:
        """Store a change by a work (`stonechat.storage`), then keep the value. Blocks.

        Only inside `change`, and made from what that gave. With None, the value is read
        anew when it is next wanted; and so it is after an error, for it may have been
        written after all, and where the account was forgotten during the change.
        """
        try:
            self.host.storage.write(work)
        except StorageError as error:
            self.forget(localpart)
            raise self.refusal(error) from error
        if value is None:
            self.forget(localpart)
        else:
            self._keep(localpart, value)

    def remove(self, localpart: str, work: Callable[[Connection], object]) -> None:
        """Have a work delete what is stored for an account that is gone. Blocks.

        Whoever reads or changes it now is waited for, and leaves nothing behind.
        """
        with self._locks.hold(localpart):
            self.write(localpart, None, work)

    # Keeping

    def release(self, localpart: str) -> None:
        """A session has ended: if it was its account's last, that is not online any more.

        Called for every one, even where nothing is known of the account. Never blocks.
        """
        if not self.host.sessions(localpart):
            value = self._online.pop(localpart, None)
            if value is not None:
                self._keep_for_now(localpart, value)

    def forget(self, localpart: str) -> None:
        """Read the value anew when it is next wanted: it has been changed past us.

        Whoever is reading it reads it again. Never blocks.
        """
        self._drop(localpart)
        self._fresh.discard(localpart)

    def forget_all(self) -> None:
        """The same for all accounts."""
        self._online.clear()
        self._recent.clear()
        self._fresh.clear()

    def refusal(self, error: StorageError) -> StanzaError:
        """What the sender of a stanza gets if the store fails (robustness promise R5)."""
        if isinstance(error, StorageFull):
            return StanzaError("resource-constraint", "The server has no room.", type="wait")
        text = f"{self.what} cannot be reached."
        return StanzaError("internal-server-error", text, type="wait")

    # Below

    def _wait_for(self, localpart: str) -> T:
        if self._holders.get(localpart) is getcurrent():
            # A look during a change of one's own, which would wait for itself.
            return self._load(localpart)
        # A load that a change overtakes would bring back what was before it.
        with self.change(localpart) as value:
            return value

    def _found(self, localpart: str) -> T:
        """The value, for whoever is alone with the account."""
        # Who was it before may have loaded it.
        known = self.known(localpart)
        if known is not None:
            return known
        for _ in range(READS):
            self._fresh.add(localpart)
            value = self._load(localpart)
            if localpart in self._fresh:
                self._keep(localpart, value)
                break
        return value

    def _load(self, localpart: str) -> T:
        try:
            return self.load(localpart)
        except StorageError as error:
            raise self.refusal(error) from error

    def _keep(self, localpart: str, value: T) -> None:
        self._drop(localpart)
        if localpart in self._fresh:
            # Only now: sessions may have come and gone during what blocked.
            if self.host.sessions(localpart):
                self._online[localpart] = value
            else:
                self._keep_for_now(localpart, value)

    def _keep_for_now(self, localpart: str, value: T) -> None:
        if self.size(value) <= LARGE:
            self._recent[localpart] = value
            if len(self._recent) > self._max_recent:
                self._recent.popitem(last=False)

    def _drop(self, localpart: str) -> None:
        self._online.pop(localpart, None)
        self._recent.pop(localpart, None)
