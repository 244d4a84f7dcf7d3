"""Every table and statement is right in every database that there is a dialect for."""

import importlib

import pytest
from sqlalchemy import Executable
from sqlalchemy.dialects import mssql, mysql, postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from stonechat.rsm import ResultSet
from stonechat_mam import pages
from stonechat_mam.index import _TEXTS
from stonechat_mam.pages import Bounds
from stonechat_mam.query import Query
from stonechat_mam.tables import SCHEMA

DIALECTS = {
    "sqlite": sqlite.dialect(),
    "postgresql": postgresql.dialect(),
    "mysql": mysql.dialect(),
    "mssql": mssql.dialect(),
}
MODULES = ("accounts", "archive", "pages", "recorder", "retention", "retraction")

pytestmark = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)


def statements():
    """Those that modules keep."""
    for name in MODULES:
        module = importlib.import_module(f"stonechat_mam.{name}")
        for value in vars(module).values():
            if isinstance(value, Executable) and not hasattr(value, "metadata"):
                yield value


def test_tables_can_be_made(dialect):
    for table in SCHEMA.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))


def test_statements_can_be_said(dialect):
    found = list(statements())
    assert len(found) >= 15
    for statement in found:
        compiled = statement.compile(dialect=dialect)
        assert str(compiled)
        assert _TEXTS.name not in str(compiled)


def test_pages_can_be_asked_for(dialect):
    query = Query(
        ResultSet(max=10, index=20),
        start=1,
        end=2,
        after=3,
        before=4,
        ids=(5, 6),
        words=("100%", "[a]", "_", "/"),
        page_after=7,
        page_before=8,
    )
    search = pages._Search(None, Bounds(1, 2, 3), query, None)
    compiled = search._statement(1, 2, 10, 20).compile(dialect=dialect)
    patterns = [value for value in compiled.params.values() if isinstance(value, str)]
    assert patterns == ["%100/%%", "%/[a]%", "%/_%", "%//%"]
    assert "'" not in str(compiled).replace("ESCAPE '/'", "")
