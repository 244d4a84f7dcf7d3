"""Columns and statements that mean the same on every database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, select
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

from stonechat.core.store import Store
from stonechat.errors import StorageError
from stonechat.storage import (
    LIKE_ESCAPE,
    AutoKey,
    JidText,
    LocalText,
    Schema,
    StanzaBytes,
    Timestamp,
    _new_upsert,
    escape_like,
    host_column,
    upsert,
)

metadata = MetaData()
contacts = Table(
    "contacts",
    metadata,
    host_column(),
    Column("owner", LocalText, primary_key=True),
    Column("contact", JidText, primary_key=True),
    Column("visits", Integer),
    Column("last", Timestamp),
)
archive = Table(
    "archive", metadata, Column("id", AutoKey, primary_key=True), Column("stanza", StanzaBytes)
)
SCHEMA = Schema("contacts", 1, metadata)
KEYS = ("host", "owner", "contact")
ROMEO: dict[str, object] = {
    "host": "capulet.example",
    "owner": "juliet",
    "contact": "romeo@montague.example",
}


MERGE = (
    "MERGE INTO contacts WITH (HOLDLOCK) AS target USING (VALUES (:host, :owner, :contact,"
    " :visits, :last)) AS given (host, owner, contact, visits, last) ON target.host ="
    " given.host AND target.owner = given.owner AND target.contact = given.contact WHEN"
    " MATCHED THEN UPDATE SET visits = given.visits, last = given.last WHEN NOT MATCHED"
    " THEN INSERT (host, owner, contact, visits, last) VALUES (given.host, given.owner,"
    " given.contact, given.visits, given.last);"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "stonechat.db")
    store.ensure(SCHEMA)
    yield store
    store.close()


def put(store: Store, values: Mapping[str, object] | list[dict[str, object]]) -> None:
    store.write(lambda connection: upsert(connection, contacts, values, KEYS))


def rows(connection: Connection) -> list[tuple[object, ...]]:
    columns = (contacts.c.owner, contacts.c.contact, contacts.c.visits, contacts.c.last)
    return [tuple(row) for row in connection.execute(select(*columns).order_by("contact"))]


def test_upsert_inserts_and_then_updates(store: Store) -> None:
    for visits in (1, 2):
        put(store, {**ROMEO, "visits": visits})
    assert store.read(rows) == [("juliet", "romeo@montague.example", 2, None)]


def test_upsert_leaves_other_columns_alone(store: Store) -> None:
    put(store, {**ROMEO, "visits": 1, "last": 5})
    put(store, {**ROMEO, "last": 6})
    assert store.read(rows) == [("juliet", "romeo@montague.example", 1, 6)]


def test_upsert_takes_several_rows(store: Store) -> None:
    paris = {**ROMEO, "contact": "paris@verona.example", "visits": 7}
    put(store, {**ROMEO, "visits": 1})
    put(store, [paris, {**ROMEO, "visits": 2}])
    assert [row[1:3] for row in store.read(rows)] == [
        ("paris@verona.example", 7),
        ("romeo@montague.example", 2),
    ]
    put(store, [])


def test_upsert_of_keys_alone_keeps_the_row(store: Store) -> None:
    put(store, {**ROMEO, "visits": 1})
    put(store, ROMEO)
    assert store.read(rows) == [("juliet", "romeo@montague.example", 1, None)]


def test_upsert_makes_its_statement_once(store: Store) -> None:
    before = len(contacts.info)
    for _ in range(3):
        put(store, {**ROMEO, "visits": 1, "last": 1})
    assert len(contacts.info) <= before + 1


@pytest.mark.parametrize(
    ("dialect", "others", "clause"),
    [
        (postgresql.dialect(), ("visits",), "ON CONFLICT (host, owner, contact) DO UPDATE"),
        (postgresql.dialect(), (), "ON CONFLICT (host, owner, contact) DO NOTHING"),
        (sqlite.dialect(), ("visits",), "ON CONFLICT (host, owner, contact) DO UPDATE"),
        (mysql.dialect(), ("visits",), "ON DUPLICATE KEY UPDATE visits = "),
        (mysql.dialect(), (), "ON DUPLICATE KEY UPDATE host = contacts.host"),
        (
            mssql.dialect(),
            ("visits", "last"),
            MERGE,
        ),
        (mssql.dialect(), (), "given.contact WHEN NOT MATCHED THEN INSERT (host, owner, contact)"),
    ],
)
def test_upsert_is_known_to_the_usual_databases(
    dialect: Dialect, others: tuple[str, ...], clause: str
) -> None:
    statement = _new_upsert(dialect.name, contacts, KEYS + others, KEYS)
    columns = [*KEYS, *others]
    # A statement that is written out takes its values by name, whatever the driver wants.
    given = {"column_keys": columns} if dialect.name != "mssql" else {}
    written = str(statement.compile(dialect=dialect, **given))
    assert clause in written.replace("%(", ":").replace(")s", "")


def test_a_merge_gives_the_usual_values_to_what_is_left_out() -> None:
    table = Table(
        "rooms",
        MetaData(),
        Column("name", LocalText, primary_key=True),
        Column("visits", Integer, nullable=False, default=7),
        Column("order", Integer),
    )
    statement = _new_upsert("mssql", table, ("name", "order"), ("name",))
    compiled = statement.compile(dialect=mssql.dialect())
    assert "INSERT (name, [order], visits)" in str(compiled)
    assert "UPDATE SET [order] = given.[order] WHEN" in str(compiled)
    assert compiled.params["visits"] == 7


def test_upsert_refuses_a_database_that_it_does_not_know() -> None:
    with pytest.raises(StorageError, match="oracle"):
        _new_upsert("oracle", contacts, KEYS, KEYS)


@pytest.mark.parametrize(
    ("dialect", "table", "expected"),
    [
        (sqlite.dialect(), archive, ["id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BLOB"]),
        (sqlite.dialect(), contacts, ["host VARCHAR(255) NOT NULL", "last BIGINT"]),
        (postgresql.dialect(), archive, ["id BIGSERIAL", "BYTEA"]),
        (postgresql.dialect(), contacts, ['VARCHAR(3071) COLLATE "C"']),
        # A LONGBLOB by another name; and a key of at most 3072 octets.
        (mysql.dialect(), archive, ["BIGINT NOT NULL AUTO_INCREMENT", "BLOB(4294967295)"]),
        (mysql.dialect(), contacts, ["contact VARCHAR(255) COLLATE utf8mb4_bin"]),
        (
            mssql.dialect(deprecate_large_types=True),
            archive,
            ["BIGINT NOT NULL IDENTITY", "VARBINARY(max)"],
        ),
        (mssql.dialect(), contacts, ["NVARCHAR(3071) COLLATE Latin1_General_100_BIN2"]),
    ],
)
def test_columns_have_the_right_type_on_each_database(
    dialect: Dialect, table: Table, expected: list[str]
) -> None:
    ddl = str(CreateTable(table).compile(dialect=dialect))
    for part in expected:
        assert part in ddl


@pytest.mark.parametrize("name", ["50% off", "a_b", "a/b", "[sic]", "back\\slash", "it's"])
def test_an_escaped_text_is_like_itself_alone(store: Store, name: str) -> None:
    for contact in (name, "50 percent off", "aXb", "s", "AXB", name.upper()):
        values = {**ROMEO, "contact": contact}
        put(store, values)
    pattern = escape_like(name) + "%"
    query = select(contacts.c.contact).where(contacts.c.contact.like(pattern, escape=LIKE_ESCAPE))
    # Case matters, too: in SQLite it would not by itself.
    assert store.read(lambda c: c.execute(query).scalars().all()) == [name]
