"""Who has logged in once: for auth backends whose store cannot tell which accounts exist.

class Backend(AuthBackend):
    schema = seen_schema("auth_example")

    def __init__(self, host, options):
        super().__init__(host, options)
        self.seen = SeenAccounts(host, self.schema)

    def check_password(self, localpart, password):
        if not self._is_right(localpart, password):
            return False
        self.seen.note(localpart)
        return True

    def user_exists(self, localpart):
        return self.seen.has(localpart)
"""

from __future__ import annotations

from collections import OrderedDict

from sqlalchemy import Column, Connection, MetaData, Table, bindparam, func, select

from stonechat.host import Host
from stonechat.storage import LocalText, Schema, host_column, upsert

__all__ = ["SeenAccounts", "seen_schema"]

# Who logs in, and whom a message is for, is looked for again and again.
MAX_KNOWN = 10_000


def seen_schema(name: str) -> Schema:
    """The table for one backend, whose name no other plugin's schema has."""
    metadata = MetaData()
    Table(
        f"{name}_seen",
        metadata,
        host_column(),
        Column("localpart", LocalText, primary_key=True),
    )
    return Schema(name, 1, metadata)


class SeenAccounts:
    """The accounts of one host that have been here. All may block, and raise StorageError.

    They are never forgotten by themselves: who has been removed from where the passwords
    are does not come back, but what is kept for him stays.

    Since 0.1.
    """

    def __init__(self, host: Host, schema: Schema) -> None:
        self._host = host
        (self._table,) = schema.metadata.tables.values()
        columns = self._table.c
        ours = columns.host == bindparam("its_host")
        self._find = select(func.count()).where(
            ours, columns.localpart == bindparam("its_localpart")
        )
        self._page = (
            select(columns.localpart)
            .where(ours, columns.localpart > bindparam("after"))
            .order_by(columns.localpart)
            .limit(bindparam("most"))
        )
        self._count = select(func.count()).select_from(self._table).where(ours)
        self._known: OrderedDict[str, None] = OrderedDict()

    def note(self, localpart: str) -> None:
        """The account has logged in."""
        if self.has(localpart):
            return
        row = {"host": self._host.name, "localpart": localpart}

        def work(connection: Connection) -> None:
            upsert(connection, self._table, row, ("host", "localpart"))

        self._host.storage.write(work)
        self._remember(localpart)

    def has(self, localpart: str) -> bool:
        """Whether the account has ever logged in."""
        if localpart in self._known:
            self._known.move_to_end(localpart)
            return True
        values = {"its_host": self._host.name, "its_localpart": localpart}

        def work(connection: Connection) -> bool:
            return bool(connection.execute(self._find, values).scalar())

        if not self._host.storage.read(work):
            return False
        self._remember(localpart)
        return True

    def names(self, after: str = "", limit: int = 1000) -> list[str]:
        """At most `limit` localparts greater than `after`, in order of their code points."""
        values = {"its_host": self._host.name, "after": after, "most": limit}

        def work(connection: Connection) -> list[str]:
            return list(connection.execute(self._page, values).scalars())

        return self._host.storage.read(work)

    def count(self) -> int:
        """How many there are."""
        values = {"its_host": self._host.name}

        def work(connection: Connection) -> int:
            return int(connection.execute(self._count, values).scalar() or 0)

        return self._host.storage.read(work)

    def _remember(self, localpart: str) -> None:
        self._known[localpart] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
