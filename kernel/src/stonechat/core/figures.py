"""Figures about the process, its users and its certificates."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stonechat.core.config_types import CertificateFiles
from stonechat.errors import ConfigError, StonechatError
from stonechat.host import Figures

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost


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


def expiries(
    certificates: Mapping[str, CertificateFiles | None],
    run_blocking: Callable[[Callable[[], dict[Path, int]]], dict[Path, int]],
) -> dict[str, int]:
    """When the certificate of each host expires: microseconds since the epoch.

    A file that cannot be read any more leaves its hosts out.
    """
    chains = {host: files.chain for host, files in certificates.items() if files is not None}

    def read() -> dict[Path, int]:
        from stonechat.net.certificates import describe, read_chain

        found = {}
        for chain in dict.fromkeys(chains.values()):
            try:
                found[chain] = describe(read_chain(chain)[0]).not_after
            except ConfigError:
                continue
        return found

    moments = run_blocking(read) if chains else {}
    return {host: moments[chain] for host, chain in chains.items() if chain in moments}
