"""`<db:result/>` and `<db:verify/>`: as they come, and what is answered (XEP-0220, 2)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from stonechat.errors import STANZA_ERROR_TYPES, JIDError, StonechatError, StreamError
from stonechat.federation import Pair
from stonechat.jid import prepare_domain
from stonechat.namespaces import NS_CLIENT, NS_DIALBACK, NS_STANZA_ERRORS
from stonechat.stanza import Element

NS_FEATURE = "urn:xmpp:features:dialback"

FEATURE = Element(NS_FEATURE, "dialback", None, Element(NS_FEATURE, "errors")).freeze()
"""We know errors, and go on after them (2.4.2)."""

ANSWERS = ("valid", "invalid", "error")


class Word(NamedTuple):
    """An element of dialback's that has come, its domains prepared."""

    element: Element
    pair: Pair
    """`to` is a domain of ours, or said to be, `from` is one of theirs."""

    @property
    def type(self) -> str | None:
        """What an answer says; None if this is none, but a request."""
        return self.element.attributes.get("type")

    @property
    def id(self) -> str:
        return self.element.get("id")

    @property
    def key(self) -> str:
        # White space around it is for readers.
        return self.element.text.strip()

    @property
    def condition(self) -> str:
        """The condition of an error, if it is one that we know."""
        error = self.element.find("error", NS_CLIENT)
        for child in error.elements if error is not None else ():
            if child.namespace == NS_STANZA_ERRORS and child.name in ERROR_TYPES:
                return child.name
        return "undefined-condition"

    def answer(self, type_: Literal["valid", "invalid", "error"], *children: Element) -> Element:
        """The answer: addresses the other way round, and spelled as they came."""
        asked = self.element.attributes
        attributes = {"from": asked["to"], "to": asked["from"], "type": type_}
        if "id" in asked:
            attributes["id"] = asked["id"]
        return Element(NS_DIALBACK, self.element.name, attributes, *children)

    def error(self, refusal: Refusal) -> Element:
        """The answer that says why it is neither valid nor invalid (2.5)."""
        error = Element(NS_CLIENT, "error", {"type": ERROR_TYPES[refusal.condition]})
        error.add(refusal.condition, namespace=NS_STANZA_ERRORS)
        error.add("text", str(refusal), namespace=NS_STANZA_ERRORS)
        return self.answer("error", error)


# The XEP uses one condition that RFC 6120 has for streams only (2.5).
ERROR_TYPES = {**STANZA_ERROR_TYPES, "remote-connection-failed": "wait"}


class Refusal(StonechatError):
    """Why a request cannot be granted, whatever its key is worth."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.condition = condition


def read(element: Element) -> Word:
    """StreamError for what nobody can be answered for."""
    try:
        local, remote = (prepare_domain(element.attributes[name]) for name in ("to", "from"))
    except (KeyError, JIDError) as error:
        raise StreamError(
            "improper-addressing", "Dialback wants a domain in both 'to' and 'from'."
        ) from error
    return Word(element, Pair(local, remote))
