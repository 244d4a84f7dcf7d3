"""Moving all data from one database to another, of whatever kind (`stonechat db migrate`).

Neither is in use meanwhile: both stores hold their locks. Rows go over in pages, in the
order of the primary key. How far each table has come is noted in the target together with
its rows, so that what was interrupted goes on where it stopped. At the end every table is
read again and compared: its number of rows and a digest of what is in them.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    UnicodeText,
    and_,
    exc,
    insert,
    select,
)

from stonechat.core import store_schema
from stonechat.core.store_base import NodeStore
from stonechat.core.store_numbering import next_number, number_from
from stonechat.errors import StorageError
from stonechat.storage import Schema, upsert

# Of one transaction, and of one answer: an archive's rows may be large.
ROWS_AT_ONCE = 500
PAGE_SECONDS = 600.0

_SPACE = 1 << 256

Key: TypeAlias = tuple[Any, ...]
Told: TypeAlias = Callable[[str, int], None]

_PROGRESS = Table(
    "stonechat_moving",
    MetaData(),
    Column("name", String(64), primary_key=True),
    # The primary key of the last row that has come; null before the first.
    Column("last_key", UnicodeText),
    Column("rows_moved", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("is_done", Integer, nullable=False),
)
_SCHEMA = Schema(store_schema.MOVING, 1, _PROGRESS.metadata)


@dataclass(slots=True)
class Sum:
    """What tells two tables apart: the number of rows, and a digest that knows no order.

    Databases differ in how they order text, so the rows' own digests are added up.
    """

    rows: int = 0
    digest: int = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        self.rows += len(rows)
        for row in rows:
            octets = repr(tuple(map(_plain, row))).encode("utf-8", "surrogatepass")
            self.digest += int.from_bytes(sha256(octets).digest(), "big")
        self.digest %= _SPACE


def tables_of(schemas: Sequence[Schema]) -> list[Table]:
    """All tables of these schemas, those that others point to first."""
    return [table for schema in schemas for table in schema.metadata.sorted_tables]


def move(
    source: NodeStore,
    target: NodeStore,
    schemas: Sequence[Schema],
    told: Told = lambda _name, _rows: None,
) -> dict[str, int]:
    """Move what these schemas have in the source; returns the number of rows of each table.

    `told` hears the name of a table and how many of its rows have come, again and again.
    Raises StorageError: if the source has tables that no schema here knows or that are not
    up to date, if the target has data of its own, and if what has come is not what was
    there. The source is only read; what was moved already stays, and another call goes on.
    """
    schemas = _present(source, schemas)
    tables = tables_of(schemas)
    _prepare(target, schemas, tables)
    moved = {}
    for table in tables:
        moved[table.name] = _Moving(source, target, table, told).run()
    _finish(target)
    return moved


def _present(source: NodeStore, schemas: Sequence[Schema]) -> list[Schema]:
    """Those of the schemas that the source has."""
    recorded = source.read(store_schema.recorded_versions)
    steps = store_schema.plan(recorded, schemas)
    if steps.old:
        names = ", ".join(schema.name for schema, _ in steps.old)
        raise StorageError(
            f"the tables of {names} are of an older version: run `stonechat db upgrade` first"
        )
    known = {schema.name: schema for schema in schemas}
    strangers = sorted(recorded.keys() - known.keys() - {_SCHEMA.name})
    if strangers:
        raise StorageError(
            f"the database has tables of what is not installed here: {', '.join(strangers)};"
            " install these plugins, so that their data is moved as well"
        )
    return [known[name] for name in sorted(recorded) if name in known]


def _prepare(target: NodeStore, schemas: Sequence[Schema], tables: Sequence[Table]) -> None:
    """Make the tables in the target, unless an earlier run has."""
    recorded = target.read(store_schema.recorded_versions)
    if _SCHEMA.name not in recorded:
        filled = [table.name for table in tables if _has_rows(target, table, recorded, schemas)]
        if filled:
            raise StorageError(
                f"the database that everything is to be moved to has data already, in"
                f" {', '.join(filled)}: give the URL of an empty one"
            )
        target.ensure(_SCHEMA)
    target.ensure(*schemas)


def _has_rows(
    store: NodeStore, table: Table, recorded: Mapping[str, int], schemas: Sequence[Schema]
) -> bool:
    if not any(
        table in schema.metadata.tables.values() and schema.name in recorded for schema in schemas
    ):
        return False
    query = select(*table.primary_key.columns).limit(1)
    return store.read(lambda connection: connection.execute(query).first() is not None)


def _finish(target: NodeStore) -> None:
    """Take the notes away: from now on the target is a database like any other."""

    def forget(connection: Connection) -> None:
        _PROGRESS.drop(connection)
        store_schema.forget(connection, _SCHEMA.name)

    target.alter(forget)


class _Moving:
    """One table on its way."""

    def __init__(self, source: NodeStore, target: NodeStore, table: Table, told: Told) -> None:
        self._source = source
        self._target = target
        self._table = table
        self._told = told
        self._columns = [column.name for column in table.columns]
        self._keys = [self._columns.index(column.name) for column in table.primary_key]
        self._sum = Sum()

    def run(self) -> int:
        """Move what is left of the table, and compare; returns the number of its rows."""
        note = self._target.read(self._note)
        last: Key | None = None
        if note is not None:
            self._sum = Sum(note.rows_moved, int(note.digest, 16))
            last = None if note.last_key is None else _read_key(note.last_key)
            if note.is_done:
                self._told(self._table.name, self._sum.rows)
                return self._sum.rows
        for rows in self._pages(self._source, last):
            self._put(rows)
            self._told(self._table.name, self._sum.rows)
        self._number()
        self._compare()
        self._target.write(lambda connection: self._write_note(connection, None, is_done=True))
        self._told(self._table.name, self._sum.rows)
        return self._sum.rows

    def _pages(self, store: NodeStore, last: Key | None) -> Iterator[list[Key]]:
        """All rows after a key, in pages."""
        while True:
            rows = store.read(_PageWork(self._table, last), deadline=PAGE_SECONDS)
            if rows:
                yield rows
            if len(rows) < ROWS_AT_ONCE:
                return
            last = self._key_of(rows[-1])

    def _key_of(self, row: Key) -> Key:
        return tuple(row[place] for place in self._keys)

    def _put(self, rows: list[Key]) -> None:
        """Write a page, and how far that is, in one transaction."""
        self._sum.add(rows)

        def put(connection: Connection) -> None:
            values = [dict(zip(self._columns, row, strict=True)) for row in rows]
            connection.execute(insert(self._table), values)
            self._write_note(connection, self._key_of(rows[-1]))

        try:
            self._target.write(put, durable=False, deadline=PAGE_SECONDS)
        except exc.DBAPIError as error:
            raise StorageError(
                f"a row of {self._table.name} does not fit into the other database:"
                f" {self._culprit(rows, error)}"
            ) from error

    def _culprit(self, rows: list[Key], error: exc.DBAPIError) -> str:
        """Which row of a page it is that is refused, by its key."""
        for row in rows:
            values = dict(zip(self._columns, row, strict=True))
            try:
                self._target.write(_Trial(self._table, values))
            except _TrialEnded:
                continue
            except exc.DBAPIError as single:
                return f"{self._key_of(row)!r}: {single.orig}"
        return str(error.orig)

    def _number(self) -> None:
        """Let numbers that the database gives go on after those that it ever gave."""
        column = self._table.autoincrement_column
        if column is None:
            return
        number = self._source.read(lambda connection: next_number(connection, column))
        self._target.alter(lambda connection: number_from(connection, column, number))

    def _compare(self) -> None:
        found = Sum()
        for rows in self._pages(self._target, None):
            found.add(rows)
        if found != self._sum:
            raise StorageError(
                f"{self._table.name} has not come over as it was: {self._sum.rows} rows were"
                f" sent and {found.rows} are there"
                + ("" if found.rows != self._sum.rows else ", but what is in them differs")
            )

    # How far it is

    def _note(self, connection: Connection) -> Any:
        query = select(_PROGRESS).where(_PROGRESS.c.name == self._table.name)
        return connection.execute(query).one_or_none()

    def _write_note(
        self, connection: Connection, last: Key | None, *, is_done: bool = False
    ) -> None:
        note = {
            "name": self._table.name,
            "last_key": None if last is None else _written_key(last),
            "rows_moved": self._sum.rows,
            "digest": f"{self._sum.digest:064x}",
            "is_done": int(is_done),
        }
        upsert(connection, _PROGRESS, note, keys=("name",))


class _PageWork:
    """A work: the next rows of a table after a key.

    With a key of several columns: first those that share all but the last, then those that
    share fewer. Each of these searches is one range of the index, on every database.
    """

    def __init__(self, table: Table, last: Key | None) -> None:
        self._table = table
        self._last = last

    def __call__(self, connection: Connection) -> list[Key]:
        rows: list[Key] = []
        for query in self._queries():
            found = connection.execute(query.limit(ROWS_AT_ONCE - len(rows)))
            rows += map(tuple, found.all())
            if len(rows) == ROWS_AT_ONCE:
                break
        return rows

    def _queries(self) -> Iterator[Select[Any]]:
        keys = list(self._table.primary_key.columns)
        everything = select(self._table).order_by(*keys)
        if self._last is None:
            yield everything
            return
        for depth in reversed(range(len(keys))):
            shared = [
                key == value for key, value in zip(keys[:depth], self._last[:depth], strict=True)
            ]
            yield everything.where(and_(*shared, keys[depth] > self._last[depth]))


class _TrialEnded(Exception):
    """The row could be written, and was taken back."""


class _Trial:
    """A work: try to write one row, and undo it."""

    def __init__(self, table: Table, values: dict[str, Any]) -> None:
        self._table = table
        self._values = values

    def __call__(self, connection: Connection) -> None:
        connection.execute(insert(self._table), self._values)
        raise _TrialEnded


def _plain(value: Any) -> Any:
    """A value in one form: drivers differ in the types of octets, and of yes and no."""
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return int(value) if isinstance(value, bool) else value


def _written_key(key: Key) -> str:
    """A key as text; octets are marked."""
    return json.dumps(
        [
            {"octets": b64encode(part).decode()} if isinstance(part, bytes) else part
            for part in map(_plain, key)
        ]
    )


def _read_key(text: str) -> Key:
    return tuple(
        b64decode(part["octets"]) if isinstance(part, dict) else part for part in json.loads(text)
    )
