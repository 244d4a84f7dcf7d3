"""All data go from one database to another and are the same there, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    UnicodeText,
    delete,
    insert,
    select,
)

from stonechat.core import store_moving
from stonechat.core.config_model import Storage as StorageOptions
from stonechat.core.store import NodeStore, open_store
from stonechat.core.store_moving import move
from stonechat.errors import StorageError
from stonechat.storage import AutoKey, LocalText, Schema, host_column

_metadata = MetaData()
LINES = Table(
    "moved_lines",
    _metadata,
    Column("number", AutoKey, primary_key=True),
    Column("line", UnicodeText),
)
CARDS = Table(
    "moved_cards",
    _metadata,
    host_column(),
    Column("owner", LocalText, primary_key=True),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("photo", LargeBinary),
    Column("is_public", Boolean, nullable=False),
)
SCHEMA = Schema("moved", 1, _metadata)
STRANGER = Schema("stranger", 1, MetaData())

Open = Callable[[str], NodeStore]


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Open]:
    """Opens the database of a URL, each from a directory of its own."""
    with ExitStack() as stack:
        count = iter(range(100))

        def opened(url: str = "sqlite:///stonechat.db") -> NodeStore:
            directory = tmp_path / str(next(count))
            directory.mkdir()
            store = open_store(StorageOptions(url=url), directory)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def source(opening: Open) -> NodeStore:
    store = opening("sqlite:///stonechat.db")
    store.ensure(SCHEMA)
    store.write(_fill)
    return store


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "odbc-postgresql", "odbc-mariadb"])
def target(request: pytest.FixtureRequest, opening: Open) -> NodeStore:
    """An empty database of each kind."""
    kind = request.param
    if kind == "sqlite":
        return opening("sqlite:///stonechat.db")
    fixture = "postgres_server" if "postgresql" in kind else "maria_server"
    server = request.getfixturevalue(fixture)
    name = server.new_database()
    return opening(server.odbc_url(name) if kind.startswith("odbc") else server.url(name))


TEXTS = ["", 'it\'s "quoted"', "Žluťoučký kůň", "\N{ROSE}", "line\r\n\ttab", None, "a" * 5000]


def _fill(connection: Connection) -> None:
    connection.execute(insert(LINES), [{"line": line} for line in TEXTS * 4])
    # The last number was given, and is not to come again.
    connection.execute(delete(LINES).where(LINES.c.number == len(TEXTS) * 4))
    connection.execute(
        insert(CARDS),
        [
            {
                "host": host,
                "owner": owner,
                "place": place,
                "photo": bytes(range(256)) if place else None,
                "is_public": bool(place % 2),
            }
            for host in ("capulet.example", "montague.example")
            for owner in ("juliet", "Žofie", "\N{ROSE}")
            for place in range(5)
        ],
    )


def everybody_sees(connection: Connection) -> None:
    connection.execute(CARDS.update().values(is_public=True))


def say(line: str) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        key = connection.execute(insert(LINES), {"line": line}).inserted_primary_key
        assert key is not None
        return int(key[0])

    return work


def content(store: NodeStore, table: Table) -> list[tuple[object, ...]]:
    rows = store.read(lambda connection: connection.execute(select(table)).all())
    return sorted(map(tuple, rows), key=repr)


@pytest.fixture(autouse=True)
def a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a table has several pages, and pages begin between all kinds of keys."""
    monkeypatch.setattr(store_moving, "ROWS_AT_ONCE", 4)


def test_everything_comes_over_as_it_was(source: NodeStore, target: NodeStore) -> None:
    told: list[tuple[str, int]] = []
    moved = move(source, target, [SCHEMA], lambda *what: told.append(what))
    assert moved == {"moved_lines": 27, "moved_cards": 30}
    for table in (LINES, CARDS):
        assert content(target, table) == content(source, table)
    assert {("moved_lines", 8), ("moved_lines", 27), ("moved_cards", 30)} <= set(told)


def test_numbers_go_on_after_those_that_were_ever_given(
    source: NodeStore, target: NodeStore
) -> None:
    move(source, target, [SCHEMA])
    assert target.write(say("new")) == 29


def test_it_goes_back_as_well(source: NodeStore, target: NodeStore, opening: Open) -> None:
    before = {table.name: content(source, table) for table in (LINES, CARDS)}
    move(source, target, [SCHEMA])
    back = opening("sqlite:///stonechat.db")
    move(target, back, [SCHEMA])
    for table in (LINES, CARDS):
        assert content(back, table) == before[table.name]


def test_what_was_interrupted_goes_on(
    source: NodeStore, target: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = 0
    put = store_moving._Moving._put

    def put_some(moving: store_moving._Moving, rows: list[store_moving.Key]) -> None:
        nonlocal pages
        pages += 1
        if pages in (3, 9, 12):
            raise StorageError("the server has gone")
        put(moving, rows)

    monkeypatch.setattr(store_moving._Moving, "_put", put_some)
    for _ in range(3):
        with pytest.raises(StorageError):
            move(source, target, [SCHEMA])
    assert move(source, target, [SCHEMA]) == {"moved_lines": 27, "moved_cards": 30}
    # 7 and 8 pages, and the three that were refused.
    assert pages == 18
    for table in (LINES, CARDS):
        assert content(target, table) == content(source, table)


def test_no_server_starts_on_the_half_of_a_move(
    source: NodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(moving: store_moving._Moving) -> None:
        raise StorageError("the server has gone")

    monkeypatch.setattr(store_moving._Moving, "_number", fail)
    options = StorageOptions(url="sqlite:///half.db")
    target = open_store(options, tmp_path, for_node=False)
    with pytest.raises(StorageError, match="has gone"):
        move(source, target, [SCHEMA])
    target.close()
    for _ in range(2):
        with pytest.raises(StorageError, match="a part only of what was to be moved"):
            open_store(options, tmp_path)


def test_a_target_that_differs_is_noticed(
    source: NodeStore, target: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = store_moving._Moving._number

    def numbered(moving: store_moving._Moving) -> None:
        number(moving)
        if moving._table is CARDS:
            target.write(everybody_sees)

    monkeypatch.setattr(store_moving._Moving, "_number", numbered)
    with pytest.raises(StorageError, match=r"moved_cards has not come over.*differs"):
        move(source, target, [SCHEMA])


def test_the_target_must_be_empty(source: NodeStore, target: NodeStore) -> None:
    target.ensure(SCHEMA)
    target.write(say("mine"))
    with pytest.raises(StorageError, match="has data already, in moved_lines"):
        move(source, target, [SCHEMA])
    assert content(target, LINES) == [(1, "mine")]


def test_tables_that_are_there_and_empty_do_no_harm(source: NodeStore, target: NodeStore) -> None:
    target.ensure(SCHEMA)
    assert move(source, target, [SCHEMA])["moved_lines"] == 27


def test_it_leaves_no_notes_behind(source: NodeStore, target: NodeStore) -> None:
    move(source, target, [SCHEMA])
    with pytest.raises(StorageError, match="has data already"):
        move(source, target, [SCHEMA])


def test_data_of_what_is_not_installed_is_not_left_behind(opening: Open) -> None:
    source, target = opening("sqlite:///a.db"), opening("sqlite:///b.db")
    source.ensure(SCHEMA, STRANGER)
    with pytest.raises(StorageError, match="not installed here: stranger"):
        move(source, target, [SCHEMA])


def test_older_tables_are_brought_up_to_date_first(opening: Open) -> None:
    source, target = opening("sqlite:///a.db"), opening("sqlite:///b.db")
    source.ensure(SCHEMA)
    newer = Schema("moved", 2, _metadata, {2: lambda operations: None})
    with pytest.raises(StorageError, match="run `stonechat db upgrade` first"):
        move(source, target, [newer])


def test_a_row_that_does_not_fit_is_named(
    opening: Open, postgres_server: object, source: NodeStore
) -> None:
    """PostgreSQL has no NUL in texts."""
    source.write(say("nul \0"))
    target = opening(postgres_server.fresh_database())  # type: ignore[attr-defined]
    with pytest.raises(StorageError, match=r"moved_lines does not fit.*\(29,\)"):
        move(source, target, [SCHEMA])
