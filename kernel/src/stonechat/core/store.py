"""The store of a node: a SQLite database with one writer and a few readers.

    greenlets ── write ──> queue ──> writer thread ──> COMMIT ─┐
        ^        read ───> queue ──> reader threads ───────────┤
        └───────────── one wake-up of the hub for many ────────┘

A lock in the data directory keeps a second server out. Nothing is loaded at the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, exc, make_url

from stonechat.core import store_backup, store_schema
from stonechat.core.store_file import DirectoryLock, is_missing, make_file
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_readers import Readers
from stonechat.core.store_writer import FULL, LEVELS, NORMAL, Writer
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import Durability, Schema, Storage, StorageUncertain

if TYPE_CHECKING:
    from stonechat.core.config_model import Storage as StorageOptions

log = logging.getLogger("stonechat.store")

T = TypeVar("T")

DEADLINE = 5.0
# A table of ten million rows is copied row by row when SQLite alters it.
_LONG_DEADLINE = 6 * 3600.0


def open_store(
    options: StorageOptions, data_dir: Path, *, durability: Durability = "disk"
) -> Store:
    """Open the database that the configuration names, making it where there is none."""
    try:
        parsed = make_url(options.url)
    except exc.ArgumentError as error:
        raise ConfigError("storage.url is not a database URL, like sqlite:///stonechat.db") from (
            error
        )
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ConfigError(f"storage.url names {parsed.drivername}, which is not known: use sqlite")
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise ConfigError("storage.url must name a file and nothing else: sqlite:///stonechat.db")
    return Store(
        data_dir / parsed.database,
        data_dir=data_dir,
        durability=durability,
        deadline=options.timeout,
        reader_threads=options.connections,
    )


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What the store has done since it was opened, and what waits for it."""

    commits: int
    writes: int
    failed_writes: int
    dropped_writes: int
    writes_waiting: int
    reads_waiting: int


class Store(Storage):
    """A SQLite database in use. Made, used and closed in the thread of the server's hub."""

    def __init__(
        self,
        path: Path,
        *,
        data_dir: Path | None = None,
        durability: Durability = "disk",
        deadline: float = DEADLINE,
        reader_threads: int = 4,
        max_reads_waiting: int = 1000,
        max_writes_waiting: int = 10_000,
    ) -> None:
        self.path = path
        self._deadline = deadline
        self._level = LEVELS[durability]
        self._is_closed = False
        self._long_job = ""
        self._long_end: Job | None = None
        self._locks: list[DirectoryLock] = []
        with ExitStack() as opened:  # closed again if a later step fails
            # The file's own directory too: another server might name it from elsewhere.
            for directory in dict.fromkeys((data_dir or path.parent, path.parent)):
                lock = DirectoryLock(directory)
                self._locks.append(lock)
                opened.callback(lock.release)
            if is_missing(path):
                make_file(path)
            self._waker = Waker()
            opened.callback(self._waker.close)
            try:
                self._writer = Writer(
                    path,
                    self._waker,
                    durability,
                    limit=max_writes_waiting,
                    patience=deadline,
                )
                opened.callback(self._writer.stop, deadline)
                self._readers = Readers(
                    path, self._waker, threads=reader_threads, limit=max_reads_waiting
                )
            except exc.DBAPIError as error:
                raise StorageError(f"{path} cannot be opened: {error.orig}") from error
            opened.pop_all()

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

    def read(self, work: Callable[[Connection], T], *, deadline: float | None = None) -> T:
        self._check_open()
        job = self._waker.new_job(work, self._deadline if deadline is None else deadline)
        self._readers.submit(job)
        result: T = self._waker.wait(job)
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
        result: T = self._waker.wait(job)
        return result

    def write_soon(self, work: Callable[[Connection], object]) -> None:
        self._check_open()
        self._writer.submit_if_calm(self._waker.new_lone_job(work))

    def ensure(self, *schemas: Schema) -> None:
        steps = store_schema.plan(self.read(store_schema.recorded_versions), schemas)
        if not steps.new and not steps.old:
            return

        def carry_out(connection: Connection) -> None:
            store_schema.carry_out(connection, steps)

        kept = self._copy_before(steps) if steps.old else None
        try:
            job = self._waker.new_job(carry_out, _LONG_DEADLINE)
            job.is_write = job.alone = True
            self._writer.submit(job)
            self._waker.wait(job)
        except Exception as error:
            # All is as it was, and a supervisor may start us again and again.
            if kept is not None and not isinstance(error, StorageUncertain):
                kept.unlink(missing_ok=True)
            raise

    def _copy_before(self, steps: store_schema.Plan) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept = self.path.with_name(f"{self.path.stem}-{stamp}-{steps.label}.db")
        self.backup(kept)
        log.info("Tables are about to be altered; %s is a copy from before", kept)
        return kept

    def backup(self, target: Path) -> None:
        """Write a copy to a new file, while the server goes on."""
        self._run_long("backup", lambda job: store_backup.copy(self.path, target, job))

    def check(self) -> list[str]:
        """Read the whole database and say what is damaged; nothing if it is sound."""
        found: list[str] = self._run_long("check", lambda job: store_backup.faults(self.path, job))
        return found

    def close(self, deadline: float = 10.0) -> None:
        """Carry out what waits, then let go of the file."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if self._long_end is not None:
                self._long_end.until = monotonic() + deadline
                self._waker.wait(self._long_end)
            self._readers.stop(deadline)
        finally:
            # The writer comes last: only it may fold the write-ahead log into the file.
            self._writer.stop(deadline)
            self._waker.close()
            for lock in self._locks:
                lock.release()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError("the store is closed")

    def _run_long(self, what: str, work: Callable[[Callable[[], bool]], Any]) -> Any:
        """Run something that takes minutes in a thread of its own, one at a time."""
        self._check_open()
        if self._long_end is not None and not self._long_end.finished:
            raise StorageError(f"a {self._long_job} is running already")

        def is_cancelled() -> bool:
            return job.cancelled or self._is_closed

        def run() -> None:
            job.begun = True
            try:
                job.result = work(is_cancelled)
            except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
                job.error = error
            self._waker.finish((job, end))

        job = self._waker.new_job(work, _LONG_DEADLINE)
        # A second one to wait for, by `close`: who asked may have gone.
        end = Job(work, _LONG_DEADLINE)
        job.is_long = True
        self._long_job, self._long_end = what, end
        self._waker.start(run)
        return self._waker.wait(job)
