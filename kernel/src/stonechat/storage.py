"""Storage: how a plugin declares its tables, and reads and writes them.

A plugin gets a `Storage` as `host.storage`. It hands over a *work*: a function that
takes a SQLAlchemy `Connection` and returns plain values. The store decides when the work
runs and in whose thread; the greenlet that asked waits, and no other.

    FIND = select(items.c.name).where(items.c.host == bindparam("host"))

    def name(connection: Connection) -> str | None:
        return connection.execute(FIND, {"host": "capulet.example"}).scalar()

    self.host.storage.read(name)

What holds on every database:

- Keep statements at module level with `bindparam`: SQLAlchemy then compiles them once.
- Fetch inside the work (`.all()`, `.scalar()`); a result that is still open is refused.
- A work touches its connection and its own variables, nothing else: it runs in another
  thread, and on a database server it may run more than once, of which the last time
  counts. It must not call the store again, wait for a greenlet, commit or roll back.
- An error of a statement that is to be caught needs `connection.begin_nested()` around the
  statement: PostgreSQL refuses all else in the transaction until that part is undone.
- No work changes tables; that is what `Schema` and its migrations are for.
- Text of others goes into bound values only, and through `escape_like` before a LIKE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Executable,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TextClause,
    TypeDecorator,
    Unicode,
    bindparam,
    text,
)
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.types import TypeEngine

from stonechat.errors import StorageError

if TYPE_CHECKING:
    from alembic.operations import Operations

__all__ = [
    "LIKE_ESCAPE",
    "AutoKey",
    "Durability",
    "HostText",
    "JidText",
    "KeyBytes",
    "LocalText",
    "Migration",
    "ResourceText",
    "Schema",
    "StanzaBytes",
    "Storage",
    "StorageFull",
    "StorageUncertain",
    "Timestamp",
    "escape_like",
    "host_column",
    "upsert",
]

T = TypeVar("T")

# What must be true of a write before its caller goes on (design, section 7):
# memory: the operating system has it; nothing is ever forced to the disk, so after a
#         power failure even the file may be damaged. Of a database server: it has it;
# disk:   the operating system has it; the death of the process loses nothing, a power
#         failure may lose the last moments, the file stays whole. Of a database server: its
#         death loses nothing;
# full:   the disk has it.
Durability: TypeAlias = Literal["memory", "disk", "full"]

Migration: TypeAlias = Callable[["Operations"], None]


class StorageFull(StorageError):
    """No room: the disk is full or too much waits for it. Nothing was written.

    The right answer to a stanza is <resource-constraint/>, type wait.
    """


class StorageUncertain(StorageError):
    """The write had begun when its deadline passed: it may or may not have been written.

    Acknowledge nothing; what comes again must be able to come twice.
    """


@dataclass(frozen=True)
class Schema:
    """The tables of one plugin, and how older forms of them become this one.

    `metadata` describes the tables of `version`. `migrations[n]` leads from version n-1
    to n; it gets `alembic.operations.Operations`. SQLite alters a table by making it
    anew, so say `with op.batch_alter_table("name") as batch:`, and for a table with an
    `AutoKey` add `table_kwargs={"sqlite_autoincrement": True}`. A missing migration says
    that this step is no longer supported.
    """

    name: str
    version: int
    metadata: MetaData
    migrations: Mapping[int, Migration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"schema {self.name}: versions count from 1")
        beyond = [step for step in self.migrations if not 2 <= step <= self.version]
        if beyond:
            raise ValueError(f"schema {self.name}: migrations to {beyond}, beyond its versions")
        for table in self.metadata.tables.values():
            if [column.type for column in table.primary_key] == [AutoKey]:
                # SQLite alone would give the number of the last row, once deleted, to
                # the next one. An archive's ids must not come twice.
                table.dialect_options["sqlite"]["autoincrement"] = True


class Storage(ABC):
    """The store of a node. Safe to call from every greenlet; StorageError when it fails.

    Each call has a deadline, in seconds; None takes the store's own (5 s).
    """

    @abstractmethod
    def read(self, work: Callable[[Connection], T], *, deadline: float | None = None) -> T:
        """Run `work`, which only reads, and return what it returns.

        All that the work reads is of one moment, and every write that had returned when
        `read` was called is in it. Reads run beside each other and beside writes.
        """

    @abstractmethod
    def write(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool | None = None,
        deadline: float | None = None,
    ) -> T:
        """Run `work` in a transaction and return what it returns, once that is committed.

        Writes are carried out in the order of the calls. Several may share one commit,
        but an exception in one undoes that one only, and is raised here. What a commit
        means is the operator's choice (`Durability`). `durable=True` asks for the disk
        whatever was chosen; `durable=False` does without, even where `full` was chosen.
        """

    @abstractmethod
    def write_soon(self, work: Callable[[Connection], object]) -> None:
        """Run `work` some time soon and do not wait: for what may be lost.

        It keeps its place among the writes. When too much waits already it is dropped,
        and an exception in it is logged; both are counted. May be called where waiting is
        not allowed.
        """

    @abstractmethod
    def ensure(self, *schemas: Schema) -> None:
        """Make the tables of these schemas, or bring older ones up to date.

        All or nothing, but on MySQL, which can undo no change of tables; there each step
        of a schema counts by itself. Raises StorageError, and has written nothing, if the
        database is newer than a schema. Where the database is a file, a copy is kept before
        anything is altered.
        """


def _text(length: int) -> String:
    """Text of at most `length` characters that is compared and sorted octet by octet.

    MySQL takes 3072 octets for all columns of a key, at 4 for a character: there three
    such columns make a key if each has 255 characters.
    """
    short = min(length, 255)
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(String(short, collation="utf8mb4_bin"), "mysql", "mariadb")
        .with_variant(Unicode(length, collation="Latin1_General_100_BIN2"), "mssql")
    )


# A LargeBinary without a length is 64 KiB on MySQL, with this one it is a LONGBLOB.
StanzaBytes = LargeBinary().with_variant(LargeBinary(2**32 - 1), "mysql", "mariadb")


class KeyBytes(TypeDecorator[bytes]):
    """At most `length` octets that may be part of a key, such as a digest."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in ("mysql", "mariadb"):
            # To them a LargeBinary is a BLOB, which no key takes.
            from sqlalchemy.dialects.mysql import VARBINARY

            return dialect.type_descriptor(VARBINARY(self.length))
        return super().load_dialect_impl(dialect)


# Microseconds since the epoch, UTC.
Timestamp = BigInteger()

# A number that the database gives, growing, never twice. SQLite counts by itself in
# columns declared INTEGER only; those have 64 bits there.
AutoKey = BigInteger().with_variant(Integer(), "sqlite")

# RFC 7622, section 3: each part has at most 1023 octets, and so at most as many characters.
HostText = _text(255)
LocalText = _text(1023)
ResourceText = _text(1023)
JidText = _text(3071)


def host_column(name: str = "host", *, primary_key: bool = True) -> Column[str]:
    """The column that every table of a plugin begins with: whose data a row is."""
    return Column(name, HostText, primary_key=primary_key, nullable=False)


LIKE_ESCAPE = "/"


def escape_like(text: str) -> str:
    """`text` without wildcards, for `column.like(escape_like(text) + "%", escape=LIKE_ESCAPE)`."""
    # The bracket is a wildcard to Microsoft SQL Server alone, an escaped one harms nowhere.
    for wildcard in (LIKE_ESCAPE, "%", "_", "["):
        text = text.replace(wildcard, LIKE_ESCAPE + wildcard)
    return text


def upsert(
    connection: Connection,
    table: Table,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    keys: Sequence[str],
) -> None:
    """Insert a row, or several with the same columns; where `keys` are taken, update.

    `keys` name the columns of the primary key or of a unique index. Columns that are not
    in `values` keep what they hold.
    """
    rows = [values] if isinstance(values, Mapping) else list(values)
    if not rows:
        return
    statement = _upsert_statement(connection.dialect.name, table, tuple(rows[0]), tuple(keys))
    connection.execute(statement, rows if len(rows) > 1 else rows[0])


def _upsert_statement(
    dialect: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...]
) -> Executable:
    # A statement made anew costs more than its execution. Columns come from code, never
    # from a peer, so there are as many statements as calls in the source.
    cached = table.info.get((upsert, dialect, columns, keys))
    if cached is None:
        cached = table.info[upsert, dialect, columns, keys] = _new_upsert(
            dialect, table, columns, keys
        )
    statement: Executable = cached
    return statement


def _new_upsert(
    dialect: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...]
) -> Insert | TextClause:
    others = [name for name in columns if name not in keys]
    # The dialects' modules are imported where they are used: each costs the start time.
    if dialect in ("mysql", "mariadb"):
        from sqlalchemy.dialects.mysql import insert as mysql_insert

        on_duplicate = mysql_insert(table)
        # With nothing to update, a key is set to itself: MySQL has no DO NOTHING.
        return on_duplicate.on_duplicate_key_update(
            {name: on_duplicate.inserted[name] for name in others} or {keys[0]: table.c[keys[0]]}
        )
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        conflicting = postgresql_insert(table)
        if not others:
            return conflicting.on_conflict_do_nothing(index_elements=keys)
        return conflicting.on_conflict_do_update(
            index_elements=keys, set_={name: conflicting.excluded[name] for name in others}
        )
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        conflict = sqlite_insert(table)
        if not others:
            return conflict.on_conflict_do_nothing(index_elements=keys)
        return conflict.on_conflict_do_update(
            index_elements=keys, set_={name: conflict.excluded[name] for name in others}
        )
    if dialect == "mssql":
        return _new_merge(table, columns, keys, others)
    raise StorageError(f"upsert is not known for the database {dialect}")


def _new_merge(
    table: Table, columns: tuple[str, ...], keys: tuple[str, ...], others: list[str]
) -> TextClause:
    """SQL Server has no more than MERGE, and that only by HOLDLOCK as one step."""
    from sqlalchemy.dialects.mssql import dialect

    quote = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
    # What an INSERT would give to the columns that are left out.
    usual = {
        column.name: column.default.arg
        for column in table.columns
        if column.name not in columns and isinstance(column.default, ScalarElementColumnDefault)
    }
    all_of_it = (*columns, *usual)

    def listed(names: Iterable[str], form: str = "{0}", between: str = ", ") -> str:
        return between.join(form.format(quote(name), name) for name in names)

    parts = [
        f"MERGE INTO {quote(table.name)} WITH (HOLDLOCK) AS target",
        f"USING (VALUES ({listed(all_of_it, ':{1}')})) AS given ({listed(all_of_it)})",
        f"ON {listed(keys, 'target.{0} = given.{0}', ' AND ')}",
    ]
    if others:
        parts.append(f"WHEN MATCHED THEN UPDATE SET {listed(others, '{0} = given.{0}')}")
    parts.append(f"WHEN NOT MATCHED THEN INSERT ({listed(all_of_it)})")
    parts.append(f"VALUES ({listed(all_of_it, 'given.{0}')});")
    # Names come from declarations of tables, never from a peer.
    merge = text(" ".join(parts))
    return merge.bindparams(
        *(bindparam(name, type_=table.c[name].type) for name in columns),
        *(bindparam(name, value, type_=table.c[name].type) for name, value in usual.items()),
    )
