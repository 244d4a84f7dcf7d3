"""The pytest plugin, found by its entry point: what tests get by naming it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stonechat.testing.dns import DnsServer
    from stonechat.testing.kit import TestServer
    from stonechat.testing.process import ServerProcess
    from stonechat.testing.slixmpp_peers import SlixmppPeers

pytest.register_assert_rewrite("stonechat.testing.contracts")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    """A server in memory, without sockets, with a clock of its own.

    At the end of the test it is stopped; what a plugin has left behind, and every error
    that the test did not announce by `server.expect_errors()`, fails the test.
    """
    from stonechat.testing.kit import TestServer

    server = TestServer(tmp_path)
    try:
        yield server
    finally:
        server.close()


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
