"""Which app servers want to hear of an account: in the store, the latest asked for in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from sqlalchemy import Column, Connection, MetaData, String, Table, bindparam, delete, select

from stonechat.storage import (
    JidText,
    LocalText,
    ResourceText,
    Schema,
    StanzaBytes,
    Storage,
    Timestamp,
    host_column,
    upsert,
)

__all__ = ["MAX_TEXT", "SCHEMA", "Registration", "Registrations"]

T = TypeVar("T")

# Of an address and of a node: so long a text every database keeps in such a column.
MAX_TEXT = 255

# How often the registrations of an account are read where others are written meanwhile.
MAX_READS = 10

_metadata = MetaData()

_registrations = Table(
    "push_registrations",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    # Of the app server's address and node, which are too long for a key.
    Column("digest", String(64), primary_key=True),
    Column("service", JidText, nullable=False),
    Column("node", ResourceText, nullable=False),
    # Of the session that has enabled it.
    Column("resource", ResourceText, nullable=False),
    Column("enabled_at", Timestamp, nullable=False),
    # The form of publish options; null without one.
    Column("form", StanzaBytes),
)

SCHEMA = Schema("push", 1, _metadata)

_IS_OF = (
    _registrations.c.host == bindparam("its_host"),
    _registrations.c.localpart == bindparam("its_localpart"),
)
_ALL = (
    select(
        _registrations.c.service,
        _registrations.c.node,
        _registrations.c.resource,
        _registrations.c.enabled_at,
        _registrations.c.form,
    )
    .where(*_IS_OF)
    .order_by(_registrations.c.enabled_at, _registrations.c.digest)
)
_DISABLE_ONE = delete(_registrations).where(
    *_IS_OF, _registrations.c.digest == bindparam("its_digest")
)
_DISABLE_SERVICE = delete(_registrations).where(
    *_IS_OF, _registrations.c.service == bindparam("its_service")
)
_GIVE_UP = delete(_registrations).where(
    *_IS_OF,
    _registrations.c.digest == bindparam("its_digest"),
    _registrations.c.enabled_at == bindparam("its_time"),
)
_CLEAR = delete(_registrations).where(*_IS_OF)


class Registration(NamedTuple):
    """A node of an app server, and the device that it wakes."""

    service: str
    node: str
    resource: str
    enabled_at: int
    form: bytes | None = None

    @property
    def digest(self) -> str:
        """Names the app server and the node."""
        # No address has a line end.
        return hashlib.sha256(f"{self.service}\n{self.node}".encode()).hexdigest()


class Registrations:
    """The registrations on one host. What goes to the store may block, and raise StorageError."""

    def __init__(self, storage: Storage, host: str, cached: int) -> None:
        self._storage = storage
        self._host = host
        self._max_cached = cached
        self._cache: dict[str, tuple[Registration, ...]] = {}
        # Another one with each write: what was read meanwhile may be of before.
        self._writes = 0

    def known(self, localpart: str) -> tuple[Registration, ...] | None:
        """The registrations of an account, if they were asked for lately; never blocks."""
        return self._cache.get(localpart)

    def of(self, localpart: str) -> tuple[Registration, ...]:
        """The registrations of an account, those enabled longest ago first."""
        known = self._cache.get(localpart)
        if known is not None:
            return known
        key = self._key(localpart)
        for _ in range(MAX_READS):
            writes = self._writes
            found = self._storage.read(lambda connection: _all(connection, key))
            if writes == self._writes:
                break
            # Something was written meanwhile. "When a service is not enabled, the server
            # MUST NOT attempt publishing": so it is read again.
        else:
            return found
        while len(self._cache) >= self._max_cached:
            del self._cache[next(iter(self._cache))]
        self._cache[localpart] = found
        return found

    def enable(
        self, localpart: str, registration: Registration, limit: int
    ) -> tuple[Registration, ...]:
        """Keep a registration; returns the oldest ones, given up where there are too many."""
        key = self._key(localpart)
        values = {
            "host": self._host,
            "localpart": localpart,
            "digest": registration.digest,
            **registration._asdict(),
        }

        def keep(connection: Connection) -> tuple[Registration, ...]:
            upsert(connection, _registrations, values, ("host", "localpart", "digest"))
            given_up = _all(connection, key)[:-limit]
            for old in given_up:
                connection.execute(_DISABLE_ONE, {**key, "its_digest": old.digest})
            return given_up

        return self._write(localpart, keep)

    def disable(self, localpart: str, service: str, node: str | None) -> int:
        """Give up a node of an app server, or None for all of them; returns how many."""
        values = self._key(localpart)
        statement = _DISABLE_SERVICE
        if node is None:
            values["its_service"] = service
        else:
            statement = _DISABLE_ONE
            values["its_digest"] = Registration(service, node, "", 0).digest
        return self._write(
            localpart, lambda connection: connection.execute(statement, values).rowcount
        )

    def give_up(self, localpart: str, registration: Registration) -> None:
        """The app server refuses it; what was enabled anew meanwhile stays."""
        values = {
            **self._key(localpart),
            "its_digest": registration.digest,
            "its_time": registration.enabled_at,
        }
        self._write(localpart, lambda connection: connection.execute(_GIVE_UP, values).rowcount)

    def clear(self, localpart: str) -> int:
        """Give up all of an account; returns how many there were."""
        key = self._key(localpart)
        return self._write(localpart, lambda connection: connection.execute(_CLEAR, key).rowcount)

    def _write(self, localpart: str, work: Callable[[Connection], T]) -> T:
        try:
            return self._storage.write(work)
        finally:
            # After an error, too: it may have been written all the same.
            self._forget(localpart)

    def _forget(self, localpart: str) -> None:
        self._writes += 1
        self._cache.pop(localpart, None)

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host, "its_localpart": localpart}


def _all(connection: Connection, key: dict[str, str]) -> tuple[Registration, ...]:
    return tuple(Registration(*row) for row in connection.execute(_ALL, key).all())
