"""The store that the configuration names; here, a file of SQLite's with one writer.

A lock in the data directory keeps a second server out. Nothing is loaded at the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, exc, make_url

from stonechat.core import store_backup, store_schema
from stonechat.core.store_base import DEADLINE, LONG_DEADLINE, SLOW, NodeStore, StoreFigures
from stonechat.core.store_file import DirectoryLock, is_missing, make_file, reading_engine
from stonechat.core.store_file_reader import FileReader
from stonechat.core.store_jobs import Job, Waker
from stonechat.core.store_readers import Readers
from stonechat.core.store_slow import SlowLog
from stonechat.core.store_writer import Writer
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import Durability, StorageUncertain

if TYPE_CHECKING:
    from stonechat.core.config_model import Storage as StorageOptions

__all__ = ["NodeStore", "Store", "StoreFigures", "open_store"]

log = logging.getLogger("stonechat.store")


def open_store(
    options: StorageOptions,
    data_dir: Path,
    *,
    durability: Durability = "disk",
    for_node: bool = True,
) -> NodeStore:
    """Open the database that the configuration names, making it where there is none.

    A node locks its data directory, too; who wants nothing but the data does not.
    """
    try:
        url = make_url(options.url)
    except exc.ArgumentError as error:
        raise ConfigError("storage.url is not a database URL, like sqlite:///stonechat.db") from (
            error
        )
    if url.get_backend_name() == "sqlite":
        store: NodeStore = _open_file(url, options, data_dir, durability, for_node=for_node)
    else:
        # Only who uses a server waits for what it takes to talk with one.
        from stonechat.core.store_server import open_server_store

        store = open_server_store(url, options, data_dir if for_node else None, durability)
    if for_node:
        try:
            _check_whole(store)
        except BaseException:
            store.close()
            raise
    return store


def _check_whole(store: NodeStore) -> None:
    if store_schema.MOVING in store.read(store_schema.recorded_versions):
        raise StorageError(
            "the database holds a part only of what was to be moved to it: give `stonechat db"
            " migrate` again, or set storage.url to the database that it comes from"
        )


def _open_file(
    url: URL, options: StorageOptions, data_dir: Path, durability: Durability, *, for_node: bool
) -> Store:
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ConfigError(f"storage.url names {url.drivername}, which is not known: use sqlite")
    if not url.database or url.database == ":memory:" or url.query:
        raise ConfigError("storage.url must name a file and nothing else: sqlite:///stonechat.db")
    return Store(
        data_dir / url.database,
        data_dir=data_dir if for_node else None,
        durability=durability,
        deadline=options.timeout,
        reader_threads=options.connections,
        slow=options.slow,
    )


class Store(NodeStore):
    """A SQLite database in use."""

    def __init__(
        self,
        path: Path,
        *,
        data_dir: Path | None = None,
        durability: Durability = "disk",
        deadline: float = DEADLINE,
        reader_threads: int = 4,
        slow: float = SLOW,
        max_reads_waiting: int = 1000,
        max_writes_waiting: int = 10_000,
    ) -> None:
        super().__init__(deadline, durability)
        self.path = path
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
                slow_log = SlowLog(self._waker, slow)
                self._writer = Writer(
                    path,
                    self._waker,
                    durability,
                    limit=max_writes_waiting,
                    patience=deadline,
                    slow=slow_log,
                )
                opened.callback(self._writer.stop, deadline)
                engine = reading_engine(path)
                self._readers = Readers(
                    self._waker,
                    [FileReader(engine, self._waker, slow_log) for _ in range(reader_threads)],
                    limit=max_reads_waiting,
                )
            except exc.DBAPIError as error:
                raise StorageError(f"{path} cannot be opened: {error.orig}") from error
            opened.pop_all()

    def _ensure(self, steps: store_schema.Plan) -> None:
        def carry_out(connection: Connection) -> None:
            store_schema.carry_out(connection, steps)

        kept = self._copy_before(steps) if steps.old else None
        try:
            self.alter(carry_out)
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
        self._run_long("backup", lambda job: store_backup.copy(self.path, target, job))

    def check(self) -> list[str]:
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

        job = self._waker.new_job(work, LONG_DEADLINE)
        # A second one to wait for, by `close`: who asked may have gone.
        end = Job(work, LONG_DEADLINE)
        job.is_long = True
        self._long_job, self._long_end = what, end
        self._waker.start(run)
        return self._waker.wait(job)
