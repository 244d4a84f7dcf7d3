"""What the store has to know about a database server: a `Database` for each kind and driver.

What differs only in SQL is a `Session`'s, one for each connection; how to connect, how long
to wait for an answer, and what an error means is the `Database`'s.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from time import monotonic
from typing import Any, ClassVar

from sqlalchemy import URL, Engine, create_engine, event, exc
from sqlalchemy.pool import NullPool

from stonechat.core.store_connection import StoreConnection
from stonechat.core.store_server_errors import said, without_values
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import Durability, StorageFull

# For a connection to be made and greeted.
CONNECT_SECONDS = 3

# The server gives up a statement by itself first; this much later its answer is not waited
# for any more, and the connection is lost.
GRACE_SECONDS = 0.5

# A transaction that does nothing for so long belongs to a machine that has gone.
IDLE_SECONDS = 60

_TRANSACTION_CONTROL = re.compile(
    r"\s*(?:BEGIN|COMMIT|END|ABORT|START\s+TRANSACTION|ROLLBACK(?!\s+(?:WORK\s+)?TO\b))\b",
    re.IGNORECASE,
)
_DEFINITION = re.compile(r"\s*(?:CREATE|ALTER|DROP|TRUNCATE|RENAME|LOCK|UNLOCK)\b", re.IGNORECASE)


class Fault(Enum):
    """What an exception means for the connection and the transaction."""

    LOST = auto()  # the connection has gone, and with it what was not committed
    REPEAT = auto()  # another transaction was in the way: the same again may succeed
    FULL = auto()  # no room
    LATE = auto()  # the server gave the statement up
    OTHER = auto()  # the server refused, for another reason
    WORK = auto()  # the work's own: a broken constraint, or nothing of the database's


class ServerConnection(StoreConnection):
    """What a work gets; it keeps an eye on the statements."""

    def __init__(self, engine: Engine, *, may_define: bool, cuts_at_nul: bool = False) -> None:
        self.cuts_at_nul = cuts_at_nul
        # Elsewhere a change of tables is part of a transaction, like all else.
        self._may_always_define = may_define
        self.may_define = True
        self.errors = 0
        self.slowest = 0.0
        self.slowest_statement = ""
        self._begun = 0.0
        super().__init__(engine)

    def begin_work(self, *, may_define: bool = False) -> None:
        """Another work begins."""
        self.may_define = may_define or self._may_always_define
        self.errors = 0
        self.slowest = 0.0
        self.slowest_statement = ""

    def before_statement(self, statement: str, values: Any) -> None:
        if _TRANSACTION_CONTROL.match(statement):
            raise StorageError("the store begins and ends transactions, and not a work")
        if not self.may_define and _DEFINITION.match(statement):
            # It would commit what others have written.
            raise StorageError("a work does not change tables: that is for `ensure`")
        if self.cuts_at_nul and _holds_nul(values):
            raise StorageError("a text holds the character NUL, which this database cannot keep")
        self._begun = monotonic()

    def after_statement(self, statement: str) -> None:
        seconds = monotonic() - self._begun
        if seconds > self.slowest:
            self.slowest = seconds
            self.slowest_statement = statement


class Database(ABC):
    """One kind of database server, by one driver."""

    label: ClassVar[str]  # for people
    module: ClassVar[str]  # the driver, and how it is installed
    extra: ClassVar[str]
    # Whether a change of tables can be undone, like any other.
    defines_in_transactions: ClassVar[bool] = True
    # Whether the driver takes the character NUL for the end of a text, and says nothing.
    cuts_at_nul: ClassVar[bool] = False
    # What copies and what examines a database of this kind.
    backup_tool: ClassVar[str]
    check_tool: ClassVar[str]

    def __init__(self, url: URL, *, seconds: float, durability: Durability) -> None:
        self.url = url
        self.seconds = seconds
        self.durability: Durability = durability
        self._check_driver()
        # hide_parameters: values are messages and credentials, and errors go to the log.
        # The store begins and ends transactions itself, so to SQLAlchemy there are none.
        self.engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            **self._engine_options(),
        )
        event.listen(self.engine, "do_connect", self._connect_for)
        event.listen(self.engine, "before_cursor_execute", _before)
        event.listen(self.engine, "after_cursor_execute", _after)
        event.listen(self.engine, "handle_error", _failed)

    def _check_driver(self) -> None:
        try:
            __import__(self.module)
        except ImportError as error:
            raise ConfigError(
                f"storage.url names {self.label}, and {self.module}, which speaks with it, cannot"
                f" be loaded ({error}): pip install 'stonechat[{self.extra}]'"
            ) from error

    def _engine_options(self) -> dict[str, Any]:
        return {}

    def _connect_for(
        self, _dialect: object, _record: object, arguments: Any, options: dict[str, Any]
    ) -> Any:
        return self.connect(list(arguments), options)

    @property
    def place(self) -> str:
        """Where the database is, without a password."""
        return self.url.render_as_string(hide_password=True).partition("?")[0]

    @abstractmethod
    def connect(self, arguments: list[Any], options: dict[str, Any]) -> Any:
        """A connection of the driver's, in the store's own threads."""

    @abstractmethod
    def new_session(self, connection: ServerConnection, *, writes: bool) -> Session:
        """What to say on a connection."""

    @abstractmethod
    def wait_until(self, driver: Any, moment: float) -> None:
        """From now on let no answer be waited for any longer than that (`monotonic`)."""

    def cut(self, driver: Any) -> None:
        """Let go of a connection that may not answer."""
        driver.close()

    @abstractmethod
    def fault(self, error: BaseException) -> Fault: ...

    def error_for(self, error: BaseException, fault: Fault) -> BaseException:
        """What the caller of the store gets for an exception."""
        if isinstance(error, exc.DBAPIError):
            without_values(error)
        if fault is Fault.WORK:
            return error
        if fault is Fault.LATE:
            text = "the store did not answer in time"
        else:
            text = f"the database failed: {said(error)}"
        wrapped = (StorageFull if fault is Fault.FULL else StorageError)(text)
        wrapped.__cause__ = error
        return wrapped


class Session(ABC):
    """One connection, and what is said on it besides the statements of works."""

    def __init__(self, database: Database, connection: ServerConnection, *, writes: bool) -> None:
        self.database = database
        self.connection = connection
        self.driver = connection.driver
        self.writes = writes

    def run(self, statement: str) -> list[Any]:
        """Carry out a statement of the store's own, past SQLAlchemy."""
        cursor = self.driver.cursor()
        try:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def value(self, statement: str) -> Any:
        rows = self.run(statement)
        return rows[0][0] if rows else None

    @abstractmethod
    def greet(self) -> None:
        """Set what holds for the whole session."""

    @abstractmethod
    def examine(self) -> list[str]:
        """Look whether the database can keep what the store promises.

        ConfigError, with what mends it, if it cannot; otherwise what the operator should
        know, in sentences.
        """

    @abstractmethod
    def make_versions(self) -> None:
        """Make the table of the schemas' versions, if it is not there."""

    # Transactions; `seconds` is what the statements in them may take

    @abstractmethod
    def begin_read(self, seconds: float) -> None: ...

    @abstractmethod
    def begin_write(self, seconds: float, level: int) -> None: ...

    def commit(self) -> None:
        self.run("COMMIT")

    def rollback(self) -> None:
        self.run("ROLLBACK")

    def save(self) -> None:
        self.run("SAVEPOINT job")

    def undo(self) -> None:
        """Undo what came after `save`, and forget that point."""
        self.run("ROLLBACK TO SAVEPOINT job")
        self.run("RELEASE SAVEPOINT job")

    def forget(self) -> None:
        """Forget the point of `save`."""
        self.run("RELEASE SAVEPOINT job")

    def ping(self) -> None:
        self.run("SELECT 1")

    @contextmanager
    def defining(self) -> Iterator[None]:
        """Around a change of tables that is no transaction's."""
        yield

    # Only one server at a time

    @abstractmethod
    def lock(self) -> bool:
        """Take the lock on the database; False if another has it."""

    @abstractmethod
    def identity(self) -> str:
        """What tells this session from all others of the database server."""

    @abstractmethod
    def end_holder(self, identity: str) -> bool:
        """End the session that holds the lock, if it is that one; says whether it was."""

    def holder(self) -> str:
        """Who holds the lock, for people."""
        return ""


def driver_error(error: BaseException) -> BaseException | None:
    """The driver's exception in one of SQLAlchemy's, or itself."""
    return error.orig if isinstance(error, exc.DBAPIError) else error


def _holds_nul(values: Any) -> bool:
    if isinstance(values, str):
        return "\0" in values
    if isinstance(values, dict):
        values = values.values()
    return (
        isinstance(values, Iterable)
        and not isinstance(values, bytes)
        and any(_holds_nul(value) for value in values)
    )


def _before(connection: Any, _cursor: Any, statement: str, values: Any, *_arguments: Any) -> None:
    if isinstance(connection, ServerConnection):
        connection.before_statement(statement, values)


def _after(connection: Any, _cursor: Any, statement: str, *_arguments: Any) -> None:
    if isinstance(connection, ServerConnection):
        connection.after_statement(statement)


def _failed(context: Any) -> None:
    # What is lost is the store's to see and to let go of.
    context.is_disconnect = False
    connection = context.connection
    if isinstance(connection, ServerConnection):
        connection.errors += 1
        if context.statement:
            connection.after_statement(context.statement)
