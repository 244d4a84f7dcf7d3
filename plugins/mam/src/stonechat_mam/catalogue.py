"""The catalogue: where in the log an account's messages lie.

Messages are written one behind the other, as they come. Were each entered at once where its
account's are found, a commit would change as many pages of the database as there are people
who talk: with 400 000 messages in an archive that took ten times what the messages
themselves take. So they are entered many at a time, in order, and before anybody looks.

It relies on one writer: rows become visible in the order of their numbers. Every host of
the node enters what all have written.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent.lock import RLock
from sqlalchemy import Column, Connection, Insert, bindparam, func, insert, select, update

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.storage import upsert
from stonechat_mam.tables import CATALOGUE, MESSAGES, STATE

# Messages that are entered together, and how long the last ones may wait.
ENTERED_TOGETHER = 5000
ENTERED_EVERY = 10.0
# Of one transaction: others want to write too.
ENTERED_AT_ONCE = 10_000

_DONE = select(STATE.c.value).where(STATE.c.name == "catalogued")
_LAST = select(func.coalesce(func.max(MESSAGES.c.number), 0))
_MOVE = (
    update(CATALOGUE)
    .where(CATALOGUE.c.account == bindparam("its_account"), CATALOGUE.c.id == bindparam("its_id"))
    .values(number=bindparam("last"))
)
_LOWER = (
    update(STATE)
    .where(STATE.c.name == "catalogued", STATE.c.value > _LAST.scalar_subquery())
    .values(value=_LAST.scalar_subquery())
)


def _entering(account: Column[int], id_: Column[int], peer: Column[int]) -> Insert:
    columns = (account, id_, MESSAGES.c.number, peer, MESSAGES.c.origin)
    return insert(CATALOGUE).from_select(
        ["account", "id", "number", "peer", "origin"],
        select(*columns)
        .where(
            MESSAGES.c.number > bindparam("after"),
            MESSAGES.c.number <= bindparam("until"),
            account.is_not(None),
        )
        .order_by(account, id_),
    )


_ENTER = _entering(MESSAGES.c.account, MESSAGES.c.id, MESSAGES.c.peer)
_ENTER_OTHERS = _entering(MESSAGES.c.other, MESSAGES.c.other_id, MESSAGES.c.other_peer)


class Catalogue:
    """Keeps the catalogue for one host. `committed` says how many messages it has written."""

    def __init__(self, host: Host, committed: Callable[[], int]) -> None:
        self._host = host
        self._committed = committed
        self._is_due = False
        self._turn = RLock()
        self.entered = 0
        """How many of the messages that were committed are in it, at least."""

    def start(self) -> None:
        """Enter what a crash has left, and from now on what has waited long; StorageError."""
        self.update()
        self._host.call_every(ENTERED_EVERY, self.bring_up_to_date)

    def may_be_due(self) -> None:
        """Have messages entered soon if there are many; never blocks."""
        if not self._is_due and self._committed() - self.entered >= ENTERED_TOGETHER:
            self._is_due = True
            self._host.spawn(self.bring_up_to_date)

    def bring_up_to_date(self) -> None:
        """Enter what is committed by now; blocks."""
        self.bring_to(self._committed())
        self._is_due = False

    def bring_to(self, committed: int) -> None:
        """Have so many of the committed messages entered; blocks. Tried again if it fails."""
        with self._turn:
            if self.entered >= committed:
                return
            try:
                self.update()
            except StorageError as error:
                self._host.log.error("catalogue of messages not updated", reason=str(error))

    def update(self) -> None:
        """Enter all that is committed; blocks, StorageError."""
        with self._turn:
            committed = self._committed()
            while not self._host.storage.write(enter):
                pass
            self.entered = committed


def enter(connection: Connection) -> bool:
    """A work: enter messages, in the order they came; whether these were the last."""
    after = connection.execute(_DONE).scalar() or 0
    last = connection.execute(_LAST).scalar_one()
    if last <= after:
        return True
    until = min(last, after + ENTERED_AT_ONCE)
    for statement in (_ENTER, _ENTER_OTHERS):
        connection.execute(statement, {"after": after, "until": until})
    _note(connection, until)
    return bool(until == last)


def enter_again(connection: Connection, account: int, id_: int) -> None:
    """In a work, with all entered but the last message: that is an account's old `id_` now."""
    last = connection.execute(_LAST).scalar_one()
    connection.execute(_MOVE, {"its_account": account, "its_id": id_, "last": last})
    _note(connection, last)


def _note(connection: Connection, until: int) -> None:
    upsert(connection, STATE, {"name": "catalogued", "value": until}, keys=("name",))


def give_back(connection: Connection) -> None:
    """In a work that has deleted messages: the numbers of the last ones will come again."""
    connection.execute(_LOWER)
