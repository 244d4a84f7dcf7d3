"""Numbers that databases give to rows: where they stand, and how to set that.

A number must not come twice, so those of rows that are gone count, too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, func, select, text

from stonechat.errors import StorageError


def next_number(connection: Connection, column: Column[Any]) -> int:
    """In a work: the number that the next row of the column's table will get, at least."""
    table = column.table
    highest: int = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    names = {"its_table": table.name, "its_column": column.name}
    dialect = connection.dialect.name
    given: int | None = None
    if dialect == "sqlite":
        # There only once a table counts by AUTOINCREMENT.
        if connection.execute(_SQLITE_COUNTS).scalar() is not None:
            given = connection.execute(_SQLITE_LAST, names).scalar()
    elif dialect == "postgresql":
        sequence = connection.execute(_POSTGRESQL_SEQUENCE, names).scalar()
        if sequence is not None:
            # The name comes from the database, quoted as it must be.
            query = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}"  # noqa: S608
            given = connection.exec_driver_sql(query).scalar()
    elif dialect in ("mysql", "mariadb"):
        following = connection.execute(_MYSQL_NEXT, names).scalar()
        given = None if following is None else following - 1
    elif dialect == "mssql":
        given = connection.execute(_MSSQL_LAST, names).scalar()
    else:
        raise StorageError(f"numbers of the database {dialect} are not known")
    return max(highest, int(given or 0)) + 1


def number_from(connection: Connection, column: Column[Any], number: int) -> None:
    """In a change of tables: let the next row of the column's table get this number."""
    # Names and numbers are our own; a change of tables takes no bound values.
    table = column.table
    quoted = connection.dialect.identifier_preparer.format_table(table)
    names = {"its_table": table.name, "its_column": column.name, "last": number - 1}
    dialect = connection.dialect.name
    if dialect == "sqlite":
        if table.dialect_options["sqlite"]["autoincrement"]:
            connection.execute(_SQLITE_FORGET, names)
            connection.execute(_SQLITE_SET, names)
    elif dialect == "postgresql":
        connection.execute(_POSTGRESQL_SET, names)
    elif dialect in ("mysql", "mariadb"):
        set_it = f"ALTER TABLE {quoted} AUTO_INCREMENT = {number:d}"
        connection.exec_driver_sql(set_it)
    elif dialect == "mssql":
        # The next one, or that after it: where no row was ever inserted it begins with this.
        set_it = f"DBCC CHECKIDENT ('{table.name}', RESEED, {number:d})"
        connection.exec_driver_sql(set_it)
    else:
        raise StorageError(f"numbers of the database {dialect} are not known")


_SQLITE_COUNTS = text("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'")
_SQLITE_LAST = text("SELECT seq FROM sqlite_sequence WHERE name = :its_table")
_SQLITE_FORGET = text("DELETE FROM sqlite_sequence WHERE name = :its_table")
_SQLITE_SET = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:its_table, :last)")
_POSTGRESQL_SEQUENCE = text("SELECT pg_get_serial_sequence(:its_table, :its_column)")
_POSTGRESQL_SET = text(
    "SELECT setval(pg_get_serial_sequence(:its_table, :its_column), :last + 1, false)"
)
_MYSQL_NEXT = text(
    "SELECT AUTO_INCREMENT FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :its_table"
)
_MSSQL_LAST = text("SELECT IDENT_CURRENT(:its_table)")
