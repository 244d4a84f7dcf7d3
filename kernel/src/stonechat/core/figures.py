"""Figures about the process, its users and its certificates."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stonechat.errors import StonechatError
from stonechat.host import Figures

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.tls import TlsContexts


def count_users(hosts: Iterable[VirtualHost], uptime: float) -> Figures:
    """How many use these hosts; asks their backends, and so may block."""
    online = sessions = 0
    registered: int | None = 0
    for host in list(hosts):
        online += host.session_manager.account_count
        sessions += len(host.session_manager)
        try:
            count = host.accounts.count()
        except StonechatError:
            # A directory that does not count, or that is away.
            registered = None
        else:
            registered = None if registered is None else registered + count
    return Figures(online, sessions, registered, uptime)


def resident_bytes() -> int:
    """Memory of this process that is in use now; where the system hides it, the most ever used."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def open_descriptors() -> int | None:
    """How many files and sockets this process has open, where the system tells."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def expiries(contexts: TlsContexts | None) -> dict[str, int]:
    """When the certificate of each host expires that is in use: microseconds since the epoch."""
    if contexts is None:
        return {}
    return {
        host: int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
        for host, certificate in contexts.certificates.items()
    }
