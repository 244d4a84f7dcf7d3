"""Pages of an archive: how what a client wants is asked of the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from stonechat.errors import StanzaError
from stonechat.rsm import Page
from stonechat_mam import fulltext
from stonechat_mam.ids import LARGEST, first_at, last_at
from stonechat_mam.index import Index
from stonechat_mam.query import Query
from stonechat_mam.sharing import full_peer_for, id_for, is_of
from stonechat_mam.tables import CATALOGUE, MESSAGES, hash_of

# Counted exactly up to here; of more, a page says nothing. Who wants to know asks for no
# messages but the count (XEP-0059, "Getting the Item Count").
MAX_COUNTED = 5000

# A page has at least one message, and no more than fit into this.
MAX_PAGE_BYTES = 262_144

_Statement = Select[int, int, bytes]

_places = CATALOGUE.c
_messages = MESSAGES.c
_BOTH = CATALOGUE.join(MESSAGES, _messages.number == _places.number)
_OLDEST = (
    select(_places.id, _messages.stamp)
    .select_from(_BOTH)
    .where(_places.account == bindparam("its_account"), _places.id >= bindparam("floor"))
    .order_by(_places.id)
    .limit(1)
)
_NEWEST = _OLDEST.order_by(None).order_by(_places.id.desc())
_KNOWN = select(_places.id).where(
    _places.account == bindparam("its_account"),
    _places.id.in_(bindparam("ids", expanding=True)),
)


class Archived(NamedTuple):
    """A message as it lies in the archive."""

    id: int
    stamp: int
    stanza: bytes


class Found(NamedTuple):
    """The messages of a page, in order, and what is said of it."""

    messages: list[Archived]
    page: Page


NOTHING = Found([], Page(count=0, complete=True))


class Bounds(NamedTuple):
    """What of an archive may be shown: ids from `floor` on. `skew` is of `Ids`."""

    account: int
    floor: int
    skew: int


class Ends(NamedTuple):
    """Id and stamp of the first message and of the last."""

    first: tuple[int, int]
    last: tuple[int, int]


def ends(connection: Connection, bounds: Bounds) -> Ends | None:
    """The ends of an archive; None if it is empty."""
    values = {"its_account": bounds.account, "floor": bounds.floor}
    oldest = connection.execute(_OLDEST, values).one_or_none()
    if oldest is None:
        return None
    return Ends(tuple(oldest), tuple(connection.execute(_NEWEST, values).one()))


def find(
    connection: Connection, bounds: Bounds, query: Query, size: int, index: Index | None
) -> Found:
    """The page that a query wants, `size` messages at most; StanzaError if it cannot be."""
    _check_named(connection, bounds, query.named)
    return _Search(connection, bounds, query, index).page(size)


def refuse_named(named: Iterable[int]) -> None:
    """An archive that is empty has none of these ids; StanzaError item-not-found for any."""
    for _ in named:
        raise StanzaError("item-not-found", "The archive has no message with this id.")


def _check_named(connection: Connection, bounds: Bounds, named: Iterable[int]) -> None:
    """StanzaError item-not-found unless all these ids are in the archive."""
    values = {"its_account": bounds.account, "ids": list(named)}
    if values["ids"]:
        known = connection.execute(_KNOWN, values).scalars()
        refuse_named(set(named).difference(id_ for id_ in known if id_ >= bounds.floor))


class _Search:
    """One query at work."""

    def __init__(
        self, connection: Connection, bounds: Bounds, query: Query, index: Index | None
    ) -> None:
        self._connection = connection
        self._bounds = bounds
        self._query = query
        self._index = index
        low, high = bounds.floor, LARGEST
        self._is_exact = True  # by the catalogue alone, and so quickly counted
        self._conditions: list[ColumnElement[bool]] = [_places.account == bounds.account]
        if query.with_ is not None:
            self._conditions.append(_places.peer == hash_of(query.with_.bare.text))
            if query.with_.resource:
                peer = full_peer_for(bounds.account)
                self._narrow(peer == hash_of(query.with_.text))
        if query.start is not None:
            low = max(low, first_at(query.start))
            if bounds.skew:
                self._narrow(_messages.stamp >= query.start)
        if query.end is not None:
            # Ids may have run ahead of the clock, once, by so much.
            high = min(high, last_at(query.end + bounds.skew))
            if bounds.skew:
                self._narrow(_messages.stamp <= query.end)
        if query.after is not None:
            low = max(low, query.after + 1)
        if query.before is not None:
            high = min(high, query.before - 1)
        if query.ids is not None:
            self._conditions.append(_places.id.in_(query.ids))
        self._low, self._high = low, high

    def _narrow(self, condition: ColumnElement[bool]) -> None:
        self._conditions.append(condition)
        self._is_exact = False

    # What it finds

    def page(self, size: int) -> Found:
        query = self._query
        if query.request.max == 0:
            count = self._count(self._low, self._high, None)
            return Found([], Page(count=count, complete=not count))
        offset = query.request.index or 0
        if offset > MAX_COUNTED:
            # XEP-0059, "Retrieving a Page Out of Order": the way there is too long.
            raise StanzaError("feature-not-implemented", "Ask for a page by an id instead.")
        low, high = self._low, self._high
        if query.page_after is not None:
            low = max(low, query.page_after + 1)
        if query.page_before is not None:
            high = min(high, query.page_before - 1)
        statement = self._statement(low, high, size, offset)
        messages: list[Archived] = []
        complete = True
        if statement is not None:
            messages, complete = self._fetch(statement, size)
        if query.is_backwards:
            messages.reverse()
        return Found(messages, self._described(messages, complete))

    def _statement(self, low: int, high: int, size: int, offset: int) -> _Statement | None:
        """What finds the messages in their order; None where there are none."""
        query = self._query
        if query.words and self._index is not None and self._can_use(self._index):
            return self._indexed(self._index, low, high, offset, size)
        found: _Statement = (
            select(_places.id, _messages.stamp, _messages.stanza)
            .select_from(_BOTH)
            .where(*self._conditions, _places.id >= low, _places.id <= high)
            .order_by(_places.id.desc() if query.is_backwards else _places.id)
        )
        if query.words:
            found = found.where(*fulltext.conditions(query.words))
        found = found.limit(size + 1)
        return found.offset(offset) if offset else found

    def _indexed(
        self, index: Index, low: int, high: int, offset: int, size: int
    ) -> _Statement | None:
        """The same, of what an index finds."""
        numbers = self._numbers(index, low, high, offset + size + 1)[offset:]
        if not numbers:
            return None
        id_ = id_for(self._bounds.account)
        return (
            select(id_, _messages.stamp, _messages.stanza)
            .where(_messages.number.in_(numbers), is_of(self._bounds.account))
            .order_by(id_.desc() if self._query.is_backwards else id_)
        )

    def _can_use(self, index: Index) -> bool:
        if not index.is_complete or not self._is_exact or self._query.ids is not None:
            return False
        return fulltext.can_be_indexed(self._query.words)

    def _numbers(self, index: Index, low: int, high: int, most: int) -> list[int]:
        """The numbers of messages with the words, from the end that is wanted on."""
        query = self._query
        mine = select(_places.number).where(
            _places.account == self._bounds.account, _places.id >= low, _places.id <= high
        )
        ends = [
            self._connection.execute(mine.order_by(order).limit(1)).scalar()
            for order in (_places.id, _places.id.desc())
        ]
        if ends[0] is None or ends[1] is None:
            return []
        peer = None if query.with_ is None else hash_of(query.with_.bare.text)
        return index.find(
            self._connection,
            self._bounds.account,
            peer,
            query.words,
            (ends[0], ends[1]),
            most,
            backwards=query.is_backwards,
        )

    def _fetch(self, statement: _Statement, size: int) -> tuple[list[Archived], bool]:
        """The messages that go into the page, and whether these are all."""
        messages: list[Archived] = []
        octets = 0
        with self._connection.execute(statement) as rows:
            for id_, stamp, stanza in rows:
                message = Archived(id_, stamp, stanza)
                octets += len(message.stanza)
                if len(messages) == size or (messages and octets > MAX_PAGE_BYTES):
                    return messages, False
                messages.append(message)
        return messages, True

    def _described(self, messages: Sequence[Archived], complete: bool) -> Page:
        request = self._query.request
        is_first = request.after is None and request.before is None and not request.index
        is_last = request.before == ""
        total: int | None = None
        if complete and (is_first or is_last):
            total = len(messages)
        elif self._is_exact and not self._query.words:
            total = self._count(self._low, self._high, MAX_COUNTED)
        if not messages:
            return Page(count=total, complete=complete)
        first = messages[0].id
        # Not on the way back, where the text leaves it to us too: slixmpp takes a page that
        # ends with the last message of all for the last page, whichever way it goes.
        place: int | None = None
        if request.index is not None or is_first:
            place = request.index or 0
        elif total is not None and request.before is None:
            place = self._count(self._low, first - 1, total)
        return Page(str(first), str(messages[-1].id), total, place, complete)

    def _count(self, low: int, high: int, most: int | None) -> int | None:
        """How many messages the query means between two ids; None if more than `most`."""
        found = select(_places.id).where(*self._conditions, _places.id >= low, _places.id <= high)
        if self._query.words or not self._is_exact:
            found = found.select_from(_BOTH)
        if self._query.words:
            found = found.where(*fulltext.conditions(self._query.words))
        if most is not None:
            found = found.limit(most + 1)
        count = self._connection.execute(
            select(func.count()).select_from(found.subquery())
        ).scalar_one()
        return None if most is not None and count > most else int(count)
