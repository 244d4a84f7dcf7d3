"""The store on a database server: PostgreSQL, MySQL, MariaDB, or one reached by ODBC.

Drivers block, so all talk with the server is in threads of the store's own: one that
writes, a few that read, each with a connection. A lock in the database keeps a second
server out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import URL, Connection

from stonechat.core import store_schema
from stonechat.core.breaker import MAX_WAITING
from stonechat.core.store_base import DEADLINE, SLOW, NodeStore
from stonechat.core.store_circuit import Circuit
from stonechat.core.store_file import DirectoryLock
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_readers import Readers
from stonechat.core.store_server_reader import ServerReader
from stonechat.core.store_server_session import Database
from stonechat.core.store_server_writer import ServerWriter
from stonechat.core.store_slow import SlowLog
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import Durability

if TYPE_CHECKING:
    from stonechat.core.config_model import Storage as StorageOptions

log = logging.getLogger("stonechat.store")

# By SQLAlchemy's names; the first of each is what is meant without a driver.
_DATABASES = {
    "postgresql+psycopg": ("store_server_postgresql", "PostgreSQL"),
    "postgresql+pyodbc": ("store_server_odbc", "PostgreSQLByOdbc"),
    "mysql+pymysql": ("store_server_mysql", "MySQL"),
    "mysql+pyodbc": ("store_server_odbc", "MySQLByOdbc"),
    "mariadb+pymysql": ("store_server_mysql", "MySQL"),
    "mariadb+pyodbc": ("store_server_odbc", "MySQLByOdbc"),
    "mssql+pyodbc": ("store_server_mssql", "SQLServer"),
}

# So long without any answer, and the server is taken for one that hangs.
_SILENCE = 1.0


def open_server_store(
    url: URL, options: StorageOptions, data_dir: Path | None, durability: Durability
) -> ServerStore:
    """Open the database that the configuration names."""
    if options.password_file is not None:
        url = url.set(password=options.password_file.read().reveal())
    return ServerStore(
        database_for(url, seconds=options.timeout, durability=durability),
        data_dir=data_dir,
        reader_threads=options.connections,
        slow=options.slow,
    )


def database_for(url: URL, *, seconds: float, durability: Durability) -> Database:
    """What knows the kind of server that a URL names; ConfigError if there is none."""
    name = url.drivername
    if "+" not in name:
        name = next((known for known in _DATABASES if known.startswith(f"{name}+")), name)
    if name not in _DATABASES:
        known = ", ".join(["sqlite", *_DATABASES])
        raise ConfigError(f"storage.url names {name}, which is not known; known are {known}")
    if not url.database and "odbc_connect" not in url.query and not url.host:
        raise ConfigError("storage.url names no database: postgresql://user@host/stonechat")
    module, cls = _DATABASES[name]
    found: type[Database] = getattr(import_module(f"stonechat.core.{module}"), cls)
    return found(url.set(drivername=name), seconds=seconds, durability=durability)


class ServerStore(NodeStore):
    """A database of a server in use."""

    def __init__(
        self,
        database: Database,
        *,
        data_dir: Path | None = None,
        reader_threads: int = 4,
        slow: float = SLOW,
        max_reads_waiting: int = 1000,
        max_writes_waiting: int = 10_000,
    ) -> None:
        super().__init__(database.seconds, database.durability)
        self.database = database
        self._lock: DirectoryLock | None = None
        with ExitStack() as opened:  # closed again if a later step fails
            if data_dir is not None:
                self._lock = DirectoryLock(data_dir)
                opened.callback(self._lock.release)
            self._waker = Waker()
            opened.callback(self._waker.close)
            self._circuit = Circuit(database.label, self._waker)
            slow_log = SlowLog(self._waker, slow)
            self._server_writer = self._writer = ServerWriter(
                database, self._waker, self._circuit, limit=max_writes_waiting, slow=slow_log
            )
            seconds = max(database.seconds, DEADLINE)
            # Twice that, in case that a driver looks at no clock.
            opening = self._waker.new_job(_open, 2 * seconds)
            self._server_writer.start(opening, monotonic() + seconds)
            self._waker.wait(opening)
            self._readers = Readers(
                self._waker,
                [
                    ServerReader(database, self._waker, self._circuit, slow_log)
                    for _ in range(reader_threads)
                ],
                limit=max_reads_waiting,
                eager=True,
            )
            opened.pop_all()

    # Calls

    def read(self, work: Callable[[Connection], Any], *, deadline: float | None = None) -> Any:
        self._admit()
        return super().read(work, deadline=deadline)

    def write(
        self,
        work: Callable[[Connection], Any],
        *,
        durable: bool | None = None,
        deadline: float | None = None,
    ) -> Any:
        self._admit()
        return super().write(work, durable=durable, deadline=deadline)

    def _admit(self) -> None:
        """Let nobody wait in vain: refuse calls while the server does not answer."""
        circuit = self._circuit
        if circuit.is_open:
            raise circuit.refusal()
        waiting = self._waker.waiting
        if waiting < MAX_WAITING:
            return
        now = monotonic()
        if now - circuit.last_success > _SILENCE and now - self._waker.oldest > _SILENCE:
            raise StorageError(f"{waiting} calls wait for {self.database.label} already")

    def _wait(self, job: Job) -> Any:
        try:
            return self._waker.wait(job)
        except StorageError as error:
            if not job.finished and self._circuit.last_success < job.since:
                self._circuit.failed(str(error))
            raise

    def _ensure(self, steps: store_schema.Plan) -> None:
        if steps.old:
            names = ", ".join(sorted(schema.name for schema, _ in steps.old))
            log.info("The tables of %s are about to be altered", names)
        if self.database.defines_in_transactions:
            self.alter(lambda connection: store_schema.carry_out(connection, steps))
        else:
            self.alter(lambda connection: store_schema.carry_out_in_steps(connection, steps))

    # Care

    def backup(self, target: Path) -> NoReturn:
        raise StorageError(
            f"the database is on a server, {self.database.place}: copy it with the server's own"
            f" tool, {self.database.backup_tool}"
        )

    def check(self) -> NoReturn:
        raise StorageError(
            f"the database is on a server, {self.database.place}: have it checked by the"
            f" server's own tool, {self.database.check_tool}"
        )

    def close(self, deadline: float = 10.0) -> None:
        """Carry out what waits, then let go of the database."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._readers.stop(deadline)
        finally:
            try:
                self._writer.stop(deadline)
            except StorageError as error:
                # Its thread may be in a driver that waits for the server.
                log.warning("The database was left without a good-bye: %s", error)
            self._waker.close()
            if self._lock is not None:
                self._lock.release()


def _open(_connection: object) -> None:
    """The work of the job that is done when the store is open."""
