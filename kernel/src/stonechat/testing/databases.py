"""Real database servers for tests: PostgreSQL and MariaDB, as child processes on loopback.

    def test_mail_is_kept(postgres_server):
        url = postgres_server.fresh_database()

They keep their files in a temporary directory, listen on a free port and end with the
tests. What they promise about the disk is not kept: a test does not cut the power.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import pytest
from sqlalchemy import URL, MetaData, create_engine

LOCALHOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PASSWORD = "wherefore"

# Tests that are killed clear nothing away; then this one sees the end of its input.
_SENTINEL = 'cat >/dev/null; kill -KILL "$1"; sleep 1; rm -rf "$2"'

Versions = dict[str, int]
_VERSIONS = "SELECT name, version FROM stonechat_schema"

# Debian keeps those of PostgreSQL where no shell looks.
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin")


class MissingProgramError(Exception):
    """A program that a test needs is not installed."""


def program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
        for place in _PLACES:
            candidates = sorted(Path("/").glob(f"{place[1:]}/{name}"))
            if candidates:
                return str(candidates[-1])
    raise MissingProgramError(f"not installed: {names[0]}")


class DatabaseServer(ABC):
    """A server of its own, with databases that tests make and drop."""

    user: str
    # The account of the system that the server runs as, when we are root.
    account: str

    def __init__(self) -> None:
        self.directory = Path(mkdtemp(prefix="stonechat-"))
        self.directory.chmod(0o755)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._sentinel: subprocess.Popen[bytes] | None = None
        self._names = count(1)
        # Databases without data, and what is recorded of the versions of their tables.
        self._spare: list[tuple[str, Versions]] = []
        self._paused = False

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has said."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # Coming and going

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert not self.is_running, "the server runs already"
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                cwd=self.directory,
                # A terminal's Ctrl-C is for the tests.
                start_new_session=True,
            )
        self._sentinel = subprocess.Popen(
            ["/bin/sh", "-c", _SENTINEL, "sh", str(self._process.pid), str(self.directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{type(self).__name__} did not start.\n{self.log[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in order; clients lose their connections."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End it at once, as by `kill -9`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let it hang: it accepts connections and never answers."""
        self._paused = True
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        self._paused = False
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its files."""
        if self._paused:
            self.resume()
        if self.is_running:
            self._end(self._fast_signal)
        shutil.rmtree(self.directory, ignore_errors=True)

    _stop_signal = signal.SIGTERM
    _fast_signal = signal.SIGTERM

    def _end(self, number: int) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        pids = self._pids()
        if self._sentinel is not None:
            self._sentinel.kill()
            self._sentinel.communicate()
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)
            raise AssertionError(f"it did not end.\n{self.log[-4000:]}") from None
        finally:
            # The children of a process that was killed notice it soon, but not at once.
            deadline = time.monotonic() + _STOP_SECONDS
            while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
                time.sleep(0.01)

    def _pids(self) -> list[int]:
        """The process and its children."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        found = children.read_text().split() if children.exists() else []
        return [pid, *map(int, found)]

    def _user_of_the_system(self) -> None:
        """Give our directory to whoever the server is to run as."""
        if os.getuid() == 0:
            entry = pwd.getpwnam(self.account)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)

    def _as_account(self, *command: str) -> list[str]:
        if os.getuid() == 0:
            return [
                "setpriv",
                f"--reuid={self.account}",
                f"--regid={self.account}",
                "--init-groups",
                *command,
            ]
        return list(command)

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _answers(self) -> bool:
        try:
            with self._administration() as connection:
                connection.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
            return False
        return True

    # Databases

    @abstractmethod
    def url(self, database: str) -> str:
        """The URL of a database, as the configuration has it."""

    @abstractmethod
    def odbc_url(self, database: str) -> str:
        """The same by ODBC."""

    @abstractmethod
    def _create(self, name: str) -> None: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...

    @abstractmethod
    def _administration(self) -> Any: ...

    def fresh_database(self) -> str:
        """The URL of a new database, which is empty."""
        return self.url(self.new_database())

    def new_database(self) -> str:
        """The name of a new database."""
        name = f"stonechat_{next(self._names)}"
        self._create(name)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever uses it."""
        self._drop(name)

    @contextmanager
    def lent_database(self) -> Iterator[str]:
        """A database without data, by its name; afterwards somebody else gets it, emptied.

        Where somebody has had it, the tables are there already: to make them takes ten times
        as long as a test.
        """
        name, before = self._spare.pop() if self._spare else (self.new_database(), {})
        yield name
        try:
            after = self._clear(name)
        except Exception:  # noqa: BLE001 - whatever it is, this one is of no more use
            after = {}
        # A test may have made older tables of newer ones, to see what becomes of them.
        if after and before.items() <= after.items():
            self._spare.append((name, after))
        else:
            self.drop_database(name)

    @abstractmethod
    def _clear(self, name: str) -> Versions:
        """Delete all rows but those that say of which version the tables are: these, by name."""

    def execute(self, statement: str, database: str = "") -> list[Any]:
        """Run a statement as an administrator does; returns the rows, if there are any."""
        engine = create_engine(self.url(database) if database else self._own_url)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                result = connection.exec_driver_sql(statement)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    _own_url: str


class PostgresServer(DatabaseServer):
    """PostgreSQL, whatever version is installed."""

    user = "postgres"
    account = "postgres"
    _stop_signal = signal.SIGINT  # "fast": it does not wait for its clients
    _fast_signal = signal.SIGQUIT

    def __init__(self) -> None:
        initdb, self._program = program("initdb"), program("postgres")
        super().__init__()
        self._user_of_the_system()
        self._own_url = self.url("postgres")
        password = self.directory / "password"
        password.write_text(_PASSWORD)
        password.chmod(0o644)
        _run(
            *self._as_account(
                *(initdb, "--pgdata", str(self.directory / "data"), "--username", self.user),
                *("--auth", "scram-sha-256", "--pwfile", str(password), "--encoding", "UTF8"),
                *("--locale", "C.UTF-8", "--no-sync", "--no-instructions"),
            )
        )

    def _command(self) -> list[str]:
        options = {
            "listen_addresses": LOCALHOST,
            "port": self.port,
            "unix_socket_directories": self.directory,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 100,
            "shared_buffers": "32MB",
            "autovacuum": "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "log_min_messages": "warning",
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._as_account(self._program, "-D", str(self.directory / "data"), *given)

    def url(self, database: str) -> str:
        return URL.create(
            "postgresql+psycopg", self.user, _PASSWORD, LOCALHOST, self.port, database
        ).render_as_string(hide_password=False)

    def odbc_url(self, database: str) -> str:
        return URL.create(
            "postgresql+pyodbc",
            self.user,
            _PASSWORD,
            LOCALHOST,
            self.port,
            database,
            query={"driver": "PostgreSQL Unicode"},
        ).render_as_string(hide_password=False)

    def _create(self, name: str) -> None:
        with self._administration() as connection:
            # As quick as a copy of a few files: 15 ms, the logged way takes 40.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")

    def _drop(self, name: str) -> None:
        with self._administration() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _clear(self, name: str) -> Versions:
        with self._administration(name) as connection:
            connection.execute("SET lock_timeout = '2s'")
            found = connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
                " AND tablename <> 'stonechat_schema'"
            ).fetchall()
            if found:
                names = ", ".join(table for (table,) in found)
                connection.execute(f"TRUNCATE {names} RESTART IDENTITY")
            return dict(connection.execute(_VERSIONS).fetchall())

    @contextmanager
    def _administration(self, database: str = "postgres") -> Iterator[Any]:
        import psycopg

        with psycopg.connect(
            host=LOCALHOST,
            port=self.port,
            user=self.user,
            password=_PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            yield connection


class MariaServer(DatabaseServer):
    """MariaDB, whatever version is installed."""

    user = "stonechat"
    account = "mysql"
    _fast_signal = signal.SIGKILL

    # More options of the program, from the next start on.
    options: tuple[str, ...] = ()

    def __init__(self) -> None:
        install = program("mariadb-install-db", "mysql_install_db")
        self._program = program("mariadbd", "mysqld")
        super().__init__()
        self._user_of_the_system()
        self._own_url = self.url("mysql")
        _run(
            *self._as_account(
                *(install, "--no-defaults", f"--datadir={self.directory / 'data'}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
                *("--innodb-flush-method=nosync", "--skip-log-bin"),
            )
        )
        self._is_new = True

    def _command(self) -> list[str]:
        return self._as_account(
            self._program,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--socket={self._socket}",
            f"--port={self.port}",
            f"--bind-address={LOCALHOST}",
            f"--pid-file={self.directory / 'server.pid'}",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--innodb-fast-shutdown=1",
            "--skip-name-resolve",
            *self.options,
        )

    @property
    def _socket(self) -> Path:
        return self.directory / "socket"

    def start(self) -> None:
        super().start()
        if self._is_new:
            self._is_new = False
            with self._administration() as connection:
                connection.execute(
                    f"CREATE USER {self.user}@'{LOCALHOST}' IDENTIFIED BY '{_PASSWORD}'"
                )
                connection.execute(f"GRANT ALL ON *.* TO {self.user}@'{LOCALHOST}'")

    def url(self, database: str) -> str:
        return URL.create(
            "mysql+pymysql", self.user, _PASSWORD, LOCALHOST, self.port, database
        ).render_as_string(hide_password=False)

    def odbc_url(self, database: str) -> str:
        return URL.create(
            "mysql+pyodbc",
            self.user,
            _PASSWORD,
            LOCALHOST,
            self.port,
            database,
            query={"driver": "MariaDB Unicode"},
        ).render_as_string(hide_password=False)

    def _create(self, name: str) -> None:
        with self._administration() as connection:
            connection.execute(f"CREATE DATABASE {name}")

    def _drop(self, name: str) -> None:
        with self._administration() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}")

    def _clear(self, name: str) -> Versions:
        with self._administration() as connection:
            connection.execute(f"USE {name}")
            connection.execute("SET innodb_lock_wait_timeout = 2, foreign_key_checks = 0")
            connection.execute("SHOW TABLES")
            tables = {table for (table,) in connection.fetchall()} - {"stonechat_schema"}
            connection.execute("BEGIN")
            for table in tables:  # by the names that plugins gave them
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
            connection.execute("COMMIT")
            connection.execute(
                "SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = DATABASE() AND auto_increment > 1"
            )
            for (table,) in connection.fetchall():
                connection.execute(f"ALTER TABLE {table} AUTO_INCREMENT = 1")
            connection.execute(_VERSIONS)
            return dict(connection.fetchall())

    @contextmanager
    def _administration(self) -> Iterator[Any]:
        pymysql: Any = import_module("pymysql")
        connection = pymysql.connect(
            user="root", unix_socket=str(self._socket), autocommit=True, connect_timeout=5
        )
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


S = TypeVar("S", bound=DatabaseServer)


@contextmanager
def started(kind: type[S]) -> Iterator[S]:
    """A server of this kind at work, for a fixture: skips where it is not installed."""
    try:
        server = kind()
    except MissingProgramError as error:
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    try:
        server.start()
        yield server
    finally:
        server.close()


def empty(url: str) -> None:
    """Drop all tables of a database."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            metadata = MetaData()
            metadata.reflect(connection)
            metadata.drop_all(connection)
    finally:
        engine.dispose()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise AssertionError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.create_server((LOCALHOST, 0)) as listener:
        return int(listener.getsockname()[1])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    # One whose parent has not looked at its end yet is over all the same.
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
