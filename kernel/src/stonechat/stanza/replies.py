"""The answer to a stanza that is refused (RFC 6120, 8.3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, cast

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_CLIENT, NS_STANZA_ERRORS
from stonechat.xml import XML_LANG, Element

if TYPE_CHECKING:
    from stonechat.stanza.common import Stanza

AnyStanza = TypeVar("AnyStanza", bound="Stanza")

# An error that repeats a stanza larger than this would double a flood.
_LARGEST_ECHO = 8192


def error_reply(stanza: AnyStanza, error: StanzaError) -> AnyStanza:
    """See `Stanza.error_reply`."""
    children: Iterable[Element | str] = ()
    if stanza._raw is None or len(stanza._raw) <= _LARGEST_ECHO:
        children = stanza.element.children
    reply = type(stanza)(type="error", id=stanza.id, lang=stanza.lang)
    tree = cast(Element, reply._tree)
    tree.append(*children, error_element(error))
    reply._adopt(tree)
    # Addresses go back as they came: what is malformed must be answered too.
    if "from" in stanza.attributes:
        tree.attributes["to"] = stanza.attributes["from"]
    if "to" in stanza.attributes:
        tree.attributes["from"] = stanza.attributes["to"]
    return reply


def error_element(error: StanzaError) -> Element:
    """The `<error/>` of a stanza error (RFC 6120, 8.3.2)."""
    element = Element(NS_CLIENT, "error", {"type": error.type})
    if error.code:
        element.set("code", str(error.code))
    element.add(error.condition, error.payload, namespace=NS_STANZA_ERRORS)
    if error.text:
        element.add("text", error.text, namespace=NS_STANZA_ERRORS).set(XML_LANG, "en")
    if error.application is not None:
        element.append(error.application)
    return element
