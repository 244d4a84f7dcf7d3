"""Microsoft SQL Server, by pyodbc.

No such server has ever been tried: there is none where this was written. The statements are
compiled for it in tests; the way by ODBC is that of two databases that were tried.
"""

from __future__ import annotations

import re
from typing import Any

from stonechat.core.store_server_odbc import ByOdbc
from stonechat.core.store_server_session import (
    CONNECT_SECONDS,
    Fault,
    ServerConnection,
    Session,
)
from stonechat.errors import ConfigError, StorageError

_NUMBER = re.compile(r"\((\d+)\)\s*\(SQL\w+\)|\((\d+)\);")

_REPEAT = {1205, 1222, 3960, 3961, 41302, 41305, 41325}
_FULL = {1101, 1105, 9002, 3958, 3967}
_LOST = {233, 596, 4060, 10053, 10054, 10060, 40197, 40501, 40613, 49918, 6005}
_WORK = {245, 515, 547, 2601, 2627, 2628, 8115, 8152}


class SQLServer(ByOdbc):
    label = "SQL Server"
    extra = "mssql"
    backup_tool = "BACKUP DATABASE"
    check_tool = "DBCC CHECKDB"
    _driver = "ODBC Driver 18 for SQL Server"
    _joins_port = True
    _late = ("HYT00",)

    @property
    def _added(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        return (("APP", "stonechat"), ("Connection Timeout", str(CONNECT_SECONDS)))

    def _engine_options(self) -> dict[str, Any]:
        # Without it long texts would be of the old types NTEXT and IMAGE.
        return {"deprecate_large_types": True, "use_setinputsizes": False}

    def new_session(self, connection: ServerConnection, *, writes: bool) -> Session:
        return SQLServerSession(self, connection, writes=writes)

    def _fault_of(self, code: str, text: str, cause: BaseException) -> Fault:
        if code in ("40001", "40P01"):
            return Fault.REPEAT
        if code.startswith(("22", "23")):
            return Fault.WORK
        for match in _NUMBER.finditer(text):
            number = int(match[1] or match[2])
            for known, fault in (
                (_REPEAT, Fault.REPEAT),
                (_FULL, Fault.FULL),
                (_LOST, Fault.LOST),
                (_WORK, Fault.WORK),
            ):
                if number in known:
                    return fault
        return Fault.OTHER


class SQLServerSession(Session):
    def greet(self) -> None:
        milliseconds = int(self.database.seconds * 1000)
        level = "SERIALIZABLE" if self.writes else "SNAPSHOT"
        self.run(
            f"SET LOCK_TIMEOUT {milliseconds}; SET XACT_ABORT OFF; SET NOCOUNT OFF;"
            " SET ANSI_NULLS ON; SET QUOTED_IDENTIFIER ON; SET IMPLICIT_TRANSACTIONS OFF;"
            f" SET TRANSACTION ISOLATION LEVEL {level}"
        )
        self.driver.timeout = max(1, round(self.database.seconds))

    def examine(self) -> list[str]:
        state = self.value(
            "SELECT snapshot_isolation_state FROM sys.databases WHERE name = DB_NAME()"
        )
        if state != 1:
            name = self.value("SELECT DB_NAME()")
            raise ConfigError(
                f"storage.url: the database {name} cannot show readers one moment of itself."
                f" ALTER DATABASE [{name}] SET ALLOW_SNAPSHOT_ISOLATION ON"
            )
        delayed = self.value("SELECT delayed_durability FROM sys.databases WHERE name = DB_NAME()")
        if delayed == 2 and self.database.durability != "memory":
            warning = (
                "SQL Server runs with DELAYED_DURABILITY = FORCED, so that durability cannot be"
                " kept: if it crashes, what was promised last may be lost"
            )
            return [warning]
        return []

    def make_versions(self) -> None:
        self.run(
            "IF OBJECT_ID('stonechat_schema') IS NULL CREATE TABLE stonechat_schema"
            " (name NVARCHAR(64) COLLATE Latin1_General_100_BIN2 NOT NULL PRIMARY KEY,"
            " version INTEGER NOT NULL)"
        )

    def begin_read(self, seconds: float) -> None:
        self._begin(seconds)

    def begin_write(self, seconds: float, level: int) -> None:
        self._begin(seconds)

    def _begin(self, seconds: float) -> None:
        # To ODBC it is whole seconds.
        self.driver.timeout = max(1, round(seconds))
        self.run("BEGIN TRANSACTION")

    def commit(self) -> None:
        self.run("COMMIT TRANSACTION")

    def rollback(self) -> None:
        self.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")

    def save(self) -> None:
        self.run("SAVE TRANSACTION job")

    def undo(self) -> None:
        if self.value("SELECT XACT_STATE()") != 1:
            raise StorageError("SQL Server undid the transaction")
        self.run("ROLLBACK TRANSACTION job")

    def forget(self) -> None:
        """There, a name may be given again."""

    def lock(self) -> bool:
        return (
            int(
                self.value(
                    "DECLARE @taken INT; EXEC @taken = sp_getapplock @Resource = 'stonechat',"
                    " @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;"
                    " SELECT @taken"
                )
            )
            >= 0
        )

    def identity(self) -> str:
        return str(self.value("SELECT @@SPID"))

    def end_holder(self, identity: str) -> bool:
        # KILL is for administrators; the lock goes when the other end notices.
        return False
