"""What is in proportion: how many, deep and long the parts of an element may be.

A few octets may ask for a lot of memory, and these are the places. expat writes
the namespace before the name of every attribute of a tag, and only then tells
of the tag: so long tags are looked at before it sees them. It keeps every name
for good: so those that are new to it are looked at as it tells them.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from stonechat.errors import XMLError

MAX_DEPTH = 128
MAX_CHILDREN = 10_000
MAX_ATTRIBUTES = 512
MAX_PREFIXED_ATTRIBUTES = 64
MAX_NAME_BYTES = 1024
# It is written once and comes with every name, so it costs more than they do. The longest in
# a XEP has 51 octets.
MAX_NAMESPACE_BYTES = 256

# A tag that is whole: what is quoted may hold `>` (XML 1.0, 3.1). The group is not possessive:
# before Python 3.11.5 one that fails half-way eats what it has seen, here a quote (gh-106052).
WHOLE_TAG = re.compile(rb"<[^>\"']*+(?:(?:\"[^\"]*+\"|'[^']*+')[^>\"']*+)*>")

LONG_TAG = 512
"""Octets in which no tag can be out of proportion."""

# It ends where a `<` is, for no tag holds one: so many that do not end are no burden.
_TAG = re.compile(rb"<[^<>\"']*+(?:(?:\"[^<\"]*+\"|'[^<']*+')[^<>\"']*+)*>")
_ATTRIBUTE = re.compile(rb"\s([^\s=]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)')")
_REFERENCE = re.compile(rb"&[^;]*;")

LONG_NAME = 64
"""Characters of a name that is not usual: no table has room for it."""

# A usual name takes no more octets of memory. What the others take beyond that, and what it
# takes to keep them, may grow with the octets of their element, not quicker.
_USUAL = 112
_KEEPING = 64
_EXCESS_FREE = 8192
_EXCESS_PER_OCTET = 3


class BadTag(NamedTuple):
    """A tag that no parser is to see: where it begins, and what is wrong."""

    at: int
    fault: str


def check_tags(data: bytes) -> None:
    """Raise where a tag has more attributes, or longer namespaces, than a parser is to see."""
    if len(data) > LONG_TAG:
        bad_tag = find_bad_tag(data)
        if bad_tag is not None:
            raise XMLError("policy-violation", bad_tag.fault)


def find_bad_tag(data: bytes) -> BadTag | None:
    """The first such tag. There is none in `LONG_TAG` octets."""
    last = len(data) - LONG_TAG
    at = data.find(b"<")
    while 0 <= at < last:
        # What begins before another `<` is short: from one to the farthest in reach.
        following = data.rfind(b"<", at + 1, at + 1 + LONG_TAG)
        if following < 0:
            following = data.find(b"<", at + 1 + LONG_TAG)
            tag = _TAG.match(data, at)
            # What is no tag is text, or the parser refuses it.
            if tag is not None and tag.end() - at > LONG_TAG:
                fault = _fault_of(data, at, tag.end())
                if fault:
                    return BadTag(at, fault)
        at = following
    return None


def _fault_of(data: bytes, begin: int, end: int) -> str:
    attributes = prefixed = declared = 0
    for found in _ATTRIBUTE.finditer(data, begin, end):
        name, double, single = found.groups()
        if name == b"xmlns" or name.startswith(b"xmlns:"):
            declared += 1
            namespace = double or single or b""
            if (
                len(namespace) > MAX_NAMESPACE_BYTES
                and len(_REFERENCE.sub(b"?", namespace)) > MAX_NAMESPACE_BYTES
            ):
                return "A namespace is too long"
        else:
            attributes += 1
            prefixed += b":" in name and not name.startswith(b"xml:")
        if attributes > MAX_ATTRIBUTES or declared > MAX_ATTRIBUTES:
            return "Too many attributes in one element"
        if prefixed > MAX_PREFIXED_ATTRIBUTES:
            return "Too many attributes with a prefix in one element"
    return ""


def sift_names(names: dict[str, str], known: int, room: int, unusual: list[str]) -> int:
    """Look at the names that are new in those that a parser keeps; it knew so many before.

    Of the usual ones no more are left than there is room for. The unusual ones
    are added to the list, for they should not outlive their element. Returns
    the memory that these take beyond what is usual; raises where one is too long.
    """
    excess = 0
    surplus = []
    for name in islice(reversed(names), len(names) - known):
        size = name.__sizeof__()
        if size > _USUAL:
            namespace, _, local = name.rpartition(" ")
            if len(namespace.encode()) > MAX_NAMESPACE_BYTES:
                raise XMLError("policy-violation", "A namespace is too long")
            if len(local.encode()) > MAX_NAME_BYTES:
                raise XMLError("policy-violation", "A name is too long")
            # Its local part was written as often as it is kept; a character has four octets
            # at most, in memory as well.
            excess += max(0, size - _USUAL - 4 * len(local)) + _KEEPING
            unusual.append(name)
        elif room > 0:
            room -= 1
        else:
            surplus.append(name)
    for name in surplus:
        del names[name]
    return excess


def check_excess(excess: int, octets: int) -> None:
    """Raise where the names of an element are out of proportion, after so many octets of it."""
    if excess > _EXCESS_FREE + _EXCESS_PER_OCTET * octets:
        raise XMLError("policy-violation", "Too many long names in one element")
