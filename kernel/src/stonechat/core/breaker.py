"""Keeps whatever may be away from holding up all who ask it: an account store, a database.

closed ── `failures` in a row ──> open: calls fail at once
  ^                                 │ one call each second goes through
  └────────── a call succeeds ──────┘
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from stonechat.errors import StorageError

# Robustness promises R5 and R6.
MAX_WAITING = 64
FAILURES = 5
PROBE_SECONDS = 1.0

# What is answered faster comes from the memory of whoever was asked, and says nothing
# about what stands behind it.
_FROM_MEMORY = 0.0001


class Refused(StorageError):
    """The call was not made: too many wait already, or there was no answer lately."""


class BreakerFigures(NamedTuple):
    """`refused` are calls that were not made; `is_open` while no more than probes are."""

    calls: int
    failures: int
    refused: int
    waiting: int
    is_open: bool


class Breaker:
    """Counts those who wait for one thing, and stops asking when it does not answer.

    `name` is what the log calls it; `answers` are errors by which it shows to be well. It
    sets no deadline: whoever calls does, and raises StorageError when it has passed. Used
    in the hub's thread only.
    """

    def __init__(
        self,
        name: str,
        *,
        max_waiting: int = MAX_WAITING,
        answers: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
        log: logging.Logger | None = None,
    ) -> None:
        self._name = name
        self._max_waiting = max_waiting
        self._answers = answers
        self._clock = clock
        self._log = log or logging.getLogger("stonechat.breaker")
        self._calls = 0
        self._failures = 0
        self._refused = 0
        self._waiting = 0
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._next_probe = 0.0
        self._last_failure_waited = False

    @property
    def figures(self) -> BreakerFigures:
        return BreakerFigures(
            self._calls, self._failures, self._refused, self._waiting, self.is_open
        )

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Around each call; raises Refused instead of making it.

        A StorageError is a failure. Other errors than `answers`, and the end of a greenlet,
        tell nothing.
        """
        begun = self._clock()
        self._admit(begun)
        self._calls += 1
        self._waiting += 1
        try:
            yield
        except StorageError as error:
            self._failed(begun, error)
            raise
        except self._answers:
            self._succeeded(begun)
            raise
        else:
            self._succeeded(begun)
        finally:
            self._waiting -= 1

    def _admit(self, now: float) -> None:
        if self._waiting >= self._max_waiting:
            self._refused += 1
            raise Refused(f"{self._waiting} calls wait for {self._name} already.")
        if self._opened_at is not None:
            if now < self._next_probe:
                self._refused += 1
                raise Refused(f"{self._name} did not answer lately.")
            # An earlier probe may still hang; what it asks may never be answered.
            self._next_probe = now + PROBE_SECONDS

    def _failed(self, begun: float, error: StorageError) -> None:
        now = self._clock()
        self._failures += 1
        self._in_a_row += 1
        self._last_failure_waited = now - begun >= _FROM_MEMORY
        if self._opened_at is None and self._in_a_row >= FAILURES:
            self._opened_at = now
            self._next_probe = now + PROBE_SECONDS
            self._log.error(
                "%s failed %d times in a row and is asked once a second from now on: %s",
                self._name,
                self._in_a_row,
                error,
            )

    def _succeeded(self, begun: float) -> None:
        now = self._clock()
        if self._last_failure_waited and now - begun < _FROM_MEMORY:
            # It was no probe, so that somebody else may be one.
            self._next_probe = now
            return
        self._in_a_row = 0
        if self._opened_at is not None:
            seconds = now - self._opened_at
            self._opened_at = None
            self._log.info("%s answers again, after %.0f s", self._name, seconds)
