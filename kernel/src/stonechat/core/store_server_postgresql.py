"""PostgreSQL, by psycopg 3."""

from __future__ import annotations

from typing import Any

from stonechat.core.store_queue import NORMAL, OFF
from stonechat.core.store_server_session import (
    CONNECT_SECONDS,
    IDLE_SECONDS,
    Database,
    Fault,
    ServerConnection,
    Session,
    driver_error,
)
from stonechat.errors import ConfigError, StorageError

# "STCH" as a number, as in the files of SQLite, and which of our locks.
_TAKE_LOCK = "SELECT pg_try_advisory_lock(1398031176, 1)"

# What PostgreSQL calls its errors (its manual, appendix A): classes, then single ones.
_LOST = ("08", "57P")
_FULL = ("53",)
# Broken constraints, and values that do not fit. A statement that is wrong is ours, and to
# its caller a database that fails.
_WORK = ("22", "23")
_REPEAT = {"40001", "40P01", "55P03"}
_LATE = {"57014"}
# Of class 53, 53300 is "too many connections"; of class 25, 25006 "read-only" on a server
# that has become a standby, and 25P03 our own limit for idle transactions.
_LOST_TOO = {"53300", "25P03"}


def fault_of(code: str) -> Fault:
    """What an SQLSTATE of PostgreSQL means."""
    if code in _LATE:
        return Fault.LATE
    if code in _REPEAT:
        return Fault.REPEAT
    if code in _LOST_TOO or code.startswith(_LOST):
        return Fault.LOST
    if code.startswith(_FULL):
        return Fault.FULL
    return Fault.WORK if code.startswith(_WORK) else Fault.OTHER


class PostgreSQL(Database):
    label = "PostgreSQL"
    module = "psycopg"
    extra = "postgresql"
    backup_tool = "pg_dump"
    check_tool = "pg_amcheck"

    def connect(self, arguments: list[Any], options: dict[str, Any]) -> Any:
        from stonechat.core.store_server_psycopg import StoresConnection

        for name, value in (
            ("connect_timeout", CONNECT_SECONDS),
            ("application_name", "stonechat"),
            # Of a server with a standby, the one that takes writes.
            ("target_session_attrs", "read-write"),
            ("keepalives_idle", 30),
            ("keepalives_interval", 10),
            ("keepalives_count", 3),
            ("tcp_user_timeout", int((self.seconds + 1) * 1000)),
        ):
            options.setdefault(name, value)
        return StoresConnection.connect(*arguments, **options, autocommit=True)

    def wait_until(self, driver: Any, moment: float) -> None:
        driver.until = moment

    def new_session(self, connection: ServerConnection, *, writes: bool) -> Session:
        return PostgreSQLSession(self, connection, writes=writes)

    def fault(self, error: BaseException) -> Fault:
        import psycopg

        cause = driver_error(error)
        if not isinstance(cause, psycopg.Error):
            return Fault.WORK
        if cause.sqlstate is None:
            # Made by psycopg itself: the connection has gone, or a value cannot be sent.
            lost = isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
            return Fault.LOST if lost else Fault.WORK
        return fault_of(cause.sqlstate)


class PostgreSQLSession(Session):
    def greet(self) -> None:
        milliseconds = int(self.database.seconds * 1000)
        commit = "off" if self.database.durability == "memory" else "on"
        self.run(
            f"SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds};"
            f" SET idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000};"
            f" SET synchronous_commit = {commit}; SET client_min_messages = warning;"
            " SET bytea_output = hex; SET default_transaction_read_only = off"
        )

    def examine(self) -> list[str]:
        name = self.value("SELECT current_database()")
        encoding = self.value("SHOW server_encoding")
        if encoding != "UTF8":
            raise ConfigError(
                f"storage.url: the database {name} is encoded in {encoding}, which has no room"
                " for all characters; make one by: CREATE DATABASE stonechat ENCODING 'UTF8'"
                " LOCALE 'C.UTF-8' TEMPLATE template0"
            )
        if self.value("SELECT pg_is_in_recovery()") in (True, 1, "1", "t"):
            raise StorageError(f"{self.database.place} is a standby and takes no writes")
        warnings = []
        if self.database.durability == "full":
            for option in ("fsync", "full_page_writes"):
                if self.value(f"SHOW {option}") != "on":
                    warnings.append(
                        f"PostgreSQL runs with {option} = off, so that durability: full cannot"
                        " be kept: a power failure may lose what was promised"
                    )
        return warnings

    def make_versions(self) -> None:
        self.run(
            'CREATE TABLE IF NOT EXISTS stonechat_schema (name VARCHAR(64) COLLATE "C" NOT NULL'
            " PRIMARY KEY, version INTEGER NOT NULL)"
        )

    def begin_read(self, seconds: float) -> None:
        self.run(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" + self._statement_timeout(seconds)
        )

    def begin_write(self, seconds: float, level: int) -> None:
        # Serializable: also with a second writer, all would be as if one came after another.
        statement = "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"
        if self.database.durability == "memory" and level > NORMAL:
            statement += "; SET LOCAL synchronous_commit = on"
        elif self.database.durability != "memory" and level == OFF:
            statement += "; SET LOCAL synchronous_commit = off"
        self.run(statement + self._statement_timeout(seconds))

    def _statement_timeout(self, seconds: float) -> str:
        usual = self.database.seconds
        if usual / 2 <= seconds <= usual:
            return ""
        return f"; SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}"

    def lock(self) -> bool:
        taken = self.value(_TAKE_LOCK)
        return taken in (True, 1, "1", "t")

    def identity(self) -> str:
        # The number of a process may come again.
        return str(
            self.value(
                "SELECT pid || ' ' || backend_start FROM pg_stat_activity"
                " WHERE pid = pg_backend_pid()"
            )
        )

    def end_holder(self, identity: str) -> bool:
        return bool(
            self.run(
                f"SELECT pg_terminate_backend(pid) {_HOLDER}"
                f" AND pid || ' ' || backend_start = '{identity}'"
            )
        )

    def holder(self) -> str:
        rows = self.run(
            f"SELECT pid, application_name, coalesce(host(client_addr), 'a socket') {_HOLDER}"
        )
        if not rows:
            return ""
        pid, name, address = rows[0]
        return f"{name} from {address}, process {pid} of PostgreSQL"


_HOLDER = (
    "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND objsubid = 2 AND classid = 1398031176 AND objid = 1 AND pg_locks.database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)
