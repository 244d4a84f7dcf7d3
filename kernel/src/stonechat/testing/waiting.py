"""Waits for what nobody announces: files, other processes, work that is done later."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import gevent

T = TypeVar("T")

DEADLINE = 30.0

# How often to look where there is nothing to wait for but the outcome.
_LOOK_EVERY = 0.02


def until(found: Callable[[], T | None], what: str, timeout: float = DEADLINE) -> T:
    """Look until there is something true, and return it; AssertionError past the deadline.

    `what` names it there. Greenlets of this process run meanwhile, and so do threads.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = found()
        if result:
            return result
        assert time.monotonic() < deadline, f"in {timeout} s there was no {what}"
        gevent.sleep(_LOOK_EVERY)
