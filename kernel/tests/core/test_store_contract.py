"""The promises of a store, on every database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from stonechat.core.config_model import Storage as StorageOptions
from stonechat.core.store import NodeStore, open_store
from stonechat.storage import Storage
from stonechat.testing.databases import DatabaseServer, MariaServer, PostgresServer
from stonechat.testing.storage_contract import StorageContract


def opened(url: str, directory: Path) -> Iterator[NodeStore]:
    store = open_store(StorageOptions(url=url), directory)
    try:
        yield store
    finally:
        store.close()


class TestSqlite(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        yield from opened("sqlite:///stonechat.db", tmp_path)


class OnServer(StorageContract):
    """On a database of its own, which is dropped afterwards."""

    @staticmethod
    def url(server: DatabaseServer, name: str) -> str:
        return server.url(name)

    def storage_of(self, server: DatabaseServer, directory: Path) -> Iterator[Storage]:
        name = server.new_database()
        yield from opened(self.url(server, name), directory)
        server.drop_database(name)


class TestPostgresql(OnServer):
    @pytest.fixture
    def storage(self, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Storage]:
        yield from self.storage_of(postgres_server, tmp_path)


class TestMariadb(OnServer):
    counts_spaces_at_the_end = False

    @pytest.fixture
    def storage(self, maria_server: MariaServer, tmp_path: Path) -> Iterator[Storage]:
        yield from self.storage_of(maria_server, tmp_path)


class ByOdbc:
    @staticmethod
    def url(server: DatabaseServer, name: str) -> str:
        return server.odbc_url(name)


class TestPostgresqlByOdbc(ByOdbc, TestPostgresql):
    pass


class TestMariadbByOdbc(ByOdbc, TestMariadb):
    pass


def test_a_url_without_a_driver_takes_the_usual_one(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = make_url(postgres_server.fresh_database()).set(drivername="postgresql")
    store = open_store(StorageOptions(url=url.render_as_string(hide_password=False)), tmp_path)
    store.close()
