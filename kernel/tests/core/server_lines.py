"""A table on a database server, and works on it; stores whose servers come and go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    bindparam,
    insert,
    make_url,
    select,
    update,
)

from stonechat.core.store_server import ServerStore, database_for
from stonechat.storage import AutoKey, LocalText, Schema, host_column

metadata = MetaData()
lines = Table(
    "server_lines",
    metadata,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("line", LocalText, nullable=False, unique=True),
    mysql_engine="InnoDB",
)
LINES = Schema("server_lines", 1, metadata)

INSERT = insert(lines)
SAID = select(lines.c.line).order_by(lines.c.id)
CHANGE = update(lines).where(lines.c.line == bindparam("old")).values(line=bindparam("new"))

# Takes hours, on each kind of server.
ENDLESS = {
    "postgresql": "SELECT count(*) FROM generate_series(1, 99999) a, generate_series(1, 999999)",
    "mysql": "SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_1000000 b",
}


def say(line: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"host": "capulet.example", "line": line})

    return work


def said(connection: Connection) -> list[str]:
    return list(connection.execute(SAID).scalars())


def endless(connection: Connection) -> None:
    connection.exec_driver_sql(ENDLESS[connection.dialect.name]).all()


class Stores:
    """Opens stores, and closes them at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._number = 0

    def open(self, url: str, **options: Any) -> ServerStore:
        given = {"seconds": 5.0, "durability": "disk"}
        given |= {name: options.pop(name) for name in list(given) if name in options}
        self._number += 1
        directory = self._directory / f"data-{self._number}"
        store = ServerStore(database_for(make_url(url), **given), data_dir=directory, **options)
        self._stack.callback(store.close, 2.0)
        return store

    def open_with_lines(self, url: str, **options: Any) -> ServerStore:
        store = self.open(url, **options)
        store.ensure(LINES)
        return store

    def close(self) -> None:
        self._stack.close()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something to become true."""
    with gevent.Timeout(seconds):
        while not condition():
            gevent.sleep(0.01)
