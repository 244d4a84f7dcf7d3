"""Splits a stream into its header and its top-level elements.

Bytes go to expat only up to a point where every token is complete. So expat
never rescans half a token (quadratic in old releases, deferred in new ones),
and a stanza is out as soon as its last octet is in, however it was cut.

A stream keeps no parser of its own between elements: it borrows one that
stands behind a header with the same declarations.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_DIALBACK, NS_STREAM
from stonechat.protocol.leaning import set_upright
from stonechat.protocol.reader import SERVERS_HEADER, USUAL_HEADER, Reader, borrow, give_back
from stonechat.stanza import Stanza
from stonechat.xml import Element
from stonechat.xml.limits import WHOLE_TAG
from stonechat.xml.parser import check_encoding, read_start_tag

_IN_TAG = re.compile(rb"[>\"']")
_PROLOG = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*")
_END_OF_STREAM = re.compile(rb"\s*</stream:stream\s*>\s*")


class StreamHeader(NamedTuple):
    """The start tag of a stream: qualified name, attributes, declared prefixes."""

    name: str
    attributes: dict[str, str]
    prefixes: dict[str, str]


class StreamEnd(NamedTuple):
    """The end tag of a stream."""


Event = StreamHeader | StreamEnd | Stanza | Element


class Splitter:
    """Bytes in; `StreamHeader`, `Stanza`, `Element` and `StreamEnd` out.

    Stanzas in the namespace jabber:client come as `Stanza`; any other
    top-level element comes as a frozen `Element`. Where the header declares
    another `content_namespace`, it is read as if it declared jabber:client. An element may have
    `limit` octets and hold `element_limit` elements. Memory for one that
    never ends grows by at most one `feed` beyond the limit.
    """

    __slots__ = (
        "_content_namespace",
        "_declared",
        "_pending",
        "_quote",
        "_reader",
        "element_limit",
        "limit",
    )

    def __init__(
        self, limit: int, element_limit: int = 10_000, content_namespace: str = NS_CLIENT
    ) -> None:
        self.limit = limit
        self.element_limit = element_limit
        self._content_namespace = content_namespace
        self._declared = b""  # the header's declarations; empty before the header
        self._reader: Reader | None = None  # while an element is under way
        self._pending: bytearray | None = None  # a token that is not complete
        self._quote = b""  # where it is a tag: `>`, or the quote that is open

    def __del__(self) -> None:
        # Where the stream ends in the middle of an element, what there is of it would
        # otherwise wait for the cyclic collector, along with the parser.
        if self._reader is not None:
            self._reader.retire()

    @property
    def is_between_elements(self) -> bool:
        """Whether no element, header or token is half in."""
        return self._reader is None and self._pending is None

    def feed(self, data: bytes) -> list[Event]:
        """The events of the next bytes.

        An XMLError ends the stream: feed nothing more then. The events that
        came before it are in its `events`.
        """
        pending = self._pending
        if pending is not None:
            pending += data
            if not self._completes(data):
                self._check_room()
                return []
            data = bytes(pending)
            self._pending = None
        if not self._declared:
            return self._feed_header(data)
        # Where does the last token end? No attribute value holds a `<`, so the
        # last one begins the last tag (or it is text of a CDATA section, which
        # expat takes piece by piece).
        last = data.rfind(b"<")
        # An end tag holds no quotes, so it is whole if anything ends behind it.
        if last >= 0 and data[-1] == 62 and data[last + 1] == 47:  # `>` and `/`
            if last == 0 and self._reader is None and _END_OF_STREAM.fullmatch(data):
                return [StreamEnd()]
            return self._read(data)
        if last >= 0 and WHOLE_TAG.match(data, last) is None:
            end = last
        else:
            end = data.rfind(b">") + 1
        if end == len(data):
            return self._read(data)
        rest = data[end:]
        events = self._read(data[:end]) if end else []
        # White space between stanzas is a keepalive (RFC 6120, 4.6.1).
        if self._reader is not None or not rest.isspace():
            self._keep(rest, 0 if end == last else -1)
            try:
                self._check_room()
            except XMLError as error:
                error.events = events
                raise
        return events

    def _keep(self, rest: bytes, tag: int) -> None:
        """Wait with an incomplete token; `tag` is 0 if it is a tag, -1 if it is text."""
        self._pending = bytearray(rest)
        self._quote = b""
        if tag == 0:
            self._quote = b">"
            self._scan_tag(rest)

    def _completes(self, data: bytes) -> bool:
        """Whether the waiting token may be complete now; looks at the new octets only."""
        if not self._quote:
            return b">" in data
        return self._scan_tag(data) or b"<" in data

    def _scan_tag(self, data: bytes) -> bool:
        """Follow the quotes of a tag; True where it ends."""
        at = 0
        while True:
            if self._quote == b">":
                found = _IN_TAG.search(data, at)
                if found is None:
                    return False
                if found[0] == b">":
                    return True
                self._quote = found[0]
                at = found.end()
            else:
                at = data.find(self._quote, at) + 1
                if not at:
                    return False
                self._quote = b">"

    def _check_room(self) -> None:
        octets = 0 if self._pending is None else len(self._pending)
        if self._reader is not None:
            octets += self._reader.size
        if octets > self.limit:
            raise XMLError("policy-violation", "The element is larger than this server allows")

    def _read(self, data: bytes) -> list[Event]:
        reader = self._reader
        if reader is None:
            reader = borrow(self._declared)
        found: list[Any] = []
        try:
            stand_alone = reader.read(data, self.limit, self.element_limit, found)
        except XMLError as error:
            self._reader = None
            reader.retire()
            error.events = set_upright(found, self._declared)
            raise
        if reader.depth > 1:
            # What is handled next is not to pay for its parser as well.
            if found and reader.is_spent:
                reader = reader.renewed(self.limit, self.element_limit)
            self._reader = reader
        else:
            self._reader = None
            give_back(reader)
        if not stand_alone:
            found = set_upright(found, self._declared)
        if not reader.depth:
            found.append(StreamEnd())
        return found

    def _feed_header(self, data: bytes) -> list[Event]:
        # Before anything is waited for: the end of a tag looks otherwise in UTF-16.
        check_encoding(data)
        prolog = _PROLOG.match(data)
        begin = prolog.end() if prolog is not None else 0
        if begin == len(data):
            if data:
                self._keep(data, -1)
                self._check_room()
            return []
        if data[begin : begin + 1] != b"<":
            raise XMLError("not-well-formed", "A stream begins with a stream header")
        tag = WHOLE_TAG.match(data, begin)
        if tag is None:
            self._keep(data, 0)
            self._check_room()
            return []
        end = tag.end()
        if end > self.limit:
            raise XMLError("policy-violation", "The stream header is larger than allowed")
        header = StreamHeader(*read_start_tag(data[:end]))
        prefixes = header.prefixes
        if self._content_namespace != NS_CLIENT:
            prefixes = {
                prefix: NS_CLIENT if uri == self._content_namespace else uri
                for prefix, uri in prefixes.items()
            }
        self._declared = _declaration(prefixes)
        events: list[Event] = [header]
        if data[end - 2 : end] == b"/>":
            events.append(StreamEnd())
        elif end < len(data):
            try:
                events += self.feed(data[end:])
            except XMLError as error:
                error.events = events + error.events
                raise
        return events


def _declaration(prefixes: dict[str, str]) -> bytes:
    """A start tag with these declarations, for parsers to stand behind."""
    if prefixes == {"": NS_CLIENT, "stream": NS_STREAM}:
        return USUAL_HEADER
    if prefixes == {"": NS_CLIENT, "stream": NS_STREAM, "db": NS_DIALBACK}:
        return SERVERS_HEADER
    # The end tag of the stream must match it.
    prefix = next((p for p, uri in prefixes.items() if uri == NS_STREAM), "")
    tag = Element("", f"{prefix}:stream" if prefix else "stream")
    for name, uri in prefixes.items():
        tag.set(f"xmlns:{name}" if name else "xmlns", uri)
    return tag.to_bytes()[:-2] + b">"
