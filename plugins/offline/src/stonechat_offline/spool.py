"""The spool: messages in the store, in the order of their times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    bindparam,
    delete,
    func,
    insert,
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

        def read_messages(connection: Connection) -> list[Kept]:
            ids: list[int] = []
            size = 0
            for id_, its_size in connection.execute(_SIZES, key).all():
                size += its_size
                if ids and size > PAGE_BYTES:
                    break
                ids.append(id_)
            if not ids:
                return []
            rows = connection.execute(_PAGE, {"ids": ids}).all()
            return [Kept(*row) for row in rows]

        return self._storage.read(read_messages)

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
