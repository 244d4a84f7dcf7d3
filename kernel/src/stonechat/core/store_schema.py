"""Schema versions: which tables are there, and what leads from them to what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    event,
    insert,
    inspect,
    select,
    update,
)

from stonechat.errors import StorageError
from stonechat.storage import Schema

# Made by stonechat.core.store_file together with the file, and on a server by its session.
#
# Where a change of tables cannot be undone (MySQL), the version says what is under way:
# 0 while the tables are made, -n while they are brought to version n.
_versions = Table(
    "stonechat_schema",
    MetaData(),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)


# The schema of the notes that a move of all data makes, and takes away when it is done.
MOVING = "moving"


@dataclass(slots=True)
class Plan:
    """What is to be done before plugins may use their tables."""

    new: list[Schema] = field(default_factory=list)
    # Each with the version that is there.
    old: list[tuple[Schema, int]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """For the name of the copy that is kept: what was altered after it."""
        schema, _ = self.old[0]
        others = f"-and-{len(self.old) - 1}-more" if len(self.old) > 1 else ""
        return f"before-{schema.name}-{schema.version}{others}"


def recorded_versions(connection: Connection) -> dict[str, int]:
    """The versions of the tables that are there."""
    rows = connection.execute(select(_versions.c.name, _versions.c.version)).all()
    return {row.name: row.version for row in rows}


def plan(recorded: Mapping[str, int], schemas: Sequence[Schema]) -> Plan:
    """Compare what is there with what is wanted; raise StorageError where no way leads."""
    result = Plan()
    for schema in schemas:
        found = recorded.get(schema.name)
        if found is None or found == 0:
            result.new.append(schema)
        elif found < 0:
            raise StorageError(_interrupted(schema.name, -found))
        elif found > schema.version:
            raise StorageError(
                f"the tables of {schema.name} have version {found}, this program knows them"
                f" up to {schema.version}: install the newer program again, or put the backup"
                " from before the upgrade in place; nothing was written"
            )
        elif found < schema.version:
            missing = [
                n for n in range(found + 1, schema.version + 1) if n not in schema.migrations
            ]
            if missing:
                raise StorageError(
                    f"the tables of {schema.name} have version {found}, and this program can no"
                    f" longer bring them to version {missing[0]}: install an older program"
                    " first that can; nothing was written"
                )
            result.old.append((schema, found))
    return result


def carry_out(connection: Connection, steps: Plan) -> None:
    """Make and alter the tables; the caller's transaction makes it all or nothing."""
    for schema in steps.new:
        # Without looking whether a table exists: if so it is another plugin's.
        try:
            schema.metadata.create_all(connection, checkfirst=False)
        except Exception as error:
            raise StorageError(
                f"the tables of {schema.name} could not be made: {error}"
            ) from error
        connection.execute(insert(_versions), {"name": schema.name, "version": schema.version})
    for schema, found in steps.old:
        for version in range(found + 1, schema.version + 1):
            try:
                _migrate(connection, schema, version)
            except Exception as error:
                raise StorageError(
                    f"the tables of {schema.name} could not be brought to version {version}:"
                    f" {error}; they are as they were"
                ) from error
        connection.execute(
            update(_versions).where(_versions.c.name == schema.name),
            {"version": schema.version},
        )


def forget(connection: Connection, name: str) -> None:
    """In a change of tables: these tables are no longer there."""
    connection.execute(delete(_versions).where(_versions.c.name == name))


def carry_out_in_steps(connection: Connection, steps: Plan) -> None:
    """The same where each statement is final as soon as it is done.

    What was interrupted while tables were made for the first time is made anew: nobody has
    written to them. In the midst of a migration only the operator can help, and is told how.
    """
    for schema in steps.new:
        _make(connection, schema)
    for schema, found in steps.old:
        for version in range(found + 1, schema.version + 1):
            _record(connection, schema.name, -version)
            changes = _count_changes(connection)
            try:
                _migrate(connection, schema, version)
            except Exception as error:
                if not changes():
                    _record(connection, schema.name, version - 1)
                    raise StorageError(
                        f"the tables of {schema.name} could not be brought to version {version}:"
                        f" {error}; they are as they were"
                    ) from error
                raise StorageError(f"{error}: {_interrupted(schema.name, version)}") from error
            changes()
            _record(connection, schema.name, version)


def _make(connection: Connection, schema: Schema) -> None:
    """Make tables for the first time."""
    if schema.name in recorded_versions(connection):
        # Somebody died over it. None of these tables was there before, see below.
        schema.metadata.drop_all(connection)
    else:
        found = inspect(connection)
        for name in schema.metadata.tables:
            if found.has_table(name):
                raise StorageError(
                    f"the tables of {schema.name} could not be made: {name} is there already,"
                    " and not one of them"
                )
        _record(connection, schema.name, 0)
    try:
        schema.metadata.create_all(connection, checkfirst=False)
    except Exception as error:
        schema.metadata.drop_all(connection)
        forget(connection, schema.name)
        raise StorageError(f"the tables of {schema.name} could not be made: {error}") from error
    _record(connection, schema.name, schema.version)


def _interrupted(name: str, version: int) -> str:
    before = version - 1
    mended = f"UPDATE stonechat_schema SET version = {before} WHERE name = '{name}'"  # noqa: S608
    return (
        f"the tables of {name} are half-way to version {version}, and this database cannot undo"
        " changes of tables: put the backup from before the upgrade in place; or set them"
        f" right by hand as they were in version {before}, and say so by {mended}"
    )


def _record(connection: Connection, name: str, version: int) -> None:
    """Note a version."""
    if name in recorded_versions(connection):
        where = _versions.c.name == name
        connection.execute(update(_versions).where(where), {"version": version})
    else:
        connection.execute(insert(_versions), {"name": name, "version": version})


def _count_changes(connection: Connection) -> Callable[[], int]:
    """Says how many statements that may change something were carried out from now on."""
    changes = 0

    def count(_connection: object, _cursor: object, statement: str, *_arguments: object) -> None:
        nonlocal changes
        if not statement.lstrip().upper().startswith(("SELECT", "SHOW", "DESC")):
            changes += 1

    event.listen(connection, "after_cursor_execute", count)

    def said() -> int:
        event.remove(connection, "after_cursor_execute", count)
        return changes

    return said


def _migrate(connection: Connection, schema: Schema, version: int) -> None:
    # A tenth of a second to import, and hardly a start needs it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    schema.migrations[version](Operations(MigrationContext.configure(connection)))
    if connection.dialect.name != "sqlite":
        return
    # Foreign keys were off meanwhile, see Writer.
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StorageError(f"a row of {broken[0]} would point to none of {broken[2]}")
