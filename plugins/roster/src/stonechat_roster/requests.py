"""Roster requests: what a client gets and sets (RFC 6121, section 2)."""

from __future__ import annotations

from typing import cast

import gevent

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.iq import IGNORE, Ignore
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.session import Session
from stonechat.stanza import Iq
from stonechat.xml import Element
from stonechat_roster.items import Item, Roster, query_element, read_version, version_text
from stonechat_roster.marks import marks_of
from stonechat_roster.pushes import item_element, push_iq
from stonechat_roster.service import RosterService
from stonechat_roster.store import Store

# Of a longer roster, so many items are written before the others get a turn.
TURN = 256

# A roster that changes so often while it is written is written without giving turns.
TRIES = 3


class Requests:
    """Answers requests of the namespace jabber:iq:roster to an account."""

    def __init__(
        self,
        host: Host,
        store: Store,
        service: RosterService,
        *,
        max_name_length: int,
        max_groups: int,
        max_group_length: int,
    ) -> None:
        self._host = host
        self._store = store
        self._service = service
        self._max_name_length = max_name_length
        self._max_groups = max_groups
        self._max_group_length = max_group_length

    # Getting

    def get(self, iq: Iq) -> Element | Ignore | None:
        """The roster, or what has changed since the version that the client has (2.6.3)."""
        account = self._owner(iq)
        known = _query(iq).get("ver")
        sender = cast(JID, iq.from_)
        session = self._host.session(sender)
        if session is None:
            # The account's own bare JID is that of no client: another plugin asks for it.
            return None if sender.resource else self._for_the_account(account, known)
        roster = self._store.told(account.localpart)
        changed = _changed_since(roster, known)
        items: list[Element] = []
        if changed is None:
            roster, items = self._written(account.localpart)
        # Since we had the roster nobody else has run, and nobody does until the answer:
        # no push comes before the roster that it changes, and none is missed.
        marks = marks_of(session)
        marks.is_interested = True
        marks.is_behind = False
        if changed is None:
            version = version_text(roster.version, roster.suffix)
            session.send(iq.result(query_element(version, *items)))
        else:
            session.send(iq.result())
            _push_all(session, roster, changed)
        return IGNORE

    def _for_the_account(self, account: JID, known: str) -> Element | None:
        """The roster for a plugin; whole unless the version is the newest.

        There is no session to bring up to date by pushes, and none that now wants them.
        """
        if known and _changed_since(self._store.roster(account.localpart), known) == []:
            return None
        roster, items = self._written(account.localpart)
        return query_element(version_text(roster.version, roster.suffix), *items)

    def _written(self, localpart: str) -> tuple[Roster, list[Element]]:
        """A roster and all its items, as it is when this returns."""
        for tries in range(TRIES):
            roster = self._store.told(localpart)
            items = []
            has_waited = False
            for number, item in enumerate(roster.contacts(), 1):
                items.append(item.to_element())
                if number % TURN == 0 and tries + 1 < TRIES:
                    gevent.sleep(0)
                    has_waited = True
            if not has_waited or roster.is_as(self._store.told(localpart)):
                break
        return roster, items

    # Setting

    def set(self, iq: Iq) -> None:
        """Add, change or remove one item; answered when that is committed."""
        account = self._owner(iq)
        query = _query(iq)
        items = query.elements
        if len(items) != 1 or items[0].qualified_name != f"{NS_ROSTER} item":
            raise StanzaError("bad-request", "A roster set has exactly one item.")
        item = items[0]
        contact = _contact(item)
        if item.get("subscription") == "remove":
            self._service.remove(account.localpart, contact)
            return
        if contact == account:
            raise StanzaError("not-allowed", "Nobody is in their own roster.")
        name = item.get("name")
        if len(name) > self._max_name_length:
            raise StanzaError("not-acceptable", "The name is too long.")
        groups = self._service.without_shared(account.localpart, contact, self._groups(item))
        self._service.set(account.localpart, contact, name=name, groups=groups)

    def _groups(self, item: Element) -> list[str]:
        """The groups of an item in a roster set, checked as section 2.3.3 says."""
        groups = [group.text for group in item.find_all("group")]
        if len(set(groups)) != len(groups):
            raise StanzaError("bad-request", "A group is named twice.")
        if "" in groups:
            raise StanzaError("not-acceptable", "A group needs a name.")
        if len(groups) > self._max_groups:
            raise StanzaError("not-acceptable", "The item has too many groups.")
        if any(len(group) > self._max_group_length for group in groups):
            raise StanzaError("not-acceptable", "The name of a group is too long.")
        return groups

    def refuse_others(self, iq: Iq) -> None:
        """Nobody but its owner may ask for a roster (2.1.5 and 2.3.3).

        Said before anybody looks whether there is such an account: the answer is the
        same where there is none (robustness rule 29; 8.1 lets such a policy come before
        the service-unavailable of 8.5.1).
        """
        to = cast(JID, iq.to)
        if iq.is_request and not to.resource and to != cast(JID, iq.from_).bare:
            raise StanzaError("forbidden", "A roster is its owner's.")

    def _owner(self, iq: Iq) -> JID:
        """The account whose roster is meant, if it is the sender's own."""
        account = cast(JID, iq.from_).bare
        if iq.to is None or iq.to == account:
            return account
        # No query, or it would have been refused before: as where there is no such account.
        raise StanzaError("service-unavailable")


def _query(iq: Iq) -> Element:
    query = iq.payload
    if query is None or query.name != "query":
        raise StanzaError("bad-request", "A roster request holds a query.")
    return query


def _contact(item: Element) -> JID:
    """The address of an item; rosters hold bare ones."""
    try:
        jid = JID.parse(item.get("jid"))
    except JIDError as error:
        raise StanzaError("jid-malformed", str(error)) from None
    if jid.resource:
        raise StanzaError("bad-request", "A roster holds bare JIDs.")
    return jid


def _changed_since(roster: Roster, text: str) -> list[JID] | None:
    """The contacts a client of that version lacks; None if it needs the whole roster."""
    known = read_version(text)
    if known is None or known[1] != roster.suffix:
        return None
    version = known[0]
    if version == roster.version:
        return []
    if not roster.floor <= version < roster.version:
        return None
    changed = [item for item in roster.items.values() if item.changed > version]
    # A push is about twice as long as the item in it.
    if 2 * len(changed) > roster.size:
        return None
    return [item.jid for item in sorted(changed, key=_by_version)]


def _by_version(item: Item) -> int:
    return item.changed


def _push_all(session: Session, roster: Roster, contacts: list[JID]) -> None:
    """Pushes that catch up, in the order in which the items changed."""
    for contact in contacts:
        version = version_text(roster.items[contact].changed, roster.suffix)
        session.send(push_iq(session.jid, item_element(roster, contact), version))
