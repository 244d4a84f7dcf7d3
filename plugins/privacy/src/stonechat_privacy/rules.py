"""Privacy lists as such: items, what they match, and what follows (XEP-0016, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from stonechat.jid import JID

# What a stanza is to a rule. An item may name the first four; one that names none is
# about everything, subscriptions and all else that a user sends included (2.1).
MESSAGE = 1
IQ = 2
PRESENCE_IN = 4
PRESENCE_OUT = 8
OTHER = 16
ALL = MESSAGE | IQ | PRESENCE_IN | PRESENCE_OUT | OTHER

KINDS = {"message": MESSAGE, "iq": IQ, "presence-in": PRESENCE_IN, "presence-out": PRESENCE_OUT}

SUBSCRIPTIONS = frozenset({"both", "to", "from", "none"})


class Contact(NamedTuple):
    """What the roster knows of somebody; strangers are in no group."""

    subscription: str = "none"
    groups: tuple[str, ...] = ()


STRANGER = Contact()

# Looks somebody up in the account's roster; may block.
FindContact = Callable[[JID], Contact]


class Item(NamedTuple):
    """One rule. `type` is jid, group, subscription, or `""` for the fall-through."""

    order: int
    allows: bool
    type: str = ""
    value: str = ""
    kinds: int = ALL

    @property
    def is_block(self) -> bool:
        """Whether it is what the blocking command writes (XEP-0191, section 5)."""
        return self.type == "jid" and not self.allows and self.kinds == ALL


class PrivacyList:
    """The items of one list, in their order; never changed, only replaced."""

    __slots__ = ("_by_kind", "items")

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = tuple(sorted(items))
        # Per kind: the first item for each address, and those that are no addresses.
        self._by_kind: dict[int, tuple[dict[str, int], list[int]]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivacyList) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]

    @property
    def blocked(self) -> frozenset[str]:
        """The addresses that the list blocks as the blocking command does."""
        return frozenset(item.value for item in self.items if item.is_block)

    def find(self, jid: JID, kind: int, contact: FindContact) -> Item | None:
        """The first item that is about somebody and a kind of stanza."""
        addresses, others = self._by_kind.get(kind) or self._index(kind)
        last = len(self.items)
        first = min(
            addresses.get(jid.text, last),
            # `domain/resource` is its own only form beside `domain`.
            addresses.get(jid.bare.text, last),
            addresses.get(jid.domain, last),
        )
        known: Contact | None = None
        for index in others:
            if index > first:
                break
            item = self.items[index]
            if not item.type:
                return item
            if known is None:
                known = contact(jid)
            found = known.groups if item.type == "group" else (known.subscription,)
            if item.value in found:
                return item
        return self.items[first] if first < last else None

    def _index(self, kind: int) -> tuple[dict[str, int], list[int]]:
        addresses: dict[str, int] = {}
        others = []
        for index, item in enumerate(self.items):
            if item.kinds & kind:
                if item.type == "jid":
                    addresses.setdefault(item.value, index)
                else:
                    others.append(index)
        self._by_kind[kind] = addresses, others
        return addresses, others

    def allows(self, jid: JID, kind: int, contact: FindContact) -> bool:
        """Whether a kind of stanza may pass; what no item is about may (2.2)."""
        item = self.find(jid, kind, contact)
        return item is None or item.allows

    def with_blocked(self, jids: Iterable[str]) -> PrivacyList:
        """The list with these blocked, before all else (XEP-0191, section 5)."""
        added = dict.fromkeys(jids)
        rest = [item for item in self.items if not (item.is_block and item.value in added)]
        return _numbered([Item(0, False, "jid", jid) for jid in added] + rest)

    def without_blocked(self, jids: Iterable[str]) -> PrivacyList:
        """The list without these being blocked."""
        removed = set(jids)
        return PrivacyList(i for i in self.items if not (i.is_block and i.value in removed))


def _numbered(items: Iterable[Item]) -> PrivacyList:
    return PrivacyList(item._replace(order=order) for order, item in enumerate(items, 1))


class Lists(NamedTuple):
    """All lists of one account. `default` is the name of the default list, or None."""

    default: str | None
    by_name: dict[str, PrivacyList]

    @property
    def default_list(self) -> PrivacyList | None:
        """The list for whoever has no active one."""
        return None if self.default is None else self.by_name.get(self.default)

    @property
    def blocked(self) -> frozenset[str]:
        """The block list: what the default list blocks (XEP-0191, section 5)."""
        default = self.default_list
        return frozenset() if default is None else default.blocked

    def with_list(self, name: str, rules: PrivacyList) -> Lists:
        """With one list added or replaced; without it, if it is empty."""
        if not rules.items:
            return self.without_list(name)
        return Lists(self.default, {**self.by_name, name: rules})

    def without_list(self, name: str) -> Lists:
        """With one list less; if it was the default one, there is none."""
        by_name = {other: rules for other, rules in self.by_name.items() if other != name}
        return Lists(None if self.default == name else self.default, by_name)

    def with_blocked(self, jids: Iterable[str]) -> Lists:
        """With these blocked, in the default list or in a new one."""
        name = self.default
        if name is None:
            name = NAME
            number = 2
            while name in self.by_name:
                # An old list of that name may block others, too, whom nobody asked to block.
                name = f"{NAME}-{number}"
                number += 1
        changed = (self.by_name.get(name) or PrivacyList(())).with_blocked(jids)
        return self.with_list(name, changed)._replace(default=name)

    def without_blocked(self, jids: Iterable[str]) -> Lists:
        """With these not blocked by the default list."""
        default = self.default_list
        if self.default is None or default is None:
            return self
        return self.with_list(self.default, default.without_blocked(jids))


# The list that the blocking command makes where there is no default one.
NAME = "blocked"

EMPTY = Lists(None, {})
