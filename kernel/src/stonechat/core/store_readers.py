"""The store's readers: a few threads, each with a connection that cannot write.

Small reads are Python for the most part, and threads that fight over the interpreter make
each of them three times as dear. So one thread works while it gets on well, and others are
called when it does not: when it waits for the disk or searches for long.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from pathlib import Path
from time import monotonic

from sqlalchemy import Result

from stonechat.core.store_file import (
    STEPS_BETWEEN_LOOKS,
    StoreConnection,
    as_storage_error,
    reading_engine,
)
from stonechat.core.store_jobs import Job, Waker, allocate_lock
from stonechat.errors import StorageError

# While reads wait, look so often (in seconds) whether so many were taken up.
_LOOK_EVERY = 0.002
_TAKEN_BETWEEN_LOOKS = 8


class Readers:
    """Carries out reads, in the order they come, several at a time if need be."""

    def __init__(self, path: Path, waker: Waker, *, threads: int, limit: int) -> None:
        self._waker = waker
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._idle: list[_Reader] = []
        self._taken_at_last_look = 0
        self._timer = waker.new_timer(_LOOK_EVERY)
        self._is_looking = False
        engine = reading_engine(path)
        # Opened here and not in the threads: SQLAlchemy sets up its dialect at the first
        # connection under locks that gevent may have patched.
        self._readers = [
            _Reader(StoreConnection(engine), self._jobs, self._idle, waker) for _ in range(threads)
        ]
        self._idle.extend(self._readers)
        for reader in self._readers:
            waker.start(reader.run)

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        if len(self._jobs) >= self._limit:
            raise StorageError(f"{self._limit} reads wait for the store already")
        self._jobs.append(job)
        if len(self._idle) == len(self._readers) or job.is_from_elsewhere:
            self._call_one()
        elif not self._is_looking:
            self._is_looking = True
            self._taken_at_last_look = self._taken()
            self._timer.start(self._look)

    def stop(self, deadline: float) -> None:
        """Carry out what waits, then end the threads."""
        stops = [self._waker.new_job(_stop, deadline) for _ in self._readers]
        for stop in stops:
            self._jobs.append(stop)
            self._call_one()
        for stop in stops:
            self._waker.wait(stop)
        self._timer.close()

    def _call_one(self) -> None:
        # The last one to fall idle: its cache is warm.
        try:
            reader = self._idle.pop()
        except IndexError:
            return  # each looks for jobs once more before it sleeps
        reader.called.release()

    def _look(self) -> None:
        if not self._jobs:
            self._is_looking = False
            self._timer.stop()
            return
        taken = self._taken()
        if taken - self._taken_at_last_look < _TAKEN_BETWEEN_LOOKS:
            self._call_one()
        self._taken_at_last_look = taken

    def _taken(self) -> int:
        return sum(reader.taken for reader in self._readers)


def _stop(_connection: object) -> None:
    """The work of the job that ends a thread."""


class _Reader:
    """One thread and its connection."""

    def __init__(
        self,
        connection: StoreConnection,
        jobs: deque[Job],
        idle: list[_Reader],
        waker: Waker,
    ) -> None:
        self._connection = connection
        self._driver = connection.driver
        self._jobs = jobs
        self._idle = idle
        self._waker = waker
        self._job: Job | None = None
        self.taken = 0
        self.called = allocate_lock()
        self.called.acquire()
        # Ends a statement whose caller has gone, so that a few slow ones cannot take all
        # threads for good, nor keep the write-ahead log from being folded back.
        self._driver.set_progress_handler(self._is_too_late, STEPS_BETWEEN_LOOKS)

    def _is_too_late(self) -> bool:
        job = self._job
        return job is not None and (job.cancelled or monotonic() > job.until)

    def run(self) -> None:
        self.called.acquire()
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                self._sleep()
                continue
            self.taken += 1
            self._waker.progress += 1
            if job.work is _stop:
                self._connection.shut()
                self._waker.finish((job,))
                return
            job.begun = True
            if not job.cancelled:
                self._job = job
                self._carry_out(job)
                self._job = None
                self._waker.finish((job,))
            del job

    def _sleep(self) -> None:
        # Here: say that we are idle, then look for a job. There: put a job, then look who
        # is idle. So one of the two sees the other.
        self._idle.append(self)
        if self._jobs:
            try:
                self._idle.remove(self)
                return
            except ValueError:
                pass  # called already
        self.called.acquire()

    def _carry_out(self, job: Job) -> None:
        try:
            # One moment for all that the work reads. It is chosen at the first statement.
            self._driver.execute("BEGIN")
            job.result = closed(job.work(self._connection))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            job.error = as_storage_error(error)
            if self._is_too_late():
                job.error = StorageError("the store did not answer in time")
        try:
            self._connection.drop_savepoints()
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
        except sqlite3.Error as error:
            job.error = job.error or as_storage_error(error)


def closed(result: object) -> object:
    """`result`, if it needs no connection any more."""
    if isinstance(result, Result):
        result.close()
        raise StorageError("a work returned an open result: fetch its rows in the work")
    return result
