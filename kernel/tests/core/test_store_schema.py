"""Tables come, grow and are never left halfway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.operations import Operations
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    inspect,
    select,
    text,
)

from stonechat.core.store import Store
from stonechat.errors import StorageError
from stonechat.storage import AutoKey, LocalText, Migration, Schema, host_column


def roster(version: int, migrations: dict[int, Migration] | None = None) -> Schema:
    """A roster that got a nickname in version 2 and lost its groups in version 3."""
    metadata = MetaData()
    Table(
        "roster_items",
        metadata,
        Column("id", AutoKey, primary_key=True),
        host_column(primary_key=False),
        Column("contact", LocalText, nullable=False),
        *([Column("nickname", String(100), nullable=False)] if version >= 2 else []),
        *([Column("groups", String(100))] if version < 3 else []),
    )
    return Schema("roster", version, metadata, migrations or {})


def add_nickname(op: Operations) -> None:
    with op.batch_alter_table(
        "roster_items", table_kwargs={"sqlite_autoincrement": True}
    ) as batch:
        batch.add_column(Column("nickname", String(100), nullable=False, server_default=""))


def drop_groups(op: Operations) -> None:
    with op.batch_alter_table(
        "roster_items", table_kwargs={"sqlite_autoincrement": True}
    ) as batch:
        batch.drop_column("groups")


MIGRATIONS: dict[int, Migration] = {2: add_nickname, 3: drop_groups}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stonechat.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


def add_romeo(connection: Connection) -> None:
    connection.execute(
        text("INSERT INTO roster_items (host, contact) VALUES ('capulet.example', 'romeo')")
    )


def columns(connection: Connection) -> list[str]:
    return [column["name"] for column in inspect(connection).get_columns("roster_items")]


def tables(connection: Connection) -> list[str]:
    return sorted(inspect(connection).get_table_names())


def versions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(text("SELECT name, version FROM stonechat_schema")).all()
    return {row.name: row.version for row in rows}


def contacts(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT contact FROM roster_items")).scalars())


def copies(path: Path) -> list[Path]:
    return sorted(path.parent.glob("stonechat-*.db"))


def test_new_tables_are_made_and_their_version_recorded(store: Store) -> None:
    store.ensure(roster(2, {2: add_nickname}))
    assert store.read(columns) == ["id", "host", "contact", "nickname", "groups"]
    assert store.read(versions) == {"roster": 2}


def test_tables_that_are_right_are_left_alone(store: Store, path: Path) -> None:
    store.ensure(roster(1))
    store.write(add_romeo)
    writes = store.figures.writes
    store.ensure(roster(1))
    assert store.figures.writes == writes
    assert copies(path) == []


def test_older_tables_are_brought_up_to_date_step_by_step(store: Store) -> None:
    store.ensure(roster(1))
    store.write(add_romeo)
    store.ensure(roster(3, MIGRATIONS))
    assert store.read(columns) == ["id", "host", "contact", "nickname"]
    assert store.read(contacts) == ["romeo"]
    assert store.read(versions) == {"roster": 3}


def test_a_copy_from_before_is_kept(store: Store, path: Path) -> None:
    store.ensure(roster(1))
    store.write(add_romeo)
    store.ensure(roster(2, {2: add_nickname}))
    (copy,) = copies(path)
    assert copy.name.endswith("-before-roster-2.db")
    store.close()
    (path.parent / "elsewhere").mkdir()
    old = Store(copy.rename(path.parent / "elsewhere" / "stonechat.db"))
    try:
        assert old.read(columns) == ["id", "host", "contact", "groups"]
        assert old.read(contacts) == ["romeo"]
        assert old.read(versions) == {"roster": 1}
    finally:
        old.close()


def test_a_migration_that_fails_leaves_all_as_it_was(store: Store, path: Path) -> None:
    store.ensure(roster(1))
    store.write(add_romeo)

    def fail(op: Operations) -> None:
        op.execute("DELETE FROM roster_items")
        op.drop_table("roster_items")
        raise KeyError("no such thing")

    fresh = Schema("vcard", 1, MetaData())
    Table("vcards", fresh.metadata, host_column())
    with pytest.raises(StorageError, match="roster could not be brought to version 3") as caught:
        store.ensure(fresh, roster(3, {2: add_nickname, 3: fail}))
    assert isinstance(caught.value.__cause__, KeyError)
    assert store.read(columns) == ["id", "host", "contact", "groups"]
    assert store.read(contacts) == ["romeo"]
    assert store.read(versions) == {"roster": 1}
    assert "vcards" not in store.read(tables)
    assert copies(path) == []
    # And the store is fit for more.
    store.ensure(fresh, roster(3, MIGRATIONS))
    assert store.read(versions) == {"roster": 3, "vcard": 1}


def test_newer_tables_are_refused_and_nothing_is_written(store: Store, path: Path) -> None:
    store.ensure(roster(3, MIGRATIONS))
    store.close()
    before = path.read_bytes()
    again = Store(path)
    other = Schema("vcard", 1, MetaData())
    try:
        with pytest.raises(StorageError) as caught:
            again.ensure(other, roster(2, {2: add_nickname}))
    finally:
        again.close()
    for part in ("roster", "version 3", "up to 2", "newer program", "nothing was written"):
        assert part in str(caught.value)
    assert path.read_bytes() == before


def test_a_way_that_is_no_longer_known_is_refused(store: Store) -> None:
    store.ensure(roster(1))
    with pytest.raises(StorageError, match="older program"):
        store.ensure(roster(3, {3: drop_groups}))
    assert store.read(versions) == {"roster": 1}


def test_a_table_of_another_plugin_is_not_taken_over(store: Store) -> None:
    store.ensure(roster(1))
    thief = Schema("thief", 1, roster(1).metadata)
    with pytest.raises(StorageError, match="tables of thief could not be made"):
        store.ensure(thief)
    assert store.read(versions) == {"roster": 1}


def test_altering_a_table_keeps_the_rows_that_point_to_it(store: Store) -> None:
    metadata = MetaData()
    rooms = Table("rooms", metadata, Column("id", Integer, primary_key=True))
    Table(
        "occupants",
        metadata,
        Column("nick", String(20), primary_key=True),
        Column("room", ForeignKey(rooms.c.id, ondelete="CASCADE")),
    )
    store.ensure(Schema("muc", 1, metadata))

    def enter(connection: Connection) -> None:
        connection.execute(insert(rooms), {"id": 1})
        connection.execute(text("INSERT INTO occupants VALUES ('juliet', 1)"))

    def add_subject(op: Operations) -> None:
        with op.batch_alter_table("rooms", recreate="always") as batch:
            batch.add_column(Column("subject", String(100)))

    store.write(enter)
    store.ensure(Schema("muc", 2, metadata, {2: add_subject}))
    assert store.read(lambda c: c.execute(text("SELECT nick FROM occupants")).scalars().all()) == [
        "juliet"
    ]
    # Foreign keys are on again afterwards.
    store.write(lambda c: c.execute(text("DELETE FROM rooms")).close())
    assert store.read(lambda c: c.execute(select(metadata.tables["occupants"])).all()) == []


def test_a_migration_must_not_leave_rows_that_point_nowhere(store: Store) -> None:
    metadata = MetaData()
    rooms = Table("rooms", metadata, Column("id", Integer, primary_key=True))
    Table("occupants", metadata, Column("room", ForeignKey(rooms.c.id), primary_key=True))
    store.ensure(Schema("muc", 1, metadata))

    def break_it(op: Operations) -> None:
        op.execute("INSERT INTO occupants VALUES (5)")

    with pytest.raises(StorageError, match="would point to none of rooms"):
        store.ensure(Schema("muc", 2, metadata, {2: break_it}))
    assert store.read(versions) == {"muc": 1}


def test_numbers_of_rows_do_not_come_twice(store: Store) -> None:
    table = roster(1).metadata.tables["roster_items"]
    store.ensure(Schema("roster", 1, table.metadata))

    def add_and_remove(connection: Connection) -> int:
        values = {"host": "capulet.example", "contact": "romeo"}
        key = connection.execute(insert(table), values).inserted_primary_key
        connection.execute(table.delete())
        assert key is not None
        return int(key[0])

    assert [store.write(add_and_remove) for _ in range(3)] == [1, 2, 3]


WITHOUT_MIGRATION = """
import sys
from pathlib import Path
from sqlalchemy import MetaData
from stonechat.core.store import Store
from stonechat.storage import Schema
store = Store(Path(sys.argv[1]))
store.ensure(Schema("empty", 1, MetaData()))
store.close()
sys.exit("alembic" in sys.modules)
"""


def test_alembic_is_not_imported_unless_something_has_to_be_altered(path: Path) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_MIGRATION, str(path)], check=True, timeout=60)


@pytest.mark.parametrize(("version", "step"), [(0, None), (2, 1), (2, 3)])
def test_a_schema_with_impossible_versions_is_a_mistake(version: int, step: int | None) -> None:
    migrations = {} if step is None else {step: add_nickname}
    with pytest.raises(ValueError, match="schema roster"):
        Schema("roster", version, MetaData(), migrations)
