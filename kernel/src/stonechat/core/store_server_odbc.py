"""PostgreSQL and MySQL by ODBC: pyodbc, through the drivers that the system has.

A driver waits in C, where nothing reaches it: a thread of the store's may be held until the
server answers again, or the system gives the connection up. Callers do not wait for that.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy import URL, String
from sqlalchemy.connectors.pyodbc import PyODBCConnector
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine.interfaces import BindTyping

from stonechat.core import store_server_mysql, store_server_postgresql
from stonechat.core.store_server_mysql import MySQL
from stonechat.core.store_server_postgresql import PostgreSQL
from stonechat.core.store_server_session import (
    CONNECT_SECONDS,
    Database,
    Fault,
    driver_error,
)

_NUMBER = re.compile(r"\((\d+)\) \(SQL\w+\)")


class _CastString(String):
    render_bind_cast = True


class PostgreSQLDialect(PyODBCConnector, PGDialect):
    """PostgreSQL's words and ODBC's ways, which SQLAlchemy has apart only."""

    driver = "pyodbc"
    supports_statement_cache = True
    default_paramstyle = "qmark"
    # A text may stand where PostgreSQL cannot tell what it is.
    bind_typing = BindTyping.RENDER_CASTS
    colspecs = PGDialect.colspecs | {String: _CastString}

    def _get_server_version_info(self, connection: Any) -> Any:
        # PyODBCConnector's would ask the driver manager.
        return PGDialect._get_server_version_info(self, connection)  # type: ignore[no-untyped-call]


registry.register("postgresql.pyodbc", __name__, "PostgreSQLDialect")


class ByOdbc(Database):
    """What all drivers have in common."""

    module = "pyodbc"
    extra = "odbc"
    # The driver that is meant if the URL names none.
    _driver: ClassVar[str]
    # Whether the port is written after the name of the server, and not by itself.
    _joins_port: ClassVar[bool] = False
    # By which state the driver says that it gave a statement up, and kept the connection.
    _late: ClassVar[tuple[str, ...]] = ()
    # What is added to the connection string, if nothing there says so already.
    _added: tuple[tuple[str, str], ...] = ()

    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(self._spelled_out(url), **options)
        self.url = url

    def _spelled_out(self, url: URL) -> URL:
        """The URL with a connection string; SQLAlchemy writes ports as one driver alone wants."""
        if "odbc_connect" in url.query or not url.database:
            return url  # spelled out already, or the name of a data source
        query = dict(url.query)
        parts = {
            "Driver": query.pop("driver", self._driver),
            "Server": f"{url.host},{url.port}" if self._joins_port and url.port else url.host,
            "Port": None if self._joins_port else url.port,
            "Database": url.database,
            "Uid": url.username,
            "Pwd": url.password,
            **query,
        }
        text = ";".join(
            f"{name}={_quoted(str(value))}" for name, value in parts.items() if value is not None
        )
        return URL.create(url.drivername, query={"odbc_connect": text})

    def connect(self, arguments: list[Any], options: dict[str, Any]) -> Any:
        pyodbc: Any = import_module("pyodbc")
        # The store keeps its connections itself, and in a pool of the driver manager's one
        # would go on living, with our lock on the database.
        pyodbc.pooling = False
        given = arguments[0]
        if self.url.password and not re.search(r"\b(pwd|password)\s*=", given, re.IGNORECASE):
            given += f";Pwd={_quoted(self.url.password)}"
        for name, value in self._added:
            if not re.search(rf"\b{name}\s*=", given, re.IGNORECASE):
                given += f";{name}={value}"
        return pyodbc.connect(
            given, *arguments[1:], **{"timeout": CONNECT_SECONDS, "autocommit": True, **options}
        )

    def wait_until(self, driver: Any, moment: float) -> None:
        """Not to be had: the server's own limits have to do."""

    def cut(self, driver: Any) -> None:
        with suppress(Exception):
            driver.close()

    def fault(self, error: BaseException) -> Fault:
        pyodbc: Any = import_module("pyodbc")
        cause = driver_error(error)
        if not isinstance(cause, pyodbc.Error):
            return Fault.WORK
        code = str(cause.args[0]) if cause.args else ""
        text = str(cause.args[-1]) if cause.args else ""
        if code in self._late:
            return Fault.LATE
        if code.startswith("08") or code in ("HYT00", "HYT01"):
            return Fault.LOST
        return self._fault_of(code, text, cause)

    def _fault_of(self, code: str, text: str, cause: BaseException) -> Fault:
        raise NotImplementedError


def _quoted(value: str) -> str:
    """A value in a connection string."""
    return "{" + value.replace("}", "}}") + "}" if re.search(r"[^\w.,:/@-]", value) else value


class PostgreSQLByOdbc(ByOdbc, PostgreSQL):
    _driver = "PostgreSQL Unicode"
    cuts_at_nul = True

    @property
    def _added(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        milliseconds = int((self.seconds + 1) * 1000)
        options = (
            f"connect_timeout={CONNECT_SECONDS} application_name=stonechat"
            f" tcp_user_timeout={milliseconds} keepalives_idle=30 keepalives_interval=10"
        )
        return (
            ("pqopt", f"{{{options}}}"),
            ("MaxLongVarcharSize", "0"),
            ("UseDeclareFetch", "0"),
            # Otherwise yes and no are the texts "1" and "0", which are both true.
            ("BoolsAsChar", "0"),
        )

    def _fault_of(self, code: str, text: str, cause: BaseException) -> Fault:
        if code in ("HY000", "HY010"):
            return Fault.LOST
        return store_server_postgresql.fault_of(code)


class MySQLByOdbc(ByOdbc, MySQL):
    _driver = "MariaDB Unicode"

    @property
    def _added(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        seconds = str(max(1, round(self.seconds + 1)))
        return (
            ("charset", "utf8mb4"),
            # An UPDATE counts the rows that it finds, and not those that it makes different.
            ("OPTION", "2"),
            ("CONN_TIMEOUT", str(CONNECT_SECONDS)),
            ("READ_TIMEOUT", seconds),
            ("WRITE_TIMEOUT", seconds),
        )

    def _fault_of(self, code: str, text: str, cause: BaseException) -> Fault:
        number = _NUMBER.search(text)
        if number is None:
            return Fault.OTHER
        return store_server_mysql.fault_of(int(number[1]))
