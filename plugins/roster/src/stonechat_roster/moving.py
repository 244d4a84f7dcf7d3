"""Rosters on their way to another server, and from one (XEP-0227, "Rosters")."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from stonechat.errors import JIDError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_ROSTER
from stonechat.plugin import Imported
from stonechat.portable import Count, parts_of
from stonechat.stanza import Presence, Stanza
from stonechat.xml import Element
from stonechat_roster import tables
from stonechat_roster.items import Item, Roster
from stonechat_roster.pushes import Pushes
from stonechat_roster.states import APPROVED, FROM, OUT, SUBSCRIPTIONS, TO
from stonechat_roster.store import Store
from stonechat_roster.subscriptions import stored

_YES = ("true", "1")


class Moving:
    """Hands out what accounts have in their rosters themselves, and takes the same in.

    Subscriptions are what both servers know already: nobody but the account's clients is
    told of anything.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        pushes: Pushes,
        *,
        max_items: int,
        max_requests: int,
        max_name_length: int,
        max_groups: int,
        max_group_length: int,
    ) -> None:
        self._host = host
        self._store = store
        self._pushes = pushes
        self._max_items = max_items
        self._max_requests = max_requests
        self._max_name_length = max_name_length
        self._max_groups = max_groups
        self._max_group_length = max_group_length

    # Out

    def export(self, account: JID) -> Iterator[Element]:
        """The roster, and the requests that wait for an answer."""
        roster = self._store.own(account.localpart)
        query = Element(NS_ROSTER, "query")
        yield from parts_of(query, (item.to_element() for item in roster.items.values()))
        for octets in self._store.requests(account.localpart):
            yield Stanza.from_bytes(octets).element

    # In

    def take(self, account: JID, element: Element, *, dry_run: bool) -> Imported | None:
        """A roster, or a request for a subscription."""
        if element.namespace == NS_ROSTER and element.name == "query":
            return self._take_items(account, element, dry_run=dry_run)
        if element.namespace == NS_CLIENT and element.name == "presence":
            return self._take_request(account, element, dry_run=dry_run)
        return None

    def _take_items(self, account: JID, query: Element, *, dry_run: bool) -> Imported:
        count = Count()
        with self._store.change(account.localpart) as roster:
            version = max(roster.version + 1, self._host.now())
            items = dict(roster.items)
            new: list[Item] = []
            for child in query.elements:
                item = self._read(child, account, count)
                if item is None:
                    continue
                before = items.get(item.jid)
                if before is not None:
                    if _in_order(before) == _in_order(item):
                        count.known += 1
                    else:
                        count.lose("a contact that is in the roster already, and stays as it is")
                elif len(items) >= self._max_items:
                    count.lose(f"a contact beyond the {self._max_items} that a roster may have")
                else:
                    items[item.jid] = item._replace(changed=version)
                    new.append(items[item.jid])
            count.kept = len(new)
            if new and not dry_run:
                self._write(account.localpart, roster, items, new, version)
        return count.total()

    def _write(
        self, localpart: str, roster: Roster, items: dict[JID, Item], new: list[Item], version: int
    ) -> None:
        name = self._host.name

        def write(connection: Connection) -> None:
            tables.write_version(connection, name, localpart, version, roster.floor)
            for item in new:
                tables.write_item(connection, name, localpart, item)

        after = Roster(items, roster.requests, version, roster.floor)
        self._store.write(localpart, after, write)
        for item in new:
            self._pushes.contact(localpart, after, item.jid)

    def _read(self, element: Element, account: JID, count: Count) -> Item | None:
        """An item as it is to be; None where it is none."""
        if element.name != "item" or element.namespace != NS_ROSTER:
            count.lose(f"<{element.name}/> in a roster")
            return None
        try:
            jid = JID.parse(element.get("jid")).bare
        except JIDError:
            count.lose("a contact with an address that is none")
            return None
        subscription = element.get("subscription", "none")
        if subscription not in SUBSCRIPTIONS:
            count.lose("a contact with a subscription that there is not")
            return None
        if jid == account:
            count.lose("a contact that is the account itself")
            return None
        state = SUBSCRIPTIONS.index(subscription)
        if element.get("ask") == "subscribe" and not state & TO:
            state |= OUT
        if element.get("approved") in _YES and not state & FROM:
            state |= APPROVED
        name = element.get("name")
        if len(name) > self._max_name_length:
            count.lose(f"all but {self._max_name_length} characters of a contact's name")
            name = name[: self._max_name_length]
        groups = tuple(dict.fromkeys(g.text for g in element.find_all("group") if g.text))
        fitting = tuple(g for g in groups if len(g) <= self._max_group_length)[: self._max_groups]
        if fitting != groups:
            count.lose("a group of a contact", len(groups) - len(fitting))
        return Item(jid, name, fitting, state)

    def _take_request(self, account: JID, element: Element, *, dry_run: bool) -> Imported:
        localpart = account.localpart
        try:
            contact = JID.parse(element.get("from")).bare
        except JIDError:
            return Imported(lost=("a request for a subscription from nobody",))
        if element.get("type") != "subscribe" or contact == account:
            return Imported(lost=("presence that is no request for a subscription",))
        tree = element.copy()
        tree.set("from", contact.text)
        tree.set("to", account.text)
        presence = Stanza.from_element(tree)
        assert isinstance(presence, Presence)
        with self._store.change(localpart) as roster:
            if contact in roster.requests or roster.state(contact) & FROM:
                return Imported(known=1)
            if len(roster.requests) >= self._max_requests:
                text = f"a request for a subscription beyond the {self._max_requests} that may be"
                return Imported(lost=(text,))
            if not dry_run:
                item = roster.items.get(contact)
                self._store.save(localpart, roster, contact, item, request=stored(presence))
        return Imported(kept=1)


def _in_order(item: Item) -> Item:
    """An item as it is compared: groups come in any order."""
    return item._replace(changed=0, groups=tuple(sorted(item.groups)))
