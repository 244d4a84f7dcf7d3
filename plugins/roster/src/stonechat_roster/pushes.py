"""Roster pushes: how an account's clients hear of a change (RFC 6121, 2.1.6)."""

from __future__ import annotations

from collections.abc import Sequence

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.stanza import Iq, new_id
from stonechat.xml import Element
from stonechat_roster.items import Roster, query_element, version_text
from stonechat_roster.marks import interested_sessions, marks_of
from stonechat_roster.shared import Shared
from stonechat_roster.sharing import INCOMPLETE, NOTHING, SharedRoster

_CHANGED = "stonechat_roster_changed"


class Pushes:
    """Sends pushes. What clients answer to them changes nothing, so nobody waits for it.

    Plugins are told of the same changes.
    """

    def __init__(self, host: Host, shared: Shared) -> None:
        self._host = host
        self._shared = shared

    def contact(self, localpart: str, own: Roster, contact: JID) -> None:
        """Tell the account's interested sessions what a contact is to it now.

        `own` is the account's own part of the roster, as it has just become.
        """
        sharing = self._shared.known(localpart)
        roster = own
        if sharing is not NOTHING:
            roster = SharedRoster(own, sharing, JID.make(localpart, self._host.name))
        self.contacts(localpart, roster, (contact,))

    def contacts(self, localpart: str, roster: Roster, contacts: Sequence[JID]) -> None:
        """The same of several contacts at once, by the whole roster."""
        if self._host.has_hook(_CHANGED):
            self._tell_plugins(localpart, roster, contacts)
        sessions = interested_sessions(self._host, localpart)
        if not sessions:
            return
        for number, contact in enumerate(contacts, 1):
            item = item_element(roster, contact)
            # Who has not got them all has none of the versions (2.6.3).
            suffix = roster.suffix if number == len(contacts) else INCOMPLETE
            pushes: dict[str, Iq] = {}
            for session in sessions:
                is_behind = marks_of(session).is_behind
                version = version_text(roster.version, INCOMPLETE if is_behind else suffix)
                push = pushes.get(version)
                if push is None:
                    push = pushes[version] = push_iq(session.jid, item, version)
                else:
                    push = push.copy_for(session.jid)
                session.send(push)

    def _tell_plugins(self, localpart: str, roster: Roster, contacts: Sequence[JID]) -> None:
        account = JID.make(localpart, self._host.name)
        version = version_text(roster.version, roster.suffix)
        for contact in contacts:
            query = query_element(version, item_element(roster, contact))
            self._host.notify(_CHANGED, account=account, query=query)


def item_element(roster: Roster, contact: JID) -> Element:
    """What a push says of a contact: its item, or that there is none any more."""
    item = roster.item(contact)
    if item is None:
        return Element(NS_ROSTER, "item", {"jid": contact.text, "subscription": "remove"})
    return item.to_element()


def push_iq(to: JID, item: Element, version: str) -> Iq:
    """A push to one session; without `from` it is from the account itself."""
    return Iq(query_element(version, item), type="set", to=to, id=new_id())
