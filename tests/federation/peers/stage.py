"""What all servers of a run share: a name server, an authority of certificates, addresses."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from stonechat.testing import DnsServer

sys.path.insert(0, str(Path(__file__).parents[3] / "kernel" / "tests" / "net"))

from tls_authority import Authority

Credential = Literal["good", "expired", "stranger", "selfsigned", "clear"]
"""What a host has to show for itself.

`good` is a certificate by the authority of the tests, `stranger` one for another name,
`clear` none at all: no TLS.
"""

CREDENTIALS: tuple[Credential, ...] = get_args(Credential)


class Stage:
    """Where servers appear. Each has an address of its own, which the name server knows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        certificates = directory / "certificates"
        certificates.mkdir()
        self.authority = Authority(certificates)
        self.dns = DnsServer()
        self.literal_dns = DnsServer()
        """The same for those who leave addresses to the operating system.

        The targets of its SRV records are addresses, which need no look-up.
        """
        self._zones: dict[str, list[str]] = {}
        # Another run on this machine has others: some ports are not to be chosen.
        network = f"127.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}"
        self._addresses = iter(f"{network}.{number}" for number in range(1, 255))

    def close(self) -> None:
        self.dns.close()
        self.literal_dns.close()

    def address(self) -> str:
        """An address of loopback that nobody else has."""
        return next(self._addresses)

    def certificate(self, domain: str, credential: Credential) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        name = a_label(domain)
        match credential:
            case "expired":
                return self.authority.issue(name, days=(-3, -1))
            case "stranger":
                return self.authority.issue(f"not-{name}")
            case "selfsigned":
                return self.authority.issue(name, self_signed=True)
            case _:
                return self.authority.issue(name)

    def publish(self, records: Mapping[str, str | Iterable[str]]) -> None:
        """Let the name server say this of these names, and of all others what it has said."""
        for name, lines in records.items():
            self._zones[name] = [lines] if isinstance(lines, str) else list(lines)
        self.dns.publish(self._zones)
        self.literal_dns.publish(
            {name: [self._literal(line) for line in lines] for name, lines in self._zones.items()}
        )

    def _literal(self, record: str) -> str:
        start, _, target = record.rpartition(" ")
        if "SRV" not in start:
            return record
        addresses = [line[2:] for line in self._zones.get(target, ()) if line.startswith("A ")]
        return f"{start} {addresses[0] if addresses else target}"

    def serve(self, domain: str, address: str, port: int) -> None:
        """Publish where the server of a domain is."""
        name = a_label(domain)
        host = f"xmpp.{name}"
        self.publish({f"_xmpp-server._tcp.{name}": f"SRV 0 0 {port} {host}", host: f"A {address}"})

    def serve_direct(self, domain: str, address: str, port: int) -> None:
        """The same for one that is only to be had where TLS begins at once."""
        host = f"xmpp.{domain}"
        self.publish(
            {
                f"_xmpp-server._tcp.{domain}": "SRV 0 0 0 .",
                f"_xmpps-server._tcp.{domain}": f"SRV 0 0 {port} {host}",
                host: f"A {address}",
            }
        )


def a_label(domain: str) -> str:
    """A domain as DNS and certificates have it."""
    return domain.encode("idna").decode()


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listener:
        return int(listener.getsockname()[1])
