"""Documents of any length, read element by element: files that an operator gives us.

A document comes as its parts: `Opened` and `Closed` for the elements that hold the others,
and whole elements below them. Which those that hold are, the caller decides; nothing else
is kept in memory. Comments and processing instructions are passed over, as in any XML file;
DTDs and entities are refused as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pyexpat import ExpatError
from typing import BinaryIO, NamedTuple

from stonechat.errors import XMLError
from stonechat.xml.element import Element, split_name
from stonechat.xml.limits import MAX_CHILDREN, MAX_DEPTH
from stonechat.xml.parser import check_encoding, guarded_parser, xml_error

__all__ = ["Closed", "Opened", "read_document"]

_READ_SIZE = 65_536

# Of one element that is handed out whole: no database row of ours may be larger.
MAX_ELEMENT_BYTES = 16 * 1024 * 1024

# expat keeps every name for as long as it lives, and users write what they like into their
# private data. People with that many are nowhere.
MAX_NAMES = 200_000


class Opened(NamedTuple):
    """An element that holds others has begun; `element` has its attributes alone."""

    element: Element


class Closed(NamedTuple):
    """It has ended."""

    element: Element


def read_document(
    file: BinaryIO,
    is_container: Callable[[tuple[str, ...]], bool],
    *,
    max_bytes: int = MAX_ELEMENT_BYTES,
) -> Iterator[Opened | Closed | Element]:
    """The parts of a document, in order; XMLError where it is not well-formed.

    `is_container` is asked with the qualified names of an element and those around it, the
    outermost first. What is inside a container beside elements is passed over.
    """
    builder = _Builder(is_container, max_bytes)
    is_first = True
    while True:
        data = file.read(_READ_SIZE)
        if is_first:
            check_encoding(data)
            is_first = False
        builder.feed(data)
        yield from builder.take()
        if not data:
            return


class _Builder:
    """Makes parts of a parser's events."""

    def __init__(self, is_container: Callable[[tuple[str, ...]], bool], max_bytes: int) -> None:
        self._is_container = is_container
        self._max_bytes = max_bytes
        self._path: tuple[str, ...] = ()
        self._containers: list[Element] = []
        self._open: list[Element] = []
        self._begun = 0
        self._parts: list[Opened | Closed | Element] = []
        parser = guarded_parser()
        parser.CommentHandler = None
        parser.ProcessingInstructionHandler = None
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        self._parser = parser

    def feed(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, not data)
        except ExpatError as error:
            fault = xml_error(error, data)
            text = f"{fault}, line {error.lineno}, column {error.offset}"
            raise XMLError(fault.condition, text) from None
        if self._open:
            self._check_size()
        if len(self._parser.intern) > MAX_NAMES:
            raise XMLError("policy-violation", "Too many different names in one document")

    def take(self) -> list[Opened | Closed | Element]:
        parts, self._parts = self._parts, []
        return parts

    def _start(self, qualified: str, attributes: dict[str, str]) -> None:
        # The cache of usual names is the server's: what a file holds does not go through it.
        namespace, name = split_name.__wrapped__(qualified)
        element = Element(namespace, name, attributes)
        if self._open:
            siblings = self._open[-1].children
            if len(siblings) >= 2 * MAX_CHILDREN:
                raise XMLError("policy-violation", "Too many children in one element")
            siblings.append(element)
        else:
            path = (*self._path, qualified)
            if self._is_container(path):
                self._path = path
                self._containers.append(element)
                self._parts.append(Opened(element))
                return
            self._begun = self._parser.CurrentByteIndex
        if len(self._open) >= MAX_DEPTH:
            raise XMLError("policy-violation", "Elements are nested too deep")
        self._open.append(element)

    def _end(self, _qualified: str) -> None:
        if not self._open:
            self._path = self._path[:-1]
            self._parts.append(Closed(self._containers.pop()))
            return
        element = self._open.pop()
        if not self._open:
            self._check_size()
            self._parts.append(element)

    def _data(self, text: str) -> None:
        if not self._open:
            return
        siblings = self._open[-1].children
        if siblings and isinstance(siblings[-1], str):
            siblings[-1] += text
        else:
            siblings.append(text)

    def _check_size(self) -> None:
        if self._parser.CurrentByteIndex - self._begun > self._max_bytes:
            raise XMLError("policy-violation", "An element is too large")
