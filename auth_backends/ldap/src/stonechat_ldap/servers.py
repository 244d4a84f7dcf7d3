"""Which servers there are, and which of them is asked next."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Encryption = Literal["none", "starttls", "ldaps"]

_PORTS = {"ldap": 389, "ldaps": 636}
_URL = re.compile(
    r"(?:(?P<scheme>ldaps?)://)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))"
    r"(?::(?P<port>\d{1,5}))?/?",
    re.ASCII,
)


class Server(NamedTuple):
    """Where a directory is served, and how it is spoken to."""

    host: str
    port: int
    encryption: Encryption

    @property
    def url(self) -> str:
        scheme = "ldaps" if self.encryption == "ldaps" else "ldap"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @classmethod
    def parse(cls, text: str, encryption: Encryption) -> Server:
        """From `ldaps://ldap.example.org`, `ldap.example.org:389` and the like; ValueError."""
        found = _URL.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} must be a server such as ldaps://ldap.example.org")
        scheme = found["scheme"]
        if scheme == "ldaps":
            encryption = "ldaps"
        elif scheme == "ldap" and encryption == "ldaps":
            raise ValueError(f"{text!r} contradicts `encryption: ldaps`")
        port = int(found["port"] or _PORTS["ldaps" if encryption == "ldaps" else "ldap"])
        if not 0 < port < 65536:
            raise ValueError(f"{text!r} has no port that exists")
        return cls(found["ipv6"] or found["host"], port, encryption)


class Servers:
    """The servers in their order, those that failed lately behind all others."""

    def __init__(
        self,
        servers: Sequence[Server],
        pause: float,
        now: Callable[[], float],
        log: FilteringBoundLogger,
    ) -> None:
        self._servers = tuple(servers)
        self._pause = pause
        self._now = now
        self._log = log
        # When each of those that do not answer was tried last.
        self._failed: dict[Server, float] = {}

    def __len__(self) -> int:
        return len(self._servers)

    def candidates(self) -> list[Server]:
        """All of them: what was left alone for long enough is as good as the others again.

        The rest of the failed are tried when nobody else answers, that one first which was
        asked the longest time ago.
        """
        since = self._now() - self._pause
        rested = [s for s in self._servers if self._failed.get(s, since) <= since]
        tired = [s for s in self._servers if s not in rested]
        return rested + sorted(tired, key=self._failed.__getitem__)

    def failed(self, server: Server, reason: str) -> None:
        """It is left alone for a while; that is worth one line in the log."""
        if server not in self._failed:
            self._log.warning("directory server fails", server=server.url, reason=reason)
        self._failed[server] = self._now()

    def answered(self, server: Server) -> None:
        """It is well."""
        if self._failed.pop(server, None) is not None:
            self._log.info("directory server answers again", server=server.url)
