"""Privacy lists as clients write them, and back (XEP-0016, 2.1)."""

from __future__ import annotations

import re
from collections.abc import Container

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat_privacy.rules import ALL, KINDS, SUBSCRIPTIONS, Item, PrivacyList

NS_PRIVACY = "jabber:iq:privacy"

_ORDER = re.compile(r"\+?0*([0-9]{1,10})")
_LARGEST_ORDER = 2**32 - 1  # xs:unsignedInt


def read_list(element: Element, groups: Container[str], max_items: int) -> PrivacyList:
    """The items of a `<list/>`; StanzaError or JIDError where one of them is wrong.

    `groups` are those of the user's roster.
    """
    items: list[Item] = []
    orders: set[int] = set()
    for child in element.elements:
        if child.name != "item" or child.namespace != NS_PRIVACY:
            raise StanzaError("bad-request", "A list consists of items.")
        if len(items) >= max_items:
            raise StanzaError("policy-violation", "The list is too long.")
        item = _read_item(child, groups)
        if item.order in orders:
            raise StanzaError("bad-request", "Two items have the same order.")
        orders.add(item.order)
        items.append(item)
    return PrivacyList(items)


def _read_item(element: Element, groups: Container[str]) -> Item:
    action = element.get("action")
    if action not in ("allow", "deny"):
        raise StanzaError("bad-request", "The action of an item is allow or deny.")
    order = _ORDER.fullmatch(element.get("order").strip())
    if order is None or int(order[1]) > _LARGEST_ORDER:
        raise StanzaError("bad-request", "The order of an item is a number.")
    type_ = element.get("type")
    kinds = 0
    for child in element.elements:
        if child.namespace != NS_PRIVACY or child.name not in KINDS:
            raise StanzaError("bad-request", f"There is no kind of stanza {child.name[:40]!r}.")
        kinds |= KINDS[child.name]
    value = _read_value(type_, element.get("value"), groups)
    return Item(int(order[1]), action == "allow", type_, value, kinds or ALL)


def _read_value(type_: str, value: str, groups: Container[str]) -> str:
    if type_ == "jid":
        if not value:
            raise StanzaError("bad-request", "The value of the item is missing.")
        return JID.parse(value).text
    if type_ == "subscription":
        if value not in SUBSCRIPTIONS:
            raise StanzaError("bad-request", "A subscription is both, to, from or none.")
        return value
    if type_ == "group":
        if value not in groups:
            raise StanzaError("item-not-found", "The roster has no such group.")
        return value
    if type_:
        raise StanzaError("bad-request", "The type of an item is jid, group or subscription.")
    # The fall-through; a value would say nothing.
    return ""


def list_element(name: str, rules: PrivacyList) -> Element:
    """A list as it goes to a client."""
    element = Element(NS_PRIVACY, "list", {"name": name})
    for item in rules.items:
        child = element.add("item")
        if item.type:
            child.set("type", item.type)
            child.set("value", item.value)
        child.set("action", "allow" if item.allows else "deny")
        child.set("order", str(item.order))
        if item.kinds != ALL:
            for kind, bit in KINDS.items():
                if item.kinds & bit:
                    child.add(kind)
    return element
