"""Presence for components: that of users, and that of their contacts ("Presence Permission")."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Presence, Stanza
from stonechat_privilege.feed import Feed

# What one contact takes beside the octets of its presence.
_OVERHEAD = 250

# Several accounts hear that the same contact has gone, one after the other. So many of the
# last ones are remembered.
_MAX_GONE = 1000


class Presences:
    """Tells components who is there.

    Of the host's users the sessions themselves know. What is said of contacts elsewhere comes
    to each account that sees them, and is told once; as much of it as `memory` holds is kept
    for components that connect later.
    """

    def __init__(self, host: Host, memory: int) -> None:
        self._host = host
        self._memory = memory
        self._used = 0
        self._contacts: OrderedDict[str, bytes] = OrderedDict()
        self._gone: OrderedDict[str, None] = OrderedDict()

    def there(self, feed: Feed) -> Iterator[Stanza]:
        """The presence of all whom a component that has just come may see."""
        for session in self._host.all_sessions():
            if session.presence is not None:
                yield session.presence.copy_for(feed.jid)
        if feed.permissions.sees_contacts:
            for octets in list(self._contacts.values()):
                yield cast(Presence, Stanza.from_bytes(octets)).copy_for(feed.jid)

    # Users

    def changed(
        self, feeds: Iterable[Feed], session: Session, presence: Presence, *, is_update: bool
    ) -> None:
        """A user's presence is another now.

        An update that is neither the first presence of a session nor its last is not for who
        sees users alone. Who sees contacts gets it if anybody here has the user for one.
        """
        if not presence.type and session.presence is None:
            # It is gone already, and that was told before.
            return
        told = [
            feed
            for feed in feeds
            if feed.permissions.sees_users
            and (not is_update or (feed.permissions.sees_contacts and self._is_seen(session.jid)))
        ]
        for feed in told:
            feed.send(_about(session.jid), presence.copy_for(feed.jid))

    def _is_seen(self, user: JID) -> bool:
        """Whether an account of the host has a user among its contacts."""
        roster = self._host.service("roster")
        if roster is None:
            return False
        try:
            watchers: tuple[JID, ...] = roster.watchers(user.localpart)
        except StanzaError as error:
            self._host.log.warning("presence was not told", jid=user.text, reason=str(error))
            return False
        return any(watcher.domain == self._host.name for watcher in watchers)

    # Contacts on other servers

    def came(self, feeds: Iterable[Feed], presence: Presence) -> None:
        """Presence has come to an account, available or unavailable."""
        sender, to = cast(JID, presence.from_), cast(JID, presence.to)
        if sender.domain == self._host.name:
            return
        known = self._contacts.get(sender.text)
        if presence.type == "unavailable":
            if sender.text in self._gone or (known is None and not self._sees(to, sender)):
                return
            self._forget(sender.text)
            self._gone[sender.text] = None
            if len(self._gone) > _MAX_GONE:
                self._gone.popitem(last=False)
        else:
            octets = presence.copy_for(self._host.jid).to_bytes()
            if octets == known or not self._sees(to, sender):
                return
            self._gone.pop(sender.text, None)
            self._keep(sender.text, octets)
        for feed in feeds:
            if feed.permissions.sees_contacts:
                feed.send(_about(sender), presence.copy_for(feed.jid))

    def _sees(self, account: JID, contact: JID) -> bool:
        """Whether an account has somebody in its roster whose presence it sees."""
        roster = self._host.service("roster")
        if roster is None:
            return False
        try:
            return roster.subscription(account.localpart, contact) in ("to", "both")
        except StanzaError as error:
            self._host.log.warning("presence was not told", jid=contact.text, reason=str(error))
            return False

    def _keep(self, contact: str, octets: bytes) -> None:
        self._forget(contact)
        self._contacts[contact] = octets
        self._used += _size(contact, octets)
        while self._used > self._memory:
            self._forget(next(iter(self._contacts)))

    def _forget(self, contact: str) -> None:
        octets = self._contacts.pop(contact, None)
        if octets is not None:
            self._used -= _size(contact, octets)


def _about(jid: JID) -> str:
    return f"presence {jid}"


def _size(contact: str, octets: bytes) -> int:
    return len(octets) + len(contact) + _OVERHEAD
