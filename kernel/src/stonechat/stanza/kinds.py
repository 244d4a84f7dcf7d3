"""The three kinds of stanzas, and what each of them means."""

from __future__ import annotations

import re

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza.common import KINDS, Stanza
from stonechat.xml import Element, escape_attribute, serialize

MESSAGE_TYPES = frozenset({"chat", "error", "groupchat", "headline", "normal"})
"""Of a message; one that says anything else is normal (RFC 6121, 5.2.2)."""

PRESENCE_TYPES = frozenset(
    {
        "error",
        "probe",
        "subscribe",
        "subscribed",
        "unavailable",
        "unsubscribe",
        "unsubscribed",
    }
)
"""Of presence; who is available names none (RFC 6121, 4.7.1)."""

_PRIORITY = re.compile(r"[+-]?[0-9]{1,3}")


class Message(Stanza):
    """A `<message/>`: pushed, stored, never answered (RFC 6120, 8.2.1)."""

    __slots__ = ()
    name = "message"
    _tag = b"<message"

    @property
    def type(self) -> str:
        """One of five; an unknown one is normal (RFC 6121, 5.2.2)."""
        type = self.attributes.get("type", "normal")
        return type if type in MESSAGE_TYPES else "normal"

    @property
    def body(self) -> str:
        """The text of the first body."""
        return self.element.find_text("body") if self.has(NS_CLIENT, "body") else ""


class Presence(Stanza):
    """A `<presence/>`: broadcast, or sent to one (RFC 6120, 8.2.2)."""

    __slots__ = ()
    name = "presence"
    _tag = b"<presence"

    @property
    def priority(self) -> int:
        """-128 to 127 (RFC 6121, 4.7.2.3); StanzaError bad-request for anything else."""
        if not self.has(NS_CLIENT, "priority"):
            return 0
        text = self.element.find_text("priority").strip()
        if not _PRIORITY.fullmatch(text) or not -128 <= int(text) <= 127:
            raise StanzaError("bad-request", "A priority is a number from -128 to 127.")
        return int(text)

    @property
    def show(self) -> str:
        """away, chat, dnd, xa, or `""` for plainly available."""
        return self.element.find_text("show").strip() if self.has(NS_CLIENT, "show") else ""


class Iq(Stanza):
    """An `<iq/>`: a request or the one answer to it (RFC 6120, 8.2.3)."""

    __slots__ = ()
    name = "iq"
    _tag = b"<iq"

    @property
    def is_request(self) -> bool:
        return self.attributes.get("type") in ("get", "set")

    @property
    def namespace(self) -> str:
        """The namespace of the payload, or `""`."""
        return self.children[0].rpartition(" ")[0] if self.children else ""

    def result(self, payload: Element | None = None) -> Iq:
        """The result that answers this request."""
        mine = self.attributes
        attributes = {"type": "result", "id": mine.get("id", "")}
        head = f"<iq type='result' id='{escape_attribute(attributes['id'])}'"
        if "from" in mine:
            attributes["to"] = mine["from"]
            head += f" to='{escape_attribute(mine['from'])}'"
        if "to" in mine:
            attributes["from"] = mine["to"]
            head += f" from='{escape_attribute(mine['to'])}'"
        children: tuple[str, ...] = ()
        if payload is None:
            start = raw = f"{head}/>".encode()
        else:
            children = (payload.qualified_name,)
            start = f"{head}>".encode()
            raw = b"%b%b</iq>" % (start, serialize(payload, NS_CLIENT))
        reply = Iq.received(attributes, children, raw, len(start))
        reply._to = self._from
        reply._from = self._to
        return reply

    def check(self) -> None:
        """Raise bad-request where the semantics of RFC 6120, 8.2.3 are broken."""
        kind = self.attributes.get("type")
        if not self.attributes.get("id"):
            raise StanzaError("bad-request", "An iq needs an id.")
        if kind in ("get", "set"):
            if len(self.children) != 1:
                raise StanzaError("bad-request", "A request holds exactly one payload.")
        elif kind == "result":
            if len(self.children) > 1:
                raise StanzaError("bad-request", "A result holds at most one payload.")
        elif kind != "error":
            raise StanzaError("bad-request", "The type of an iq is get, set, result or error.")


KINDS.update((kind.name, kind) for kind in (Message, Presence, Iq))
