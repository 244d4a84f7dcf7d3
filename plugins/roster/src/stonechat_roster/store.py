"""Rosters in memory and in the database, and how a change gets from one to the other."""

from __future__ import annotations

from sqlalchemy import Connection

from stonechat.account_cache import AccountCache
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat_roster import tables
from stonechat_roster.items import BLANK, Item, Roster
from stonechat_roster.shared import Shared
from stonechat_roster.sharing import NOTHING, SharedRoster, Sharing


class Store(AccountCache[Roster]):
    """The rosters of a host: what is in each, and what is shared with its account.

    What is kept, and changed, is what the accounts themselves have in them. StanzaError
    when the database fails.
    """

    what = "The roster"

    def __init__(self, host: Host, shared: Shared, cached: int) -> None:
        super().__init__(host, cached)
        self._shared = shared

    def load(self, localpart: str) -> Roster:
        name = self.host.name
        return self.host.storage.read(lambda connection: tables.load(connection, name, localpart))

    def size(self, value: Roster) -> int:
        return len(value.items)

    # Reading

    def roster(self, localpart: str) -> Roster:
        """The roster of an account, whether it exists or not."""
        sharing = self._shared.of(localpart)
        return self._together(localpart, self.of(localpart), sharing)

    def told(self, localpart: str) -> Roster:
        """The roster of an account with a session, as far as its clients may know of it."""
        # Both may block the first time only; what they say must be of one moment.
        self._shared.told(localpart)
        own = self.of(localpart)
        return self._together(localpart, own, self._shared.known(localpart))

    def _together(self, localpart: str, own: Roster, sharing: Sharing) -> Roster:
        if sharing is NOTHING:
            return own
        return SharedRoster(own, sharing, JID.make(localpart, self.host.name))

    def shares(self, localpart: str, contact: JID) -> bool:
        """Whether an account and a contact see each other, whatever their rosters say."""
        sharing = self._shared.of(localpart)
        return (
            sharing.has(contact.localpart)
            and contact.domain == self.host.name
            and contact.localpart != localpart
        )

    def own(self, localpart: str) -> Roster:
        """What an account itself has in its roster."""
        return self.of(localpart)

    def requests(self, localpart: str) -> list[bytes]:
        """The stored subscription requests to an account."""
        name = self.host.name
        try:
            return self.host.storage.read(
                lambda connection: tables.load_requests(connection, name, localpart)
            )
        except StorageError as error:
            raise self.refusal(error) from error

    # Changing

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
            version = max(version + 1, self.host.now())
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
        name = self.host.name

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

        new = Roster(items, requests, version, floor)
        self.write(localpart, new, write)
        return new

    def erase(self, localpart: str) -> Roster:
        """Forget all about an account, and return what there was."""
        name = self.host.name
        with self.change(localpart) as roster:
            if roster is not BLANK:
                self.write(
                    localpart,
                    None,
                    lambda connection: tables.delete_all(connection, name, localpart),
                )
            self.forget(localpart)
        return roster

    # Keeping

    def release(self, localpart: str) -> None:
        self._shared.release(localpart)
        super().release(localpart)
