"""Schema versions: which tables are there, and what leads from them to what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert, select, update

from stonechat.errors import StorageError
from stonechat.storage import Schema

# Made by stonechat.core.store_file, together with the file.
_versions = Table(
    "stonechat_schema",
    MetaData(),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)


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
        if found is None:
            result.new.append(schema)
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


def _migrate(connection: Connection, schema: Schema, version: int) -> None:
    # A tenth of a second to import, and hardly a start needs it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    schema.migrations[version](Operations(MigrationContext.configure(connection)))
    # Foreign keys were off meanwhile, see Writer.
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StorageError(f"a row of {broken[0]} would point to none of {broken[2]}")
