"""Waits until a server under test has nothing left to do but to wait for its clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import gevent

from stonechat.core.server import Server
from stonechat.net.timers import TimerWheel
from stonechat.testing.clock import GRANULARITY

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from stonechat.core.config_types import Configuration
    from stonechat.testing.clock import TestClock

T = TypeVar("T")

DEADLINE = 5.0

# While threads are at work there is nothing to see in the hub: look again so soon.
_LOOK_EVERY = 0.0002


class TestedServer(Server):
    """The real server, on a clock of ours, counting what it waits for."""

    _settling = 0  # greenlets in `settle`, of all servers in the hub

    def __init__(self, configuration: Configuration, clock: TestClock) -> None:
        super().__init__(configuration, clock=clock.monotonic, wall_clock=clock.wall)
        self.timers = TimerWheel(
            clock.monotonic, granularity=GRANULARITY, on_error=self._timer_failed
        )
        self._in_threads = 0
        self._written_soon = 0
        self._seen_written = 0

    def start(self) -> None:
        super().start()
        # From now on the clock drives the timers, and nothing else.
        self.timers.stop()
        store = self.store
        write_soon = store.write_soon

        def counted(work: Callable[[Connection], object]) -> None:
            self._written_soon += 1
            write_soon(work)

        store.write_soon = counted  # type: ignore[method-assign]

    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T:
        self._in_threads += 1
        try:
            return super().run_blocking(call, *arguments)
        finally:
            self._in_threads -= 1

    def _sweep(self) -> None:
        # Every few seconds for nothing, it would make a jump of years a long wait.
        if self.configuration.limits.idle_timeout:
            super()._sweep()

    @property
    def _waits_for_threads(self) -> bool:
        if self._in_threads:
            return True
        return self._store is not None and bool(self._store._waker._waiting)

    def settle(self) -> None:
        """Let greenlets, threads and the store work until all of them have to wait."""
        TestedServer._settling += 1
        try:
            self._settle()
        finally:
            TestedServer._settling -= 1

    def _settle(self) -> None:
        deadline = time.monotonic() + DEADLINE
        callbacks = self.hub.loop._callbacks
        while True:
            gevent.sleep(0)
            if self._waits_for_threads:
                gevent.sleep(_LOOK_EVERY)
            # Others who settle at the same time are in line too, but for this only.
            elif len(callbacks) < self._settling:
                if self._written_soon == self._seen_written or self._store is None:
                    return
                # What was written without waiting is to be found by whoever reads next.
                self._seen_written = self._written_soon
                self._store.write(lambda connection: None)
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"the server did not come to rest within {DEADLINE} s: something in it"
                    " goes on without waiting, or a call into a thread does not come back"
                )
