"""Databases with accounts in them, and backends over them without a server around."""

import time
from contextlib import closing
from unittest.mock import Mock

import gevent
import pytest
from sqlalchemy import column, create_engine, insert, table, text
from sqlalchemy.pool import StaticPool

from stonechat_auth_sql import Backend, Options, passwords

# Tables of administrators, with collations that take one letter for another where there
# are some.
USER = {
    "sqlite": "VARCHAR(191) COLLATE NOCASE",
    "postgresql": 'VARCHAR(191) COLLATE "und-x-icu"',
    "mariadb": "VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
}
TABLES = {
    "hashed": "CREATE TABLE accounts (login {user} PRIMARY KEY, hash VARCHAR(1023))",
    # ejabberd's, for several hosts.
    "scram": (
        "CREATE TABLE users (username {user}, server_host VARCHAR(191) NOT NULL,"
        " password VARCHAR(1023) NOT NULL, serverkey VARCHAR(128) NOT NULL DEFAULT '',"
        " salt VARCHAR(128) NOT NULL DEFAULT '', iterationcount INTEGER NOT NULL DEFAULT 0,"
        " PRIMARY KEY (server_host, username))"
    ),
}
CHANGES = ["set_password", "create_user", "remove_user"]
LAYOUTS = {
    "hashed": {"table": "accounts", "columns": {"user": "login", "password": "hash"}},
    "plain": {
        "table": "accounts",
        "columns": {"user": "login", "password": "hash"},
        "format": "plain",
        "iterations": 4096,
    },
    "words": {
        "table": "accounts",
        "columns": {"user": "login", "password": "hash"},
        "format": "scram",
        "scram_hash": "SHA-256",
        "iterations": 4096,
    },
    "scram": {
        "table": "users",
        "format": "scram",
        "columns": {
            "host": "server_host",
            "salt": "salt",
            "iterations": "iterationcount",
            "stored_key": "password",
            "server_key": "serverkey",
        },
        "iterations": 4096,
    },
    "queries": {
        "queries": {
            "find": "SELECT hash AS password FROM accounts WHERE login = :user",
            "users": (
                "SELECT login FROM accounts WHERE login > :after COLLATE BINARY"
                " ORDER BY login COLLATE BINARY LIMIT :limit"
            ),
            "count": "SELECT count(*) FROM accounts",
            "set_password": "UPDATE accounts SET hash = :password WHERE login = :user",
            "create_user": "INSERT INTO accounts VALUES (:user, :password)",
            "remove_user": "DELETE FROM accounts WHERE login = :user",
        }
    },
}


class Host:
    """As much of a host as a backend needs."""

    def __init__(self, name="capulet.example"):
        self.name = name
        self.log = Mock()
        self.monotonic = time.monotonic
        self.spawn = gevent.spawn

    def secret(self, purpose):
        return purpose.encode()

    def run_blocking(self, call, *arguments):
        return call(*arguments)


class Database:
    """What the administrator does in his database, past the backend."""

    def __init__(self, url, dialect):
        self.url = url
        self.dialect = dialect
        engine = create_engine(url, poolclass=StaticPool, isolation_level="AUTOCOMMIT")
        self._connection = engine.connect()
        for statement in TABLES.values():
            self.execute(statement.format(user=USER[dialect]))

    def execute(self, statement):
        result = self._connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []

    def put(self, table_name, **values):
        self._connection.execute(insert(table(table_name, *map(column, values))).values(values))

    def close(self):
        self._connection.close()
        self._connection.engine.dispose()


@pytest.fixture
def sqlite_database(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path / 'accounts.db'}", "sqlite")) as database:
        yield database


@pytest.fixture(scope="module")
def postgres_database(postgres_server):
    with closing(Database(postgres_server.fresh_database(), "postgresql")) as database:
        yield database


@pytest.fixture(scope="module")
def maria_database(maria_server):
    with closing(Database(maria_server.fresh_database(), "mariadb")) as database:
        yield database


@pytest.fixture
def make(tmp_path):
    backends = []

    def make_backend(database, layout="", host="capulet.example", **options):
        given = {"url": database.url, "changes": CHANGES, **LAYOUTS.get(layout, {}), **options}
        checked = Options.model_validate(given, context={"directory": tmp_path})
        backend = Backend(Host(host), checked)
        backends.append(backend)
        backend.start()
        return backend

    yield make_backend
    for backend in backends:
        backend.stop()


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Hashes that cost next to nothing: there are hundreds of logins in these tests."""
    from passlib import hash as schemes

    cheap = {
        "argon2id": schemes.argon2.using(time_cost=1, memory_cost=8, parallelism=1),
        "bcrypt": schemes.bcrypt.using(rounds=4),
        "sha512-crypt": schemes.sha512_crypt.using(rounds=1000),
    }
    monkeypatch.setattr(passwords, "_maker", cheap.__getitem__)
