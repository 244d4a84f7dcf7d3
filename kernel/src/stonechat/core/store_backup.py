"""Copies and examinations of a database that is in use.

Both read through a connection of their own and hold one moment of the database while
they work, so writers are never kept waiting.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from stonechat.core.store_file import connect_to_read
from stonechat.errors import StorageError

# 4 MiB: between two such pieces the copy can be called off.
_PAGES_AT_ONCE = 1024

# A damaged file could have a fault on each page.
_FAULTS_SHOWN = 100


def copy(source: Path, target: Path, is_cancelled: Callable[[], bool]) -> None:
    """Write a copy of `source`, whole in one file; it appears when it is complete."""
    part = target.with_name(f"{target.name}.part")
    try:
        if target.exists():
            raise StorageError(f"{target} is there already")
        part.unlink(missing_ok=True)
        # It holds credentials and mail, like the database itself.
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            _copy(source, part, is_cancelled)
            _give_name(part, target)
        finally:
            part.unlink(missing_ok=True)
        _sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"no copy was made to {target}: {error}") from error


def _copy(source: Path, part: Path, is_cancelled: Callable[[], bool]) -> None:
    def look(_status: int, _remaining: int, _total: int) -> None:
        if is_cancelled():
            raise StorageError("the copy was called off")

    with closing(connect_to_read(source)) as reader, closing(sqlite3.connect(part)) as writer:
        # Without this, each write of the server would send the copy back to its first page.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        reader.backup(writer, pages=_PAGES_AT_ONCE, progress=look, sleep=0)
        # The copy says of itself that it has a write-ahead log; alone it must do without.
        writer.execute("PRAGMA journal_mode = DELETE").fetchone()
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _give_name(part: Path, target: Path) -> None:
    try:
        # Unlike a rename, a link does not replace a file that came meanwhile.
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        part.rename(target)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def faults(path: Path, is_cancelled: Callable[[], bool]) -> list[str]:
    """Read the whole database and say in sentences what is damaged; nothing if it is sound."""
    found: list[str] = []
    try:
        with closing(connect_to_read(path)) as reader:
            reader.set_progress_handler(is_cancelled, 1_000_000)
            for (line,) in reader.execute(f"PRAGMA integrity_check({_FAULTS_SHOWN})"):
                if line != "ok":
                    found.append(str(line))
            for table, row, parent, _ in reader.execute("PRAGMA foreign_key_check"):
                found.append(f"row {row} of {table} points to no row of {parent}")
                if len(found) >= _FAULTS_SHOWN:
                    break
    except sqlite3.DatabaseError as error:
        if is_cancelled():
            raise StorageError("the check was called off") from error
        found.append(str(error))
    return found
