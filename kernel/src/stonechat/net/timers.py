"""One wheel for all timers of a node: adding and cancelling cost the same whatever it holds.

Time is cut into ticks, and a bucket per tick holds the timers that fall due in it.
Only the monotonic clock is read, so a wrong or jumping wall clock moves no timer.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gevent.hub import Hub

_log = logging.getLogger(__name__)

# As many timers a turn of the hub as leave the sockets their share of it.
TIMERS_PER_TURN = 256


class Timer:
    """A call that waits for its time. `cancel` may come at any moment, and more than once."""

    __slots__ = ("_bucket", "arguments", "callback")

    def __init__(
        self, bucket: _Bucket, callback: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self._bucket: _Bucket | None = bucket
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments

    @property
    def is_pending(self) -> bool:
        """Neither run nor cancelled yet."""
        return self.callback is not None

    def cancel(self) -> None:
        # What the callback holds must not live on in a reference that someone kept.
        self.callback = None
        self.arguments = ()
        bucket = self._bucket
        if bucket is not None:
            self._bucket = None
            del bucket[self]
            if not bucket:
                bucket.wheel._forget(bucket)


class _Bucket(dict[Timer, None]):
    """The timers of one tick, in the order they came."""

    __slots__ = ("tick", "wheel")

    def __init__(self, wheel: TimerWheel, tick: int) -> None:
        self.wheel = wheel
        self.tick = tick


def _log_error(callback: Callable[..., object], error: BaseException) -> None:
    _log.error("timer callback %r failed", callback, exc_info=error)


class TimerWheel:
    """Timers that fire never early, and late by a tick at most plus what the hub is late.

    Callbacks run where `advance` is called; with `start` that is the hub, so they
    must not block. One that raises is handed to `on_error` and keeps no other from running.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        granularity: float = 0.1,
        on_error: Callable[[Callable[..., object], BaseException], None] = _log_error,
    ) -> None:
        self._clock = clock
        self._granularity = granularity
        self._on_error = on_error
        self._origin = clock()
        self._buckets: dict[int, _Bucket] = {}
        # The ticks of the buckets, soonest first; ticks of emptied buckets stay in
        # until their time or the next sweep.
        self._ticks: list[int] = []
        self._due: deque[Timer] = deque()
        self._hub: Hub | None = None
        self._watcher: Any = None
        self._watched_tick = 0

    @property
    def now(self) -> float:
        """What the clock says."""
        return self._clock()

    def __len__(self) -> int:
        """How many timers wait."""
        waiting = sum(len(bucket) for bucket in self._buckets.values())
        return waiting + sum(timer.is_pending for timer in self._due)

    def add(self, seconds: float, callback: Callable[..., object], *arguments: Any) -> Timer:
        """Call `callback(*arguments)` once, `seconds` from now."""
        deadline = self._clock() - self._origin + max(seconds, 0.0)
        # The tick that begins after the deadline: late by a part of a tick, never early.
        tick = int(deadline / self._granularity) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = _Bucket(self, tick)
            self._remember(tick)
        timer = Timer(bucket, callback, arguments)
        bucket[timer] = None
        return timer

    def advance(self, now: float | None = None, limit: int | None = None) -> int:
        """Run what is due, at most `limit` timers; the rest waits for the next call.

        Returns how many were run.
        """
        passed = (self._clock() if now is None else now) - self._origin
        # A millionth of a tick makes up for what division loses.
        tick = int(passed / self._granularity + 1e-6)
        due = self._due
        while self._ticks and self._ticks[0] <= tick:
            bucket = self._buckets.pop(heapq.heappop(self._ticks), None)
            for timer in bucket or ():
                timer._bucket = None
                due.append(timer)
        count = 0
        while due and (limit is None or count < limit):
            timer = due.popleft()
            callback, arguments = timer.callback, timer.arguments
            if callback is None:
                continue
            timer.cancel()
            count += 1
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - one timer keeps no other from running
                self._on_error(callback, error)
        return count

    def next_due(self) -> float | None:
        """The moment on the clock when `advance` has work; None if nothing waits."""
        if self._due:
            return self._clock()
        tick = self._next_tick()
        return None if tick is None else self._origin + tick * self._granularity

    def start(self, hub: Hub) -> None:
        """Let `hub` drive the wheel, by one timer of its own, and none while nothing waits."""
        self._hub = hub
        self._arm()

    def stop(self) -> None:
        """Take the wheel from its hub. Timers stay, and go on with the next `start`."""
        self._hub = None
        self._disarm()

    def _next_tick(self) -> int | None:
        ticks = self._ticks
        while ticks and ticks[0] not in self._buckets:
            heapq.heappop(ticks)
        return ticks[0] if ticks else None

    def _remember(self, tick: int) -> None:
        ticks = self._ticks
        # Timers added and cancelled for ever must not fill the heap with empty ticks.
        if len(ticks) > 2 * len(self._buckets) + 64:
            ticks[:] = self._buckets
            heapq.heapify(ticks)
        else:
            heapq.heappush(ticks, tick)
        if self._hub is not None and (self._watcher is None or tick < self._watched_tick):
            self._arm()

    def _forget(self, bucket: _Bucket) -> None:
        del self._buckets[bucket.tick]

    def _arm(self) -> None:
        self._disarm()
        due = self.next_due()
        if self._hub is None or due is None:
            return
        self._watched_tick = self._next_tick() or 0
        self._watcher = self._hub.loop.timer(max(due - self._clock(), 0.0))
        # The loop's own time may be of before a long callback: bring it up to date,
        # or the timer would come early by that much.
        self._watcher.start(self._on_timer, update=True)

    def _disarm(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def _on_timer(self) -> None:
        self._disarm()
        try:
            self.advance(limit=TIMERS_PER_TURN)
        finally:
            self._arm()
