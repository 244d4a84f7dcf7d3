"""Tells those who are online what has changed in what is shared with them."""

from __future__ import annotations

from collections.abc import Iterable

import gevent

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat_roster.broadcast import TURN, Broadcast
from stonechat_roster.items import Roster
from stonechat_roster.marks import interested_sessions, marks_of
from stonechat_roster.pushes import Pushes
from stonechat_roster.shared import Shared
from stonechat_roster.sharing import SharedRoster, Sharing
from stonechat_roster.states import TO
from stonechat_roster.store import Store

# Whom the database keeps from being told.
AGAIN_SECONDS = 10.0

# Each may be as long as the list of all accounts.
MAX_DIFFERENCES = 64


class Telling:
    """Goes through the accounts that are online, one after the other, with pushes and presence.

    What changes meanwhile is told together with what changed before: an account is told
    what is different from what it knows.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        shared: Shared,
        pushes: Pushes,
        broadcast: Broadcast,
        *,
        max_changes: int,
    ) -> None:
        self._host = host
        self._store = store
        self._shared = shared
        self._pushes = pushes
        self._broadcast = broadcast
        self._max_changes = max_changes
        self._waiting: dict[str, None] = {}
        self._is_telling = False
        # Most accounts had the same before, and have the same now.
        self._differences: dict[tuple[Sharing, Sharing], frozenset[str]] = {}
        shared.follow(self.begin)

    def begin(self, localparts: Iterable[str]) -> None:
        """Something may have changed for these accounts."""
        self._waiting.update(dict.fromkeys(localparts))
        if self._waiting and not self._is_telling:
            self._is_telling = True
            self._host.spawn(self._tell_all)

    def _tell_all(self) -> None:
        failed = []
        try:
            done = 0
            while self._waiting:
                localpart = next(iter(self._waiting))
                del self._waiting[localpart]
                try:
                    done += 1 + self._tell(localpart)
                except StanzaError as error:
                    failed.append(localpart)
                    self._host.log.warning(
                        "shared contacts were not told", account=localpart, reason=str(error)
                    )
                if done >= TURN:
                    done = 0
                    gevent.sleep(0)
        finally:
            self._is_telling = False
            self._differences.clear()
        if failed:
            self._host.call_later(AGAIN_SECONDS, self.begin, failed)

    def _tell(self, localpart: str) -> int:
        """Tell one account; returns how many stanzas that took."""
        after = self._shared.of(localpart)
        own = self._store.own(localpart)
        # Nobody else runs until all pushes are queued.
        before = self._shared.known(localpart)
        self._shared.tell(localpart, after)
        if after is before or not self._host.sessions(localpart):
            return 0
        account = JID.make(localpart, self._host.name)
        changed = self._changed(before, after)
        if len(changed) > self._max_changes:
            self._fall_behind(localpart)
            return 0
        contacts = [JID.make(name, account.domain) for name in sorted(changed - {localpart})]
        was = SharedRoster(own, before, account)
        now = SharedRoster(own, after, account)
        shown = [contact for contact in contacts if now.item(contact) != was.item(contact)]
        self._pushes.contacts(localpart, now, shown)
        return len(shown) + self._tell_presence(account, was, now, contacts)

    def _changed(self, before: Sharing, after: Sharing) -> frozenset[str]:
        found = self._differences.get((before, after))
        if found is None:
            if len(self._differences) >= MAX_DIFFERENCES:
                self._differences.clear()
            found = frozenset(after.differences(before))
            self._differences[before, after] = found
        return found

    def _fall_behind(self, localpart: str) -> None:
        for session in interested_sessions(self._host, localpart):
            marks_of(session).is_behind = True

    def _tell_presence(
        self, account: JID, was: Roster, now: Roster, contacts: Iterable[JID]
    ) -> int:
        """The presence of those whom the account sees now, and the end of that of others.

        The contacts hear of the account when it is their turn.
        """
        if not self._broadcast.available(account):
            return 0
        told = 0
        for contact in contacts:
            here = self._broadcast.available(contact)
            if not here:
                continue
            had, has = was.state(contact) & TO, now.state(contact) & TO
            if has and not had and self._broadcast.may_see(contact, account):
                self._broadcast.show(contact, account)
                told += len(here)
            elif had and not has:
                self._broadcast.hide(contact, account)
                told += len(here)
        return told
