"""Ends what a module has started, which may have a session of its own, as of pam_exec."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def end_descendants(pid: int) -> None:
    """Kill all that a process has started, as far as we may, and as Linux tells what that is."""
    for child in _children(pid):
        end_descendants(child)
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for file in Path("/proc", str(pid), "task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            found += map(int, file.read_text().split())
    return found
