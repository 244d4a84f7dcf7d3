"""A parser that stands inside a stream and cuts its elements out of the bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pyexpat import ExpatError, XMLParserType
from typing import Any

from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_STREAM
from stonechat.stanza import KINDS, Stanza
from stonechat.xml import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    Element,
    guarded_parser,
    parse,
    serialize,
    xml_error,
)
from stonechat.xml.element import split_name
from stonechat.xml.parser import check_names

USUAL_HEADER = b"<stream:stream xmlns='%b' xmlns:stream='%b'>" % (
    NS_CLIENT.encode(),
    NS_STREAM.encode(),
)

# A tag that is whole: what is quoted may hold `>` (XML 1.0, 3.1).
WHOLE_TAG = re.compile(rb"<[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
_OPENINGS = {f"{NS_CLIENT} {name}": (b"<" + name.encode(), kind) for name, kind in KINDS.items()}

# A parser keeps every name it ever saw, with the namespace in it, so none gets
# old. A new one costs as much as reading 2 KB.
_RETIREMENT = 1 << 17
_NAMES = 2000
_IDLE_PARSERS = 4
_idle: list[Reader] = []


class Reader:
    """Reads whole tokens; gives each top-level element with its own octets.

    `depth` is 1 between elements and 0 once the stream has ended; `size` is
    the octets of the current element so far; `total` those ever read; `names`
    how many different ones it has seen.
    """

    __slots__ = (
        "_allow",
        "_done",
        "_kept",
        "_parser",
        "_where",
        "declared",
        "depth",
        "names",
        "size",
        "total",
    )

    def __init__(self, declared: bytes) -> None:
        self.declared = declared
        self.size = 0
        self._kept: list[bytes] = []
        self._done: list[Ended] = []
        self._parser = guarded_parser()
        self._allow, self._where = _follow(self._parser, self._done)
        self._parser.Parse(declared)
        self.total = len(declared)
        self.depth = 1
        self.names = 0

    def retire(self) -> None:
        """Let the parser go at once, not when the cycle with its callbacks is found."""
        self._parser.StartElementHandler = None
        self._parser.EndElementHandler = None

    def read(self, data: bytes, limit: int, count_limit: int, events: list[Any]) -> None:
        """Read on; elements that end in `data` are added to `events`."""
        offset = self.total
        self.total = offset + len(data)
        self._allow(count_limit)
        fault: XMLError | None = None
        try:
            self._parser.Parse(data)
        except ExpatError as error:
            # Whoever has ended the stream is not told what is wrong behind its end.
            if self._where()[0]:
                fault = xml_error(error, data)
        except XMLError as error:
            fault = error
        at = 0  # where the next element or white space begins
        done = self._done
        if done:
            for name, attributes, children, begin, close in done:
                begin -= offset
                close -= offset
                if self._kept:
                    end = data.index(b">", close) + 1
                    raw = b"".join((*self._kept, data[:end]))
                    self._kept.clear()
                    self.size = 0
                    head = WHOLE_TAG.match(raw)
                    begin = 0
                else:
                    if begin != at and not data[at:begin].isspace():
                        raise XMLError("bad-format", "Text between stanzas")
                    head = WHOLE_TAG.match(data, begin)
                    assert head is not None
                    # expat reports the end of an empty-element tag behind it,
                    # that of any other element before its end tag.
                    if head.end() == close and data[close - 2] == 47:
                        end = close
                    else:
                        end = data.index(b">", close) + 1
                    raw = data[begin:end]
                at = end
                if len(raw) > limit:
                    fault = XMLError("policy-violation", "The stanza is larger than allowed")
                    break
                assert head is not None
                opening = _OPENINGS.get(name)
                if opening is None:
                    # Most that are no stanzas are empty, as requests for acks are.
                    if not children and raw.endswith(b"/>"):
                        events.append(Element(*split_name(name), attributes).freeze())
                    else:
                        events.append(parse(raw, self.declared))
                elif (
                    self.declared is USUAL_HEADER
                    and raw.startswith(opening[0])
                    and b"stream:" not in raw
                ):
                    events.append(
                        opening[1].received(attributes, tuple(children), raw, head.end() - begin)
                    )
                else:
                    events.append(self._stand_alone(opening[1], attributes, children, raw))
            done.clear()
        if fault is not None:
            raise fault
        depth, begin, self.names = self._where()
        self.depth = depth
        if depth > 1:
            self._keep(data, begin - offset, at, limit)
        elif depth == 1 and at != len(data) and not data[at:].isspace():
            raise XMLError("bad-format", "Text between stanzas")

    def _keep(self, data: bytes, begin: int, at: int, limit: int) -> None:
        """Put the octets of an element aside that goes on."""
        piece = data
        if not self._kept:
            if begin != at and not data[at:begin].isspace():
                raise XMLError("bad-format", "Text between stanzas")
            piece = data[begin:]
        self._kept.append(piece)
        self.size += len(piece)
        if self.size > limit:
            raise XMLError("policy-violation", "The stanza is larger than allowed")

    def _stand_alone(
        self, kind: type[Stanza], attributes: dict[str, str], children: list[str], raw: bytes
    ) -> Stanza:
        """A stanza that may lean on a prefix declared outside: written anew without."""
        raw = serialize(parse(raw, self.declared), NS_CLIENT)
        head = WHOLE_TAG.match(raw)
        assert head is not None
        return kind.received(attributes, tuple(children), raw, head.end())


Ended = tuple[str, dict[str, str], list[str], int, int]
"""An element that has ended: name, attributes, children, and where it begins and closes."""


def _follow(
    parser: XMLParserType, done: list[Ended]
) -> tuple[Callable[[int], None], Callable[[], tuple[int, int, int]]]:
    """Set the parser's callbacks.

    Returns a function that sets how many elements one may hold, and one that
    tells the depth, where the current element began, and how many names are
    kept. What they share is theirs alone, for it changes with every tag.
    """
    name = ""
    attributes: dict[str, str] = {}
    children: list[str] = []
    depth = begin = count = count_limit = known = 0
    names = parser.intern  # all that it ever saw, of elements and attributes

    def start(tag: str, given: dict[str, str]) -> None:
        nonlocal name, attributes, children, depth, begin, count, known
        depth += 1
        count += 1
        if depth == 3:
            children.append(tag)
        elif depth == 2:
            begin = parser.CurrentByteIndex
            name = tag
            attributes = given
            children = []
            count = 1
        elif depth > MAX_DEPTH:
            raise XMLError("policy-violation", "Elements are nested too deep")
        if count > count_limit and depth > 1:
            raise XMLError("policy-violation", "Too many elements in one stanza")
        if len(given) > MAX_ATTRIBUTES:
            raise XMLError("policy-violation", "Too many attributes in one element")
        if len(names) != known:
            known = len(names)
            check_names(tag, given)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 1:
            done.append((name, attributes, children, begin, parser.CurrentByteIndex))

    def allow(elements: int) -> None:
        nonlocal count_limit
        count_limit = elements

    def where() -> tuple[int, int, int]:
        return depth, begin, known

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    return allow, where


def borrow(declared: bytes) -> Reader:
    """A reader that stands behind these declarations, between elements."""
    if declared is USUAL_HEADER and _idle:
        return _idle.pop()
    return Reader(declared)


def give_back(reader: Reader) -> None:
    """Return a reader that stands between elements; the old ones are dropped."""
    if (
        reader.depth == 1
        and reader.declared is USUAL_HEADER
        and reader.total < _RETIREMENT
        and reader.names < _NAMES
        and len(_idle) < _IDLE_PARSERS
    ):
        _idle.append(reader)
    else:
        reader.retire()
