"""MySQL and MariaDB, by PyMySQL."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from time import monotonic
from typing import Any

from gevent import monkey

from stonechat.core.store_server_session import (
    CONNECT_SECONDS,
    Database,
    Fault,
    ServerConnection,
    Session,
    driver_error,
)
from stonechat.errors import ConfigError

_CHARSET = "utf8mb4"
_COLLATION = "utf8mb4_bin"

# What MySQL and MariaDB call their errors, by number; from 2000 on it is the client that speaks.
_REPEAT = {1205, 1213, 1412, 1020, 3572}
_LATE = {1969, 3024, 1317, 1028}
_FULL = {1021, 1030, 1114, 1034, 1037, 1038, 1041, 3, 28}
_LOST = {0, 1040, 1053, 1077, 1078, 1079, 1129, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1203}
_LOST_TOO = {1226, 1290, 1792, 1836, 1927, 3169, 4031}
# Duplicates, missing rows, values that do not fit. A statement that is wrong is ours, and to
# its caller a database that fails.
_WORK = {
    *(1022, 1048, 1062, 1169, 1216, 1217, 1264, 1265, 1292, 1364, 1366, 1406, 1451, 1452),
    *(1557, 1586, 1690, 3819, 4025),
}

_LOCK = "CONCAT('stonechat.', MD5(DATABASE()))"


def fault_of(number: int) -> Fault:
    """What an error's number means."""
    if number in _REPEAT:
        return Fault.REPEAT
    if number in _LATE:
        return Fault.LATE
    if number in _FULL:
        return Fault.FULL
    if number in _LOST or number in _LOST_TOO or 2000 <= number < 3000:
        return Fault.LOST
    return Fault.WORK if number in _WORK else Fault.OTHER


class MySQL(Database):
    label = "MySQL"
    module = "pymysql"
    extra = "mysql"
    defines_in_transactions = False
    backup_tool = "mysqldump --single-transaction"
    check_tool = "mysqlcheck"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sockets = _socket_class()

    def connect(self, arguments: list[Any], options: dict[str, Any]) -> Any:
        pymysql: Any = import_module("pymysql")
        charset = options.setdefault("charset", _CHARSET)
        if charset != _CHARSET:
            raise ConfigError(
                f"storage.url: charset={charset} has no room for all characters; leave it out"
            )
        options.setdefault("collation", _COLLATION)
        # Where TLS takes the place of our socket, these hold.
        seconds = max(self.seconds, CONNECT_SECONDS)
        connection = pymysql.connect(
            *arguments,
            **{
                "autocommit": True,
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": seconds,
                "write_timeout": seconds,
                **options,
                "defer_connect": True,
            },
        )
        own = self._open_socket(connection)
        try:
            connection.connect(own)
        except BaseException:
            own.close()
            raise
        connection.stores_socket = own
        return connection

    def _open_socket(self, connection: Any) -> Any:
        """A socket of the system's own, also in a process that gevent has patched."""
        pymysql: Any = import_module("pymysql")
        deadline = monotonic() + CONNECT_SECONDS
        try:
            if connection.unix_socket:
                return self._connected(socket.AF_UNIX, connection.unix_socket, deadline)
            resolve = monkey.get_original("socket", "getaddrinfo")
            found = resolve(connection.host, connection.port, 0, socket.SOCK_STREAM)
            failure: OSError | None = None
            for family, _, _, _, address in found:
                try:
                    own = self._connected(family, address, deadline)
                except OSError as error:
                    failure = error
                    continue
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    milliseconds = int((self.seconds + 1) * 1000)
                    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
                return own
            raise failure or OSError("the name has no address")
        except OSError as error:
            raise pymysql.err.OperationalError(2003, f"cannot connect: {error}") from error

    def _connected(self, family: int, address: Any, deadline: float) -> Any:
        own = self._sockets(family, socket.SOCK_STREAM)
        try:
            own.wait_until(deadline)
            own.connect(address)
        except BaseException:
            own.close()
            raise
        return own

    def wait_until(self, driver: Any, moment: float) -> None:
        # Under TLS another has its place, and then the time is always the same.
        if driver.stores_socket.fileno() >= 0:
            driver.stores_socket.wait_until(moment)

    def cut(self, driver: Any) -> None:
        with suppress(OSError):
            driver.stores_socket.shutdown(socket.SHUT_RDWR)
        driver.close()

    def new_session(self, connection: ServerConnection, *, writes: bool) -> Session:
        return MySQLSession(self, connection, writes=writes)

    def fault(self, error: BaseException) -> Fault:
        pymysql: Any = import_module("pymysql")
        cause = driver_error(error)
        if isinstance(cause, OSError):
            return Fault.LOST
        if not isinstance(cause, pymysql.Error):
            return Fault.WORK
        number = cause.args[0] if cause.args and isinstance(cause.args[0], int) else -1
        if number == -1:
            lost = isinstance(cause, pymysql.InterfaceError | pymysql.InternalError)
            return Fault.LOST if lost else Fault.WORK
        return fault_of(number)


class MySQLSession(Session):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_mariadb = True
        self._started = 0.0
        self._seconds = 0.0

    def greet(self) -> None:
        self._is_mariadb = "mariadb" in str(self.value("SELECT VERSION()")).lower()
        seconds = max(1, round(self.database.seconds))
        # Not SET NAMES, which is refused by ODBC; the driver has said which characters it sends.
        self.run(f"SET SESSION collation_connection = {_COLLATION}")
        # Strict: what does not fit is refused, not cut.
        self.run(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',"
            f" innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds},"
            " default_storage_engine = InnoDB, foreign_key_checks = 1, unique_checks = 1,"
            " autocommit = 1"
        )
        # Serializable: also with a second writer, all would be as if one came after another.
        level = "SERIALIZABLE" if self.writes else "REPEATABLE READ"
        self.run(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        self._set_seconds(self.database.seconds)

    def examine(self) -> list[str]:
        charset, collation, name = self.run(
            "SELECT @@character_set_database, @@collation_database, DATABASE()"
        )[0]
        if name is None:
            raise ConfigError("storage.url names no database: mysql+pymysql://user@host/stonechat")
        if (charset, collation) != (_CHARSET, _COLLATION):
            raise ConfigError(
                f"storage.url: the database {name} has the collation {collation}; what is written"
                f" to it could not be told apart, or not be kept. ALTER DATABASE `{name}`"
                f" CHARACTER SET {_CHARSET} COLLATE {_COLLATION}"
            )
        # 0: written once a second. 2: written at once, and forced to the disk once a second.
        needed = {"memory": (0, 1, 2, 3), "disk": (1, 2, 3), "full": (1, 3)}
        found = self.value("SELECT @@innodb_flush_log_at_trx_commit")
        durability = self.database.durability
        if int(found) in needed[durability]:
            return []
        warning = (
            f"{self._name} runs with innodb_flush_log_at_trx_commit = {found}, so that durability:"
            f" {durability} cannot be kept: if it crashes, the last second may be lost"
        )
        return [warning]

    @property
    def _name(self) -> str:
        return "MariaDB" if self._is_mariadb else "MySQL"

    def make_versions(self) -> None:
        self.run(
            "CREATE TABLE IF NOT EXISTS stonechat_schema (name VARCHAR(64) COLLATE"
            f" {_COLLATION} NOT NULL PRIMARY KEY, version INTEGER NOT NULL)"
        )

    def begin_read(self, seconds: float) -> None:
        self._set_seconds(seconds)
        self.run("START TRANSACTION READ ONLY")

    def begin_write(self, seconds: float, level: int) -> None:
        self._set_seconds(seconds)
        self.run("START TRANSACTION READ WRITE")

    def _set_seconds(self, seconds: float) -> None:
        """How long a statement may take; said only when it matters."""
        usual = self.database.seconds
        wanted = usual if usual / 2 <= seconds <= usual else seconds
        if abs(wanted - self._seconds) <= 0.1 * wanted:
            return
        if self._is_mariadb:
            self.run(f"SET SESSION max_statement_time = {wanted:.3f}")
        else:
            self.run(f"SET SESSION max_execution_time = {max(1, int(wanted * 1000))}")
        self._seconds = wanted

    @contextmanager
    def defining(self) -> Iterator[None]:
        self._set_seconds(86400.0)
        self.run("SET SESSION lock_wait_timeout = 3600")
        try:
            yield
        finally:
            with suppress(Exception):
                seconds = max(1, round(self.database.seconds))
                self.run(f"SET SESSION lock_wait_timeout = {seconds}")
                self._set_seconds(self.database.seconds)

    def lock(self) -> bool:
        return bool(self.value(f"SELECT GET_LOCK({_LOCK}, 0)") == 1)

    def identity(self) -> str:
        # Numbers of connections begin again when the server does.
        uptime = float(self.run("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
        number = self.value("SELECT CONNECTION_ID()")
        return f"{number} {time.time() - uptime:.0f}"

    def end_holder(self, identity: str) -> bool:
        number, started = identity.split()
        _, now_started = self.identity().split()
        if abs(int(started) - int(now_started)) > 2:
            return False
        if str(self.value(f"SELECT IS_USED_LOCK({_LOCK})")) != number:
            return False
        self.run(f"KILL CONNECTION {int(number)}")
        return True

    def holder(self) -> str:
        number = self.value(f"SELECT IS_USED_LOCK({_LOCK})")
        return f"connection {number} of {self._name}" if number is not None else ""


def _socket_class() -> type[Any]:
    original: Any = monkey.get_original("socket", "socket")

    class StoresSocket(original):  # type: ignore[misc]
        """Waits as long as the store says, and not as PyMySQL does."""

        def settimeout(self, seconds: float | None) -> None:
            """PyMySQL's, and the same for each answer."""

        def wait_until(self, moment: float) -> None:
            super().settimeout(max(0.001, moment - monotonic()))

    return StoresSocket
