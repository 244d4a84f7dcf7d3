"""The database file: whose it is, what is refused, and that refusing writes nothing."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stonechat.core.store import Store
from stonechat.core.store_file import APPLICATION_ID
from stonechat.errors import StorageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of ours, closed."""
    path = tmp_path / "stonechat.db"
    Store(path).close()
    return path


def assert_refused(path: Path, match: str) -> None:
    before = path.read_bytes()
    with pytest.raises(StorageError, match=match) as caught:
        Store(path)
    assert str(path) in str(caught.value)
    assert "nothing was written" in str(caught.value)
    assert path.read_bytes() == before
    # The lock went with it: the next attempt fails for the same reason.
    with pytest.raises(StorageError, match=match):
        Store(path)


def test_a_new_file_and_its_directory_are_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "stonechat.db"
    store = Store(path)
    try:
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    finally:
        store.close()


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "stonechat.db"
    path.touch()
    Store(path).close()
    Store(path).close()


def test_the_main_file_is_ours_before_the_first_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "stonechat.db"
    store = Store(path)
    try:
        assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big") == b"STCH"
    finally:
        store.close()


@pytest.mark.parametrize("content", [b"SQLite", b"Two households, both alike in dignity\n" * 99])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stonechat.db"
    path.write_bytes(content)
    assert_refused(path, "not an SQLite database")


@pytest.mark.parametrize("application_id", [0, 7])
def test_another_programs_database_is_refused(tmp_path: Path, application_id: int) -> None:
    path = tmp_path / "stonechat.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    assert_refused(path, "another program")


def test_a_damaged_schema_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    assert_refused(path, "damaged")


def test_a_file_that_was_cut_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096])
    assert_refused(path, "damaged")


def test_a_file_without_our_first_table_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE stonechat_schema")
    connection.close()
    assert_refused(path, "damaged")


def test_a_file_whose_log_cannot_be_read_is_refused(path: Path) -> None:
    path.with_name("stonechat.db-wal").mkdir()
    assert_refused(path, "cannot be read")


def test_a_store_that_could_not_be_opened_lets_go_of_everything(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise StorageError("no more files")

    with monkeypatch.context() as patch:
        patch.setattr("stonechat.core.store.Readers", fail)
        with pytest.raises(StorageError, match="no more files"):
            Store(path)
    assert not path.with_name("stonechat.db-wal").exists()
    Store(path).close()


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "stonechat.db"
    path.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        Store(path)


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")
    with pytest.raises(StorageError, match="data directory"):
        Store(tmp_path / "data" / "stonechat.db")


def test_what_a_killed_server_left_in_the_log_is_there_again(tmp_path: Path) -> None:
    # A copy of the files of a store in use is what a killed process leaves behind.
    store = Store(tmp_path / "one" / "stonechat.db")
    store.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x)").close())
    (tmp_path / "two").mkdir()
    for name in ("stonechat.db", "stonechat.db-wal"):
        (tmp_path / "two" / name).write_bytes((tmp_path / "one" / name).read_bytes())
    store.close()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        sqlite3.connect(f"file:{tmp_path}/two/stonechat.db?immutable=1", uri=True).execute(
            "SELECT * FROM t"
        )
    again = Store(tmp_path / "two" / "stonechat.db")
    try:
        assert again.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM t").scalar()) == 0
    finally:
        again.close()


# One server per data directory

OPEN_IT = """
import sys
from pathlib import Path
from stonechat.core.store import Store
from stonechat.errors import StorageError
try:
    Store(Path(sys.argv[1])).close()
except StorageError as error:
    sys.exit(str(error))
"""


def test_a_second_server_is_told_which_process_has_the_directory(path: Path) -> None:
    store = Store(path)
    try:
        child = subprocess.run(
            [sys.executable, "-c", OPEN_IT, str(path)], capture_output=True, text=True, timeout=60
        )
    finally:
        store.close()
    assert child.returncode == 1
    assert str(path.parent) in child.stderr
    owner = (path.parent / "stonechat.lock").read_text().strip()
    assert f"in use by process {owner};" in child.stderr


def test_the_directory_is_free_when_the_store_is_closed(path: Path) -> None:
    Store(path).close()
    subprocess.run([sys.executable, "-c", OPEN_IT, str(path)], check=True, timeout=60)


def test_two_servers_do_not_share_a_file_outside_of_their_directories(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "stonechat.db"
    store = Store(path, data_dir=tmp_path / "one")
    try:
        with pytest.raises(StorageError, match="in use"):
            Store(path, data_dir=tmp_path / "two")
    finally:
        store.close()
