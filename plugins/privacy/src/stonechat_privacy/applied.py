"""Which list applies to what, and what it says (XEP-0016, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat_privacy.rules import EMPTY, OTHER, STRANGER, Contact, Item, Lists, PrivacyList
from stonechat_privacy.store import Store


class Applied:
    """Active lists of sessions, and the default list for all the rest."""

    def __init__(self, host: Host, store: Store) -> None:
        self._host = host
        self._store = store
        # By the full JID, and not in the session's data: a session is found no more when
        # its end is told, and who must not hear that it was there must not hear of that.
        self._active: dict[JID, tuple[Session, str]] = {}

    # Active lists

    def active(self, jid: JID) -> str | None:
        """The name of a session's active list."""
        found = self._active.get(jid)
        return None if found is None else found[1]

    def activate(self, session: Session, name: str | None) -> None:
        """Give a session an active list, or none."""
        if name is None:
            self._active.pop(session.jid, None)
        else:
            self._active[session.jid] = (session, name)

    def closed(self, session: Session) -> None:
        """A session is over."""
        found = self._active.get(session.jid)
        # Another client may have the resource by now.
        if found is not None and found[0] is session:
            del self._active[session.jid]

    # Lists

    def rules_of(self, lists: Lists, jid: JID) -> PrivacyList | None:
        """The list that applies to a session, or to the account where none is named."""
        if jid.resource:
            name = self.active(jid)
            if name is not None and name in lists.by_name:
                return lists.by_name[name]
        return lists.default_list

    def applies(self, lists: Lists, name: str, others: Sequence[Session]) -> bool:
        """Whether a list applies to one of these sessions."""
        for session in others:
            active = self.active(session.jid)
            if (lists.default if active is None else active) == name:
                return True
        return False

    # What they say

    def find(self, lists: Lists, jid: JID, other: JID, kind: int) -> Item | None:
        """The item that decides between a session and somebody."""
        return self._find(self.rules_of(lists, jid), jid, other, kind)

    def allows(self, lists: Lists, jid: JID, other: JID, kind: int) -> bool:
        """Whether a kind of stanza may pass between a session and somebody."""
        return self.permits(self.rules_of(lists, jid), jid, other, kind)

    def permits(self, rules: PrivacyList | None, jid: JID, other: JID, kind: int) -> bool:
        """The same by one list, or by none."""
        item = self._find(rules, jid, other, kind)
        return item is None or item.allows

    def _find(self, rules: PrivacyList | None, jid: JID, other: JID, kind: int) -> Item | None:
        if rules is None or is_exempt(jid, other):
            return None
        return rules.find(other, kind, lambda contact: self._contact(jid.localpart, contact))

    def verdicts(
        self, lists: Lists, account: JID, other: JID, kind: int
    ) -> list[tuple[Session, bool]]:
        """What each available session of an account would say."""
        return [
            (session, self.allows(lists, session.jid, other, kind))
            for session in self._host.sessions(account.localpart)
            if session.presence is not None
        ]

    def allows_account(self, lists: Lists, account: JID, other: JID, kind: int) -> bool:
        """Whether something may pass that concerns the account as a whole.

        It may where one available session would let it, or the default list while there
        is none.
        """
        verdicts = self.verdicts(lists, account, other, kind)
        if verdicts:
            return any(allowed for _, allowed in verdicts)
        return self.allows(lists, account.bare, other, kind)

    def is_blocked(self, localpart: str, other: JID) -> bool:
        """Whether nothing at all goes between an account and somebody."""
        lists = self._store.of(localpart)
        if lists is EMPTY:
            return False
        account = JID.make(localpart, self._host.name)
        return not self.allows_account(lists, account, other, OTHER)

    def _contact(self, localpart: str, jid: JID) -> Contact:
        roster: Any = self._host.service("roster")
        if roster is None:
            return STRANGER
        item = roster.item(localpart, jid)
        return STRANGER if item is None else Contact(item.subscription, item.groups)


def is_exempt(jid: JID, other: JID) -> bool:
    """Whether no list comes between: the account's own resources (2.1), and its server.

    Whatever a user writes into a list, nobody is to lock themselves out.
    """
    return other.bare == jid.bare or (other.is_domain and other.domain == jid.domain)
