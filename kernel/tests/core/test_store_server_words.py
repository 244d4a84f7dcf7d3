"""What drivers are told, and what their errors mean; without a server."""

from __future__ import annotations

from typing import Any

import pyodbc
import pytest
from pymysql.err import IntegrityError as MySQLIntegrityError
from pymysql.err import OperationalError as MySQLOperationalError
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError

from stonechat.core.store_server import database_for
from stonechat.core.store_server_errors import cleaned, without_values
from stonechat.core.store_server_mssql import SQLServer, SQLServerSession
from stonechat.core.store_server_session import Database, Fault
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import StorageFull


def database(url: str) -> Database:
    return database_for(make_url(url), seconds=5.0, durability="disk")


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connection strings that the driver manager gets."""
    strings: list[str] = []

    def connect(text: str, **_options: Any) -> None:
        strings.append(text)
        raise pyodbc.OperationalError("08001", "nobody is there")

    monkeypatch.setattr(pyodbc, "connect", connect)
    return strings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+pyodbc://juliet:R0m30@db.example:5433/stonechat",
            "Driver={PostgreSQL Unicode};Server=db.example;Port=5433;Database=stonechat;",
        ),
        (
            "mysql+pyodbc://juliet:R0m30@db.example:3307/stonechat?driver=MySQL+ODBC",
            "Driver={MySQL ODBC};Server=db.example;Port=3307;Database=stonechat;",
        ),
        (
            "mssql://juliet:R0m30@db.example:1433/stonechat?TrustServerCertificate=yes",
            "Database=stonechat;Uid=juliet;Pwd=R0m30;TrustServerCertificate=yes;",
        ),
        (
            "mssql://juliet@db.example:1433/stonechat",
            "Driver={ODBC Driver 18 for SQL Server};Server=db.example,1433;Database=stonechat;",
        ),
        # What is in a value stays in it.
        (
            "postgresql+pyodbc://juliet:%7Da%3BServer%3Devil@db.example/stonechat",
            "Uid=juliet;Pwd={}}a;Server=evil};",
        ),
        (
            "mysql+pyodbc:///?odbc_connect=DSN%3Dplague%3BOPTION%3D3",
            "DSN=plague;OPTION=3;charset=utf8mb4;CONN_TIMEOUT=",
        ),
    ],
)
def test_a_url_becomes_a_connection_string(connected: list[str], url: str, expected: str) -> None:
    found = database(url)
    with pytest.raises(Exception, match="nobody is there"):
        found.engine.connect()
    assert expected in connected[0]


@pytest.mark.parametrize(
    "url", ["postgresql+asyncpg://x/y", "oracle://x/y", "mysql://", "mssql+pymssql://x/y"]
)
def test_a_url_that_names_nothing_known_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url"):
        database(url)


POSTGRESQL = "postgresql+pyodbc://localhost/x"
MARIADB = "mysql+pyodbc://localhost/x"
MSSQL = "mssql://localhost/x"


def maria(code: str, number: int) -> pyodbc.Error:
    return pyodbc.Error(
        code, f"[{code}] [ma-3.1.15][10.11]what it says ({number}) (SQLExecDirectW)"
    )


def microsoft(code: str, number: int) -> pyodbc.Error:
    return pyodbc.Error(
        code,
        f"[{code}] [Microsoft][ODBC Driver 18][SQL Server]what it says ({number}) (SQLExecute)",
    )


@pytest.mark.parametrize(
    ("url", "error", "fault"),
    [
        (POSTGRESQL, pyodbc.Error("40001", "could not serialize"), Fault.REPEAT),
        (POSTGRESQL, pyodbc.Error("40P01", "deadlock detected"), Fault.REPEAT),
        (POSTGRESQL, pyodbc.Error("23505", "duplicate key"), Fault.WORK),
        (POSTGRESQL, pyodbc.Error("42P01", "no such table"), Fault.OTHER),
        (POSTGRESQL, pyodbc.Error("53100", "disk full"), Fault.FULL),
        (POSTGRESQL, pyodbc.Error("53300", "too many clients"), Fault.LOST),
        (POSTGRESQL, pyodbc.Error("57014", "canceling statement"), Fault.LATE),
        (POSTGRESQL, pyodbc.Error("57P01", "terminating connection"), Fault.LOST),
        (POSTGRESQL, pyodbc.Error("08S01", "could not receive"), Fault.LOST),
        (MARIADB, maria("40001", 1213), Fault.REPEAT),
        (MARIADB, maria("HY000", 1205), Fault.REPEAT),
        (MARIADB, maria("23000", 1062), Fault.WORK),
        (MARIADB, maria("HY000", 1114), Fault.FULL),
        (MARIADB, maria("HY000", 1021), Fault.FULL),
        (MARIADB, maria("70100", 1969), Fault.LATE),
        (MARIADB, maria("HY000", 2013), Fault.LOST),
        (MARIADB, maria("42S02", 1146), Fault.OTHER),
        ("mysql://localhost/x", MySQLOperationalError(1213, "Deadlock"), Fault.REPEAT),
        ("mysql://localhost/x", MySQLOperationalError(2006, "gone away"), Fault.LOST),
        ("mysql://localhost/x", ConnectionResetError(), Fault.LOST),
        ("mysql://localhost/x", KeyError("a work's own"), Fault.WORK),
        (MSSQL, microsoft("40001", 1205), Fault.REPEAT),
        (MSSQL, microsoft("42000", 3960), Fault.REPEAT),
        (MSSQL, microsoft("23000", 2627), Fault.WORK),
        (MSSQL, microsoft("42000", 1105), Fault.FULL),
        (MSSQL, microsoft("42S02", 208), Fault.OTHER),
        (MSSQL, microsoft("08S01", 0), Fault.LOST),
        (MSSQL, pyodbc.Error("HYT00", "timeout expired"), Fault.LATE),
    ],
)
def test_errors_mean_what_the_manuals_say(url: str, error: Exception, fault: Fault) -> None:
    assert database(url).fault(error) is fault


def test_a_full_disk_is_told_apart(connected: list[str]) -> None:
    found = database(MARIADB)
    error = maria("HY000", 1021)
    assert isinstance(found.error_for(error, found.fault(error)), StorageFull)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'there is "lines_key"\nDETAIL:  Key (line)=(a secret vow) already exists.',
            'there is "lines_key"',
        ),
        ("Duplicate entry 'it's a secret' for key 'PRIMARY'", "Duplicate entry '...'"),
        ("Table 'stonechat.lines' doesn't exist", "Table 'stonechat.lines' doesn't exist"),
        (
            "You have an error near 'secret' at line 1\nand ''more'' of it",
            "You have an error near '...' of it",
        ),
    ],
)
def test_values_are_taken_out_of_what_a_server_says(text: str, expected: str) -> None:
    assert cleaned(text) == expected


def test_values_are_taken_out_of_an_error_and_its_cause() -> None:
    cause = MySQLIntegrityError(1062, "Duplicate entry 'a secret vow' for key 'line'")
    error = IntegrityError("INSERT INTO lines", {}, cause, hide_parameters=True)
    without_values(error)
    assert "secret" not in f"{error} {error!r} {cause} {cause!r}"
    assert "Duplicate entry" in str(error)


class Cursor:
    """Writes down what SQL Server would be told."""

    description = None

    def __init__(self, told: list[str], answers: dict[str, Any]) -> None:
        self._told = told
        self._answers = answers

    def execute(self, statement: str) -> None:
        self._told.append(statement)
        for part, answer in self._answers.items():
            if part in statement:
                self.description = ("answer",)  # type: ignore[assignment]
                self._answer = answer

    def fetchall(self) -> list[tuple[Any]]:
        return [(self._answer,)]

    def close(self) -> None:
        """Nothing to do."""


def microsoft_session(answers: dict[str, Any]) -> tuple[SQLServerSession, list[str]]:
    told: list[str] = []

    class Driver:
        timeout = 0

        def cursor(self) -> Cursor:
            return Cursor(told, answers)

    class Connection:
        driver = Driver()

    found = database(MSSQL)
    assert isinstance(found, SQLServer)
    connection: Any = Connection()
    return SQLServerSession(found, connection, writes=True), told


def test_sql_server_is_told_of_transactions_in_its_own_words() -> None:
    session, told = microsoft_session({"XACT_STATE": 1})
    session.greet()
    session.begin_write(2.0, 1)
    session.save()
    session.undo()
    session.commit()
    assert told[1:] == [
        "BEGIN TRANSACTION",
        "SAVE TRANSACTION job",
        "SELECT XACT_STATE()",
        "ROLLBACK TRANSACTION job",
        "COMMIT TRANSACTION",
    ]
    assert session.driver.timeout == 2


def test_a_transaction_that_sql_server_undid_is_not_gone_on_with() -> None:
    session, _ = microsoft_session({"XACT_STATE": -1})
    with pytest.raises(StorageError):
        session.undo()


@pytest.mark.parametrize(("answer", "expected"), [(0, True), (1, True), (-1, False)])
def test_sql_server_says_whether_the_lock_was_free(answer: int, expected: bool) -> None:
    session, _ = microsoft_session({"sp_getapplock": answer})
    assert session.lock() is expected


def test_a_database_of_sql_server_without_snapshots_is_refused_with_what_mends_it() -> None:
    session, _ = microsoft_session({"snapshot_isolation_state": 0, "DB_NAME()": "stonechat"})
    with pytest.raises(ConfigError, match=r"ALTER DATABASE .* ALLOW_SNAPSHOT_ISOLATION ON"):
        session.examine()
