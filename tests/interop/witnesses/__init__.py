"""Clients that talk to a real server: those that others wrote, and a small one of our own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How long anything may take that has to happen at all; nothing here is measured.
DEADLINE = 30.0

# How often to look where there is nothing to wait for but the outcome.
_LOOK_SECONDS = 0.05


def until(found: Callable[[], T | None], what: str) -> T:
    """Look until there is something; AssertionError past the deadline, with `what` it was."""
    deadline = time.monotonic() + DEADLINE
    while True:
        result = found()
        if result:
            return result
        assert time.monotonic() < deadline, f"in {DEADLINE} s there was no {what}"
        time.sleep(_LOOK_SECONDS)
