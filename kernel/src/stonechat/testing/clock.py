"""A clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gevent.event import Event

if TYPE_CHECKING:
    from gevent.hub import Hub

    from stonechat.net.timers import TimerWheel

# The wheel of a server under test is this fine, so that a timer of five seconds is due
# when five seconds have passed, and not a tick of a tenth later.
GRANULARITY = 1e-7

# A timer that comes again and again is late by a tick each time. So far `advance` goes
# beyond its end for one.
_SLACK = 1e-3

_BEGINNING = int(datetime(2026, 2, 14, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000


class TestClock:
    """The monotonic clock and the wall clock of a server under test."""

    __test__ = False

    def __init__(self) -> None:
        self._seconds = 1000.0
        self._begun = self._seconds
        self._ahead = 0  # microseconds by which the wall clock has left the other behind
        self._timers: TimerWheel | None = None
        self._hub: Hub | None = None
        self._settle: Callable[[], None] = lambda: None

    def drive(self, timers: TimerWheel, hub: Hub, settle: Callable[[], None]) -> None:
        """Run these timers from now on; `settle` waits until what they began is done."""
        self._timers = timers
        self._hub = hub
        self._settle = settle

    def monotonic(self) -> float:
        """Seconds, as `time.monotonic()` gives them."""
        return self._seconds

    def wall(self) -> int:
        """Nanoseconds since the epoch, as `time.time_ns()` gives them.

        A microsecond later each time, or `host.now()` would have to run ahead of us, and
        ten minutes after it would not be over when ten minutes have passed here.
        """
        self._ahead += 1
        return self.now() * 1000

    def now(self) -> int:
        """Microseconds since the epoch, UTC."""
        return _BEGINNING + round((self._seconds - self._begun) * 1_000_000) + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass: each timer that falls due runs at its moment, one after the other."""
        if seconds < 0:
            raise ValueError("time passes forwards; `jump` sets the wall clock back")
        end = self._seconds + seconds
        timers = self._timers
        while timers is not None:
            due = timers.next_due()
            if due is None or due > end + _SLACK:
                break
            self._seconds = max(self._seconds, due)
            self._run(timers)
        self._seconds = max(self._seconds, end)
        self._settle()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator does; no timer feels it."""
        self._ahead += round(seconds * 1_000_000)

    def _run(self, timers: TimerWheel) -> None:
        """Run what is due in the hub, where a callback that waits is refused as in service."""
        assert self._hub is not None
        done = Event()

        def run() -> None:
            try:
                # Half a tick makes up for what sums of large numbers lose.
                timers.advance(self._seconds + GRANULARITY / 2)
            finally:
                done.set()

        self._hub.loop.run_callback(run)
        done.wait()
        self._settle()
