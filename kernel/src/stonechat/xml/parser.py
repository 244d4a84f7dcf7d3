"""The one door for XML: every byte that enters is parsed by a parser made here.

Refused are DTDs, entities, processing instructions and comments (RFC 6120,
11.1), and what is out of proportion: depth, attributes, children, names.
"""

from __future__ import annotations

from functools import lru_cache
from pyexpat import ErrorString, ExpatError, ParserCreate, XMLParserType, errors
from typing import Any, NoReturn

from stonechat.errors import XMLError
from stonechat.xml.element import Element, split_name
from stonechat.xml.limits import (
    LONG_NAME,
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_NAMESPACE_BYTES,
    check_excess,
    check_tags,
    sift_names,
)

# So many of the usual names the elements of one tree share; and so many new ones come together
# before they are looked at.
_SHARED_NAMES = 64
_NEW_NAMES = 24

_UNDEFINED_ENTITY = errors.codes[errors.XML_ERROR_UNDEFINED_ENTITY]
_ENCODING_ERRORS = {
    errors.codes[errors.XML_ERROR_UNKNOWN_ENCODING],
    errors.codes[errors.XML_ERROR_INCORRECT_ENCODING],
}


def _refuse(*_: Any) -> NoReturn:
    raise XMLError("restricted-xml", "DTDs, comments and processing instructions are not allowed")


def _check_declaration(version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() != "utf-8":
        raise XMLError("unsupported-encoding", "Only UTF-8 is allowed")
    if version != "1.0":
        raise XMLError("not-well-formed", "Only XML 1.0 is allowed")


def check_encoding(beginning: bytes) -> None:
    """Raise for UTF-16 and UTF-32: they need no declaration, and expat takes them in any case."""
    # With a byte order mark (its octets are none of UTF-8's), or as `<` or white space is
    # written in them.
    if b"\0" in beginning[:2] or beginning[:1] in (b"\xff", b"\xfe"):
        raise XMLError("unsupported-encoding", "Only UTF-8 is allowed")


def guarded_parser() -> XMLParserType:
    """A new namespace-aware parser that refuses what XMPP forbids.

    Feed it what is in force around the data first: expat takes UTF-16 where a
    document begins with it. Names come as qualified names. The caller sets the
    element handlers. An exception of a handler passes through `Parse`; an
    `ExpatError` becomes the right `XMLError` by `xml_error`.
    """
    parser = ParserCreate("UTF-8", " ")
    parser.XmlDeclHandler = _check_declaration
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.CommentHandler = _refuse
    parser.ProcessingInstructionHandler = _refuse
    parser.SkippedEntityHandler = _refuse
    # Newer releases of expat put off a token that is not complete at once
    # (their cure for a quadratic rescan). We never feed half a token of any
    # size, so where it can be switched off, it is.
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    return parser


def xml_error(error: ExpatError, data: bytes) -> XMLError:
    """The stream error that RFC 6120, 4.9.3 names for what expat found in `data`."""
    text = ErrorString(error.code) or "invalid XML"
    if error.code == _UNDEFINED_ENTITY:
        return XMLError("restricted-xml", "Only the predefined entities are allowed")
    if b"<!DOCTYPE" in data:
        # In the middle of a stream expat takes it for a broken tag.
        return XMLError("restricted-xml", "DTDs are not allowed")
    if error.code in _ENCODING_ERRORS:
        return XMLError("unsupported-encoding", text)
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        # A character cut in two by the end of the data is no fault.
        if bad.end < len(data):
            return XMLError("unsupported-encoding", "The stream is not valid UTF-8")
    return XMLError("not-well-formed", text)


class TreeBuilder:
    """Builds a frozen element from a parser's events."""

    __slots__ = (
        "_counts",
        "_excess",
        "_known",
        "_most",
        "_names",
        "_octets",
        "_open",
        "_unusual",
        "root",
    )

    def __init__(self, parser: XMLParserType, octets: int) -> None:
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.data
        self._octets = octets  # of what is built
        self._open: list[Element] = []
        self._counts: list[int] = []  # of the child elements that each open one has so far
        self._names = parser.intern
        self._known = 0
        self._most = _NEW_NAMES
        self._unusual: list[str] = []
        self._excess = 0
        self.root: Element | None = None

    def start(self, qualified: str, attributes: list[str]) -> None:
        if len(self._names) > self._most:
            self._sift()
        element = Element.__new__(Element)
        # What comes seldom is not to displace what comes often.
        split = split_name if len(qualified) < LONG_NAME else split_name.__wrapped__
        element.namespace, element.name = split(qualified)
        element._attributes = tuple(attributes)
        element.children = []
        element._written = None
        if self._open:
            counts = self._counts
            counts[-1] += 1
            if counts[-1] > MAX_CHILDREN:
                raise XMLError("policy-violation", "Too many children in one element")
            self._open[-1].children.append(element)
        else:
            self.root = element
        if len(self._open) >= MAX_DEPTH:
            raise XMLError("policy-violation", "Elements are nested too deep")
        self._open.append(element)
        self._counts.append(0)

    def end(self, _qualified: str) -> None:
        self._counts.pop()
        element = self._open.pop()
        element.children = tuple(element.children)  # type: ignore[assignment]

    def data(self, text: str) -> None:
        siblings = self._open[-1].children
        # expat's buffer is smaller than a long text may be.
        if siblings and type(siblings[-1]) is str:
            siblings[-1] += text
        else:
            siblings.append(text)

    def _sift(self) -> None:
        names = self._names
        room = _SHARED_NAMES + len(self._unusual) - self._known
        self._excess += sift_names(names, self._known, room, self._unusual)
        check_excess(self._excess, self._octets)
        self._known = len(names)
        self._most = self._known + _NEW_NAMES

    def finish(self) -> None:
        """Look at the last names, where there may be something to see."""
        if self._octets > MAX_NAMESPACE_BYTES and max(map(len, self._names)) >= LONG_NAME:
            self._sift()


def parse(data: bytes, context: bytes = b"") -> Element:
    """The frozen element that `data` is; XMLError if it is not exactly one.

    `context` is an open tag that declares what is in force around the data,
    such as `<x xmlns='jabber:client'>`.
    """
    check_tags(data)
    parser = guarded_parser()
    builder = TreeBuilder(parser, len(data))
    try:
        if context:
            parser.Parse(context)
        else:
            check_encoding(data)
        parser.Parse(data, not context)
        if context:
            parser.Parse(b"</" + _tag_of(context) + b">", True)
    except ExpatError as error:
        raise xml_error(error, data) from None
    builder.finish()
    root = builder.root
    if root is None:
        raise XMLError("not-well-formed", "no element found")
    if not context:
        return root
    children = root.elements
    if len(children) != 1 or root.text.strip():
        raise XMLError("not-well-formed", "exactly one element is wanted")
    return children[0]


def _tag_of(context: bytes) -> bytes:
    return context[1:].split(None, 1)[0].rstrip(b">")


StartTag = tuple[str, dict[str, str], dict[str, str]]
"""Name, attributes and declared prefixes; shared, so not to be changed."""


def read_start_tag(data: bytes) -> StartTag:
    """The one start tag that `data` is; an XML declaration may stand before it."""
    # Clients of one make send the same header at every login.
    return _read_known_tag(data) if len(data) <= 512 else _read_start_tag(data)


def _read_start_tag(data: bytes) -> StartTag:
    names: list[tuple[str, dict[str, str]]] = []
    prefixes: dict[str, str] = {}

    def declare(prefix: str | None, uri: str | None) -> None:
        prefixes[prefix or ""] = uri or ""

    def start(name: str, attributes: dict[str, str]) -> None:
        names.append((name, attributes))

    check_encoding(data)
    check_tags(data)
    parser = guarded_parser()
    parser.StartNamespaceDeclHandler = declare
    parser.StartElementHandler = start
    try:
        parser.Parse(data)
    except ExpatError as error:
        raise xml_error(error, data) from None
    if not names:
        raise XMLError("not-well-formed", "A start tag is wanted")
    check_excess(sift_names(parser.intern, 0, 0, []), len(data))
    return (*names[0], prefixes)


_read_known_tag = lru_cache(maxsize=256)(_read_start_tag)
