"""The server that all tests here talk to: a process of its own, with TLS on every port."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stonechat.cli.control_client import ControlClient
from stonechat.testing.process import LOCALHOST, ServerProcess
from witnesses import DEADLINE
from witnesses.authority import Authority, Pair

CAPULET = "capulet.example"
MONTAGUE = "montague.example"
VERONE = "vérone.example"
# For clients that cannot be told to look elsewhere for a domain than the DNS does.
LOCAL = "localhost"


def has_ipv6() -> bool:
    """Whether one can listen on ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Node:
    """A server with four hosts and a port of each kind."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "certificates")
        # It signs for servers. For clients another one does, as it would be in the world.
        self.client_authority = Authority(directory / "clients", "Verona Test Citizens")
        self.certificates: dict[str, Pair] = {
            domain: self.authority.for_domain(domain)
            for domain in (CAPULET, MONTAGUE, VERONE, LOCAL)
        }
        self.process = ServerProcess(directory / "server", self._configuration())
        self.starttls, self.direct, self.proxy, *more = self.process.ports
        self.ipv6 = more[0] if more else 0
        """0 where the machine has no IPv6, as in many a container."""
        self._log_read = 0

    def _configuration(self) -> dict[str, Any]:
        hosts: dict[str, dict[str, Any]] = {
            domain: {"certificate": {"chain": str(pair.chain), "key": str(pair.key)}}
            for domain, pair in self.certificates.items()
        }
        hosts[MONTAGUE]["plugins"] = {"version": None, "echo": {}}
        return {
            "hosts": hosts,
            "listen": [
                {"type": "c2s"},
                {"type": "c2s", "tls": "direct", "client_certificates": True},
                {"type": "c2s", "proxy_protocol": True, "trusted_proxies": [f"{LOCALHOST}/32"]},
                *([{"type": "c2s", "address": "::1"}] if has_ipv6() else []),
            ],
            "tls": {"client_ca": str(self.client_authority.file)},
            "plugins": {
                "disco": {},
                "last": {},
                "offline": {},
                "ping": {},
                "register": {"attempts": 0},
                "roster": {},
                "time": {},
                "version": {},
            },
        }

    def configure(self, **plugins: Mapping[str, Any]) -> None:
        """Write the configuration with more plugins; it holds from the next reload on."""
        configuration = self._configuration()
        configuration["plugins"].update(plugins)
        self.process.configure(configuration)

    def describe(self) -> list[dict[str, Any]]:
        """The declarations of all commands."""
        with self._control() as client:
            return client.describe()

    def ask(self, command: str, **arguments: Any) -> Any:
        """The result of an administrator's command."""
        with self._control() as client:
            return client.run(command, arguments)

    def _control(self) -> ControlClient:
        return ControlClient(self.process.directory / "data" / "stonechat.sock", DEADLINE)

    def sessions(self, jid: str) -> list[dict[str, Any]]:
        """What an administrator sees of the sessions of an account, or of one of them."""
        rows = self.ask("connected-users")
        return [row for row in rows if jid in (row["jid"], row["jid"].partition("/")[0])]

    def new_faults(self) -> list[dict[str, Any]]:
        """Errors that the server has logged since the last call."""
        records = self.process.records
        new, self._log_read = records[self._log_read :], len(records)
        return [record for record in new if record["level"] in ("error", "critical")]
