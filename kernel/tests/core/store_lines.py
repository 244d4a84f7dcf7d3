"""A table of lines that people say, and works on it that hold the store up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
from gevent import monkey
from gevent.event import Event
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)

from stonechat.core.store import Store
from stonechat.storage import AutoKey, LocalText, Schema, host_column

# Locks of the system's own, also in a process that gevent has patched.
allocate_lock = monkey.get_original("_thread", "allocate_lock")

metadata = MetaData()
lines = Table(
    "lines",
    metadata,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("speaker", LocalText, nullable=False),
    Column("line", Text, unique=True),
)
LINES = Schema("lines", 1, metadata)

INSERT = insert(lines)
BY_SPEAKER = select(lines.c.line).where(lines.c.speaker == bindparam("speaker")).order_by("id")
COUNT = select(func.count()).select_from(lines)
# Counts for a good part of a second.
LONG = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000)"
    " SELECT sum(i) FROM n"
)
# Counts for hours.
ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
)


def say(line: str, speaker: str = "juliet") -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"host": "capulet.example", "speaker": speaker, "line": line})

    return work


def said(connection: Connection, speaker: str = "juliet") -> list[str]:
    return list(connection.execute(BY_SPEAKER, {"speaker": speaker}).scalars())


def count(connection: Connection) -> int:
    return connection.execute(COUNT).scalar_one()


class Nurse(Exception):
    """Raised by works that fail on purpose."""


def call_nurse(_connection: Connection) -> None:
    raise Nurse


def call_nothing(_connection: Connection) -> None:
    """Nothing to do."""


@contextmanager
def held_up(
    call: Callable[[Callable[[Connection], None]], object],
) -> Iterator[gevent.Greenlet]:
    """Keep a thread of the store busy with one job, until the block is left."""
    loop = gevent.get_hub().loop
    begun = Event()
    go = allocate_lock()
    go.acquire()

    def work(_connection: Connection) -> None:
        loop.run_callback_threadsafe(begun.set)
        assert go.acquire(timeout=30)

    greenlet = gevent.spawn(call, work)
    assert begun.wait(30)
    try:
        yield greenlet
    finally:
        go.release()
        greenlet.join(30)


def spawn_writes(
    store: Store, works: list[Callable[[Connection], object]]
) -> list[gevent.Greenlet]:
    greenlets = [gevent.spawn(store.write, work) for work in works]
    gevent.sleep(0)  # lets each hand its work over
    return greenlets


def join(greenlets: list[gevent.Greenlet]) -> None:
    assert len(gevent.joinall(greenlets, timeout=30)) == len(greenlets)
