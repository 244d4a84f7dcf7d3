"""The fixture `server` on another database: `pytest --database NAME|URL`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stonechat.testing import MariaServer, PostgresServer, TestServer
from stonechat.testing.databases import DatabaseServer, empty
from stonechat.testing.plugin import database_of

TABLES = {
    PostgresServer: "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = 'public' AND table_name = 'roster_version'",
    MariaServer: "SHOW TABLES LIKE 'roster_version'",
}


class Request:
    """What a fixture is given, by someone who asked for a database."""

    def __init__(self, wanted: str, **fixtures: DatabaseServer) -> None:
        self.config = self
        self.wanted = wanted
        self.fixtures = fixtures

    def getoption(self, _name: str) -> str:
        return self.wanted

    def getfixturevalue(self, name: str) -> DatabaseServer:
        return self.fixtures[name]


@contextmanager
def database(wanted: str, **fixtures: DatabaseServer) -> Iterator[str]:
    request: Any = Request(wanted, **fixtures)
    with database_of(request) as url:
        yield url


def test_without_a_wish_it_is_a_file_of_sqlite() -> None:
    with database("sqlite") as url:
        assert url == ""


@pytest.mark.parametrize("name", ["oracle", "odbc-sqlite", "odbc", "jdbc-postgresql"])
def test_a_database_that_is_not_known_is_a_mistake(name: str) -> None:
    with pytest.raises(pytest.UsageError, match=name), database(name):
        pass


@pytest.mark.parametrize("wanted", ["postgresql", "odbc-postgresql", "mariadb", "odbc-mariadb"])
def test_a_server_in_memory_stores_in_the_database_that_was_asked_for(
    wanted: str,
    tmp_path: Path,
    postgres_server: PostgresServer,
    maria_server: MariaServer,
) -> None:
    fixtures: dict[str, DatabaseServer] = {
        "postgres_server": postgres_server,
        "maria_server": maria_server,
    }
    database_server = maria_server if "mariadb" in wanted else postgres_server
    with database(wanted, **fixtures) as url:
        server = TestServer(tmp_path, database=url)
        try:
            host = server.host("capulet.example", roster={})
            juliet = host.connect("juliet@capulet.example/balcony")
            juliet.set(
                "<query xmlns='jabber:iq:roster'><item jid='nurse@capulet.example'/></query>"
            )
            server.restart()
        finally:
            server.close()
        name = url.rpartition("/")[2].partition("?")[0]
        assert database_server.execute(TABLES[type(database_server)], name)
        assert database_server.execute("SELECT * FROM roster_version", name)
    # Whoever comes next finds the tables, and nothing in them.
    with database_server.lent_database() as next_name:
        assert next_name == name
        assert database_server.execute(TABLES[type(database_server)], name)
        assert not database_server.execute("SELECT * FROM roster_version", name)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_is_not_as_it_was_is_lent_to_nobody_else(
    kind: str, postgres_server: PostgresServer, maria_server: MariaServer
) -> None:
    server = maria_server if kind == "mariadb" else postgres_server
    with server.lent_database() as name:
        columns = "name VARCHAR(64), version INT"
        server.execute(f"CREATE TABLE IF NOT EXISTS stonechat_schema ({columns})", name)
        server.execute("INSERT INTO stonechat_schema VALUES ('tavern', 2)", name)
    with server.lent_database() as again:
        assert again == name
        server.execute("UPDATE stonechat_schema SET version = 1 WHERE name = 'tavern'", name)
    with server.lent_database() as another:
        assert another != name
    with pytest.raises(Exception, match=name):
        server.execute("SELECT 1", name)


def test_a_database_of_ones_own_is_emptied_first(postgres_server: PostgresServer) -> None:
    url = postgres_server.fresh_database()
    name = url.rpartition("/")[2]
    postgres_server.execute("CREATE TABLE roster_version (host TEXT)", name)
    with database(url) as given:
        assert given == url
    assert not postgres_server.execute(TABLES[PostgresServer], name)
    empty(url)
