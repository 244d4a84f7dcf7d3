"""What message, presence and iq have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Self, cast

from stonechat.custody import Custody, Release
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza.replies import error_reply
from stonechat.xml import XML_LANG, Element, escape_attribute, parse, serialize

CLIENT_CONTEXT = b"<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

# One attribute of a head that is known to be well-formed.
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")

# Of an attribute in a log: a stranger chooses the ids.
_LONGEST_SHOWN = 200

KINDS: dict[str, type[Stanza]] = {}
"""The classes of stanzas by their names; `stonechat.stanza.kinds` fills it."""


class Stanza:
    """What message, presence and iq have in common.

    `attributes` are those of the head, by qualified name, as they stand now;
    change addresses only through `to` and `from_`. `children` are the
    qualified names of the child elements, in order. `custody` is there where the
    sender wants to know when the stanza is safe; copies share it.
    """

    __slots__ = (
        "_from",
        "_head_end",
        "_raw",
        "_stamped",
        "_to",
        "_tree",
        "attributes",
        "children",
        "custody",
        "hops",
    )

    name: ClassVar[str]
    _tag: ClassVar[bytes]

    attributes: dict[str, str]
    children: tuple[str, ...]
    custody: Custody | None
    hops: int
    _raw: bytes | None
    _stamped: bool  # `from` is in the attributes, but not in the bytes yet
    _head_end: int
    _tree: Element | None
    _to: JID | None
    _from: JID | None

    def __init__(
        self,
        *payload: Element,
        to: JID | None = None,
        from_: JID | None = None,
        type: str = "",
        id: str = "",
        lang: str = "",
    ) -> None:
        attributes = {}
        if from_ is not None:
            attributes["from"] = from_.text
        if to is not None:
            attributes["to"] = to.text
        if type:
            attributes["type"] = type
        if id:
            attributes["id"] = id
        if lang:
            attributes[XML_LANG] = lang
        tree = Element(NS_CLIENT, self.name)
        tree.attributes = attributes
        tree.children = list(payload)
        self.attributes = attributes
        self.children = tuple(element.qualified_name for element in payload)
        self.custody = None
        self.hops = 0
        self._raw = None
        self._stamped = False
        self._head_end = 0
        self._tree = tree
        self._to = to
        self._from = from_

    @classmethod
    def received(
        cls, attributes: dict[str, str], children: tuple[str, ...], raw: bytes, head_end: int
    ) -> Self:
        """A stanza from its bytes: self-contained, beginning with `<name`.

        `head_end` is the offset after the `>` of the start tag.
        """
        stanza = cls.__new__(cls)
        stanza.attributes = attributes
        stanza.children = children
        stanza.custody = None
        stanza.hops = 0
        stanza._raw = raw
        stanza._stamped = False
        stanza._head_end = head_end
        stanza._tree = None
        stanza._to = None
        stanza._from = None
        return stanza

    @staticmethod
    def from_element(element: Element) -> Stanza:
        """The stanza that a tree is; ValueError if it is none. The tree is now the stanza's."""
        kind = KINDS.get(element.name)
        if kind is None or element.namespace != NS_CLIENT:
            raise ValueError(f"{element.qualified_name!r} is not a stanza")
        stanza = kind.received(
            element.attributes, tuple(e.qualified_name for e in element.elements), b"", 0
        )
        stanza._raw = None
        stanza._tree = element
        return stanza

    @staticmethod
    def from_bytes(data: bytes) -> Stanza:
        """The stanza that stored bytes are; XMLError or ValueError if they are none."""
        return Stanza.from_element(parse(data, CLIENT_CONTEXT))

    # The head

    @property
    def to(self) -> JID | None:
        """The recipient; None if the stanza names none. JIDError if it is malformed."""
        jid = self._to
        if jid is None:
            text = self.attributes.get("to")
            if text is not None:
                jid = self._to = JID.parse(text)
        return jid

    @to.setter
    def to(self, jid: JID | None) -> None:
        self._readdress("to", jid)
        self._to = jid

    @property
    def from_(self) -> JID | None:
        """The sender; None if the stanza names none. JIDError if it is malformed."""
        jid = self._from
        if jid is None:
            text = self.attributes.get("from")
            if text is not None:
                jid = self._from = JID.parse(text)
        return jid

    @from_.setter
    def from_(self, jid: JID | None) -> None:
        self._readdress("from", jid)
        self._from = jid

    @property
    def type(self) -> str:
        return self.attributes.get("type", "")

    @property
    def id(self) -> str:
        return self.attributes.get("id", "")

    @property
    def lang(self) -> str:
        return self.attributes.get(XML_LANG, "")

    def stamp(self, sender: JID) -> None:
        """Write the true sender into the head (RFC 6120, 8.1.2.1)."""
        self._from = sender
        attributes = self.attributes
        text = sender.text
        written = attributes.get("from")
        if written == text:
            return
        attributes["from"] = text
        if self._raw is None:
            return
        if written is None:
            # Most requests are answered before anybody wants their bytes.
            self._stamped = True
        else:
            self._rewrite_head({b"from": text})

    def _settle(self) -> bytes:
        """The bytes, with the stamp in them."""
        raw = cast(bytes, self._raw)
        if self._stamped:
            self._stamped = False
            splice = f" from='{escape_attribute(self.attributes['from'])}'".encode()
            at = len(self._tag)
            raw = self._raw = b"%b%b%b" % (raw[:at], splice, raw[at:])
            self._head_end += len(splice)
        return raw

    def mentions(self, octets: bytes) -> bool:
        """Whether these octets stand in the stanza anywhere: may spare the look into its tree.

        Ask for parts of names only; a text or a value may be written with references.
        """
        return octets in self.to_bytes() if self._raw is None else octets in self._raw

    def _readdress(self, attribute: str, jid: JID | None) -> None:
        if self._stamped:
            self._settle()
        if jid is None:
            self.attributes.pop(attribute, None)
        else:
            self.attributes[attribute] = jid.text
        if self._raw is not None:
            self._rewrite_head({attribute.encode(): None if jid is None else jid.text})

    def _rewrite_head(self, changes: dict[bytes, str | None] | dict[bytes, str]) -> None:
        """Set or drop attributes; all else, declarations too, stays as it was written."""
        raw = self._settle()
        head = raw[: self._head_end]
        parts = [self._tag]
        for name, text in changes.items():
            if text is not None:
                parts.append(b" %b='%b'" % (name, escape_attribute(text).encode()))
        for name, value in _ATTRIBUTE.findall(head, len(self._tag)):
            if name not in changes:
                parts.append(b" %b=%b" % (name, value))
        parts.append(b"/>" if head.endswith(b"/>") else b">")
        new_head = b"".join(parts)
        self._raw = new_head + raw[self._head_end :]
        self._head_end = len(new_head)

    # The inside

    @property
    def element(self) -> Element:
        """The whole stanza as a tree; frozen where it came over a stream."""
        tree = self._tree
        if tree is None:
            tree = parse(cast(bytes, self._raw), CLIENT_CONTEXT)
            tree.attributes = self.attributes
            self._tree = tree
        return tree

    @property
    def payload(self) -> Element | None:
        """The first child element."""
        return self.element.first() if self.children else None

    def find(
        self, namespace: str, name: str, having: Mapping[str, str] | None = None
    ) -> Element | None:
        """The first child element of that namespace and name.

        `having` are attributes that it has to have, as `{"by": account}` for the one
        `<stanza-id/>` of several that an account's server has set (XEP-0359).
        """
        if f"{namespace} {name}" not in self.children:
            return None
        if not having:
            return self.element.find(name, namespace)
        for element in self.element.find_all(name, namespace):
            if having.items() <= element.attributes.items():
                return element
        return None

    def has(self, namespace: str, name: str) -> bool:
        """Whether there is such a child element; needs no tree."""
        return f"{namespace} {name}" in self.children

    def append(self, *payload: Element) -> None:
        """Add child elements at the end; cheap, for the bytes inside stay as they are."""
        if self._raw is None:
            self.children += tuple(element.qualified_name for element in payload)
            self._own_tree().append(*payload)
            return
        for element in payload:
            self.append_written(element.qualified_name, serialize(element, NS_CLIENT))

    def append_written(self, qualified_name: str, octets: bytes) -> None:
        """Add a child element that is written already, as what is added to every message.

        `qualified_name` is `"namespace name"`. Nobody looks at the octets: they have to be
        one element, escaped, that declares its namespace and all prefixes it uses.
        """
        if self._raw is None:
            self.append(parse(octets, CLIENT_CONTEXT))
            return
        self.children = (*self.children, qualified_name)
        raw = self._settle() if self._stamped else self._raw
        self._tree = None
        end = self._head_end
        if raw[end - 2 : end] == b"/>":
            self._raw = b"%b>%b</%b>" % (raw[: end - 2], octets, self.name.encode())
            self._head_end = end - 1
        else:
            close = raw.rindex(b"</")
            self._raw = b"%b%b%b" % (raw[:close], octets, raw[close:])

    def edit(self) -> StanzaEditor:
        """`with stanza.edit() as tree:` change the tree; the stanza follows at the end."""
        return StanzaEditor(self)

    def _own_tree(self) -> Element:
        tree = self.element
        if tree.is_frozen:
            tree = tree.copy()
            tree.attributes = self.attributes
            self._tree = tree
        return tree

    def _adopt(self, tree: Element) -> None:
        self._raw = None
        self._stamped = False
        self._tree = tree
        self.attributes = tree.attributes
        self.children = tuple(element.qualified_name for element in tree.elements)
        self._to = self._from = None

    # Custody

    def hold(self, hurry: Callable[[], None] | None = None) -> Release:
        """Keep the sender from hearing that the stanza is handled, until the result is called.

        For what is still to be done after a hook has returned, as being committed;
        `hurry` is called when the sender asks. See `stonechat.custody`.
        """
        custody = self.custody
        if custody is not None:
            custody.hold(hurry)
        return Release(custody)

    # Leaving

    def to_bytes(self) -> bytes:
        """The stanza as it goes to a client stream, whose default namespace is in force."""
        if self._stamped:
            return self._settle()
        raw = self._raw
        if raw is None:
            raw = serialize(cast(Element, self._tree), NS_CLIENT)
        return raw

    def copy_for(self, to: JID, from_: JID | None = None) -> Self:
        """The same stanza to another recipient; what is inside is shared."""
        if self._raw is None:
            self._freeze()
        raw = self._settle()
        twin = type(self).received(self.attributes.copy(), self.children, raw, self._head_end)
        twin.custody = self.custody
        twin.hops = self.hops
        changes = {b"to": to.text}
        twin.attributes["to"] = to.text
        if from_ is not None:
            changes[b"from"] = from_.text
            twin.attributes["from"] = from_.text
        twin._rewrite_head(changes)
        twin._to = to
        twin._from = self._from if from_ is None else from_
        return twin

    def _freeze(self) -> None:
        """Turn a tree into bytes, so that copies share them."""
        raw = serialize(cast(Element, self._tree), NS_CLIENT)
        self._raw = raw
        self._tree = None
        end = len(self._tag)
        while (match := _ATTRIBUTE.match(raw, end)) is not None:
            end = match.end()
        self._head_end = raw.index(b">", end) + 1

    def error_reply(self, error: StanzaError) -> Self:
        """The error that answers this stanza, with what it answers inside (RFC 6120, 8.3.1)."""
        return error_reply(self, error)

    def summary(self) -> str:
        """The stanza in one line for a log: kind, addresses, names, no content."""
        head = " ".join(
            f"{name}={self.attributes[name][:_LONGEST_SHOWN]!r}"
            for name in ("type", "id", "from", "to")
            if name in self.attributes
        )
        return f"<{self.name} {head}> {', '.join(self.children[:5])}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.summary()}>"


class StanzaEditor:
    """Gives a stanza's tree out for changing and takes it back."""

    __slots__ = ("_stanza", "_tree")

    def __init__(self, stanza: Stanza) -> None:
        self._stanza = stanza

    def __enter__(self) -> Element:
        self._tree = self._stanza.element.copy()
        return self._tree

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._stanza._adopt(self._tree)
