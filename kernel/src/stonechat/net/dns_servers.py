"""Which name servers are asked: those that are named, or those that the system names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

DNS_PORT = 53

RESOLV_CONF = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")

_WRITTEN = re.compile(r"(?:\[(?P<ipv6>.*)\]|(?P<ipv4>[^:]*))(?::(?P<port>[0-9]{1,5}))?")

T = TypeVar("T")


class NameServer(NamedTuple):
    """Where to ask."""

    host: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def name_server(text: str) -> NameServer:
    """What `127.0.0.1`, `127.0.0.1:5353`, `::1` or `[::1]:53` names; ValueError if nothing."""
    match = _WRITTEN.fullmatch(text)
    host, port = text, ""
    if match is not None:
        host, port = match["ipv6"] or match["ipv4"] or "", match["port"] or ""
    try:
        address = str(ip_address(host))
    except ValueError:
        raise ValueError(f"{text!r} is not the address of a name server") from None
    number = int(port or DNS_PORT)
    if not 0 < number < 65536:
        raise ValueError(f"{text!r} has a port that cannot be")
    return NameServer(address, number)


class SystemFiles:
    """What the system's own resolver goes by, read again when it has changed."""

    def __init__(self) -> None:
        self._servers = _Watched(RESOLV_CONF, _servers)
        self._hosts = _Watched(HOSTS, _hosts)

    @property
    def servers(self) -> tuple[NameServer, ...]:
        """Those of /etc/resolv.conf; this machine's own where it names none."""
        return self._servers.content or (NameServer("127.0.0.1"),)

    def addresses(self, host: str) -> tuple[str, ...]:
        """What /etc/hosts says of a host; nothing for most."""
        return (self._hosts.content or {}).get(host, ())


class _Watched(Generic[T]):
    """A small file, and what was found in it."""

    def __init__(self, path: Path, read: Callable[[str], T]) -> None:
        self._path = path
        self._read = read
        self._seen: tuple[int, ...] = ()
        self._content: T | None = None

    @property
    def content(self) -> T | None:
        try:
            status = os.stat(self._path)
            # A new file may be as long as the old one, and made in the same tick of a clock.
            now = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
            if now != self._seen:
                self._content = self._read(self._path.read_text("utf-8", "replace"))
                self._seen = now
        except OSError:
            self._seen, self._content = (), None
        return self._content


def _servers(text: str) -> tuple[NameServer, ...]:
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            try:
                found.append(NameServer(str(ip_address(words[1]))))
            except ValueError:
                continue  # as the C library does
    return tuple(found)


def _hosts(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        try:
            address = str(ip_address(words[0])) if words else ""
        except ValueError:
            continue
        for name in words[1:]:
            host = name.lower().removesuffix(".")
            found[host] = (*found.get(host, ()), address)
    return found
