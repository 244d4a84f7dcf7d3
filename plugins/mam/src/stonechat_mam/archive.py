"""The archive of one host: what is written to it, and what is read from it."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Connection, bindparam, select

from stonechat.host import Host
from stonechat_mam import pages
from stonechat_mam.accounts import Accounts
from stonechat_mam.ids import LARGEST, Ids, first_at
from stonechat_mam.index import Index
from stonechat_mam.pages import Bounds, Ends, Found
from stonechat_mam.query import Query
from stonechat_mam.recorder import Recorder
from stonechat_mam.retention import Retention
from stonechat_mam.tables import HOSTS, SCHEMA

FullText = Literal["off", "scan", "index"]

_STATE = select(HOSTS.c.last_id, HOSTS.c.skew, HOSTS.c.unindexed).where(
    HOSTS.c.host == bindparam("its_host")
)


class Archive:
    """All that is archived on one host. Methods may block, and raise StorageError."""

    schema = SCHEMA

    def __init__(self, host: Host, fulltext: FullText, keep_for: float) -> None:
        self._host = host
        self._keep_for = int(keep_for * 1_000_000)
        self.is_searchable = fulltext != "off"
        self._index = Index(host) if fulltext == "index" else None
        self.ids = Ids(host.now)
        self.accounts = Accounts(host)
        self.retention = Retention(host)
        self.recorder = Recorder(
            host, self.ids, self._index, self.retention, is_searchable=self.is_searchable
        )

    def start(self) -> None:
        """Go on where an earlier run has ended."""
        self.recorder.catalogue.start()
        has_left_index = False
        state = self._host.storage.read(self._state)
        if state is not None:
            last, skew, unindexed = state
            self.ids.go_on(last, skew)
            has_left_index = unindexed is not None
        if self._index is not None:
            if not self._index.start():
                self._index = self.recorder.index = None
        elif has_left_index:
            Index(self._host).drop_out()

    def _state(self, connection: Connection) -> tuple[int, int, int | None] | None:
        row = connection.execute(_STATE, {"its_host": self._host.name}).one_or_none()
        return None if row is None else (row[0], row[1], row[2])

    def stop(self) -> None:
        """Have everything written."""
        self.recorder.close()

    @property
    def floor(self) -> int:
        """The least id that is not too old."""
        return first_at(self._host.now() - self._keep_for) if self._keep_for else 0

    @property
    def is_indexed(self) -> bool:
        """Whether there is a full-text index."""
        return self._index is not None

    def index_after(self, connection: Connection, number: int) -> None:
        """In a work: index what has been written past the recorder, after a number."""
        if self._index is not None:
            self._index.add(connection, number)

    def index_is_disordered(self) -> None:
        """Somewhere messages lie in another order than their ids: search without the index."""
        if self._index is not None:
            self._index.is_ordered = self._index.is_complete = False

    # Reading

    def find(self, localpart: str, query: Query, size: int) -> tuple[Found, bool]:
        """A page, and whether it shows all that had been archived by now; StanzaError."""
        account = self.accounts.find(localpart)
        if account is None:
            pages.refuse_named(query.named)
            return pages.NOTHING, True
        is_stable = self.recorder.wait_for(account.number)
        bounds = Bounds(account.number, self.floor, self.ids.skew)

        def find_page(connection: Connection) -> Found:
            return pages.find(connection, bounds, query, size, self._index)

        return self._host.storage.read(find_page), is_stable

    def ends(self, localpart: str) -> Ends | None:
        """The first and the last message; None if there is none."""
        account = self.accounts.find(localpart)
        if account is None:
            return None
        self.recorder.wait_for(account.number)
        bounds = Bounds(account.number, self.floor, self.ids.skew)
        return self._host.storage.read(lambda connection: pages.ends(connection, bounds))

    def count(self, localpart: str) -> int:
        """How many messages an account has."""
        account = self.accounts.find(localpart)
        if account is None:
            return 0
        self.recorder.wait_for(account.number)
        return self.retention.count(account.number, self.floor)

    # Deleting

    def delete(self, localpart: str, before: int | None = None) -> int:
        """Delete what an account has with lesser ids, or all; returns how many messages."""
        account = self.accounts.find(localpart)
        if account is None:
            return 0
        self.recorder.wait_for(account.number)
        return self.retention.delete(account.number, LARGEST if before is None else before)

    def erase(self, localpart: str) -> None:
        """Delete all that there is of an account."""
        if self.accounts.find(localpart) is not None:
            self.delete(localpart)
            self.accounts.forget(localpart)
