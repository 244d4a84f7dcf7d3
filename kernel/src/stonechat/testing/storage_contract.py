"""What every store promises (`stonechat.storage.Storage`), as tests to subclass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    UnicodeText,
    Update,
    bindparam,
    delete,
    exc,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)

from stonechat.errors import StorageError
from stonechat.storage import (
    LIKE_ESCAPE,
    AutoKey,
    JidText,
    KeyBytes,
    LocalText,
    ResourceText,
    Schema,
    StanzaBytes,
    Storage,
    Timestamp,
    escape_like,
    host_column,
    upsert,
)

_metadata = MetaData()
_lines = Table(
    "contract_lines",
    _metadata,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("speaker", LocalText, nullable=False),
    Column("line", UnicodeText, nullable=False),
)
_items = Table(
    "contract_items",
    _metadata,
    host_column(),
    Column("owner", LocalText, primary_key=True),
    Column("item", LocalText, primary_key=True),
    Column("visits", BigInteger),
    Column("seen", Timestamp),
    Column("content", StanzaBytes),
)
_addresses = Table(
    "contract_addresses",
    _metadata,
    host_column(),
    Column("resource", ResourceText, primary_key=True),
    Column("jid", JidText, nullable=False),
    Column("digest", KeyBytes(32), unique=True),
)
_SCHEMA = Schema("contract", 1, _metadata)

_SAY = insert(_lines)
_SAID = select(_lines.c.line).order_by(_lines.c.id)
_COUNT = select(func.count()).select_from(_lines)
_FIND = select(_items.c.visits, _items.c.seen, _items.c.content).where(
    _items.c.host == bindparam("host_"),
    _items.c.owner == bindparam("owner_"),
    _items.c.item == bindparam("item_"),
)
_HOST = "capulet.example"
_KEYS = ("host", "owner", "item")

# What people write: beyond the basic plane, composed of several, from right to left.
_TEXTS = [
    "",
    'it\'s "quoted" \\ and % _ ; -- ?:x {y} $1',
    "Žluťoučký kůň",
    "\N{ROSE}\N{WILTED FLOWER}\N{FAMILY}\N{ZERO WIDTH JOINER}\N{BOY}",
    "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}",
    "trailing space ",
    "line\nline\r\n\ttab",
    "a" * 10_000,
]


class Nurse(Exception):
    """Raised by works that fail on purpose."""


def _say(line: str, speaker: str = "juliet") -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(_SAY, {"host": _HOST, "speaker": speaker, "line": line})

    return work


def _said(connection: Connection) -> list[str]:
    return list(connection.execute(_SAID).scalars())


def _count(connection: Connection) -> int:
    return int(connection.execute(_COUNT).scalar_one())


def _item(connection: Connection, item: str, owner: str = "juliet") -> tuple[object, ...] | None:
    row = connection.execute(_FIND, {"host_": _HOST, "owner_": owner, "item_": item}).first()
    return tuple(row) if row is not None else None


def _put(connection: Connection, row: dict[str, object]) -> None:
    upsert(connection, _items, row, _KEYS)


def _first(statement: Select[Any], values: dict[str, object], connection: Connection) -> Any:
    return connection.execute(statement, values).scalar()


def _count_found(statement: Update, values: dict[str, object], connection: Connection) -> int:
    return connection.execute(statement, values).rowcount


class StorageContract:
    """What every store promises (`stonechat.storage.Storage`).

    Supply the fixture `storage`: a store that is open and empty.
    """

    # Whether "rose" and "rose " are two keys. To MySQL they are one.
    counts_spaces_at_the_end = True

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError("a subclass supplies the fixture `storage`")

    @pytest.fixture
    def tables(self, storage: Storage) -> Storage:
        """The store, with the tables of these tests."""
        storage.ensure(_SCHEMA)
        return storage

    # Calls

    def test_a_write_returns_what_its_work_returns(self, tables: Storage) -> None:
        assert tables.write(lambda connection: (_say("Ay me!")(connection), "gone")[1]) == "gone"

    def test_a_read_sees_every_write_that_has_returned(self, tables: Storage) -> None:
        for number in range(20):
            tables.write(_say(f"line {number}"))
            assert tables.read(_count) == number + 1

    def test_a_read_sees_one_moment(self, tables: Storage) -> None:
        tables.write(_say("before"))

        def count_twice(connection: Connection) -> tuple[int, int]:
            first = _count(connection)
            for _ in range(50):
                connection.execute(_SAID).all()
            return first, _count(connection)

        readers = [gevent.spawn(tables.read, count_twice) for _ in range(4)]
        for number in range(20):
            tables.write(_say(f"line {number}"))
        for reader in readers:
            first, second = reader.get(timeout=30)
            assert first == second

    def test_a_read_cannot_write(self, tables: Storage) -> None:
        with pytest.raises((StorageError, exc.DBAPIError)):
            tables.read(_say("Ay me!"))
        assert tables.read(_count) == 0
        tables.write(_say("Ay me!"))
        assert tables.read(_count) == 1

    def test_writes_are_carried_out_in_the_order_of_the_calls(self, tables: Storage) -> None:
        expected = [f"line {number}" for number in range(300)]
        greenlets = [gevent.spawn(tables.write, _say(line)) for line in expected]
        assert len(gevent.joinall(greenlets, timeout=60, raise_error=True)) == len(greenlets)
        assert tables.read(_said) == expected

    def test_what_may_be_lost_keeps_its_place(self, tables: Storage) -> None:
        tables.write_soon(_say("some time"))
        tables.write(_say("afterwards"))
        assert tables.read(_said) == ["some time", "afterwards"]

    # Failures

    @pytest.mark.parametrize("place", [0, 1, 9])
    def test_a_write_that_fails_takes_nothing_with_it(self, tables: Storage, place: int) -> None:
        def fail_after_writing(connection: Connection) -> None:
            _say("never said")(connection)
            raise Nurse

        works: list[Callable[[Connection], None]] = [_say(f"line {n}") for n in range(10)]
        works[place] = fail_after_writing
        greenlets = [gevent.spawn(tables.write, work) for work in works]
        assert len(gevent.joinall(greenlets, timeout=30)) == len(greenlets)
        assert [type(greenlet.exception) for greenlet in greenlets] == [
            Nurse if number == place else type(None) for number in range(10)
        ]
        assert tables.read(_said) == [f"line {n}" for n in range(10) if n != place]

    def test_many_failures_among_many_writes_keep_to_themselves(self, tables: Storage) -> None:
        def fail_after_writing(connection: Connection) -> None:
            _say("never said")(connection)
            raise Nurse

        works = [fail_after_writing if n % 3 == 0 else _say(f"line {n}") for n in range(60)]
        greenlets = [gevent.spawn(tables.write, work) for work in works]
        assert len(gevent.joinall(greenlets, timeout=30)) == len(greenlets)
        assert tables.read(_said) == [f"line {n}" for n in range(60) if n % 3]

    def test_a_duplicate_reaches_the_caller_without_values(self, tables: Storage) -> None:
        values = {"host": _HOST, "owner": "juliet", "item": "a secret vow"}
        tables.write(lambda connection: connection.execute(insert(_items), values).close())
        with pytest.raises(exc.IntegrityError) as caught:
            tables.write(lambda connection: connection.execute(insert(_items), values).close())
        # Nor do the errors that led to it: all of them may get into a log.
        error: BaseException | None = caught.value
        while error is not None:
            assert "secret" not in f"{error} {error!r}"
            error = error.__cause__
        tables.write(_say("and life goes on"))

    def test_a_missing_value_reaches_the_caller_as_it_is(self, tables: Storage) -> None:
        with pytest.raises(exc.IntegrityError):
            tables.write(
                lambda connection: connection.execute(
                    insert(_lines), {"host": _HOST, "speaker": "juliet", "line": None}
                ).close()
            )

    def test_a_work_may_undo_a_part_of_itself(self, tables: Storage) -> None:
        values = {"host": _HOST, "owner": "juliet", "item": "rose"}

        def work(connection: Connection) -> None:
            _say("kept")(connection)
            connection.execute(insert(_items), values)
            try:
                with connection.begin_nested():
                    _say("undone")(connection)
                    connection.execute(insert(_items), values)
            except exc.IntegrityError:
                _say("caught")(connection)

        tables.write(work)
        assert tables.read(_said) == ["kept", "caught"]

    def test_a_part_left_open_undoes_the_whole_work(self, tables: Storage) -> None:
        def work(connection: Connection) -> None:
            _say("before")(connection)
            connection.begin_nested()
            _say("within")(connection)

        greenlets = [gevent.spawn(tables.write, work) for work in (_say("one"), work, _say("two"))]
        gevent.joinall(greenlets, timeout=30)
        assert isinstance(greenlets[1].exception, StorageError)
        assert tables.read(_said) == ["one", "two"]

    @pytest.mark.parametrize("name", ["commit", "rollback", "close"])
    def test_a_work_does_not_end_the_transaction(self, tables: Storage, name: str) -> None:
        for call in (tables.read, tables.write):
            with pytest.raises(StorageError):
                call(lambda connection: getattr(connection, name)())
        tables.write(_say("Ay me!"))
        assert tables.read(_said) == ["Ay me!"]

    def test_a_work_that_commits_behind_the_stores_back_is_told_so(self, tables: Storage) -> None:
        with pytest.raises(StorageError):
            tables.write(lambda connection: connection.exec_driver_sql("COMMIT").close())
        tables.write(_say("Ay me!"))
        assert tables.read(_said) == ["Ay me!"]

    def test_an_open_result_is_refused(self, tables: Storage) -> None:
        with pytest.raises(StorageError, match="fetch"):
            tables.read(lambda connection: connection.execute(_COUNT))

    def test_a_work_does_not_call_the_store(self, tables: Storage) -> None:
        with pytest.raises(RuntimeError):
            tables.write(lambda _: tables.read(_count))

    # Values

    @pytest.mark.parametrize("line", _TEXTS)
    def test_a_text_comes_back_as_it_went(self, tables: Storage, line: str) -> None:
        tables.write(_say(line))
        assert tables.read(_said) == [line]

    def test_a_text_with_a_nul_is_kept_or_refused_but_not_cut(self, tables: Storage) -> None:
        try:
            tables.write(_say("before\0after"))
        except (StorageError, exc.DBAPIError, ValueError):
            assert tables.read(_said) == []
        else:
            assert tables.read(_said) == ["before\0after"]

    @pytest.mark.parametrize("size", [0, 1, 255, 70_000, 300_000])
    def test_octets_come_back_as_they_went(self, tables: Storage, size: int) -> None:
        content = bytes(range(256)) * (size // 256) + bytes(size % 256)
        values = {"host": _HOST, "owner": "juliet", "item": "stanza", "content": content}
        tables.write(lambda connection: upsert(connection, _items, values, _KEYS))
        found = tables.read(lambda connection: _item(connection, "stanza"))
        assert found is not None
        assert isinstance(found[2], bytes)
        assert found[2] == content

    @pytest.mark.parametrize("number", [0, -1, 2**31, 2**62 + 1, -(2**62), 1795372800123456])
    def test_a_number_comes_back_as_it_went(self, tables: Storage, number: int) -> None:
        values = {
            "host": _HOST,
            "owner": "juliet",
            "item": "number",
            "visits": number,
            "seen": number,
        }
        tables.write(lambda connection: upsert(connection, _items, values, _KEYS))
        assert tables.read(lambda connection: _item(connection, "number")) == (
            number,
            number,
            None,
        )

    def test_texts_are_told_apart_octet_by_octet(self, tables: Storage) -> None:
        # Case, accents, composition, width.
        names = [
            "rose",
            "Rose",
            "rosé",
            "rose\N{COMBINING ACUTE ACCENT}",
            "\N{FULLWIDTH LATIN SMALL LETTER R}ose",
            *(["rose "] if self.counts_spaces_at_the_end else []),
            "ROSE",
        ]
        names += ["stra\N{LATIN SMALL LETTER SHARP S}e", "strasse"]
        rows = [{"host": _HOST, "owner": "juliet", "item": name} for name in names]
        tables.write(lambda connection: upsert(connection, _items, rows, _KEYS))

        def found(connection: Connection) -> list[str]:
            return list(connection.execute(select(_items.c.item)).scalars())

        assert sorted(tables.read(found)) == sorted(names)
        for name in names:
            assert tables.read(partial(_item, item=name)) is not None
        assert tables.read(lambda connection: _item(connection, "rOse")) is None

    def test_texts_are_sorted_by_code_point(self, tables: Storage) -> None:
        names = ["a", "B", "b", "é", "z", "Z", "_", "1", "\N{ROSE}", "\ufb01", "ab", "a b"]
        rows = [{"host": _HOST, "owner": "juliet", "item": name} for name in names]
        tables.write(lambda connection: upsert(connection, _items, rows, _KEYS))
        query = select(_items.c.item).order_by(_items.c.item)
        assert tables.read(lambda connection: list(connection.execute(query).scalars())) == sorted(
            names, key=str.encode
        )

    @pytest.mark.parametrize("length", [255, 1023])
    def test_a_long_key_is_kept_or_refused_but_not_cut(self, tables: Storage, length: int) -> None:
        # RFC 7622 allows 1023 octets; a database may have room for less in a key.
        name = "ž" * (length // 2)
        values = {"host": _HOST, "owner": name, "item": name[:-1] + "a", "visits": 1}
        try:
            tables.write(lambda connection: upsert(connection, _items, values, _KEYS))
        except (StorageError, exc.DBAPIError):
            assert length > 255
            assert tables.read(lambda c: c.execute(select(_items.c.owner)).all()) == []
        else:
            assert tables.read(lambda c: _item(c, name[:-1] + "a", name)) == (1, None, None)
            assert tables.read(lambda c: _item(c, name, name)) is None

    def test_numbers_that_the_database_gives_grow_and_never_come_twice(
        self, tables: Storage
    ) -> None:
        def add(connection: Connection) -> int:
            result = connection.execute(
                insert(_lines), {"host": _HOST, "speaker": "juliet", "line": "a line"}
            )
            key = result.inserted_primary_key
            assert key is not None
            return int(key[0])

        first, second = tables.write(add), tables.write(add)
        tables.write(lambda c: c.execute(delete(_lines).where(_lines.c.id == second)).close())
        third = tables.write(add)
        assert first < second < third

    def test_octets_may_be_a_key(self, tables: Storage) -> None:
        digests = [bytes(32), bytes(range(32)), b"\xff" * 32, b" " * 31]
        rows = [
            {"host": _HOST, "resource": f"r{n}", "jid": "juliet@capulet.example", "digest": digest}
            for n, digest in enumerate(digests)
        ]
        tables.write(lambda connection: connection.execute(insert(_addresses), rows).close())
        query = select(_addresses.c.resource).where(_addresses.c.digest == bindparam("digest_"))
        for n, digest in enumerate(digests):
            assert tables.read(partial(_first, query, {"digest_": digest})) == f"r{n}"

    # Statements

    def test_upsert_inserts_and_then_updates(self, tables: Storage) -> None:
        key = {"host": _HOST, "owner": "juliet", "item": "rose"}
        for values in ({"visits": 1, "seen": 5}, {"visits": 2}, {}):
            row = {**key, **values}
            tables.write(partial(_put, row=row))
        assert tables.read(lambda connection: _item(connection, "rose")) == (2, 5, None)

    def test_upsert_takes_several_rows(self, tables: Storage) -> None:
        rows = [
            {"host": _HOST, "owner": "juliet", "item": f"item {n}", "visits": n} for n in range(50)
        ]
        tables.write(lambda connection: upsert(connection, _items, rows[:30], _KEYS))
        tables.write(lambda connection: upsert(connection, _items, rows, _KEYS))
        query = select(_items.c.visits).order_by(_items.c.visits)
        assert tables.read(lambda c: list(c.execute(query).scalars())) == list(range(50))

    def test_an_update_says_how_many_rows_it_found(self, tables: Storage) -> None:
        key = {"host": _HOST, "owner": "juliet", "item": "rose"}
        tables.write(lambda connection: upsert(connection, _items, {**key, "visits": 1}, _KEYS))
        statement = update(_items).where(_items.c.item == bindparam("item_"))
        for item, expected in (("rose", 1), ("rose", 1), ("thorn", 0)):
            # Also where nothing changes.
            values = {"item_": item, "visits": 1}
            assert tables.write(partial(_count_found, statement, values)) == expected

    @pytest.mark.parametrize("name", ["50% off", "a_b", "a/b", "[sic]", "back\\slash", "it's"])
    def test_an_escaped_text_is_like_itself_alone(self, tables: Storage, name: str) -> None:
        names = {name, "50 percent off", "aXb", "s", "AXB", name.upper()}
        rows = [{"host": _HOST, "owner": "juliet", "item": each} for each in sorted(names)]
        tables.write(lambda connection: upsert(connection, _items, rows, _KEYS))
        query = select(_items.c.item).where(
            _items.c.item.like(escape_like(name) + "%", escape=LIKE_ESCAPE)
        )
        assert tables.read(lambda c: list(c.execute(query).scalars())) == [name]

    def test_limit_and_offset_take_bound_values(self, tables: Storage) -> None:
        for number in range(5):
            tables.write(_say(f"line {number}"))
        query = _SAID.limit(bindparam("most")).offset(bindparam("after"))
        assert tables.read(
            lambda c: list(c.execute(query, {"most": 2, "after": 1}).scalars())
        ) == ["line 1", "line 2"]

    # Tables

    def test_tables_that_are_right_are_left_alone(self, tables: Storage) -> None:
        tables.write(_say("Ay me!"))
        tables.ensure(_SCHEMA)
        assert tables.read(_said) == ["Ay me!"]

    def test_older_tables_are_brought_up_to_date_step_by_step(self, storage: Storage) -> None:
        storage.ensure(_roster(1))
        storage.write(_add_romeo)
        storage.ensure(_roster(3))
        assert storage.read(_columns) == ["id", "host", "contact", "nickname"]
        assert storage.read(_contacts) == ["romeo"]
        storage.ensure(_roster(3))

    def test_newer_tables_are_refused_and_nothing_is_written(self, storage: Storage) -> None:
        storage.ensure(_roster(3))
        with pytest.raises(StorageError, match=r"version 3.*up to 2"):
            storage.ensure(Schema("other", 1, MetaData()), _roster(2))
        assert "other" not in storage.read(_versions)

    def test_a_migration_that_cannot_begin_leaves_all_as_it_was(self, storage: Storage) -> None:
        storage.ensure(_roster(1))
        storage.write(_add_romeo)

        def fail(op: object) -> None:
            raise Nurse

        with pytest.raises(StorageError, match="could not be brought to version 2"):
            storage.ensure(_roster(2, {2: fail}))
        assert storage.read(_versions) == {"roster": 1}
        storage.ensure(_roster(2))
        assert storage.read(_contacts) == ["romeo"]

    def test_a_table_of_another_is_not_taken_over(self, storage: Storage) -> None:
        storage.ensure(_roster(1))
        storage.write(_add_romeo)
        for _ in range(2):
            with pytest.raises(StorageError, match="tables of thief could not be made"):
                storage.ensure(Schema("thief", 1, _roster(1).metadata))
            assert storage.read(_contacts) == ["romeo"]


def _roster(version: int, migrations: dict[int, Callable[..., None]] | None = None) -> Schema:
    """A roster that got a nickname in version 2 and lost its groups in version 3."""
    metadata = MetaData()
    Table(
        "contract_roster",
        metadata,
        Column("id", AutoKey, primary_key=True),
        host_column(primary_key=False),
        Column("contact", LocalText, nullable=False),
        *([Column("nickname", String(100), nullable=False)] if version >= 2 else []),
        *([Column("group_names", LargeBinary())] if version < 3 else []),
    )
    known = {2: _add_nickname, 3: _drop_groups}
    given = migrations if migrations is not None else known
    return Schema("roster", version, metadata, {n: m for n, m in given.items() if n <= version})


def _add_nickname(op: object) -> None:
    with op.batch_alter_table(  # type: ignore[attr-defined]
        "contract_roster", table_kwargs={"sqlite_autoincrement": True}
    ) as batch:
        batch.add_column(Column("nickname", String(100), nullable=False, server_default=""))


def _drop_groups(op: object) -> None:
    with op.batch_alter_table(  # type: ignore[attr-defined]
        "contract_roster", table_kwargs={"sqlite_autoincrement": True}
    ) as batch:
        batch.drop_column("group_names")


def _add_romeo(connection: Connection) -> None:
    connection.execute(
        text("INSERT INTO contract_roster (host, contact) VALUES ('capulet.example', 'romeo')")
    )


def _contacts(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT contact FROM contract_roster")).scalars())


def _columns(connection: Connection) -> list[str]:
    found = [column["name"] for column in inspect(connection).get_columns("contract_roster")]
    return sorted(found, key=["id", "host", "contact", "nickname", "group_names"].index)


def _versions(connection: Connection) -> dict[str, int]:
    rows = connection.execute(text("SELECT name, version FROM stonechat_schema")).all()
    return {row.name: row.version for row in rows if row.version > 0}
