"""The store's one writer: a thread that commits many jobs at once.

One COMMIT costs more than ten small writes, an fsync more than a hundred; so the jobs that
wait share a transaction, each in a savepoint of its own. Nobody waits for company: a group
is what came while the one before was being committed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from pathlib import Path
from time import monotonic

from stonechat.core.store_file import StoreConnection, as_storage_error, writing_engine
from stonechat.core.store_jobs import Job, SimpleQueue, Waker
from stonechat.core.store_readers import closed
from stonechat.errors import StorageError
from stonechat.storage import Durability, StorageFull

# What SQLite calls the levels of durability.
OFF, NORMAL, FULL = 0, 1, 2
LEVELS: dict[Durability, int] = {"memory": OFF, "disk": NORMAL, "full": FULL}

# A group ends at whichever comes first.
GROUP_JOBS = 200
GROUP_SECONDS = 0.005

# All others wait for one slow job: somebody should hear of it.
_SLOW_SECONDS = 1.0


class _GroupLost(Exception):
    """SQLite undid the whole transaction, so nothing of the group was written."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Writer:
    """Carries out writes one after the other, in the order they come."""

    def __init__(
        self, path: Path, waker: Waker, durability: Durability, *, limit: int, patience: float
    ) -> None:
        self._waker = waker
        self._limit = limit
        self._queue: SimpleQueue = SimpleQueue()
        self._next: deque[Job] = deque()
        self._connection = StoreConnection(writing_engine(path, patience))
        self._driver = self._connection.driver
        # Not less for what may be lost: a commit may also fold the log into the file, and
        # that, without waiting for the disk, could damage it in a power failure.
        self._least_level = min(LEVELS[durability], NORMAL)
        self._level = -1
        self._set_level(self._least_level)
        self.commits = 0
        self.jobs = 0
        self.failures = 0
        self.dropped = 0
        waker.start(self._run)

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
        stop = self._waker.new_job(_stop, deadline)
        self._queue.put(stop)
        self._waker.wait(stop)

    # In the writer's thread

    def _run(self) -> None:
        while True:
            self._gather(GROUP_JOBS, wait=True)
            job = self._next[0]
            if job.work is _stop:
                self._connection.shut()
                self._waker.finish((job,))
                return
            group: list[Job] = []
            started = monotonic()
            try:
                if job.alone:
                    self._carry_out_alone(group)
                else:
                    self._carry_out_group(group)
            except BaseException as error:  # noqa: BLE001 - raised again where each caller waits
                self._lose(group, error)
            self._count(group, monotonic() - started)
            self._waker.finish(group)
            del job, group

    def _gather(self, room: int, *, wait: bool = False) -> None:
        """Take what is in the queue; wait for the first job if there is none."""
        if wait and not self._next:
            self._next.append(self._queue.get())
        # Nobody else takes from the queue, so what it holds can be had without waiting.
        for _ in range(min(self._queue.qsize(), room - len(self._next))):
            self._next.append(self._queue.get())

    def _carry_out_group(self, group: list[Job]) -> None:
        coming = self._next
        level = self._least_level
        for job in coming:
            if job.alone or job.work is _stop:
                break
            level = max(level, job.level)
        try:
            self._set_level(level)
            self._begin()
        except sqlite3.Error:
            # They would fare no better one by one, and each would wait for a lock again.
            while coming and coming[0].work is not _stop:
                group.append(coming.popleft())
            raise
        until = monotonic() + GROUP_SECONDS
        is_empty = True
        while True:
            job = coming.popleft()
            group.append(job)
            self._waker.progress += 1
            if self._carry_out(job, is_first=is_empty):
                is_empty = False
            if len(group) >= GROUP_JOBS or monotonic() >= until:
                break
            if not coming:
                self._gather(GROUP_JOBS - len(group))
            if not coming:
                break
            job = coming[0]
            if job.alone or job.work is _stop or job.level > level:
                break
        self._driver.execute("COMMIT")
        self.commits += 1

    def _carry_out(self, job: Job, *, is_first: bool) -> bool:
        """Run one job in the open transaction; False if it left nothing there."""
        job.begun = True
        if job.cancelled:
            return False
        driver = self._driver
        if not is_first:
            driver.execute("SAVEPOINT job")
        try:
            job.result = closed(job.work(self._connection))
            if self._connection.in_nested_transaction():
                raise StorageError("a work left a nested transaction open")
            if not driver.in_transaction:
                raise StorageError("a work ended the transaction")
        except BaseException as error:
            job.error = as_storage_error(error)
            self._connection.drop_savepoints()
            # Out of space, out of memory: SQLite may have undone the transaction itself.
            if not driver.in_transaction:
                if is_first:
                    self._begin()
                    return False
                raise _GroupLost(error) from error
            if is_first:
                driver.execute("ROLLBACK")
                self._begin()
            else:
                driver.execute("ROLLBACK TO job")
                driver.execute("RELEASE job")
            return False
        if not is_first:
            driver.execute("RELEASE job")
        return True

    def _carry_out_alone(self, group: list[Job]) -> None:
        """A job in a transaction of its own, without foreign keys: a change of tables.

        SQLite alters a table by dropping the old form of it, and rows elsewhere that
        point there must not go with it. Foreign keys cannot be switched in a transaction.
        """
        job = self._next.popleft()
        group.append(job)
        try:
            self._set_level(FULL)
            self._driver.execute("PRAGMA foreign_keys = OFF")
            self._begin()
            if self._carry_out(job, is_first=True):
                self._driver.execute("COMMIT")
                self.commits += 1
        finally:
            if self._driver.in_transaction:  # in which the next line would do nothing
                self._driver.execute("ROLLBACK")
            self._driver.execute("PRAGMA foreign_keys = ON")

    def _begin(self) -> None:
        self._driver.execute("BEGIN IMMEDIATE")

    def _set_level(self, level: int) -> None:
        if level != self._level:
            self._driver.execute(f"PRAGMA synchronous = {level}")
            self._level = level

    def _lose(self, group: list[Job], error: BaseException) -> None:
        """Tell a whole group that nothing of it was written."""
        try:
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        except sqlite3.Error as second:
            self._waker.log(logging.ERROR, "The store could not roll back: %s", second)
        cause = error.cause if isinstance(error, _GroupLost) else error
        for job in group:
            job.result = None
            if job.error is None:
                job.error = _lost(cause)

    def _count(self, group: list[Job], seconds: float) -> None:
        self.jobs += len(group)
        for job in group:
            if job.error is not None:
                self.failures += 1
                if not job.awaited:
                    self._waker.log(logging.WARNING, "%s was not written: %s", job.name, job.error)
        if seconds >= _SLOW_SECONDS:
            self._waker.log(
                logging.WARNING,
                "Writes were held up for %.1f s by one of: %s",
                seconds,
                ", ".join(sorted({job.name for job in group})),
            )


def _stop(_connection: object) -> None:
    """The work of the job that ends the thread."""


def _lost(cause: BaseException) -> StorageError:
    """An error of its own for each caller: a shared one would collect their tracebacks."""
    reason = as_storage_error(cause)
    kind = StorageFull if isinstance(reason, StorageFull) else StorageError
    lost = kind(f"nothing was written: {reason}")
    lost.__cause__ = cause
    return lost
