"""The SQLite file: who may use it, whether it is ours, and how it is opened.

Nothing here reads more than the first page and the schema, so that a start costs the
same with a large database; damage further in is found by `stonechat.core.store_backup`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, exc
from sqlalchemy.pool import NullPool

from stonechat.errors import StorageError
from stonechat.storage import StorageFull

if sys.platform != "win32":
    import fcntl

# Written into each of our files, at the place that SQLite keeps for it.
APPLICATION_ID = int.from_bytes(b"STCH", "big")

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_APPLICATION_ID_AT = 68
_SQLITE_FULL = 13

# A reader looks at its clock after so many steps of SQLite's machine, about a millisecond.
STEPS_BETWEEN_LOOKS = 50_000


class DirectoryLock:
    """Keeps a second process off a data directory, as long as this one lives."""

    def __init__(self, directory: Path) -> None:
        path = directory / "stonechat.lock"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"the data directory cannot be used: {error}") from error
        try:
            self._take()
        except OSError as error:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StorageError(
                f"the data directory {directory} is in use by process {owner or 'unknown'};"
                " stop that one first, or set another data_dir"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, b"%d\n" % os.getpid())

    def _take(self) -> None:
        # Windows has no such lock: there, a second server goes unnoticed.
        if sys.platform != "win32":
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        # The file stays: removed, it could be locked by one process and made anew by another.
        os.close(self._descriptor)


def make_file(path: Path) -> None:
    """Make an empty database of ours, in one step that a crash cannot halve."""
    try:
        # It holds credentials and mail. SQLite gives its other files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            # Before WAL is on, so that the main file has it from the first moment.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS stonechat_schema"
                " (name VARCHAR(64) NOT NULL PRIMARY KEY, version INTEGER NOT NULL)"
            )
            connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{path} cannot be made: {error}") from error


def is_missing(path: Path) -> bool:
    """Whether there is nothing yet; raise StorageError for a file that is not ours or damaged.

    Leaves the file as it is, whatever it finds.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error}") from error
    if not header:
        return True
    advice = "nothing was written to it; move it away, or set storage.url to another file"
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise StorageError(f"{path} is not an SQLite database: {advice}")
    found = int.from_bytes(header[_APPLICATION_ID_AT:][:4], "big")
    if found != APPLICATION_ID:
        raise StorageError(
            f"{path} is the database of another program (application id {found:#x}): {advice}"
        )
    damage = ""
    try:
        with closing(connect_to_read(path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
            if ("stonechat_schema",) not in tables:
                damage = "the table stonechat_schema is missing"
            else:
                connection.execute("SELECT name, version FROM stonechat_schema").fetchall()
    except sqlite3.OperationalError as error:
        raise StorageError(f"{path} cannot be read: {error}; nothing was written to it") from error
    except sqlite3.DatabaseError as error:
        damage = str(error)
    if damage:
        raise StorageError(
            f"{path} is damaged ({damage}): nothing was written to it; put a backup in its place"
        )
    return False


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute("PRAGMA query_only = ON")
    _set_manners(connection)
    return connection


def connect_to_write(path: Path, patience: float) -> sqlite3.Connection:
    """The one connection that writes; `patience`: seconds for a stranger's lock to go."""
    connection = sqlite3.connect(
        path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    # After a burst or a long read the log shrinks to this again.
    connection.execute("PRAGMA journal_size_limit = 67108864")
    # macOS only: its fsync leaves the data in the drive's cache.
    connection.execute("PRAGMA fullfsync = ON")
    _set_manners(connection)
    return connection


def _set_manners(connection: sqlite3.Connection) -> None:
    # As the other databases have it.
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA case_sensitive_like = ON")


def reading_engine(path: Path) -> Engine:
    return _engine(lambda: connect_to_read(path))


def writing_engine(path: Path, patience: float) -> Engine:
    return _engine(lambda: connect_to_write(path, patience))


def _engine(creator: object) -> Engine:
    # hide_parameters: values are messages and credentials, and errors go to the log.
    return create_engine("sqlite://", creator=creator, poolclass=NullPool, hide_parameters=True)


def as_storage_error(error: BaseException) -> BaseException:
    """What a caller of the store gets for an exception of its work or of a commit.

    What the work did wrong stays as it is, a broken constraint too; what the database
    could not do becomes a StorageError.
    """
    driver_error: BaseException | None = error
    if isinstance(error, exc.DBAPIError):
        driver_error = error.orig
        if isinstance(
            error,
            exc.IntegrityError | exc.DataError | exc.ProgrammingError | exc.NotSupportedError,
        ):
            return error
    elif not isinstance(error, sqlite3.Error):
        return error
    if getattr(driver_error, "sqlite_errorcode", 0) & 0xFF == _SQLITE_FULL:
        kind: type[StorageError] = StorageFull
    else:
        kind = StorageError
    wrapped = kind(f"the database failed: {driver_error}")
    wrapped.__cause__ = error
    return wrapped
