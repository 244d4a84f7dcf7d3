"""The pytest plugin, found by its entry point: what tests get by naming it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stonechat.testing.databases import DatabaseServer, MariaServer, PostgresServer
    from stonechat.testing.dns import DnsServer
    from stonechat.testing.kit import TestServer
    from stonechat.testing.process import ServerProcess
    from stonechat.testing.slapd import Slapd
    from stonechat.testing.slixmpp_peers import SlixmppPeers

pytest.register_assert_rewrite("stonechat.testing.contracts", "stonechat.testing.storage_contract")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("stonechat").addoption(
        "--database",
        default="sqlite",
        metavar="NAME|URL",
        help="what the fixture `server` stores in: sqlite, postgresql, mariadb, odbc-postgresql,"
        " odbc-mariadb, or the URL of a database that may be emptied; with another than sqlite,"
        " only tests with this fixture are run",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Those that store nothing would only be run once more.
    if config.getoption("--database") == "sqlite":
        return
    chosen = [item for item in items if "server" in getattr(item, "fixturenames", ())]
    if len(chosen) < len(items):
        others = set(items).difference(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item in others])
        items[:] = chosen


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """A server in memory, without sockets, with a clock of its own.

    At the end of the test it is stopped; what a plugin has left behind, and every error
    that the test did not announce by `server.expect_errors()`, fails the test.
    """
    from stonechat.testing.kit import TestServer

    with database_of(request) as url:
        server = TestServer(tmp_path, database=url)
        try:
            yield server
        finally:
            server.close()


@pytest.fixture
def sqlite_only(request: pytest.FixtureRequest) -> None:
    """For tests of what is so in SQLite alone, such as how it plans a query."""
    if request.config.getoption("--database") != "sqlite":
        pytest.skip("of SQLite alone")


@contextmanager
def database_of(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of the kind that was asked for; "" for a file of SQLite's."""
    wanted: str = request.config.getoption("--database")
    if wanted == "sqlite":
        yield ""
    elif ":" in wanted:
        from stonechat.testing.databases import empty

        empty(wanted)
        yield wanted
    else:
        way, _, kind = wanted.rpartition("-")
        fixtures = {"postgresql": "postgres_server", "mariadb": "maria_server"}
        if way not in ("", "odbc") or kind not in fixtures:
            raise pytest.UsageError(f"--database={wanted} is not known")
        server: DatabaseServer = request.getfixturevalue(fixtures[kind])
        with server.lent_database() as name:
            yield server.odbc_url(name) if way else server.url(name)


@pytest.fixture
def stonechat_process(
    tmp_path: Path,
) -> Iterator[Callable[[Mapping[str, Any] | str], ServerProcess]]:
    """Starts servers as processes of their own: `stonechat_process({"hosts": {...}})`.

    It returns when the server is ready. What still runs at the end of the test is killed.
    """
    from stonechat.testing.process import ServerProcess

    processes: list[ServerProcess] = []

    def start(configuration: Mapping[str, Any] | str) -> ServerProcess:
        process = ServerProcess(tmp_path / f"server-{len(processes) + 1}", configuration)
        processes.append(process)
        process.start()
        return process

    try:
        yield start
    finally:
        for process in processes:
            process.kill()


@pytest.fixture
def slixmpp() -> Iterator[SlixmppPeers]:
    """Clients and components of slixmpp's for such a process: `slixmpp.login(process, jid)`.

    They are gone at the end of the test. Where slixmpp is not installed the test is skipped,
    or fails if STONECHAT_REQUIRE_SERVERS is set, as it may be where everything has to run.
    """
    try:
        from stonechat.testing.slixmpp_peers import SlixmppPeers
    except ModuleNotFoundError as error:
        if error.name != "slixmpp":
            raise
        missing = "slixmpp is not installed: pip install slixmpp"
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    peers = SlixmppPeers()
    try:
        yield peers
    finally:
        peers.close()


@pytest.fixture
def dns_server() -> Iterator[DnsServer]:
    """A name server on loopback that knows no name yet: `dns_server.publish({...})`."""
    from stonechat.testing.dns import DnsServer

    with DnsServer() as dns_server:
        yield dns_server


@pytest.fixture(scope="session")
def slapds(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], AbstractContextManager[Slapd]]:
    """Runs LDAP servers with entries in LDIF: `with slapds(ldif) as slapd`.

    Where OpenLDAP's slapd is not installed the test is skipped, or fails if
    STONECHAT_REQUIRE_SERVERS is set.
    """
    from stonechat.testing.slapd import is_installed, running

    if not is_installed():
        missing = "slapd is not installed: apt install slapd ldap-utils"
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return lambda ldif: running(tmp_path_factory.mktemp("slapd"), ldif)


# Databases


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL on a free port of loopback, with a database for whoever asks.

    Where it is not installed the test is skipped, or fails if STONECHAT_REQUIRE_SERVERS is set.
    """
    from stonechat.testing.databases import PostgresServer, started

    with started(PostgresServer) as server:
        yield server


@pytest.fixture(scope="session")
def maria_server() -> Iterator[MariaServer]:
    """MariaDB, in the same way."""
    from stonechat.testing.databases import MariaServer, started

    with started(MariaServer) as server:
        yield server
