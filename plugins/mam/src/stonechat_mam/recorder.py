"""The way of a message into the archive: a row, a batch, a commit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import gevent
from sqlalchemy import Connection, bindparam, insert, select

from stonechat.batcher import Batcher
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Message
from stonechat.storage import StorageFull, upsert
from stonechat_mam import catalogue, fulltext
from stonechat_mam.catalogue import Catalogue
from stonechat_mam.ids import Ids
from stonechat_mam.index import Index
from stonechat_mam.retention import Retention
from stonechat_mam.retraction import Retraction, bury, origin_of, retraction_in
from stonechat_mam.rules import RETRACT
from stonechat_mam.tables import HOSTS, MESSAGES, hash_of

_COLUMNS = tuple(column.name for column in MESSAGES.columns if column is not MESSAGES.c.number)
_STANZA = _COLUMNS.index("stanza")
# Where the columns of the second archive begin.
_OTHER = _COLUMNS.index("other")
_NOBODY = (None, None, None, None)
# Inline: the numbers that the database gives are not asked for.
_INSERT = insert(MESSAGES).inline()

_LAST_ID = select(HOSTS.c.last_id).where(HOSTS.c.host == bindparam("its_host"))

# Rows of one statement. Each statement lets go of the interpreter, and has to get hold of
# it again while the server works; a row costs less in company besides.
_TOGETHER = (64, 16, 4, 1)

_LOOK_SECONDS = 0.002

# Messages that wait for the store; more are refused.
MAX_WAITING = 10_000

# How long a sender waits for a store that is slower than the network.
ROOM_SECONDS = 5.0


class Row(NamedTuple):
    """A message to be archived: the values of its columns, and what it takes back."""

    values: list[Any]
    retraction: Retraction | None


class Recorder:
    """Archives the messages of one host; they are committed a moment later."""

    def __init__(
        self,
        host: Host,
        ids: Ids,
        index: Index | None,
        retention: Retention,
        *,
        is_searchable: bool,
    ) -> None:
        self._host = host
        self._ids = ids
        self._retention = retention
        self.index = index
        self._is_searchable = is_searchable
        self._batcher = Batcher[Row](host, self.write_rows, limit=MAX_WAITING)
        self.catalogue = Catalogue(host, lambda: self._batcher.settled)
        # The last row of each account, as counted by the batcher; empty when all can be found.
        self._last_of: dict[int, int] = {}
        # The last id that the writer has ever tried to write.
        self._tried = 0
        # The last message, and its row, while but one account has it in its archive.
        self._latest: Message | None = None
        self._latest_values: list[Any] = []

    def record(self, account: int, peer: JID, sender: JID, message: Message) -> int:
        """Archive a message and return its id; its sender hears no `<a/>` before the commit.

        StorageFull where there is no room. Blocks while the store cannot keep up.
        """
        batcher = self._batcher
        if (
            message is self._latest
            and message.to_bytes() == self._latest_values[_STANZA]
            and batcher.taken < batcher.added
        ):
            return self._share(account, peer)
        if batcher.is_busy:
            batcher.wait_for_room(ROOM_SECONDS)
        row = self.row(account, peer, sender, message)
        # Where nobody waits for it, the message need not be kept in memory.
        release = message.hold() if message.custody is not None else None
        try:
            # One that can never be written has been delivered all the same.
            batcher.add(row, release, release)
        except StorageFull:
            if release is not None:
                release()
            raise
        self._latest, self._latest_values = message, row.values
        self._last_of[account] = batcher.added
        self.catalogue.may_be_due()
        self._retention.touch(account)
        id_: int = row.values[1]
        return id_

    def _share(self, account: int, peer: JID) -> int:
        """Archive the last message for its receiver, too: in the row that is there already.

        Only the last one: with an id from before, what came between would be behind it in
        the archive, but not for who was there.
        """
        values, self._latest = self._latest_values, None
        id_ = self._ids.beside(values[1])
        full_peer = hash_of(peer.text) if peer.resource else 0
        values[_OTHER:] = account, id_, hash_of(peer.bare.text), full_peer
        self._last_of[account] = self._batcher.added
        self._retention.touch(account)
        return id_

    def row(self, account: int, peer: JID, sender: JID, message: Message) -> Row:
        """The row of a message, with an id of its own."""
        id_, stamp = self._ids.next()
        octets = message.to_bytes()
        retraction = None
        if RETRACT in message.children:
            retraction = retraction_in(message, sender, stamp)
        return Row(
            [
                account,
                id_,
                stamp,
                hash_of(peer.bare.text),
                hash_of(peer.text) if peer.resource else 0,
                origin_of(sender, message.id),
                fulltext.text_of(message, octets) if self._is_searchable else None,
                octets,
                *_NOBODY,
            ],
            retraction,
        )

    def wait_for(self, account: int, seconds: float = 4.0) -> bool:
        """Wait until all that an account has in the archive so far can be found.

        False if that takes too long, or fails. What comes meanwhile is not waited for.
        """
        batcher = self._batcher
        last = self._last_of.get(account, 0)
        with gevent.Timeout(seconds, False):
            while batcher.settled < last:
                gevent.sleep(_LOOK_SECONDS)
        self.catalogue.bring_to(min(last, batcher.settled))
        entered = self.catalogue.entered
        if entered == batcher.added:
            self._last_of.clear()
        return entered >= last

    def close(self) -> None:
        """Have everything committed, and what was committed catalogued."""
        if not self._batcher.flush():
            self._host.log.error("messages not archived", messages=len(self._batcher))
        self.catalogue.bring_to(self._batcher.settled)

    def write_rows(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Write rows of this host, in order; they may have been written before."""
        if rows[0].values[1] <= self._tried:
            # A commit whose outcome nobody knew is repeated, or row by row what failed.
            last_id = connection.execute(_LAST_ID, {"its_host": self._host.name}).scalar() or 0
            rows = [row for row in rows if row.values[1] > last_id]
            if not rows:
                return
        self._tried = rows[-1].values[1]
        index = self.index
        last = index.last(connection) if index is not None else 0
        _insert(connection, [row.values for row in rows])
        if index is not None:
            index.add(connection, last)
        retractions = [row for row in rows if row.retraction is not None]
        if retractions:
            while not catalogue.enter(connection):
                pass
        for values, retraction in retractions:
            account, id_, _, peer, *_ = values
            other, other_id, other_peer, _ = values[_OTHER:]
            was_both = bury(connection, account, peer, id_, retraction, other)
            if other is not None and not was_both:
                bury(connection, other, other_peer, other_id, retraction, account)
        # So that ids go on from here, should the clock be set back while we are stopped.
        state = {
            "host": self._host.name,
            "last_id": rows[-1].values[1],
            "skew": self._ids.skew,
        }
        upsert(connection, HOSTS, state, keys=("host",))


def _insert(connection: Connection, values: Sequence[Sequence[Any]]) -> None:
    """Insert rows, past what SQLAlchemy does for each value: it costs as much as the insert."""
    if not connection.dialect.positional:
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in values]
        connection.exec_driver_sql(_in_words(connection, None), rows)
        return
    at = 0
    for size in _TOGETHER:
        while len(values) - at >= size:
            together = chain.from_iterable(values[at : at + size])
            connection.exec_driver_sql(_in_words(connection, size), tuple(together))
            at += size


def _in_words(connection: Connection, rows: int | None) -> str:
    """The insert in the words of the database: of so many rows, or of one by names."""
    dialect = connection.dialect
    known: str | None = MESSAGES.info.get((dialect.name, dialect.paramstyle, rows))
    if known is None:
        if rows is None:
            compiled = _INSERT.compile(dialect=dialect, column_keys=list(_COLUMNS))
        else:
            several = _INSERT.values([dict.fromkeys(_COLUMNS)] * rows)
            compiled = several.compile(dialect=dialect)
        known = MESSAGES.info[dialect.name, dialect.paramstyle, rows] = str(compiled)
    return known
