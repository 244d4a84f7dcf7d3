"""Jobs for the store's threads, and how those who wait for them are woken.

A thread of the store finishes many jobs and then signals the hub once; the hub switches
to their greenlets. What waits costs neither a timer nor a watcher of its own.

The threads and locks are the system's own, also in a process that gevent has patched.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from gevent import getcurrent, monkey
from gevent.hub import Hub, get_hub

from stonechat.errors import StorageError
from stonechat.storage import StorageUncertain

log = logging.getLogger("stonechat.store")

start_new_thread, allocate_lock, get_ident = monkey.get_original(
    "_thread", ["start_new_thread", "allocate_lock", "get_ident"]
)
SimpleQueue = monkey.get_original("queue", "SimpleQueue")
sleep = monkey.get_original("time", "sleep")

# How late a deadline may be noticed, in seconds.
_TICK = 0.25

# Greenlets woken before the hub looks at its other callbacks, and at the clock.
_WOKEN_AT_ONCE = 32

# A hub that is busy never lets go of the interpreter for longer than one poll takes, and a
# thread that waits for it does not wake so fast: measured, one write took seconds. So for
# jobs that wait longer than _PATIENCE the hub gives way: shortly and seldom, for they may
# wait for the disk; but as long as they get on by it, for up to half of the time.
_PATIENCE = 0.001
_LONG_PATIENCE = 0.01
_GLANCE = 0.0001
_GIVEN_AT_ONCE = 0.001


class Job:
    """One work: who waits for it and what came of it."""

    __slots__ = (
        "alone",
        "awaited",
        "begun",
        "cancelled",
        "error",
        "finished",
        "greenlet",
        "is_long",
        "is_write",
        "level",
        "lock",
        "result",
        "since",
        "until",
        "work",
    )

    def __init__(self, work: Callable[[Any], Any], deadline: float) -> None:
        self.work = work
        self.since = monotonic()
        self.until = self.since + deadline
        self.is_write = False
        self.level = 0
        self.alone = False
        self.awaited = True
        self.is_long = False  # one of minutes, which hurries nobody
        self.greenlet: Any = None
        self.lock: Any = None
        # `begun` is set by the thread before it looks at `cancelled`, `cancelled` by who
        # waits before it looks at `begun`: so who finds a job not begun knows that it
        # will not be carried out, without a lock.
        self.begun = False
        self.cancelled = False
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None

    @property
    def is_from_elsewhere(self) -> bool:
        """Whether another thread than the hub's waits for it."""
        return self.lock is not None

    @property
    def name(self) -> str:
        return str(getattr(self.work, "__qualname__", self.work))


class Waker:
    """Lets greenlets of the hub that made it wait for jobs; other threads wait by a lock."""

    def __init__(self) -> None:
        self._hub: Hub = get_hub()
        self._home = get_ident()
        self._own_threads: set[int] = set()
        self._finished: deque[Job] = deque()
        self._waiting: dict[Job, None] = {}
        self._waiting_long: dict[Job, None] = {}
        self._signal = self._hub.loop.async_(ref=False)
        self._signal.start(self._wake)
        # Threads signal one at a time, and not what is being closed.
        self._signalling = allocate_lock()
        self._is_closed = False
        # One timer looks after all deadlines. While somebody waits it also tells gevent
        # that the loop has something to wait for.
        self._timer = self._hub.loop.timer(_TICK, _TICK)
        self._before_poll = self._hub.loop.prepare(ref=False)
        self._ticking = False
        # Counted up by threads when they get on: a hint, so a lost count does no harm.
        self.progress = 0
        self._progress_seen = 0
        self._gave_way_at = 0.0
        self._is_giving_way = False
        self._way = allocate_lock()
        self._way.acquire()

    def close(self) -> None:
        """Let go of the hub; whoever still waits is not woken any more."""
        with self._signalling:
            self._is_closed = True
            self._signal.close()
        self._timer.close()
        self._before_poll.close()

    @property
    def waiting(self) -> int:
        """How many greenlets wait for jobs, but for those of minutes."""
        return len(self._waiting)

    @property
    def oldest(self) -> float:
        """Since when the first of them waits (`monotonic`)."""
        return next((job.since for job in self._waiting), monotonic())

    def new_timer(self, seconds: float) -> Any:
        """A repeating timer in the hub, not started."""
        return self._hub.loop.timer(seconds, seconds, ref=False)

    # In the thread or greenlet that asks

    def new_job(self, work: Callable[[Any], Any], deadline: float) -> Job:
        """A job that the caller can wait for."""
        job = Job(work, deadline)
        ident = get_ident()
        if ident == self._home:
            if getcurrent() is self._hub:
                raise RuntimeError("the store was called in the hub, where nothing may wait")
        elif ident in self._own_threads:
            raise RuntimeError("a work called the store again; use its connection instead")
        else:
            job.lock = allocate_lock()
            job.lock.acquire()
        return job

    def new_lone_job(self, work: Callable[[Any], Any]) -> Job:
        """A job that nobody waits for."""
        job = Job(work, 0.0)
        job.awaited = False
        return job

    def wait(self, job: Job) -> Any:
        """Return the result of a job that is in a queue, or raise what it raised."""
        try:
            if job.lock is not None:
                job.lock.acquire(timeout=max(0.0, job.until - monotonic()))
            elif not job.finished:
                self._wait_in_hub(job)
        finally:
            # Also when the greenlet is killed or a gevent.Timeout strikes.
            if not job.finished:
                job.cancelled = True
        if not job.finished:
            if job.begun and job.is_write:
                raise StorageUncertain("the store did not finish in time")
            raise StorageError("the store did not answer in time")
        error, job.error = job.error, None
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback holds this frame: leave no circle to the garbage collector.
                del error
        return job.result

    def _wait_in_hub(self, job: Job) -> None:
        if not self._ticking:
            self._ticking = True
            self._timer.start(self._expire)
            self._before_poll.start(self._give_way)
        waiting = self._waiting_long if job.is_long else self._waiting
        waiting[job] = None
        job.greenlet = getcurrent()
        try:
            self._hub.switch()
        finally:
            job.greenlet = None
            del waiting[job]

    # In the store's threads

    def start(self, run: Callable[[], None]) -> None:
        """Run `run` in a thread of the store."""

        def body() -> None:
            self._own_threads.add(get_ident())
            try:
                run()
            finally:
                self._own_threads.discard(get_ident())

        start_new_thread(body, ())

    def finish(self, jobs: Iterable[Job]) -> None:
        """Wake who waits for these jobs, with one signal to the hub."""
        signal = False
        for job in jobs:
            job.finished = True
            if job.lock is not None:
                job.lock.release()
            elif job.awaited:
                self._finished.append(job)
                signal = True
        if signal:
            with self._signalling:
                if not self._is_closed:
                    self._signal.send()
                if (
                    self._is_giving_way
                    and len(self._finished) >= len(self._waiting)
                    and self._way.locked()
                ):
                    self._way.release()

    def log(self, level: int, message: str, *args: object) -> None:
        """Log from a thread: done in the hub's, where log handlers expect to be."""
        self._hub.loop.run_callback_threadsafe(log.log, level, message, *args)

    # In the hub

    def _wake(self) -> None:
        for _ in range(_WOKEN_AT_ONCE):
            try:
                job = self._finished.popleft()
            except IndexError:
                return
            self._switch_to(job)
        self._hub.loop.run_callback(self._wake)

    def _expire(self) -> None:
        if not self._waiting and not self._waiting_long:
            self._timer.stop()
            self._before_poll.stop()
            self._ticking = False
            return
        now = monotonic()
        waiting = [*self._waiting, *self._waiting_long]
        for job in waiting:
            if job.until <= now:
                self._switch_to(job)

    def _give_way(self) -> None:
        """Before each poll: let the threads run, if they do not get to it by themselves."""
        now = monotonic()
        since = now - self._gave_way_at
        if len(self._waiting) > len(self._finished):
            patience = _PATIENCE
            if now - next(iter(self._waiting)).since < patience:
                return
        elif self._waiting_long:
            patience = _LONG_PATIENCE
        else:
            return
        if self.progress != self._progress_seen:
            self._progress_seen = self.progress
            seconds = min(_GIVEN_AT_ONCE, since)
        elif since >= patience:
            seconds = _GLANCE
        else:
            return
        self._is_giving_way = True
        self._way.acquire(timeout=seconds)
        self._is_giving_way = False
        self._gave_way_at = monotonic()

    def _switch_to(self, job: Job) -> None:
        greenlet = job.greenlet
        if greenlet is None:
            return
        job.greenlet = None
        try:
            greenlet.switch()
        except BaseException:  # noqa: BLE001 - the edge of the hub
            # A raw greenlet that ends by an exception ends in its parent, the hub.
            self._hub.handle_error(greenlet, *sys.exc_info())
