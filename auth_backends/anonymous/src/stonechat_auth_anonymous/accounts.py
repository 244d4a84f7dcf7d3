"""The accounts that are there for as long as their sessions: in memory, and on record.

The record is for the time after a crash: data of accounts that it names is cleared then.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, MetaData, Table, bindparam, delete, select

from stonechat.errors import StonechatError
from stonechat.host import Host
from stonechat.storage import LocalText, Schema, host_column, upsert

_metadata = MetaData()

_accounts = Table(
    "auth_anonymous_accounts",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
)

SCHEMA = Schema("auth_anonymous", 1, _metadata)

_ALL = select(_accounts.c.localpart).where(_accounts.c.host == bindparam("its_host"))
_DELETE = delete(_accounts).where(
    _accounts.c.host == bindparam("its_host"),
    _accounts.c.localpart == bindparam("its_localpart"),
)


class Full(StonechatError):
    """There are as many anonymous users as may be."""


class LivingAccounts:
    """The accounts of one host, each with the time on a monotonic clock when it began."""

    def __init__(self, host: Host, most: int) -> None:
        self._host = host
        self._most = most
        self._since: dict[str, float] = {}
        # Those that are gone, and not from the record yet.
        self._departed: set[str] = set()

    def __contains__(self, localpart: object) -> bool:
        return localpart in self._since

    def __len__(self) -> int:
        return len(self._since)

    def load(self) -> None:
        """Take over what is on record, with all the data that there may be of them."""
        name = self._host.name

        def work(connection: Connection) -> list[str]:
            return list(connection.execute(_ALL, {"its_host": name}).scalars())

        for localpart in self._host.storage.read(work):
            if localpart not in self._departed:
                self._since.setdefault(localpart, self._host.monotonic())

    def begin(self, localpart: str) -> None:
        """An account is there from now on; Full, StorageError."""
        if len(self._since) + len(self._departed) >= self._most:
            raise Full("There are too many anonymous users.")
        # Before the record, during which another could take the name.
        self._since[localpart] = self._host.monotonic()
        row = {"host": self._host.name, "localpart": localpart}
        try:
            self._host.storage.write(
                lambda connection: upsert(connection, _accounts, row, ("host", "localpart"))
            )
        except BaseException:
            # It may be on record all the same.
            self.end(localpart)
            raise

    def end(self, localpart: str) -> bool:
        """An account is gone, and its data is still to be cleared; False if it was not there."""
        if self._since.pop(localpart, None) is None:
            return False
        self._departed.add(localpart)
        return True

    def is_departed(self, localpart: str) -> bool:
        return localpart in self._departed

    @property
    def departed(self) -> list[str]:
        """Those that are gone, while their data may be there."""
        return list(self._departed)

    def strike_out(self, localpart: str) -> None:
        """The data of an account that is gone is cleared, too; StorageError."""
        values = {"its_host": self._host.name, "its_localpart": localpart}

        def work(connection: Connection) -> None:
            connection.execute(_DELETE, values)

        self._host.storage.write(work)
        self._departed.discard(localpart)

    def older_than(self, seconds: float) -> list[str]:
        """The accounts that have been there for so long."""
        until = self._host.monotonic() - seconds
        return [localpart for localpart, since in self._since.items() if since <= until]
