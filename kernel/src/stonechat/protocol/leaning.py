"""Top-level elements that are not told as they were written: they are set upright first.

It is done when the parser that read them may be gone, for both would be too much.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stonechat.errors import XMLError
from stonechat.stanza import Stanza
from stonechat.xml import Element, parse
from stonechat.xml.limits import check_tags

_DECLARATION = re.compile(rb"\sxmlns:([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')")


class Leaning(NamedTuple):
    """A stanza that may need what stands around it, or has a prefix of its own."""

    kind: type[Stanza]
    attributes: dict[str, str]
    children: tuple[str, ...]
    raw: bytes
    head_end: int


Found = Stanza | Element | Leaning | bytes
"""What came in; octets are those of an element that is no stanza."""


def set_upright(found: list[Found], declared: bytes) -> list[Stanza | Element]:
    """The same, as they are without what stands around them; the list is used up."""
    whole: list[Stanza | Element] = []
    found.reverse()
    try:
        while found:
            one = found.pop()
            if isinstance(one, bytes):
                whole.append(parse(one, declared))
            elif isinstance(one, Leaning):
                whole.append(_set_upright(one, declared))
            else:
                whole.append(one)
    except XMLError as error:
        error.events = whole
        raise
    return whole


def _set_upright(leaning: Leaning, declared: bytes) -> Stanza:
    kind, attributes, children, raw, head_end = leaning
    opening = b"<%b" % kind.name.encode()
    if not raw.startswith(opening):
        tree = parse(raw, declared)
        # The names of its children are known: to write them anew would take more than they do.
        inside, tree.children = tree.children, []
        stanza = Stanza.from_element(tree)
        tree.children, stanza.children = inside, children
        return stanza
    lent = [prefix for prefix in _declarations(declared) if prefix.mark in raw]
    if lent:
        # It takes the prefixes along that it may use.
        own = {prefix.mark for prefix in _declarations(raw[:head_end])}
        taken = b"".join(prefix.declaration for prefix in lent if prefix.mark not in own)
        raw = b"%b%b%b" % (opening, taken, raw[len(opening) :])
        head_end += len(taken)
        check_tags(raw[:head_end])
    return kind.received(attributes, children, raw, head_end)


class _Prefix(NamedTuple):
    mark: bytes  # as it stands before a name
    declaration: bytes


def _declarations(tag: bytes) -> list[_Prefix]:
    return [_Prefix(b"%b:" % found[1], found[0]) for found in _DECLARATION.finditer(tag)]
