"""Figures about the process and about certificates, for `status` and for the metrics."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from stonechat.core.config_types import CertificateFiles
from stonechat.errors import ConfigError


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
