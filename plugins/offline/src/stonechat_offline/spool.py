"""The spool: messages in the store, in the order of their times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
)

from stonechat.errors import StorageError
from stonechat.storage import (
    AutoKey,
    LocalText,
    Schema,
    StanzaBytes,
    Storage,
    Timestamp,
    host_column,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

# What is read at once: at least one message, at most so much.
PAGE_MESSAGES = 100
PAGE_BYTES = 65536

# Expired messages that are deleted in one transaction.
EXPIRED_AT_ONCE = 500

_metadata = MetaData()
_messages = Table(
    "offline_messages",
    _metadata,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("localpart", LocalText, nullable=False),
    Column("stored_at", Timestamp, nullable=False),
    Column("size", Integer, nullable=False),
    Column("stanza", StanzaBytes, nullable=False),
    # The size is here so that counting what an account has need not touch the messages.
    Index("offline_messages_in_order", "host", "localpart", "stored_at", "id", "size"),
    Index("offline_messages_by_age", "host", "stored_at"),
)


def _order_by_time(op: Operations) -> None:
    op.create_index(
        "offline_messages_in_order",
        "offline_messages",
        ["host", "localpart", "stored_at", "id", "size"],
    )
    op.drop_index("offline_messages_by_account", "offline_messages")


SCHEMA = Schema("offline", 2, _metadata, {2: _order_by_time})

_IS_OF = (
    _messages.c.host == bindparam("its_host"),
    _messages.c.localpart == bindparam("its_localpart"),
)
_INSERT = insert(_messages)
_TOTAL = select(
    func.count(),
    func.coalesce(func.sum(_messages.c.size), 0),
    func.coalesce(func.max(_messages.c.stored_at), 0),
).where(*_IS_OF)
_SIZES = (
    select(_messages.c.id, _messages.c.size)
    .where(*_IS_OF)
    .order_by(_messages.c.stored_at, _messages.c.id)
    .limit(PAGE_MESSAGES)
)
_SIZES_AFTER = _SIZES.where(
    or_(
        _messages.c.stored_at > bindparam("last_at"),
        and_(_messages.c.stored_at == bindparam("last_at"), _messages.c.id > bindparam("last_id")),
    )
)
_STANZAS_AT = select(_messages.c.stanza).where(*_IS_OF, _messages.c.stored_at == bindparam("at"))
_STANZAS = select(_messages.c.stanza).where(*_IS_OF)
_PAGE = (
    select(_messages.c.id, _messages.c.stored_at, _messages.c.stanza)
    .where(_messages.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(_messages.c.stored_at, _messages.c.id)
)
_DELETE = delete(_messages).where(_messages.c.id.in_(bindparam("ids", expanding=True)))
_CLEAR = delete(_messages).where(*_IS_OF)
_EXPIRED = (
    select(_messages.c.id)
    .where(
        _messages.c.host == bindparam("its_host"),
        _messages.c.stored_at < bindparam("before"),
    )
    .limit(EXPIRED_AT_ONCE)
)


class Kept(NamedTuple):
    """A message in the spool."""

    id: int
    stored_at: int
    stanza: bytes


class Moved(Protocol):
    """A message that comes from another server; its time is 0 where nobody knows it."""

    @property
    def octets(self) -> bytes: ...
    @property
    def stored_at(self) -> int: ...
    def is_in(self, octets: bytes) -> bool:
        """Whether these are the same message, however they are written."""


class Spool:
    """The messages that wait on one host."""

    def __init__(self, storage: Storage, host: str) -> None:
        self._storage = storage
        self._host = host

    def put(
        self,
        localpart: str,
        stanza: bytes,
        sent_at: int,
        limits: tuple[int, int],
        *,
        is_new: bool = True,
    ) -> bool:
        """Keep a message; False where it would be beyond (number, bytes) for the account.

        What is new comes behind all that is there, wherever the clock was set while the
        server was stopped; what is not comes where its time puts it.
        """
        key = self._key(localpart)
        max_messages, max_bytes = limits
        row = {
            "host": self._host,
            "localpart": localpart,
            "stored_at": sent_at,
            "size": len(stanza),
            "stanza": stanza,
        }

        def keep_message(connection: Connection) -> bool:
            messages, size, newest = connection.execute(_TOTAL, key).one()
            if messages >= max_messages or size + len(stanza) > max_bytes:
                return False
            stored_at = max(sent_at, newest) if is_new else sent_at
            connection.execute(_INSERT, row | {"stored_at": stored_at})
            return True

        return self._storage.write(keep_message)

    def first(self, localpart: str) -> list[Kept]:
        """The first messages of an account, as many as are good to send at once."""
        key = self._key(localpart)

        return self._storage.read(
            lambda connection: _page(connection, connection.execute(_SIZES, key).all())
        )

    def after(self, localpart: str, last: tuple[int, int]) -> list[Kept]:
        """As many of those that come after a time and an id."""
        key = self._key(localpart) | {"last_at": last[0], "last_id": last[1]}
        return self._storage.read(
            lambda connection: _page(connection, connection.execute(_SIZES_AFTER, key).all())
        )

    def add(
        self,
        localpart: str,
        messages: Sequence[Moved],
        limits: tuple[int, int],
        now: int,
        *,
        dry_run: bool,
    ) -> tuple[int, int]:
        """Keep messages from elsewhere, each where its time puts it.

        Returns how many were kept, and how many are here already. With `dry_run` nothing is
        written.
        """
        key = self._key(localpart)
        max_messages, max_bytes = limits

        def add_messages(connection: Connection) -> tuple[int, int]:
            number, size, _ = connection.execute(_TOTAL, key).one()
            kept = known = 0
            for message in messages:
                if _has(connection, key, message):
                    known += 1
                    continue
                if number >= max_messages or size + len(message.octets) > max_bytes:
                    continue
                number, size, kept = number + 1, size + len(message.octets), kept + 1
                if not dry_run:
                    row = {
                        "host": self._host,
                        "localpart": localpart,
                        "stored_at": message.stored_at or now,
                        "size": len(message.octets),
                        "stanza": message.octets,
                    }
                    connection.execute(_INSERT, row)
            return kept, known

        return self._storage.read(add_messages) if dry_run else self._storage.write(add_messages)

    def delete(self, ids: Sequence[int]) -> None:
        """Messages that were delivered are done with."""

        def delete_messages(connection: Connection) -> None:
            connection.execute(_DELETE, {"ids": list(ids)})

        self._storage.write(delete_messages)

    def delete_soon(self, ids: Sequence[int]) -> None:
        """The same where nobody can wait for it; should it fail, they come again."""
        values = {"ids": list(ids)}
        try:
            self._storage.write_soon(
                lambda connection: connection.execute(_DELETE, values).close()
            )
        except StorageError:
            return  # the store is closed

    def clear(self, localpart: str) -> int:
        """Delete what waits for an account; returns how many messages."""
        key = self._key(localpart)

        def clear_account(connection: Connection) -> int:
            return connection.execute(_CLEAR, key).rowcount

        return self._storage.write(clear_account)

    def count(self, localpart: str) -> int:
        """How many messages wait for an account."""
        key = self._key(localpart)

        def count_messages(connection: Connection) -> int:
            return int(connection.execute(_TOTAL, key).one()[0])

        return self._storage.read(count_messages)

    def expire(self, before: int) -> int:
        """Delete what was stored before a time; returns how many messages."""
        values = {"its_host": self._host, "before": before}

        def delete_expired(connection: Connection) -> int:
            ids = list(connection.execute(_EXPIRED, values).scalars())
            if ids:
                connection.execute(_DELETE, {"ids": ids})
            return len(ids)

        deleted = 0
        # Little by little: others want to write too.
        while batch := self._storage.write(delete_expired):
            deleted += batch
        return deleted

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host, "its_localpart": localpart}


def _page(connection: Connection, sizes: Sequence[Row[Any]]) -> list[Kept]:
    """The first messages of some, whose ids and sizes these are."""
    ids: list[int] = []
    size = 0
    for id_, its_size in sizes:
        size += its_size
        if ids and size > PAGE_BYTES:
            break
        ids.append(id_)
    if not ids:
        return []
    return [Kept(*row) for row in connection.execute(_PAGE, {"ids": ids}).all()]


def _has(connection: Connection, key: dict[str, str], message: Moved) -> bool:
    """Whether a message is here: of its time, or of any where that is not known."""
    statement, values = _STANZAS, dict[str, object](key)
    if message.stored_at:
        statement, values["at"] = _STANZAS_AT, message.stored_at
    return any(map(message.is_in, connection.execute(statement, values).scalars().all()))
