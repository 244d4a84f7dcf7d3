"""The store's one writer: a thread that commits many jobs at once.

One COMMIT costs more than ten small writes, an fsync more than a hundred; so the jobs that
wait share a transaction, each in a savepoint of its own. Nobody waits for company: a group
is what came while the one before was being committed.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from time import monotonic

from stonechat.core.store_connection import StoreConnection, closed
from stonechat.core.store_file import as_storage_error, writing_engine
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_queue import FULL, GROUP_JOBS, LEVELS, NORMAL, WriteQueue, stopped
from stonechat.core.store_slow import SlowLog
from stonechat.errors import StorageError
from stonechat.storage import Durability, StorageFull

# A group ends by this, or by the number of its jobs.
GROUP_SECONDS = 0.005


class _GroupLost(Exception):
    """SQLite undid the whole transaction, so nothing of the group was written."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Writer(WriteQueue):
    """Carries out writes one after the other, in the order they come."""

    def __init__(
        self,
        path: Path,
        waker: Waker,
        durability: Durability,
        *,
        limit: int,
        patience: float,
        slow: SlowLog,
    ) -> None:
        super().__init__(waker, limit=limit, slow=slow)
        self._connection = StoreConnection(writing_engine(path, patience))
        self._driver = self._connection.driver
        # Not less for what may be lost: a commit may also fold the log into the file, and
        # that, without waiting for the disk, could damage it in a power failure.
        self._least_level = min(LEVELS[durability], NORMAL)
        self._level = -1
        self._set_level(self._least_level)
        waker.start(self._run)

    # In the writer's thread

    def _run(self) -> None:
        while True:
            self._gather(GROUP_JOBS, wait=True)
            job = self._next[0]
            if job.work is stopped:
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
            self._count(group, started)
            self._waker.finish(group)
            del job, group

    def _carry_out_group(self, group: list[Job]) -> None:
        coming = self._next
        level = self._least_level
        for job in coming:
            if job.alone or job.work is stopped:
                break
            level = max(level, job.level)
        try:
            self._set_level(level)
            self._begin()
        except sqlite3.Error:
            # They would fare no better one by one, and each would wait for a lock again.
            while coming and coming[0].work is not stopped:
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
            if job.alone or job.work is stopped or job.level > level:
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
        begun = monotonic()
        try:
            job.result = closed(job.work(self._connection))
            self._time(job, begun)
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


def _lost(cause: BaseException) -> StorageError:
    """An error of its own for each caller: a shared one would collect their tracebacks."""
    reason = as_storage_error(cause)
    kind = StorageFull if isinstance(reason, StorageFull) else StorageError
    lost = kind(f"nothing was written: {reason}")
    lost.__cause__ = cause
    return lost
