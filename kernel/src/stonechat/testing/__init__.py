"""The kit for whoever tests a plugin: a real kernel in memory, clients, and a clock.

pytest finds the fixtures `server`, `stonechat_process`, `slixmpp` and `dns_server` by
themselves (`stonechat.testing.plugin`). What is named here is loaded when it is first
used, because pytest loads this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonechat.testing.client import TestClient, error_of
    from stonechat.testing.clock import TestClock
    from stonechat.testing.component import TestComponent
    from stonechat.testing.contracts import AuthBackendContract
    from stonechat.testing.databases import MariaServer, PostgresServer
    from stonechat.testing.dns import DnsQuery, DnsServer
    from stonechat.testing.kit import TestHost, TestServer
    from stonechat.testing.process import PASSWORD, ServerProcess
    from stonechat.testing.remote import TestRemote
    from stonechat.testing.server_stream import RawServerStream
    from stonechat.testing.slapd import Slapd
    from stonechat.testing.slixmpp_peer import LoginFailed, SlixmppPeer
    from stonechat.testing.slixmpp_peers import SlixmppClient, SlixmppComponent, SlixmppPeers
    from stonechat.testing.storage_contract import StorageContract
    from stonechat.testing.stream import RawStream
    from stonechat.testing.talk import Talk
    from stonechat.testing.waiting import until

__all__ = [
    "PASSWORD",
    "AuthBackendContract",
    "DnsQuery",
    "DnsServer",
    "LoginFailed",
    "MariaServer",
    "PostgresServer",
    "RawServerStream",
    "RawStream",
    "ServerProcess",
    "Slapd",
    "SlixmppClient",
    "SlixmppComponent",
    "SlixmppPeer",
    "SlixmppPeers",
    "StorageContract",
    "Talk",
    "TestClient",
    "TestClock",
    "TestComponent",
    "TestHost",
    "TestRemote",
    "TestServer",
    "error_of",
    "until",
]

_MODULES = {
    "PASSWORD": "process",
    "AuthBackendContract": "contracts",
    "DnsQuery": "dns",
    "DnsServer": "dns",
    "LoginFailed": "slixmpp_peer",
    "MariaServer": "databases",
    "PostgresServer": "databases",
    "RawServerStream": "server_stream",
    "RawStream": "stream",
    "ServerProcess": "process",
    "Slapd": "slapd",
    "SlixmppClient": "slixmpp_peers",
    "SlixmppComponent": "slixmpp_peers",
    "SlixmppPeer": "slixmpp_peer",
    "SlixmppPeers": "slixmpp_peers",
    "StorageContract": "storage_contract",
    "Talk": "talk",
    "TestClient": "client",
    "TestClock": "clock",
    "TestComponent": "component",
    "TestHost": "kit",
    "TestRemote": "remote",
    "TestServer": "kit",
    "error_of": "client",
    "until": "waiting",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
