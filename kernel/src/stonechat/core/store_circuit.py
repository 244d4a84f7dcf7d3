"""Whether a database server answers: when it does not, nobody waits for it (R5, R6).

Not `stonechat.core.breaker`, whose calls are greenlets of the hub: here threads find out,
and a call that failed by its own fault says nothing about the server.
"""

from __future__ import annotations

import logging
from time import monotonic

from stonechat.core.breaker import FAILURES
from stonechat.core.store_jobs import Waker, allocate_lock
from stonechat.errors import StorageError

# Threads that fail together, when a server goes, have failed once.
_ONE_MOMENT = 0.2


class Circuit:
    """Opens after failures in a row, is closed by whatever works. Safe in every thread."""

    def __init__(self, name: str, waker: Waker) -> None:
        self._name = name
        self._waker = waker
        self._lock = allocate_lock()
        self._in_a_row = 0
        self._last_failure = 0.0
        self._opened_at = 0.0
        self.reason = ""
        self.is_open = False
        self.last_success = monotonic()

    def worked(self) -> None:
        """The server has answered."""
        self.last_success = monotonic()
        if self._in_a_row == 0:
            return
        with self._lock:
            self._in_a_row = 0
            if self.is_open:
                self.is_open = False
                self._waker.log(
                    logging.INFO,
                    "%s answers again, after %.0f s",
                    self._name,
                    self.last_success - self._opened_at,
                )

    def failed(self, reason: str) -> None:
        """It has not."""
        now = monotonic()
        with self._lock:
            self.reason = reason
            if self.is_open or now - self._last_failure < _ONE_MOMENT:
                return
            self._last_failure = now
            self._in_a_row += 1
            if self._in_a_row < FAILURES:
                return
            self.is_open = True
            self._opened_at = now
        self._waker.log(
            logging.ERROR,
            "%s failed %d times in a row and is asked once a second from now on: %s",
            self._name,
            FAILURES,
            reason,
        )

    def refusal(self) -> StorageError:
        """What callers get while nobody waits."""
        return StorageError(f"{self._name} does not answer: {self.reason}")
