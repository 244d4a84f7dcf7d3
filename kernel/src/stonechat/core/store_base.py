"""What every store is: a queue of writes, readers, and greenlets that wait for both.

greenlets ── write ──> queue ──> writer thread ──> COMMIT ─┐
    ^        read ───> queue ──> reader threads ───────────┤
    └───────────── one wake-up of the hub for many ────────┘
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from stonechat.core import store_schema
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_queue import FULL, LEVELS, NORMAL, WriteQueue
from stonechat.core.store_readers import Readers
from stonechat.errors import StorageError
from stonechat.storage import Durability, Schema, Storage

T = TypeVar("T")

DEADLINE = 5.0
SLOW = 1.0
# A table of ten million rows is copied row by row when it is altered.
LONG_DEADLINE = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What the store has done since it was opened, and what waits for it."""

    commits: int
    writes: int
    failed_writes: int
    dropped_writes: int
    writes_waiting: int
    reads_waiting: int


class NodeStore(Storage):
    """The store of a node. Made, used and closed in the thread of the server's hub."""

    _waker: Waker
    _writer: WriteQueue
    _readers: Readers

    def __init__(self, deadline: float, durability: Durability) -> None:
        self._deadline = deadline
        self._level = LEVELS[durability]
        self._is_closed = False

    @property
    def figures(self) -> StoreFigures:
        return StoreFigures(
            commits=self._writer.commits,
            writes=self._writer.jobs,
            failed_writes=self._writer.failures,
            dropped_writes=self._writer.dropped,
            writes_waiting=self._writer.waiting,
            reads_waiting=self._readers.waiting,
        )

    # Calls

    def read(self, work: Callable[[Connection], T], *, deadline: float | None = None) -> T:
        self._check_open()
        job = self._waker.new_job(work, self._deadline if deadline is None else deadline)
        self._readers.submit(job)
        result: T = self._wait(job)
        return result

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        durable: bool | None = None,
        deadline: float | None = None,
    ) -> T:
        self._check_open()
        job = self._waker.new_job(work, self._deadline if deadline is None else deadline)
        job.is_write = True
        if durable is None:
            job.level = self._level
        else:
            job.level = FULL if durable else min(self._level, NORMAL)
        self._writer.submit(job)
        result: T = self._wait(job)
        return result

    def write_soon(self, work: Callable[[Connection], object]) -> None:
        self._check_open()
        self._writer.submit_if_calm(self._waker.new_lone_job(work))

    def ensure(self, *schemas: Schema) -> None:
        steps = store_schema.plan(self.read(store_schema.recorded_versions), schemas)
        if steps.new or steps.old:
            self._ensure(steps)

    @abstractmethod
    def _ensure(self, steps: store_schema.Plan) -> None:
        """Make and alter the tables."""

    def alter(self, work: Callable[[Connection], object]) -> None:
        """Run a change of tables, in a transaction of its own where the database can."""
        job = self._waker.new_job(work, LONG_DEADLINE)
        job.is_write = job.alone = True
        self._writer.submit(job)
        self._wait(job)

    def _wait(self, job: Job) -> Any:
        return self._waker.wait(job)

    # Care

    @abstractmethod
    def backup(self, target: Path) -> None:
        """Write a copy to a new file, while the server goes on."""

    @abstractmethod
    def check(self) -> list[str]:
        """Read the whole database and say what is damaged; nothing if it is sound."""

    @abstractmethod
    def close(self, deadline: float = 10.0) -> None:
        """Carry out what waits, then let go of the database."""

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("the store is closed")
