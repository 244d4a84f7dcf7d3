"""The queue of writes, in front of the one thread that carries them out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from queue import Empty
from time import monotonic

from stonechat.core.store_jobs import Job, SimpleQueue, Waker
from stonechat.core.store_slow import SlowLog
from stonechat.storage import Durability, StorageFull

# What a commit waits for, by the words of SQLite.
OFF, NORMAL, FULL = 0, 1, 2
LEVELS: dict[Durability, int] = {"memory": OFF, "disk": NORMAL, "full": FULL}

# So many jobs share a commit at most.
GROUP_JOBS = 200


class WriteQueue:
    """What all writers have in common: what waits, and what became of it."""

    def __init__(self, waker: Waker, *, limit: int, slow: SlowLog) -> None:
        self._waker = waker
        self._limit = limit
        self._slow = slow
        self._queue: SimpleQueue = SimpleQueue()
        self._next: deque[Job] = deque()
        # What slow works took of the group, which is no fault of its commit.
        self._slow_seconds = 0.0
        self.commits = 0
        self.jobs = 0
        self.failures = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        return int(self._queue.qsize()) + len(self._next)

    def submit(self, job: Job) -> None:
        if self._queue.qsize() >= self._limit:
            raise StorageFull(f"{self._limit} writes wait for the store already")
        self._queue.put(job)

    def submit_if_calm(self, job: Job) -> None:
        """Take a job that may be lost; the second half of the queue is not for those."""
        if self._queue.qsize() < self._limit // 2:
            self._queue.put(job)
            return
        self.dropped += 1
        # Once for each time that the number doubles: a full queue must not fill the log.
        if self.dropped & (self.dropped - 1) == 0:
            self._waker.log(
                logging.WARNING,
                "Too much waits for the store: %d writes that may be lost were dropped",
                self.dropped,
            )

    def stop(self, deadline: float) -> None:
        """Carry out what waits, then end the thread."""
        stop = self._waker.new_job(stopped, deadline)
        self._queue.put(stop)
        self._waker.wait(stop)

    # In the writer's thread

    def _gather(self, room: int, *, wait: bool = False, seconds: float | None = None) -> None:
        """Take what is in the queue; wait for the first job if there is none, so long."""
        if wait and not self._next:
            try:
                self._next.append(self._queue.get(timeout=seconds))
            except Empty:
                return
        # Nobody else takes from the queue, so what it holds can be had without waiting.
        for _ in range(min(self._queue.qsize(), room - len(self._next))):
            self._next.append(self._queue.get())

    def _time(self, job: Job, begun: float, statement: str = "") -> None:
        """A work is over that began then."""
        seconds = monotonic() - begun
        if seconds >= self._slow.limit:
            self._slow.note(job.name, seconds, statement)
            self._slow_seconds += seconds

    def _count(self, group: Sequence[Job], begun: float) -> None:
        """A group is over that began then."""
        self.jobs += len(group)
        for job in group:
            if job.error is not None:
                self.failures += 1
                if not job.awaited:
                    self._waker.log(logging.WARNING, "%s was not written: %s", job.name, job.error)
        seconds = monotonic() - begun - self._slow_seconds
        self._slow_seconds = 0.0
        if seconds >= self._slow.limit:
            self._slow.note("a commit", seconds)


def stopped(_connection: object) -> None:
    """The work of the job that ends a thread."""
