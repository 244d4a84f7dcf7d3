"""The slow-query log: which work of a plugin holds the others up.

Names and statements only. Values are messages and credentials.
"""

from __future__ import annotations

import logging
from time import monotonic

from stonechat.core.store_jobs import Waker

# One line for each name in so many seconds: what is slow is slow each time.
_EVERY_SECONDS = 60.0

# Names come from code, but a plugin may make functions as it goes.
_MOST_NAMES = 1000

_MOST_OF_STATEMENT = 500


class SlowLog:
    """Tells of works that took longer than `limit` seconds; 0 switches it off."""

    def __init__(self, waker: Waker, limit: float) -> None:
        self._waker = waker
        self.limit = limit or float("inf")
        self._told: dict[str, float] = {}

    def note(self, name: str, seconds: float, statement: str = "") -> None:
        """A work has taken so long; `statement` is the one that took longest."""
        if seconds < self.limit:
            return
        now = monotonic()
        told = self._told.get(name)
        if told is not None and now - told < _EVERY_SECONDS:
            return
        if len(self._told) >= _MOST_NAMES:
            self._told.clear()
        self._told[name] = now
        text = " ".join(statement.split())[:_MOST_OF_STATEMENT]
        self._waker.log(
            logging.WARNING,
            "A call of the store was slow: %s took %.1f s%s",
            name,
            seconds,
            f", most of it in: {text}" if text else "",
        )
