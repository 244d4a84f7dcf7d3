"""How long messages stay: the oldest go first, a few at a time (XEP-0313, "Message retention")."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from sqlalchemy import Connection, bindparam, delete, func, select

from stonechat.host import Host
from stonechat_mam import catalogue, sharing
from stonechat_mam.ids import LARGEST
from stonechat_mam.tables import ACCOUNTS, CATALOGUE, MESSAGES

# Of one transaction: others want to write too.
DELETED_AT_ONCE = 500
# Accounts that are looked at in one go.
ACCOUNTS_AT_ONCE = 100
PAUSE_SECONDS = 0.005

# Accounts to count again, at the next time; more are not remembered, but they come again.
MAX_TOUCHED = 50_000

_columns = CATALOGUE.c
_IS_OLD = (
    _columns.account == bindparam("its_account"),
    _columns.id < bindparam("before"),
)
_LAST_OF_BATCH = (
    select(_columns.id).where(*_IS_OLD).order_by(_columns.id).limit(1).offset(bindparam("at_once"))
)
_OLD = MESSAGES.c.number.in_(select(_columns.number).where(*_IS_OLD))
_DELETE_PLACES = delete(CATALOGUE).where(*_IS_OLD)
_HAS_OLD = select(_columns.id).where(*_IS_OLD).limit(1)
_BEYOND = (
    select(_columns.id)
    .where(_columns.account == bindparam("its_account"))
    .order_by(_columns.id.desc())
    .limit(1)
    .offset(bindparam("most"))
)
_COUNT = select(func.count()).where(
    _columns.account == bindparam("its_account"), _columns.id >= bindparam("floor")
)
_NEXT_ACCOUNTS = (
    select(ACCOUNTS.c.localpart, ACCOUNTS.c.number)
    .where(ACCOUNTS.c.host == bindparam("its_host"), ACCOUNTS.c.localpart > bindparam("after"))
    .order_by(ACCOUNTS.c.localpart)
    .limit(bindparam("at_once"))
)


class Retention:
    """Deletes messages of one host. Methods block, and raise StorageError."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._touched: set[int] = set()

    def touch(self, account: int) -> None:
        """The account may have too many messages now."""
        if len(self._touched) < MAX_TOUCHED:
            self._touched.add(account)

    def count(self, account: int, floor: int = 0) -> int:
        """How many messages an account has from an id on."""
        values = {"its_account": account, "floor": floor}

        def count_messages(connection: Connection) -> int:
            return int(connection.execute(_COUNT, values).scalar_one())

        return self._host.storage.read(count_messages)

    def delete(self, account: int, before: int = LARGEST) -> int:
        """Delete an account's messages with lesser ids; returns how many."""

        def delete_some(connection: Connection) -> tuple[int, bool]:
            values = {"its_account": account, "before": before}
            limit = {"at_once": DELETED_AT_ONCE}
            last = connection.execute(_LAST_OF_BATCH, values | limit).scalar()
            if last is not None:
                values["before"] = last
            sharing.drop(connection, account, _OLD, values)
            catalogue.give_back(connection)
            return connection.execute(_DELETE_PLACES, values).rowcount, last is None

        deleted = 0
        while True:
            some, is_done = self._host.storage.write(delete_some)
            deleted += some
            if is_done:
                return deleted
            gevent.sleep(PAUSE_SECONDS)

    def delete_everywhere(self, before: int) -> int:
        """Delete what all accounts have with lesser ids; returns how many messages."""
        deleted = 0
        after: str | None = ""
        while after is not None:
            after, numbers = self._host.storage.read(self._with_old(after, before))
            for number in numbers:
                deleted += self.delete(number, before)
        return deleted

    def _with_old(
        self, after: str, before: int
    ) -> Callable[[Connection], tuple[str | None, list[int]]]:
        """A work: of the next accounts those with old messages, and where to go on."""

        def look(connection: Connection) -> tuple[str | None, list[int]]:
            key = {"its_host": self._host.name, "after": after, "at_once": ACCOUNTS_AT_ONCE}
            accounts = connection.execute(_NEXT_ACCOUNTS, key).all()
            numbers = [
                number
                for _, number in accounts
                if connection.execute(_HAS_OLD, {"its_account": number, "before": before}).scalar()
            ]
            last = accounts[-1][0] if len(accounts) == ACCOUNTS_AT_ONCE else None
            return last, numbers

        return look

    def trim(self, most: int) -> int:
        """Delete what touched accounts have beyond so many messages; returns how many."""
        deleted = 0
        touched, self._touched = self._touched, set()
        for account in touched:
            values = {"its_account": account, "most": most}

            def beyond(connection: Connection, values: dict[str, int] = values) -> int | None:
                last: int | None = connection.execute(_BEYOND, values).scalar()
                return last

            last = self._host.storage.read(beyond)
            if last is not None:
                deleted += self.delete(account, last + 1)
        return deleted
