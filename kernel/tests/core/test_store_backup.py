"""Copies and examinations while the server goes on."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import gevent
import pytest
from sqlalchemy import Connection, text

from stonechat.core import store_backup
from stonechat.core.store import Store
from stonechat.errors import StorageError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "stonechat.db")

    def fill(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE lines (number INTEGER PRIMARY KEY, line BLOB)"))
        connection.execute(text("CREATE INDEX by_line ON lines (line)"))
        connection.execute(
            text("INSERT INTO lines VALUES (:number, zeroblob(3000))"),
            [{"number": number} for number in range(4000)],
        )

    store.write(fill)
    yield store
    store.close()


def add_pair(connection: Connection) -> None:
    # Twice in one transaction: a copy that has an odd number is not of one moment.
    for _ in range(2):
        connection.execute(text("INSERT INTO lines (line) VALUES (zeroblob(3000))"))


def test_a_copy_is_whole_and_of_one_moment_while_others_write(
    store: Store, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    copying = gevent.spawn(store.backup, target)
    written = 0
    with gevent.Timeout(60):
        while not copying.ready():
            store.write(add_pair)
            written += 1
    copying.get()
    assert written > 0
    connection = sqlite3.connect(target)
    ((rows,),) = connection.execute("SELECT count(*) FROM lines")
    assert 4000 <= rows < 4000 + 2 * written
    assert rows % 2 == 0
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_copy_is_one_file_for_the_owner_only(store: Store, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    target = tmp_path / "copies" / "copy.db"
    store.backup(target)
    assert list(target.parent.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    # It does not claim to have a write-ahead log (SQLite's file format, 1.3.3), so it can be
    # read where nothing can be written.
    assert target.read_bytes()[18:20] == b"\x01\x01"
    connection = sqlite3.connect(f"file:{target}?mode=ro", uri=True)
    assert connection.execute("SELECT count(*) FROM lines").fetchall() == [(4000,)]
    connection.close()


def test_a_copy_opens_as_a_store(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "restored" / "stonechat.db"
    target.parent.mkdir()
    store.backup(target)
    restored = Store(target)
    try:
        count = text("SELECT count(*) FROM lines")
        assert restored.read(lambda connection: connection.execute(count).scalar()) == 4000
    finally:
        restored.close()


def test_a_copy_replaces_nothing(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("dear to somebody")
    with pytest.raises(StorageError, match="is there already"):
        store.backup(target)
    assert target.read_text() == "dear to somebody"


def test_a_copy_needs_no_links(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    store.backup(tmp_path / "copy.db")
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.db"]


def test_a_copy_to_nowhere_says_why(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no copy was made"):
        store.backup(tmp_path / "nowhere" / "copy.db")


def test_a_copy_that_was_called_off_leaves_nothing_behind(tmp_path: Path, store: Store) -> None:
    looks = iter([False, True])
    target = tmp_path / "copy.db"
    with pytest.raises(StorageError, match="called off"):
        store_backup.copy(store.path, target, lambda: next(looks))
    assert not list(tmp_path.glob("copy*"))


def test_closing_the_store_calls_a_copy_off(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_until_called_off(
        source: Path, target: Path, is_cancelled: Callable[[], bool]
    ) -> None:
        until = monotonic() + 30
        while not is_cancelled():
            assert monotonic() < until
        raise StorageError("called off")

    monkeypatch.setattr(store_backup, "copy", copy_until_called_off)
    copying = gevent.spawn(store.backup, tmp_path / "copy.db")
    gevent.sleep(0)
    with pytest.raises(StorageError, match="a backup is running"):
        store.check()
    store.close()
    copying.join(30)
    assert isinstance(copying.exception, StorageError)


def test_a_sound_database_has_no_faults(store: Store) -> None:
    assert store.check() == []


def test_damage_is_found(tmp_path: Path, store: Store) -> None:
    store.close()
    content = bytearray(store.path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 40_960] = b"\xff" * 40_960
    store.path.write_bytes(content)
    damaged = Store(store.path)
    try:
        assert damaged.check()
    finally:
        damaged.close()
