"""Content namespaces: in here a stanza is in jabber:client, whatever its stream's is.

RFC 6120, 4.8.3: it is re-scoped, and by inheritance so are those inside it. What is inside
an element of another namespace, as a forwarded message, stays as it was written.
"""

from __future__ import annotations

import re

from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import KINDS, Stanza
from stonechat.xml import Element

_CLIENT = NS_CLIENT.encode()
# A namespace may be written with references; nobody does that who means well.
_DISGUISED = re.compile(rb"\sxmlns(?::[^\s=]+)?\s*=\s*(?:\"[^\"&]*&|'[^'&]*&)")


def to_bytes(stanza: Stanza) -> bytes:
    """A stanza for another stream: what is in jabber:client inherits that one's namespace."""
    octets = stanza.to_bytes()
    # Whoever declared jabber:client itself would bring it along.
    if _CLIENT in octets or (b"&#" in octets and _DISGUISED.search(octets) is not None):
        return stanza.element.to_bytes(NS_CLIENT)
    return octets


def received(event: Stanza | Element, namespace: str, octets: bytes) -> Stanza | Element:
    """What came, with the stream's namespace replaced where it is declared once more.

    Where it is not, the splitter has taken care of that already. `octets` are the namespace
    as it is written.
    """
    if isinstance(event, Stanza):
        if not event.mentions(octets):
            return event
        return Stanza.from_element(_rescoped(event.element, namespace))
    if event.namespace == namespace:
        element = _rescoped(event, namespace)
        return Stanza.from_element(element) if element.name in KINDS else element
    # What is no stanza may hold something of one: an error, say.
    return renamed(event, namespace) if event.children else event


def _rescoped(element: Element, namespace: str) -> Element:
    """In jabber:client as far as the stanza itself reaches."""
    if element.namespace not in (namespace, NS_CLIENT):
        return element
    # The depth is bounded by the parser.
    children = (
        child if isinstance(child, str) else _rescoped(child, namespace)
        for child in element.children
    )
    return Element(NS_CLIENT, element.name, element.attributes, *children)


def renamed(element: Element, namespace: str) -> Element:
    """All that is in a namespace in jabber:client instead, however deep it is."""
    own = NS_CLIENT if element.namespace == namespace else element.namespace
    children = (
        child if isinstance(child, str) else renamed(child, namespace)
        for child in element.children
    )
    return Element(own, element.name, element.attributes, *children)
