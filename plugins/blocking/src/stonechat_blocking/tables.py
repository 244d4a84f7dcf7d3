"""The tables of the block lists and the reports, and their statements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Index,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
)

from stonechat.storage import (
    AutoKey,
    JidText,
    LocalText,
    Schema,
    StanzaBytes,
    Timestamp,
    host_column,
    upsert,
)

METADATA = MetaData()

ITEMS = Table(
    "blocking_item",
    METADATA,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("jid", JidText, primary_key=True),
)

REPORTS = Table(
    "blocking_report",
    METADATA,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("localpart", LocalText, nullable=False),  # of whoever reports
    Column("received_at", Timestamp, nullable=False),
    Column("jid", JidText, nullable=False),  # who is reported
    Column("content", StanzaBytes, nullable=False),  # JSON
    Index("blocking_report_by_account", "host", "localpart", "received_at"),
    Index("blocking_report_by_age", "host", "id"),
)

SCHEMA = Schema("blocking", 1, METADATA)

_HOST: BindParameter[str] = bindparam("host_")
_LOCALPART: BindParameter[str] = bindparam("localpart_")

_ITEMS_OF = (ITEMS.c.host == _HOST, ITEMS.c.localpart == _LOCALPART)
_FIND = select(ITEMS.c.jid).where(*_ITEMS_OF)
_DELETE = delete(ITEMS).where(*_ITEMS_OF, ITEMS.c.jid == bindparam("jid_"))
_DELETE_ALL = delete(ITEMS).where(*_ITEMS_OF)

_REPORTS_OF = (REPORTS.c.host == _HOST, REPORTS.c.localpart == _LOCALPART)
_COUNT_REPORTS = select(func.count()).where(
    *_REPORTS_OF, REPORTS.c.received_at > bindparam("since")
)
_INSERT_REPORT = insert(REPORTS)
_NEWEST_REPORTS = (
    select(REPORTS.c.received_at, REPORTS.c.localpart, REPORTS.c.jid, REPORTS.c.content)
    .where(REPORTS.c.host == _HOST)
    .order_by(REPORTS.c.id.desc())
    .limit(bindparam("limit_"))
)
_FIRST_BEYOND = (
    select(REPORTS.c.id)
    .where(REPORTS.c.host == _HOST)
    .order_by(REPORTS.c.id.desc())
    .limit(1)
    .offset(bindparam("kept"))
)
_DELETE_UNTIL = delete(REPORTS).where(REPORTS.c.host == _HOST, REPORTS.c.id <= bindparam("last"))
_CLEAR_REPORTS = delete(REPORTS).where(REPORTS.c.host == _HOST)
_DELETE_REPORTS = delete(REPORTS).where(*_REPORTS_OF)


def load(connection: Connection, host: str, localpart: str) -> frozenset[str]:
    """Whom an account has blocked."""
    keys = {"host_": host, "localpart_": localpart}
    return frozenset(connection.execute(_FIND, keys).scalars().all())


def save(
    connection: Connection,
    host: str,
    localpart: str,
    added: Collection[str],
    removed: Collection[str],
) -> None:
    """Block some and unblock others."""
    keys = {"host_": host, "localpart_": localpart}
    if removed:
        connection.execute(_DELETE, [{**keys, "jid_": jid} for jid in sorted(removed)])
    rows = [{"host": host, "localpart": localpart, "jid": jid} for jid in sorted(added)]
    upsert(connection, ITEMS, rows, ("host", "localpart", "jid"))


def erase(connection: Connection, host: str, localpart: str) -> None:
    """Forget an account: whom it has blocked, and whom it has reported."""
    keys = {"host_": host, "localpart_": localpart}
    connection.execute(_DELETE_ALL, keys)
    connection.execute(_DELETE_REPORTS, keys)


def count_reports(connection: Connection, host: str, localpart: str, since: int) -> int:
    """How many reports an account has filed since then."""
    values = {"host_": host, "localpart_": localpart, "since": since}
    return int(connection.execute(_COUNT_REPORTS, values).scalar_one())


def add_report(connection: Connection, row: dict[str, Any], kept: int) -> None:
    """Keep a report, and of all of the host no more than so many, the newest."""
    connection.execute(_INSERT_REPORT, row)
    values = {"host_": row["host"], "kept": kept}
    last = connection.execute(_FIRST_BEYOND, values).scalar()
    if last is not None:
        connection.execute(_DELETE_UNTIL, {"host_": row["host"], "last": last})


def newest_reports(
    connection: Connection, host: str, limit: int
) -> Sequence[tuple[int, str, str, bytes]]:
    """(time, reporter's localpart, reported JID, content) of the newest reports."""
    rows = connection.execute(_NEWEST_REPORTS, {"host_": host, "limit_": limit}).all()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def clear_reports(connection: Connection, host: str) -> int:
    """Delete all reports of a host; returns how many there were."""
    return connection.execute(_CLEAR_REPORTS, {"host_": host}).rowcount
