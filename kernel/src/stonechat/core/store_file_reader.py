"""A thread that reads the SQLite file, by a connection that cannot write."""

from __future__ import annotations

import sqlite3
from time import monotonic

from sqlalchemy import Engine

from stonechat.core.store_connection import StoreConnection, closed
from stonechat.core.store_file import STEPS_BETWEEN_LOOKS, as_storage_error
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_readers import Reader
from stonechat.core.store_slow import SlowLog
from stonechat.errors import StorageError


class FileReader(Reader):
    """Made in the hub's thread and not in its own: SQLAlchemy sets up its dialect at the
    first connection, under locks that gevent may have patched.
    """

    def __init__(self, engine: Engine, waker: Waker, slow: SlowLog) -> None:
        super().__init__(waker)
        self._slow = slow
        self._connection = StoreConnection(engine)
        self._driver = self._connection.driver
        self._job: Job | None = None
        # Ends a statement whose caller has gone, so that a few slow ones cannot take all
        # threads for good, nor keep the write-ahead log from being folded back.
        self._driver.set_progress_handler(self._is_too_late, STEPS_BETWEEN_LOOKS)

    def _is_too_late(self) -> bool:
        job = self._job
        return job is not None and (job.cancelled or monotonic() > job.until)

    def _carry_out(self, job: Job) -> None:
        self._job = job
        begun = monotonic()
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
        self._job = None
        seconds = monotonic() - begun
        if seconds >= self._slow.limit:
            self._slow.note(job.name, seconds)

    def _shut(self) -> None:
        self._connection.shut()
