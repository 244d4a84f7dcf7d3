"""What users do with their lists (XEP-0016, 2.3 to 2.8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Element, Iq, new_id
from stonechat_privacy.applied import Applied
from stonechat_privacy.forms import NS_PRIVACY, list_element, read_list
from stonechat_privacy.rules import PRESENCE_IN, PRESENCE_OUT, Lists
from stonechat_privacy.store import Store

MAX_NAME_LENGTH = 256


class Commands:
    """Answers the requests of `jabber:iq:privacy`, and changes lists for other plugins."""

    def __init__(
        self, host: Host, store: Store, applied: Applied, *, max_lists: int, max_items: int
    ) -> None:
        self._host = host
        self._store = store
        self._applied = applied
        self._max_lists = max_lists
        self._max_items = max_items

    # Requests

    def get(self, iq: Iq) -> Element:
        """The names of all lists, or one list."""
        session, query = self._read(iq)
        lists = self._store.of(session.jid.localpart)
        wanted = query.elements
        answer = Element(NS_PRIVACY, "query")
        if not wanted:
            active = self._applied.active(session.jid)
            if active in lists.by_name:
                answer.add("active", name=active)
            if lists.default is not None:
                answer.add("default", name=lists.default)
            for name in sorted(lists.by_name):
                answer.add("list", name=name)
            return answer
        if len(wanted) > 1 or not _is_ours(wanted[0], "list"):
            raise StanzaError("bad-request", "One list can be asked for at a time.")
        name = _name(wanted[0])
        answer.append(list_element(name, _must_have(lists, name).by_name[name]))
        return answer

    def set(self, iq: Iq) -> None:
        """Change a list, the active list or the default list."""
        session, query = self._read(iq)
        wanted = query.elements
        if len(wanted) != 1:
            raise StanzaError("bad-request", "One change can be made at a time.")
        change = wanted[0]
        if _is_ours(change, "active"):
            self._set_active(session, _name_or_none(change))
        elif _is_ours(change, "default"):
            self._set_default(session, _name_or_none(change))
        elif _is_ours(change, "list"):
            self._set_list(session, _name(change), change)
        else:
            raise StanzaError("bad-request", "There is no such change.")

    def _read(self, iq: Iq) -> tuple[Session, Element]:
        sender = cast(JID, iq.from_)
        session = self._host.session(sender)
        if session is None or (iq.to is not None and iq.to != sender.bare):
            # What an account that does not exist would answer (robustness rule 29).
            raise StanzaError("service-unavailable")
        query = cast(Element, iq.payload)
        if query.name != "query":
            raise StanzaError("bad-request", "A request holds a query.")
        return session, query

    def _set_active(self, session: Session, name: str | None) -> None:
        localpart = session.jid.localpart
        with self._store.change(localpart) as lists:
            if name is not None:
                _must_have(lists, name)
            before = self._rules(lists, [session])
            self._applied.activate(session, name)
            self._follow(localpart, before, lists, (lists,))

    def _set_default(self, session: Session, name: str | None) -> None:
        localpart = session.jid.localpart
        with self._store.change(localpart) as lists:
            if name is not None:
                _must_have(lists, name)
            if name == lists.default:
                return
            self._must_be_free(lists, lists.default, session)
            self._change(localpart, lists, lists._replace(default=name))

    def _set_list(self, session: Session, name: str, element: Element) -> None:
        localpart = session.jid.localpart
        if not element.elements:
            self._remove_list(session, name)
            return
        rules = read_list(element, self._groups(localpart), self._max_items)
        with self._store.change(localpart) as lists:
            if name not in lists.by_name:
                self._must_have_room(lists)
            self._change(localpart, lists, lists.with_list(name, rules), changed=name)

    def _remove_list(self, session: Session, name: str) -> None:
        localpart = session.jid.localpart
        with self._store.change(localpart) as lists:
            after = _must_have(lists, name).without_list(name)
            self._must_be_free(lists, name, session)
            is_active = self._applied.active(session.jid) == name
            self._change(localpart, lists, after, changed=name)
            if is_active:
                # Its rules are gone already, and its name may come back with others.
                self._applied.activate(session, None)

    def _must_be_free(self, lists: Lists, name: str | None, session: Session) -> None:
        """Conflict where a list applies to another session (2.2)."""
        others = [
            other for other in self._host.sessions(session.jid.localpart) if other is not session
        ]
        if name is not None and self._applied.applies(lists, name, others):
            raise StanzaError("conflict", "Another client uses the list.")

    def _must_have_room(self, lists: Lists) -> None:
        if len(lists.by_name) >= self._max_lists:
            raise StanzaError("policy-violation", "These are too many lists.")

    def _groups(self, localpart: str) -> frozenset[str]:
        roster: Any = self._host.service("roster")
        if roster is None:
            return frozenset()
        return frozenset(group for item in roster.contacts(localpart) for group in item.groups)

    # For the blocking command (XEP-0191, section 5)

    def block(self, localpart: str, jids: Sequence[JID], then: Callable[[], None]) -> None:
        """Block some, before all else that the default list says."""
        with self._store.change(localpart) as lists:
            if lists.default is None:
                self._must_have_room(lists)
            after = lists.with_blocked(jid.text for jid in jids)
            before_items, items = lists.default_list, after.default_list
            most = max(self._max_items, 0 if before_items is None else len(before_items.items))
            if items is not None and len(items.items) > most:
                raise StanzaError("policy-violation", "The block list is full.")
            self._change(localpart, lists, after, changed=after.default, then=then)

    def unblock(self, localpart: str, jids: Sequence[JID], then: Callable[[], None]) -> None:
        """Unblock some, or all where nobody is named."""
        with self._store.change(localpart) as lists:
            after = lists.without_blocked([jid.text for jid in jids] or lists.blocked)
            self._change(localpart, lists, after, changed=lists.default, then=then)

    # For lists from another server

    def replace(self, localpart: str, before: Lists, after: Lists) -> None:
        """Have other lists; only inside the store's `change`, with what that gave."""
        self._change(localpart, before, after)

    # What follows

    def _change(
        self,
        localpart: str,
        before: Lists,
        after: Lists,
        *,
        changed: str | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Write it, tell the clients, and tell those who are let in or shut out by it."""
        rules = self._rules(before, self._host.sessions(localpart))
        if after != before:
            self._store.save(localpart, before, after)
            if changed is not None:
                self._push(localpart, changed)
        blocking: Any = self._host.service("blocking")
        if then is not None:
            then()
        elif blocking is not None and before.blocked != after.blocked:
            blocking.changed(localpart, before.blocked, after.blocked)
        if after != before:
            self._follow(localpart, rules, after, (before, after))

    def _push(self, localpart: str, name: str) -> None:
        query = Element(NS_PRIVACY, "query")
        query.add("list", name=name)
        push: Iq | None = None
        for session in self._host.sessions(localpart):
            # Without `from` it is the account's own (RFC 6120, 8.1.2.1).
            if push is None:
                push = Iq(query, type="set", to=session.jid, id=new_id())
            else:
                push = push.copy_for(session.jid)
            session.send(push)

    def _rules(
        self, lists: Lists, sessions: Sequence[Session]
    ) -> list[tuple[Session, Callable[[JID, str], bool]]]:
        """What holds for some sessions now, to be asked later too."""
        return [(session, self._rule(lists, session)) for session in sessions]

    def _rule(self, lists: Lists, session: Session) -> Callable[[JID, str], bool]:
        rules = self._applied.rules_of(lists, session.jid)
        jid = session.jid

        def allows(other: JID, direction: str) -> bool:
            kind = PRESENCE_OUT if direction == "out" else PRESENCE_IN
            return self._applied.permits(rules, jid, other, kind)

        return allows

    def _follow(
        self,
        localpart: str,
        before: list[tuple[Session, Callable[[JID, str], bool]]],
        after: Lists,
        named: Sequence[Lists],
    ) -> None:
        """Presence goes out of sight, or is back (2.11 and 2.12)."""
        roster: Any = self._host.service("roster")
        changes = [
            (session, rule, self._rule(after, session))
            for session, rule in before
            if session.is_open
        ]
        if roster is not None and changes:
            roster.follow(localpart, changes, _resources(named))


def _resources(named: Sequence[Lists]) -> list[JID]:
    """The addresses with resources that some lists name."""
    texts = {
        item.value
        for lists in named
        for rules in lists.by_name.values()
        for item in rules.items
        if item.type == "jid" and "/" in item.value
    }
    found = []
    for text in sorted(texts):
        try:
            found.append(JID.parse(text))
        except JIDError:
            # An address may outlive the Unicode version that allowed it.
            continue
    return found


def _is_ours(element: Element, name: str) -> bool:
    return element.name == name and element.namespace == NS_PRIVACY


def _name(element: Element) -> str:
    name = element.get("name")
    if not name:
        raise StanzaError("bad-request", "The name of the list is missing.")
    if len(name) > MAX_NAME_LENGTH:
        raise StanzaError("policy-violation", "The name of the list is too long.")
    return name


def _name_or_none(element: Element) -> str | None:
    """The list that is wanted; None to decline the use of any."""
    return _name(element) if "name" in element.attributes else None


def _must_have(lists: Lists, name: str) -> Lists:
    if name not in lists.by_name:
        raise StanzaError("item-not-found", "There is no such list.")
    return lists
