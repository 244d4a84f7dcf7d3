"""A parser that stands inside a stream and cuts its elements out of the bytes."""

from __future__ import annotations

from pyexpat import ExpatError

from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_DIALBACK, NS_STREAM
from stonechat.protocol.leaning import Found, Leaning
from stonechat.stanza import KINDS
from stonechat.xml import MAX_DEPTH, Element, guarded_parser, split_name, xml_error
from stonechat.xml.limits import (
    LONG_NAME,
    LONG_TAG,
    WHOLE_TAG,
    check_excess,
    find_bad_tag,
    sift_names,
)

USUAL_HEADER = b"<stream:stream xmlns='%b' xmlns:stream='%b'>" % (
    NS_CLIENT.encode(),
    NS_STREAM.encode(),
)
# That of servers, read as all streams are (XEP-0220, 2.4.1).
SERVERS_HEADER = USUAL_HEADER[:-1] + b" xmlns:db='%b'>" % NS_DIALBACK.encode()

MAX_STRANGE_CHILDREN = 100
"""How many children with names that are new a stanza may have: it keeps them in full."""

_OPENINGS = {f"{NS_CLIENT} {name}": (b"<" + name.encode(), kind) for name, kind in KINDS.items()}
# Octets of its own would be an eighth of what such a stanza takes; a read holds 13 000 of them.
_SMALLEST = b"<iq/>"
# A parser keeps every name it ever saw, and a buffer for the most it ever read at once. So
# none gets old, and one that learnt much in one go does not outlive it. A new one costs as
# much as reading 2 KB.
_RETIREMENT = 1 << 17
_LARGE = 1 << 14
_NAMES = 400
_NEW_NAMES = 64
_IDLE_PARSERS = 4
_idle: list[Reader] = []
_idle_for_servers: list[Reader] = []

_NOTHING: list[Found] = []


class Reader:
    """Reads whole tokens; gives each top-level element with its own octets.

    `depth` is 1 between elements and 0 once the stream has ended; `total` is
    the octets ever read; `names` how many it keeps, `new_names` how many it
    met since it was borrowed. One that `is_spent` has grown too much to be
    used again.
    """

    __slots__ = (
        "_at",
        "_attributes",
        "_begin",
        "_children",
        "_count",
        "_count_limit",
        "_data",
        "_excess",
        "_found",
        "_kept",
        "_limit",
        "_name",
        "_names",
        "_offset",
        "_parser",
        "_stand_alone",
        "_strange",
        "_unusual",
        "declared",
        "depth",
        "is_spent",
        "names",
        "new_names",
        "total",
    )

    def __init__(self, declared: bytes) -> None:
        self.declared = declared
        self.depth = 0
        self.total = len(declared)
        self.names = 0
        self.new_names = 0
        self.is_spent = False
        self._kept = bytearray()
        # What is read now, where it begins in all, and where the next element may begin in it.
        self._data = b""
        self._offset = 0
        self._at = 0
        self._stand_alone = True
        self._limit = 0
        self._found = _NOTHING
        # The current element:
        self._name = ""
        self._attributes: dict[str, str] = {}
        self._children: list[str] = []
        self._begin = 0
        self._count = 0
        self._count_limit = 0
        self._excess = 0
        self._unusual: list[str] = []
        self._strange: dict[str, str] = {}
        parser = self._parser = guarded_parser()
        self._names = parser.intern
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(declared)

    @property
    def size(self) -> int:
        """The octets of the current element so far."""
        return len(self._kept)

    def retire(self) -> None:
        """Let the parser go at once, not when the cycle with its callbacks is found."""
        self._parser.StartElementHandler = None
        self._parser.EndElementHandler = None
        del self._parser

    def renewed(self, limit: int, count_limit: int) -> Reader:
        """Another reader, as far in the element under way, that knows nothing of those before."""
        self.retire()
        reader = Reader(self.declared)
        reader.read(bytes(self._kept), limit, count_limit, [])
        return reader

    def read(self, data: bytes, limit: int, count_limit: int, found: list[Found]) -> bool:
        """Read on; elements that end in `data` are added to `found`.

        Returns whether all of them stand alone already.
        """
        offset = self._offset = self.total
        self.total = offset + len(data)
        self._data = data
        self._at = 0
        self._limit = limit
        self._count_limit = count_limit
        self._found = found
        self._stand_alone = True
        bad_tag = None
        if len(data) > LONG_TAG:
            self.is_spent |= len(data) > _LARGE
            bad_tag = find_bad_tag(data)
        try:
            self._parser.Parse(data if bad_tag is None else data[: bad_tag.at])
        except ExpatError as error:
            # Whoever has ended the stream is not told what is wrong behind its end.
            if self.depth:
                raise xml_error(error, data) from None
        depth = self.depth
        if bad_tag is not None and depth:
            raise XMLError("policy-violation", bad_tag.fault)
        at = self._at
        if depth > 1:
            self._keep(data, self._begin - offset, at, limit)
        elif depth == 1 and at != len(data) and not data[at:].isspace():
            raise XMLError("bad-format", "Text between stanzas")
        # It may be long until the next time.
        self._data = b""
        self._found = _NOTHING
        return self._stand_alone

    def _keep(self, data: bytes, begin: int, at: int, limit: int) -> None:
        """Put the octets of an element aside that goes on."""
        if self._kept:
            begin = 0
        elif begin != at and not data[at:begin].isspace():
            raise XMLError("bad-format", "Text between stanzas")
        self._kept += memoryview(data)[begin:]
        if self.size > limit:
            raise XMLError("policy-violation", "The stanza is larger than allowed")

    # The parser's callbacks

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        depth = self.depth = self.depth + 1
        if depth > 2:
            count = self._count = self._count + 1
            if count > self._count_limit:
                raise XMLError("policy-violation", "Too many elements in one stanza")
            if depth == 3:
                self._children.append(tag)
            elif depth > MAX_DEPTH:
                raise XMLError("policy-violation", "Elements are nested too deep")
        elif depth == 2:
            self._begin = self._parser.CurrentByteIndex
            self._name = tag
            self._attributes = attributes
            self._children = []
            self._count = 1
        if len(self._names) != self.names:
            self._meet(tag)

    def _end(self, _tag: str) -> None:
        depth = self.depth = self.depth - 1
        if depth != 1:
            return
        if self._excess or self._strange:
            self._forget()
        data = self._data
        close = self._parser.CurrentByteIndex - self._offset
        if self._kept:
            end = data.index(b">", close) + 1
            self._kept += memoryview(data)[:end]
            raw = bytes(self._kept)
            self._kept.clear()
            head = WHOLE_TAG.match(raw)
            assert head is not None
            head_end = head.end()
        else:
            begin = self._begin - self._offset
            at = self._at
            if begin != at and not data[at:begin].isspace():
                raise XMLError("bad-format", "Text between stanzas")
            head = WHOLE_TAG.match(data, begin)
            assert head is not None
            end = head.end()
            head_end = end - begin
            # expat reports the end of an empty-element tag behind it,
            # that of any other element before its end tag.
            if end != close or data[end - 2] != 47:  # `/`
                end = data.index(b">", close) + 1
            raw = data[begin:end]
        self._at = end
        if len(raw) > self._limit:
            raise XMLError("policy-violation", "The stanza is larger than allowed")
        name, attributes, children = self._name, self._attributes, tuple(self._children)
        opening = _OPENINGS.get(name)
        if opening is None:
            # Most that are no stanzas are empty, as requests for acks are.
            if not children and raw.endswith(b"/>") and len(name) < LONG_NAME:
                self._found.append(Element(*split_name(name), attributes).freeze())
            else:
                self._stand_alone = False
                self._found.append(raw)
        elif (
            (
                self.declared is USUAL_HEADER
                or (self.declared is SERVERS_HEADER and b"db:" not in raw)
            )
            and raw.startswith(opening[0])
            and b"stream:" not in raw
        ):
            if raw == _SMALLEST:
                raw = _SMALLEST
            self._found.append(opening[1].received(attributes, children, raw, head_end))
        else:
            self._stand_alone = False
            self._found.append(Leaning(opening[1], attributes, children, raw, head_end))

    def _meet(self, tag: str) -> None:
        """Look at the names that are new; they came with this tag, or with the end of another."""
        names = self._names
        room = _NEW_NAMES - self.new_names
        self.new_names += len(names) - self.names
        self.is_spent |= self.new_names > _NEW_NAMES
        self._excess += sift_names(names, self.names, room, self._unusual)
        self.names = len(names)
        if self._excess:
            check_excess(self._excess, self._parser.CurrentByteIndex - self._begin)
        if self.depth == 3:
            strange = self._strange
            self._children[-1] = strange.setdefault(tag, tag)
            if len(strange) > MAX_STRANGE_CHILDREN:
                raise XMLError("policy-violation", "Too many different children in one stanza")

    def _forget(self) -> None:
        """Let go what only the last element had: the next one is to meet it anew."""
        for name in self._unusual:
            del self._names[name]
        self.names = len(self._names)
        self._unusual.clear()
        self._strange.clear()
        self._excess = 0


def borrow(declared: bytes) -> Reader:
    """A reader that stands behind these declarations, between elements."""
    if declared is USUAL_HEADER and _idle:
        return _idle.pop()
    if declared is SERVERS_HEADER and _idle_for_servers:
        return _idle_for_servers.pop()
    return Reader(declared)


def give_back(reader: Reader) -> None:
    """Return a reader that stands between elements; the old ones are dropped."""
    idle = _idle if reader.declared is USUAL_HEADER else _idle_for_servers
    if (
        reader.depth == 1
        and not reader.is_spent
        and (idle is _idle or reader.declared is SERVERS_HEADER)
        and reader.total < _RETIREMENT
        and reader.names < _NAMES
        and len(idle) < _IDLE_PARSERS
    ):
        reader.new_names = 0
        idle.append(reader)
    else:
        reader.retire()
