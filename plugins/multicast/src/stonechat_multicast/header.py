"""The address header of a stanza (XEP-0033, "Addresses"): read, and written for each recipient."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Self, TypeVar, cast

from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Stanza

NS_ADDRESS = "http://jabber.org/protocol/address"

# Those that a stanza is sent to, and those that say something about it.
RECEIVERS = ("to", "cc", "bcc")
REMARKS = ("replyto", "replyroom", "noreply", "ofrom")

AnyStanza = TypeVar("AnyStanza", bound=Stanza)


class Address(NamedTuple):
    """One `<address/>`; `jid` is there where the stanza is still to be delivered to it."""

    element: Element
    jid: JID | None


class Header:
    """The addresses of one stanza, in order."""

    def __init__(self, element: Element, addresses: Collection[Address]) -> None:
        self._element = element
        self._addresses = addresses
        self.receivers = tuple(dict.fromkeys(a.jid for a in addresses if a.jid is not None))
        """Whom the stanza goes to, each once; not those that it was delivered to before."""
        # Who is named openly, too, gets what those get.
        named = {a.jid for a in addresses if a.element.get("type") != "bcc"}
        self.blind = frozenset(jid for jid in self.receivers if jid not in named)
        """Those of them that nobody else may know of."""

    @classmethod
    def of(cls, stanza: Stanza) -> Self | None:
        """The header of a stanza that came to a multicast service; StanzaError if malformed."""
        if not stanza.has(NS_ADDRESS, "addresses"):
            return None
        first, *others = stanza.element.find_all("addresses", NS_ADDRESS)
        if others:
            raise StanzaError("bad-request", "A stanza has one address header.")
        addresses = [_read(element) for element in first.find_all("address")]
        if not any(address.element.get("type") in RECEIVERS for address in addresses):
            raise StanzaError("bad-request", "The address header names no receiver.")
        return cls(first, addresses)

    def count(self) -> int:
        """How many receiver fields there are that ask for a delivery."""
        return sum(1 for address in self._addresses if address.jid is not None)

    def written(self, *, to: Collection[JID] = (), pending: bool = False) -> Element:
        """The header as these recipients get it.

        Blind copies are shown to their recipients only. What is delivered says so, unless it
        is `pending`, and another multicast service will deliver it to them.
        """
        header = Element(NS_ADDRESS, "addresses", self._element.attributes)
        for element, jid in self._addresses:
            is_blind = element.get("type") == "bcc"
            if is_blind and (jid is None or jid not in to or jid not in self.blind):
                continue
            if jid is not None and not is_blind and not (pending and jid in to):
                element = element.copy()
                element.set("delivered", "true")
            header.append(element)
        return header


def with_header(stanza: AnyStanza, header: Element | None) -> AnyStanza:
    """The same stanza with another header, or without one."""
    tree = Element(stanza.element.namespace, stanza.name, stanza.attributes)
    for child in stanza.element.children:
        if isinstance(child, str) or child.qualified_name != f"{NS_ADDRESS} addresses":
            tree.append(child)
        elif header is not None:
            tree.append(header)
    twin = cast(AnyStanza, Stanza.from_element(tree))
    twin.custody = stanza.custody
    twin.hops = stanza.hops
    return twin


def _read(element: Element) -> Address:
    type_, jid, uri = map(element.get, ("type", "jid", "uri"))
    if type_ not in RECEIVERS + REMARKS:
        raise StanzaError("bad-request", "An address has one of the types of XEP-0033.")
    # The schema knows "true" only; some libraries write what they like of the two.
    if element.get("delivered") in ("true", "1"):
        return Address(element, None)
    if uri and (jid or element.get("node")):
        raise StanzaError("bad-request", "An address with a URI has neither a JID nor a node.")
    if not uri and not jid and type_ != "noreply":
        raise StanzaError("bad-request", "An address names somebody.")
    if jid:
        try:
            parsed = JID.parse(jid)
        except JIDError as error:
            raise StanzaError("jid-malformed", str(error)) from None
        return Address(element, parsed if type_ in RECEIVERS else None)
    if uri and type_ in RECEIVERS:
        raise StanzaError("jid-malformed", "Nothing can be sent to a URI from here.")
    return Address(element, None)
