"""A parser that stands inside a stream and cuts its elements out of the bytes."""

from __future__ import annotations

import re
from pyexpat import ExpatError
from typing import Any

from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_STREAM
from stonechat.stanza import KINDS, Stanza
from stonechat.xml import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    Element,
    guarded_parser,
    parse,
    serialize,
    xml_error,
)

USUAL_HEADER = b"<stream:stream xmlns='%b' xmlns:stream='%b'>" % (
    NS_CLIENT.encode(),
    NS_STREAM.encode(),
)

_START_TAG = re.compile(rb"<[^>\"']*(?:(?:\"[^\"]*\"|'[^']*')[^>\"']*)*>")
_OPENINGS = {f"{NS_CLIENT} {name}": (b"<" + name.encode(), kind) for name, kind in KINDS.items()}

# A parser keeps every name it ever saw, so none gets old. A new one costs as
# much as reading 2 KB.
_RETIREMENT = 1 << 17
_IDLE_PARSERS = 4
_idle: list[Reader] = []


class Reader:
    """Reads whole tokens; gives each top-level element with its own octets."""

    __slots__ = (
        "_attributes",
        "_begin",
        "_children",
        "_count",
        "_count_limit",
        "_done",
        "_kept",
        "_name",
        "_offset",
        "_parser",
        "declared",
        "depth",
        "size",
        "total",
    )

    def __init__(self, declared: bytes) -> None:
        self.declared = declared
        self.depth = 0  # 1: between elements; 0: the stream has ended
        self.size = 0  # octets of the current element so far
        self._kept: list[bytes] = []  # those octets
        self._done: list[Any] = []
        self._children: list[str] = []
        self._name = ""
        self._attributes: dict[str, str] = {}
        self._begin = 0
        self._offset = 0
        self._count = 0
        self._count_limit = 0
        parser = self._parser = guarded_parser()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(declared)
        self.total = len(declared)

    def read(self, data: bytes, limit: int, count_limit: int, events: list[Any]) -> None:
        """Read on; elements that end in `data` are added to `events`."""
        self._offset = self.total
        self._count_limit = count_limit
        self.total += len(data)
        fault: XMLError | None = None
        try:
            self._parser.Parse(data)
        except ExpatError as error:
            fault = xml_error(error, data)
        except XMLError as error:
            fault = error
        at = 0  # where the next element or white space begins
        for name, attributes, children, begin, close in self._done:
            if self._kept:
                end = data.index(b">", close) + 1
                raw = b"".join((*self._kept, data[:end]))
                self._kept.clear()
                self.size = 0
                head = _START_TAG.match(raw)
            else:
                if begin != at and not data[at:begin].isspace():
                    raise XMLError("bad-format", "Text between stanzas")
                head = _START_TAG.match(data, begin)
                end = close
                # expat reports the end of an empty-element tag behind it,
                # that of any other element before its end tag.
                if head is None or head.end() != close or data[close - 2] != 47:
                    end = data.index(b">", close) + 1
                raw = data[begin:end]
            at = end
            if len(raw) > limit:
                fault = XMLError("policy-violation", "The stanza is larger than allowed")
                break
            events.append(self._event(name, attributes, children, raw, head, begin))
        self._done.clear()
        if fault is not None:
            raise fault
        if self.depth > 1:
            piece = data if self._kept else data[self._begin :]
            if not self._kept and self._begin != at and not data[at : self._begin].isspace():
                raise XMLError("bad-format", "Text between stanzas")
            self._kept.append(piece)
            self.size += len(piece)
            if self.size > limit:
                raise XMLError("policy-violation", "The stanza is larger than allowed")
        elif self.depth == 1 and at != len(data) and not data[at:].isspace():
            raise XMLError("bad-format", "Text between stanzas")

    def _event(
        self,
        name: str,
        attributes: dict[str, str],
        children: list[str],
        raw: bytes,
        head: re.Match[bytes] | None,
        begin: int,
    ) -> Stanza | Element:
        opening = _OPENINGS.get(name)
        if opening is None:
            return parse(raw, self.declared)
        tag, kind = opening
        if (
            head is None
            or self.declared is not USUAL_HEADER
            or not raw.startswith(tag)
            or b"stream:" in raw
        ):
            # It may lean on a prefix declared outside: make it stand alone.
            raw = serialize(parse(raw, self.declared), NS_CLIENT)
            head = _START_TAG.match(raw)
            assert head is not None
        return kind.received(attributes, tuple(children), raw, head.end() - head.start())

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self.depth
        self.depth = depth + 1
        if len(attributes) > 64 or len(name) > 256:
            _check_size(name, attributes)
        if depth == 1:
            self._begin = self._parser.CurrentByteIndex - self._offset
            self._name = name
            self._attributes = attributes
            self._children = []
            self._count = 1
            return
        if depth == 2:
            self._children.append(name)
        elif depth > MAX_DEPTH:
            raise XMLError("policy-violation", "Elements are nested too deep")
        self._count += 1
        if self._count > self._count_limit and depth:
            raise XMLError("policy-violation", "Too many elements in one stanza")

    def _end(self, _name: str) -> None:
        depth = self.depth = self.depth - 1
        if depth == 1:
            close = self._parser.CurrentByteIndex - self._offset
            self._done.append((self._name, self._attributes, self._children, self._begin, close))


def _check_size(name: str, attributes: dict[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise XMLError("policy-violation", "Too many attributes in one element")
    if len(name) > MAX_NAME_BYTES:
        raise XMLError("policy-violation", "A name is too long")


def borrow(declared: bytes) -> Reader:
    """A reader that stands behind these declarations, between elements."""
    if declared is USUAL_HEADER and _idle:
        return _idle.pop()
    return Reader(declared)


def give_back(reader: Reader) -> None:
    """Return a reader that stands between elements; the old ones are dropped."""
    if (
        reader.declared is USUAL_HEADER
        and reader.total < _RETIREMENT
        and len(_idle) < _IDLE_PARSERS
    ):
        _idle.append(reader)
