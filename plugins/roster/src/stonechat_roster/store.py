"""Rosters in memory and in the database, and how a change gets from one to the other."""

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
from stonechat_roster import tables
from stonechat_roster.items import BLANK, Item, Roster
from stonechat_roster.shared import Shared
from stonechat_roster.sharing import NOTHING, SharedRoster, Sharing

T = TypeVar("T")

# A larger roster is not kept once its owner is gone, so that those which are kept have
# a bound in bytes too.
LARGE = 200

# A change waits for those before it; each of them takes 5 s at most.
LOCK_SECONDS = 15.0


class Store:
    """The rosters of a host: what is in each, and what is shared with its account.

    The rosters of accounts with sessions are kept in memory, and some of the others. Changes
    of one account happen one after the other, each in a transaction of its own; what is
    in memory changes after the commit. All raise StanzaError when the database fails.
    """

    def __init__(self, host: Host, shared: Shared, cached: int) -> None:
        self._host = host
        self._shared = shared
        self._cached = cached
        self._locks = Locks(LOCK_SECONDS)
        self._online: dict[str, Roster] = {}
        self._recent: OrderedDict[str, Roster] = OrderedDict()

    def __len__(self) -> int:
        """How many rosters are in memory."""
        return len(self._online) + len(self._recent)

    # Reading

    def roster(self, localpart: str) -> Roster:
        """The roster of an account, whether it exists or not."""
        sharing = self._shared.of(localpart)
        return self._together(localpart, self.own(localpart), sharing)

    def told(self, localpart: str) -> Roster:
        """The roster of an account with a session, as far as its clients may know of it."""
        # Both may block the first time only; what they say must be of one moment.
        self._shared.told(localpart)
        own = self.own(localpart)
        return self._together(localpart, own, self._shared.known(localpart))

    def _together(self, localpart: str, own: Roster, sharing: Sharing) -> Roster:
        if sharing is NOTHING:
            return own
        return SharedRoster(own, sharing, JID.make(localpart, self._host.name))

    def shares(self, localpart: str, contact: JID) -> bool:
        """Whether an account and a contact see each other, whatever their rosters say."""
        sharing = self._shared.of(localpart)
        return (
            sharing.has(contact.localpart)
            and contact.domain == self._host.name
            and contact.localpart != localpart
        )

    def own(self, localpart: str) -> Roster:
        """What an account itself has in its roster."""
        roster = self._online.get(localpart)
        if roster is None:
            roster = self._find_recent(localpart)
        if roster is None:
            # A load that a change overtakes would bring back what was before it.
            with self._locks.hold(localpart):
                roster = self._load(localpart)
        return roster

    def _find_recent(self, localpart: str) -> Roster | None:
        roster = self._recent.get(localpart)
        if roster is not None:
            self._keep(localpart, roster)
        return roster

    def _load(self, localpart: str) -> Roster:
        roster = self._online.get(localpart)
        if roster is None:
            roster = self._recent.get(localpart)
        if roster is None:
            name = self._host.name
            roster = self._read(lambda connection: tables.load(connection, name, localpart))
            self._keep(localpart, roster)
        return roster

    def requests(self, localpart: str) -> list[bytes]:
        """The stored subscription requests to an account."""
        name = self._host.name
        return self._read(lambda connection: tables.load_requests(connection, name, localpart))

    # Changing

    @contextmanager
    def change(self, localpart: str) -> Iterator[Roster]:
        """An account's own part of the roster, that nobody else changes meanwhile."""
        with self._locks.hold(localpart):
            yield self._load(localpart)

    def save(
        self,
        localpart: str,
        roster: Roster,
        jid: JID,
        item: Item | None,
        *,
        request: bytes = b"",
        answered: bool = False,
    ) -> Roster:
        """Write what is true of a contact from now on, and return the new roster.

        Only inside `change`, with the roster it gave. `item` is what the account's
        clients see, None for nothing; `request` is to be kept until it is `answered`.
        """
        items, requests = roster.items, roster.requests
        version, floor = roster.version, roster.floor
        is_changed = item is not items.get(jid)
        if is_changed:
            # Beginning with the time, versions of an account that is made anew are
            # later than those that clients know from the one before it.
            version = max(version + 1, self._host.now())
            changed = dict(items)
            if item is None:
                # No push made later would say that it is gone.
                floor = version
                del changed[jid]
            else:
                item = changed[jid] = item._replace(changed=version)
            items = changed
        if request:
            requests |= {jid}
        answered = answered and jid in requests
        if answered:
            requests -= {jid}
        name = self._host.name

        def write(connection: Connection) -> None:
            tables.write_version(connection, name, localpart, version, floor)
            if is_changed and item is None:
                tables.delete_item(connection, name, localpart, jid)
            elif is_changed and item is not None:
                tables.write_item(connection, name, localpart, item)
            if request:
                tables.write_request(connection, name, localpart, jid, request)
            if answered:
                tables.delete_request(connection, name, localpart, jid)

        self._write(localpart, write)
        new = Roster(items, requests, version, floor)
        self._keep(localpart, new)
        return new

    def erase(self, localpart: str) -> Roster:
        """Forget all about an account, and return what there was."""
        name = self._host.name
        with self.change(localpart) as roster:
            if roster is not BLANK:
                self._write(
                    localpart, lambda connection: tables.delete_all(connection, name, localpart)
                )
            self.forget(localpart)
        return roster

    # Keeping

    def release(self, localpart: str) -> None:
        """An account's last session may have gone."""
        self._shared.release(localpart)
        if not self._host.sessions(localpart):
            roster = self._online.pop(localpart, None)
            if roster is not None:
                self._keep(localpart, roster)

    def forget(self, localpart: str) -> None:
        """Read the account's roster anew when it is next wanted."""
        self._online.pop(localpart, None)
        self._recent.pop(localpart, None)

    def _keep(self, localpart: str, roster: Roster) -> None:
        self.forget(localpart)
        if self._host.sessions(localpart):
            self._online[localpart] = roster
        elif len(roster.items) <= LARGE:
            self._recent[localpart] = roster
            if len(self._recent) > self._cached:
                self._recent.popitem(last=False)

    # The database

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._host.storage.read(work)
        except StorageError as error:
            raise _refusal(error) from error

    def _write(self, localpart: str, work: Callable[[Connection], None]) -> None:
        try:
            self._host.storage.write(work)
        except StorageError as error:
            # It may have been written after all.
            self.forget(localpart)
            raise _refusal(error) from error


def _refusal(error: StorageError) -> StanzaError:
    """What the sender of a stanza gets when the database fails (robustness promise R5)."""
    if isinstance(error, StorageFull):
        return StanzaError("resource-constraint", "The server has no room.", type="wait")
    return StanzaError("internal-server-error", "The roster cannot be reached.", type="wait")
