"""Archives on their way to another server, and from one (XEP-0227, "Message Archive")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, or_, select

from stonechat import timestamps
from stonechat.errors import JIDError, XMLError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_FORWARD
from stonechat.plugin import Imported
from stonechat.portable import NS_PIE_ARCHIVE, Count, parts_of
from stonechat.stanza import Message, Stanza
from stonechat.storage import upsert
from stonechat.xml import Element
from stonechat_mam import catalogue, fulltext, ids
from stonechat_mam.archive import Archive
from stonechat_mam.pages import Archived, Bounds
from stonechat_mam.query import NS_MAM
from stonechat_mam.retraction import origin_of
from stonechat_mam.tables import CATALOGUE, MESSAGES, STATE, hash_of

# Read at once: there may be a photo in each.
PAGE = 100

# An id of ours is so little ahead of its stamp, in microseconds.
_AHEAD = 1000

# The name of what says that somewhere messages lie in another order than their ids.
DISORDERED = "disordered"

_PAGE = (
    select(CATALOGUE.c.id, MESSAGES.c.stamp, MESSAGES.c.stanza)
    .join(MESSAGES, MESSAGES.c.number == CATALOGUE.c.number)
    .where(
        CATALOGUE.c.account == bindparam("its_account"),
        CATALOGUE.c.id > bindparam("after"),
        CATALOGUE.c.id >= bindparam("floor"),
    )
    .order_by(CATALOGUE.c.id)
    .limit(PAGE)
)
_AT = (
    select(CATALOGUE.c.id, MESSAGES.c.stanza)
    .join(MESSAGES, MESSAGES.c.number == CATALOGUE.c.number)
    .where(
        CATALOGUE.c.account == bindparam("its_account"),
        or_(
            CATALOGUE.c.id.between(bindparam("low"), bindparam("high")),
            CATALOGUE.c.id.in_(bindparam("ids", expanding=True)),
        ),
    )
)
_LAST = select(func.coalesce(func.max(CATALOGUE.c.id), 0)).where(
    CATALOGUE.c.account == bindparam("its_account")
)
# Of a message that one account has.
_COLUMNS = ("account", "id", "stamp", "peer", "full_peer", "origin", "text", "stanza")
_INSERT = insert(MESSAGES).inline()


class Given(NamedTuple):
    """A message from elsewhere, with the id that it has if that is one of ours, or 0."""

    id: int
    stamp: int
    element: Element
    octets: bytes
    message: Message


# Out


def export(archive: Archive, host: Host, account: JID) -> Iterator[Element]:
    """An archive from its first message on, a page at a time."""
    known = archive.accounts.find(account.localpart)
    if known is None:
        return
    archive.recorder.wait_for(known.number)
    bounds = Bounds(known.number, archive.floor, archive.ids.skew)
    last = 0
    while page := host.storage.read(lambda connection: _page(connection, bounds, last)):  # noqa: B023
        last = page[-1].id
        yield from parts_of(Element(NS_PIE_ARCHIVE, "archive"), map(_result, page))


def _page(connection: Connection, bounds: Bounds, last: int) -> list[Archived]:
    values = {"its_account": bounds.account, "after": last, "floor": bounds.floor}
    return [Archived(*row) for row in connection.execute(_PAGE, values).all()]


def _result(archived: Archived) -> Element:
    result = Element(NS_MAM, "result", {"id": str(archived.id)})
    forwarded = result.add("forwarded", namespace=NS_FORWARD)
    forwarded.add("delay", namespace=NS_DELAY, stamp=timestamps.written(archived.stamp))
    forwarded.append(Stanza.from_bytes(archived.stanza).element)
    return result


# In


def take(archive: Archive, host: Host, account: JID, element: Element, dry_run: bool) -> Imported:
    """Messages for an archive; those that are in it already are known by their time."""
    count = Count()
    given = [found for child in element.elements if (found := _read(child, account, count))]
    young = [one for one in given if ids.first_at(one.stamp) >= archive.floor]
    too_old = len(given) - len(young)
    count.lose("an archived message that is older than they are kept here", too_old)
    accounts = archive.accounts
    known = accounts.find(account.localpart)
    if known is None and dry_run:
        count.kept = len(young)
        return count.total()
    number = (known or accounts.get(account.localpart)).number
    archive.recorder.wait_for(number)
    searchable, indexed = archive.is_searchable, archive.is_indexed

    def write(connection: Connection) -> tuple[int, int, bool]:
        rows = _new_rows(connection, number, account, young)
        if dry_run or not rows:
            return len(rows), len(young) - len(rows), False
        while not catalogue.enter(connection):
            pass
        behind = rows[0][1] < connection.execute(_LAST, {"its_account": number}).scalar_one()
        if behind and indexed:
            # The index finds messages by their place in the log, and here that says nothing.
            upsert(connection, STATE, {"name": DISORDERED, "value": 1}, keys=("name",))
        texts = [row if searchable else (*row[:6], None, row[7]) for row in rows]
        values = [dict(zip(_COLUMNS, row, strict=True)) for row in texts]
        last = connection.execute(select(func.coalesce(func.max(MESSAGES.c.number), 0)))
        after = last.scalar_one()
        connection.execute(_INSERT, values)
        archive.index_after(connection, after)
        while not catalogue.enter(connection):
            pass
        return len(rows), len(young) - len(rows), behind

    if dry_run:
        count.kept, count.known, _ = host.storage.read(write)
        return count.total()
    count.kept, count.known, behind = host.storage.write(write)
    if behind:
        archive.index_is_disordered()
    archive.retention.touch(number)
    return count.total()


_Row = tuple[int, int, int, int, int, int, str | None, bytes]


def _new_rows(
    connection: Connection, number: int, account: JID, given: Sequence[Given]
) -> list[_Row]:
    """Rows for what is not there yet, in the order of their ids, with ids that are free.

    Others know the second of a message, and not more: what comes behind has a greater id.
    """
    rows: dict[int, _Row] = {}
    for stamp, together in groupby(sorted(given, key=_stamp_of), _stamp_of):
        low = ids.first_at(stamp)
        ours = list(together)
        values = {
            "its_account": number,
            "low": low,
            "high": ids.first_at(stamp + _AHEAD),
            "ids": [one.id for one in ours],
        }
        there = {row[0]: row[1] for row in connection.execute(_AT, values).all()}
        for one in ours:
            if any(_is_same(octets, one) for octets in there.values()):
                continue
            id_ = one.id
            if not id_ or id_ in there:
                id_ = max((known + 1 for known in there), default=low)
            there[id_] = one.octets
            rows[id_] = _row(number, id_, account, one)
    return [rows[id_] for id_ in sorted(rows)]


def _row(number: int, id_: int, account: JID, one: Given) -> _Row:
    sender, peer = _ends(one.message, account)
    return (
        number,
        id_,
        one.stamp,
        hash_of(peer.bare.text),
        hash_of(peer.text) if peer.resource else 0,
        origin_of(sender, one.message.id),
        fulltext.text_of(one.message, one.octets),
        one.octets,
    )


def _stamp_of(given: Given) -> int:
    return given.stamp


def _is_same(octets: bytes, given: Given) -> bool:
    return octets == given.octets or Stanza.from_bytes(octets).element == given.element


def _ends(message: Message, account: JID) -> tuple[JID, JID]:
    """Who has sent it, and with whom the account talks there."""
    sender = message.from_ or account
    if sender.bare == account and message.to is not None:
        return sender, message.to
    return sender, sender


def _read(element: Element, account: JID, count: Count) -> Given | None:
    forwarded = element.find("forwarded", NS_FORWARD)
    delay = None if forwarded is None else forwarded.find("delay", NS_DELAY)
    message = None if forwarded is None else forwarded.find("message", NS_CLIENT)
    if element.qualified_name != f"{NS_MAM} result" or delay is None or message is None:
        count.lose(f"<{element.name}/> in an archive, which is no archived message")
        return None
    try:
        stamp = timestamps.read(delay.get("stamp"))
        octets = Stanza.from_element(message.copy()).to_bytes()
        stanza = Stanza.from_bytes(octets)
        assert isinstance(stanza, Message)
        _ends(stanza, account)
    except (JIDError, XMLError, ValueError):
        count.lose("an archived message that is malformed")
        return None
    if stamp <= 0:
        count.lose("an archived message from before 1970")
        return None
    id_ = ids.read(element.get("id")) or 0
    if not 0 <= (id_ >> 11) - stamp <= _AHEAD:
        # Of another server. Clients that have seen it there ask from the beginning.
        id_ = 0
    return Given(id_, stamp, stanza.element, octets, stanza)
