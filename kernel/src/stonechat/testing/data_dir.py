"""A data directory as a first start leaves it, without the waits for the disk."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from stonechat.core.config_model import Storage
from stonechat.core.store import open_store

DATABASE = "stonechat.db"

# An empty database costs three waits for the disk to make, and a copy of it none.
_empty_database = b""


def prepare(directory: Path) -> None:
    """Make the directory with an empty database and a secret in it."""
    directory.mkdir(parents=True)
    _write(directory / DATABASE, _database())
    _write(directory / "server.secret", b"to the tests and to no one else!")


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _database() -> bytes:
    global _empty_database
    if not _empty_database:
        with TemporaryDirectory() as directory:
            open_store(Storage(url=f"sqlite:///{DATABASE}"), Path(directory)).close()
            _empty_database = (Path(directory) / DATABASE).read_bytes()
    return _empty_database
