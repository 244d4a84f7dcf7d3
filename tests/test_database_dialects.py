"""Every table and statement of the repository can be said to every database."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Delete, Insert, Select, Table, Update
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from stonechat.storage import Schema

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(
    path.parent.name
    for pattern in ("plugins/*/src/*/__init__.py", "auth_backends/*/src/*/__init__.py")
    for path in ROOT.glob(pattern)
    if any("sqlalchemy" in module.read_text() for module in path.parent.rglob("*.py"))
)
DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),
    "mysql": mysql.dialect(),
    # Without it long texts would be NTEXT and IMAGE, which are no longer to be used.
    "mssql": mssql.dialect(deprecate_large_types=True),
}
STATEMENTS = (Select, Insert, Update, Delete)
# Made for one database, and used there only.
OF_ONE_DATABASE = {"stonechat_mam.index": ("sqlite",)}


def modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def declared(value: object, depth: int = 0) -> Iterator[object]:
    """The tables, schemas and statements in what a module holds, also in its containers."""
    if isinstance(value, (Table, Schema, *STATEMENTS)):
        yield value
    elif isinstance(value, dict) and depth < 2:
        for part in value.values():
            yield from declared(part, depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 2:
        for part in value:
            yield from declared(part, depth + 1)


def everything(package: str) -> Iterator[tuple[str, object]]:
    for module in modules(package):
        for name, value in vars(module).items():
            for found in declared(value):
                yield f"{module.__name__}.{name}", found


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_stored_can_be_said_to_every_database(package: str, name: str) -> None:
    dialect = DIALECTS[name]
    for where, found in everything(package):
        module = where.rpartition(".")[0]
        if name not in OF_ONE_DATABASE.get(module, DIALECTS):
            continue
        if isinstance(found, Schema):
            for table in found.metadata.sorted_tables:
                said = str(CreateTable(table).compile(dialect=dialect))
                said += "".join(
                    str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes
                )
                for word in ("NTEXT", "IMAGE", "NULL_TYPE"):
                    assert word not in said, where
        elif isinstance(found, STATEMENTS):
            assert str(found.compile(dialect=dialect)), where


def test_every_package_that_stores_is_looked_at() -> None:
    with_schemas = {
        package
        for package in PACKAGES
        for _, found in everything(package)
        if isinstance(found, Schema)
    }
    assert {"stonechat_mam", "stonechat_roster", "stonechat_auth_internal"} <= with_schemas
