"""The message of the day in the store: one for a host, and who has seen it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    bindparam,
    delete,
    select,
)

from stonechat.storage import (
    LocalText,
    Schema,
    StanzaBytes,
    Storage,
    Timestamp,
    host_column,
    upsert,
)

# What is forgotten in one transaction: others want to write, too.
FORGOTTEN_AT_ONCE = 500

_metadata = MetaData()
_motds = Table(
    "announce_motds",
    _metadata,
    host_column(),
    Column("set_at", Timestamp, nullable=False),
    Column("subject", StanzaBytes, nullable=False),
    Column("text", StanzaBytes, nullable=False),
)
_seen = Table(
    "announce_motds_seen",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("set_at", Timestamp, nullable=False),
)

SCHEMA = Schema("announce", 1, _metadata)

_CURRENT = select(_motds.c.set_at, _motds.c.subject, _motds.c.text).where(
    _motds.c.host == bindparam("its_host")
)
_DELETE = delete(_motds).where(_motds.c.host == bindparam("its_host"))
_WHO_HAS = select(_seen.c.localpart).where(
    _seen.c.host == bindparam("its_host"),
    _seen.c.localpart.in_(bindparam("localparts", expanding=True)),
    _seen.c.set_at >= bindparam("moment"),
)
_OLD = (
    select(_seen.c.localpart)
    .where(_seen.c.host == bindparam("its_host"), _seen.c.set_at <= bindparam("moment"))
    .limit(FORGOTTEN_AT_ONCE)
)
_FORGET = delete(_seen).where(
    _seen.c.host == bindparam("its_host"),
    _seen.c.localpart.in_(bindparam("localparts", expanding=True)),
)


class Motd(NamedTuple):
    """A message of the day; `set_at` tells it from the one before."""

    set_at: int
    subject: str
    text: str


class MotdStore:
    """The message of the day of one host."""

    def __init__(self, storage: Storage, host: str) -> None:
        self._storage = storage
        self._host = host

    def current(self) -> Motd | None:
        """The one that is in force."""
        key = {"its_host": self._host}

        def read_motd(connection: Connection) -> Motd | None:
            row = connection.execute(_CURRENT, key).one_or_none()
            return None if row is None else Motd(row[0], row[1].decode(), row[2].decode())

        return self._storage.read(read_motd)

    def put(self, motd: Motd) -> None:
        """Have another one; nobody has seen it."""
        row = {
            "host": self._host,
            "set_at": motd.set_at,
            "subject": motd.subject.encode(),
            "text": motd.text.encode(),
        }
        self._storage.write(lambda connection: upsert(connection, _motds, row, ["host"]))

    def delete(self) -> None:
        """Have none."""
        key = {"its_host": self._host}

        def delete_motd(connection: Connection) -> None:
            connection.execute(_DELETE, key)

        self._storage.write(delete_motd)

    def claim(self, motd: Motd, localparts: Sequence[str]) -> list[str]:
        """Those of these accounts that have not seen it; from now on they have."""
        if not localparts:
            return []
        key = {
            "its_host": self._host,
            "localparts": list(localparts),
            "moment": motd.set_at,
        }

        def find_new(connection: Connection) -> list[str]:
            known = set(connection.execute(_WHO_HAS, key).scalars())
            return [localpart for localpart in localparts if localpart not in known]

        def mark(connection: Connection) -> list[str]:
            new = find_new(connection)
            rows = [
                {"host": self._host, "localpart": localpart, "set_at": motd.set_at}
                for localpart in new
            ]
            upsert(connection, _seen, rows, ["host", "localpart"])
            return new

        # Most who come have seen it, and to read costs less than to write.
        return self._storage.write(mark) if self._storage.read(find_new) else []

    def forget_who_saw(self, moment: int) -> None:
        """Nobody needs to know any more who has seen those that were set until then."""
        key = {"its_host": self._host, "moment": moment}

        def forget(connection: Connection) -> int:
            old = list(connection.execute(_OLD, key).scalars())
            if old:
                connection.execute(_FORGET, {"its_host": self._host, "localparts": old})
            return len(old)

        while self._storage.write(forget):
            pass

    def forget_account(self, localpart: str) -> None:
        """The account is gone."""
        key = {"its_host": self._host, "localparts": [localpart]}

        def forget(connection: Connection) -> None:
            connection.execute(_FORGET, key)

        self._storage.write(forget)
