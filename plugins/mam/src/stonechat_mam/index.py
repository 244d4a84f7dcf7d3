"""The full-text index: FTS5, where the database is SQLite and has it.

A table `mam_fulltext` holds texts under the numbers of their messages, and beside them
words for the accounts that have them and for their conversations, so that a search never
sees what is others'.
Triggers take out what is deleted or retracted, whoever does it, and also while no host
has the index switched on any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import gevent
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    String,
    Text,
    bindparam,
    cast,
    column,
    exc,
    func,
    insert,
    literal,
    select,
    table,
    text,
)

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.storage import upsert
from stonechat_mam.tables import ACCOUNTS, HOSTS, MESSAGES, STATE

# Messages that are indexed in one transaction while the index is being made, and the pause
# between two: others want to write too.
AT_ONCE = 500
PAUSE_SECONDS = 0.02
RETRY_SECONDS = 30.0

_CREATE = (
    text(
        "CREATE VIRTUAL TABLE IF NOT EXISTS mam_fulltext"
        " USING fts5(whose, text, tokenize = 'unicode61 remove_diacritics 2')"
    ),
    text(
        "CREATE TRIGGER IF NOT EXISTS mam_fulltext_deleted AFTER DELETE ON mam_messages"
        " BEGIN DELETE FROM mam_fulltext WHERE rowid = old.number; END"
    ),
    text(
        "CREATE TRIGGER IF NOT EXISTS mam_fulltext_retracted AFTER UPDATE OF text ON mam_messages"
        " WHEN new.text IS NULL BEGIN DELETE FROM mam_fulltext WHERE rowid = old.number; END"
    ),
)

_TEXTS = table(
    "mam_fulltext", column("rowid", Integer), column("whose", Text), column("text", Text)
)
_FIND = select(_TEXTS.c.rowid).where(
    column("mam_fulltext").op("MATCH")(bindparam("words")),
    _TEXTS.c.rowid >= bindparam("low"),
    _TEXTS.c.rowid <= bindparam("high"),
)
_FIND_FIRST = _FIND.order_by(_TEXTS.c.rowid).limit(bindparam("most"))
_FIND_LAST = _FIND.order_by(_TEXTS.c.rowid.desc()).limit(bindparam("most"))

_LAST = select(func.coalesce(func.max(MESSAGES.c.number), 0))
_MINE = MESSAGES.c.account.in_(
    select(ACCOUNTS.c.number).where(ACCOUNTS.c.host == bindparam("its_host"))
)
_RANGE = (
    MESSAGES.c.number > bindparam("after"),
    MESSAGES.c.number <= bindparam("until"),
    MESSAGES.c.text.is_not(None),
)


def _words_for(account: Column[int], peer: Column[int]) -> ColumnElement[str]:
    whose = literal("a") + cast(account, String)
    return whose + " " + whose + "p" + cast(peer, String)


_WHOSE = _words_for(MESSAGES.c.account, MESSAGES.c.peer)
_WHOSE_ELSE = literal(" ") + _words_for(MESSAGES.c.other, MESSAGES.c.other_peer)
_ROWS = select(MESSAGES.c.number, _WHOSE + func.coalesce(_WHOSE_ELSE, ""), MESSAGES.c.text)


_ADD = insert(_TEXTS).prefix_with("OR REPLACE")
_ADD_ALL = _ADD.from_select(["rowid", "whose", "text"], _ROWS.where(*_RANGE))
_ADD_MINE = _ADD.from_select(["rowid", "whose", "text"], _ROWS.where(*_RANGE, _MINE))
_STEP = (
    select(MESSAGES.c.number)
    .where(MESSAGES.c.number <= bindparam("until"))
    .order_by(MESSAGES.c.number.desc())
    .limit(1)
    .offset(bindparam("at_once"))
)
_DISORDERED = select(STATE.c.value).where(STATE.c.name == "disordered")
_STATE = select(HOSTS.c.unindexed).where(HOSTS.c.host == bindparam("its_host"))


class Index:
    """The index of one host's messages. A search is right only once it `is_complete`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.is_complete = False
        self.is_ordered = True
        """Whether all accounts' messages lie in the order of their ids."""

    def start(self) -> bool:
        """Make what is missing, and begin to index what is not; False if there is no FTS5."""
        try:
            unindexed = self._host.storage.write(self._prepare)
            self.is_ordered = not self._host.storage.read(
                lambda connection: connection.execute(_DISORDERED).scalar()
            )
        except _NoIndexError as error:
            self._host.log.warning("full-text search goes without an index", reason=str(error))
            return False
        if unindexed:
            self._host.spawn(self._catch_up, unindexed)
        else:
            self.is_complete = self.is_ordered
        return True

    def _prepare(self, connection: Connection) -> int:
        if connection.dialect.name != "sqlite":
            raise _NoIndexError("only SQLite has the one that is known here")
        try:
            with connection.begin_nested():
                for statement in _CREATE:
                    connection.execute(statement)
        except exc.OperationalError as error:
            raise _NoIndexError(str(error.orig)) from None
        until = connection.execute(_STATE, {"its_host": self._host.name}).scalar()
        if until is None:
            until = connection.execute(_LAST).scalar_one()
            self._note(connection, until)
        return int(until)

    def _note(self, connection: Connection, until: int | None) -> None:
        upsert(connection, HOSTS, {"host": self._host.name, "unindexed": until}, keys=("host",))

    def drop_out(self) -> None:
        """The host goes without an index from now on; what it misses is indexed if it returns."""
        self._host.storage.write(lambda connection: self._note(connection, None))

    def _catch_up(self, until: int) -> None:
        """Index what is there already, the newest first, a few at a time."""
        while until:
            try:
                until = self._host.storage.write(partial(self._add_below, until))
            except StorageError as error:
                self._host.log.error("messages not indexed yet", reason=str(error))
                gevent.sleep(RETRY_SECONDS)
            gevent.sleep(PAUSE_SECONDS)
        self.is_complete = self.is_ordered
        self._host.log.info("full-text index complete")

    def _add_below(self, until: int, connection: Connection) -> int:
        after = connection.execute(_STEP, {"until": until, "at_once": AT_ONCE}).scalar() or 0
        values = {"after": after, "until": until, "its_host": self._host.name}
        connection.execute(_ADD_MINE, values)
        self._note(connection, after)
        return after

    # In a work of the recorder

    def last(self, connection: Connection) -> int:
        """The number of the last message there is."""
        return int(connection.execute(_LAST).scalar_one())

    def add(self, connection: Connection, after: int) -> None:
        """Index what has been written after a number."""
        connection.execute(_ADD_ALL, {"after": after, "until": 2**62})

    # In a work that reads

    def find(
        self,
        connection: Connection,
        account: int,
        peer: int | None,
        words: Sequence[str],
        numbers: tuple[int, int],
        most: int,
        *,
        backwards: bool,
    ) -> list[int]:
        """The numbers of messages that have all these words, from the first or the last on.

        In an account's archive they are in the order of the messages.
        """
        whose = f"a{account}" if peer is None else f"a{account}p{peer}"
        # Words are letters and digits only; each may go on.
        terms = [f'whose : "{whose}"'] + [f'text : "{word}" *' for word in words]
        values = {
            "words": " AND ".join(terms),
            "low": numbers[0],
            "high": numbers[1],
            "most": most,
        }
        statement = _FIND_LAST if backwards else _FIND_FIRST
        return list(connection.execute(statement, values).scalars())


class _NoIndexError(StorageError):
    """The database has no full-text index that we know."""
