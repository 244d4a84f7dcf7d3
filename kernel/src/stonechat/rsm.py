"""Result Set Management (XEP-0059): one page of a long list, and the way to the next.

    request = rsm.read(query, limit=50)
    page, result_set = rsm.page_of(items, lambda item: item.id, request, 50)

is all that a list held in memory needs. What is in a table is asked for by the parts of
`ResultSet`, and what came of it is written down as a `Page`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_RSM
from stonechat.xml import Element

__all__ = ["NS_RSM", "Page", "ResultSet", "page_of", "read", "written"]

T = TypeVar("T")

# The longest JID has 3071 octets, and few items have a longer name than that.
MAX_UID_LENGTH = 4096

_NUMBER = re.compile(r"\+?0*([0-9]{1,10})")
_LARGEST = 2**31 - 1  # of xs:int

# What a request may say; each once (XEP-0059, "XML Schema").
_PARTS = ("max", "after", "before", "index")


@dataclass(frozen=True, slots=True)
class ResultSet:
    """What a request wants to see; None for what it does not say.

    `max` is never above the limit it was read with; 0 asks for the count alone.
    `before` is `""` where the last page is wanted. Of `after`, `before` and `index` at
    most one is set.
    """

    max: int | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What was found: the ids of the first and the last item, `""` where there is none.

    `count` is the number of items in the whole set and `first_index` the place of the
    first one in it, None where counting costs too much. `complete` says that nothing
    comes after this page in the direction of paging; `<set/>` has no word for it, but
    XEP-0313 has.
    """

    first: str = ""
    last: str = ""
    count: int | None = None
    first_index: int | None = None
    complete: bool = False


def read(parent: Element, *, limit: int) -> ResultSet | None:
    """The request for a page inside a payload; None if there is none.

    StanzaError bad-request where it is malformed, or asks for two pages at once:
    XEP-0059 does not say which that would be.
    """
    element = parent.find("set", NS_RSM)
    if element is None:
        return None
    texts: dict[str, str] = {}
    for child in element.elements:
        if child.namespace != NS_RSM or child.name not in _PARTS:
            continue  # for others, or what belongs to answers
        if child.name in texts:
            raise StanzaError("bad-request", f"A result set has one <{child.name}/> at most.")
        texts[child.name] = child.text
    # Some say with an empty <after/> that they begin at the beginning.
    after = _uid(texts.get("after")) or None
    before = _uid(texts.get("before"))
    index = _number("index", texts.get("index"))
    if [after, before, index].count(None) < 2:
        raise StanzaError("bad-request", "A page is named by one of after, before and index.")
    most = _number("max", texts.get("max"))
    return ResultSet(None if most is None else min(most, limit), after, before, index)


def written(page: Page) -> Element:
    """The `<set/>` that tells of a page."""
    element = Element(NS_RSM, "set")
    # Without items, neither may be there (XEP-0059, "Paging Forwards").
    if page.first and page.last:
        first = element.add("first", page.first)
        if page.first_index is not None:
            first.set("index", str(page.first_index))
        element.add("last", page.last)
    if page.count is not None:
        element.add("count", str(page.count))
    return element


def page_of(
    items: Sequence[T], key: Callable[[T], str], request: ResultSet | None, limit: int
) -> tuple[list[T], Element | None]:
    """The page of a list that a request wants, `limit` items at most, and its `<set/>`.

    `key` gives the id of an item, which no other has. There is no `<set/>` where there are
    no items at all, nor where nobody asked for one and all items are there. StanzaError
    item-not-found for an id that no item has.
    """
    total = len(items)
    if not total:
        if request is not None and (request.after or request.before):
            raise StanzaError("item-not-found")
        return [], None
    if request is None:
        if total <= limit:
            return list(items), None
        # Who did not ask learns all the same that this is not all ("Introduction").
        request = ResultSet()
    size = limit if request.max is None else min(request.max, limit)
    start, end = 0, total
    if request.before is not None:
        if request.before:
            end = _position(items, key, request.before)
        start = max(0, end - size)
    else:
        if request.after is not None:
            start = _position(items, key, request.after) + 1
        elif request.index is not None:
            start = min(request.index, total)
        end = min(total, start + size)
    chosen = list(items[start:end])
    if not chosen:
        return chosen, written(Page(count=total))
    page = Page(key(chosen[0]), key(chosen[-1]), total, start)
    return chosen, written(page)


def _position(items: Sequence[T], key: Callable[[T], str], uid: str) -> int:
    for position, item in enumerate(items):
        if key(item) == uid:
            return position
    raise StanzaError("item-not-found")


def _uid(text: str | None) -> str | None:
    if text is not None and len(text) > MAX_UID_LENGTH:
        raise StanzaError("bad-request", "No item has an id as long as that.")
    return text


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    match = _NUMBER.fullmatch(text.strip(" \t\r\n"))
    if match is None or (number := int(match[1])) > _LARGEST:
        raise StanzaError("bad-request", f"<{name}/> wants a number from 0 to {_LARGEST}.")
    return number
