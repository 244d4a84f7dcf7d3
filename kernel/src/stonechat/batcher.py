"""Many small writes in few transactions, without one greenlet waiting for each.

A row of its own transaction costs 20 times what it costs among 200 (design, section 14).
A `Batcher` gathers the rows that come while the last batch is being written, and writes
them all at once; under load the batches grow by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

import gevent
from gevent.event import Event
from sqlalchemy import Connection

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.storage import StorageFull

Row = TypeVar("Row")

# Of one transaction: others want to write too.
MAX_ROWS = 500
# How long rows wait for company when nothing is being written.
GATHER_SECONDS = 0.005
# After a failure of the store, until it is tried again.
RETRY_SECONDS = 1.0


class Batcher(Generic[Row]):
    """Rows of one plugin on their way to the store, in order.

    `write_rows` is a work as in `stonechat.storage`, with the rows besides: it must stand
    being called again with rows that it has written already, for a commit whose outcome
    nobody knows is repeated. While the store fails, rows wait, up to `limit`.

    Whoever adds much looks at `is_busy` before, and waits: the store is slower than the
    network.
    """

    def __init__(
        self,
        host: Host,
        write_rows: Callable[[Connection, Sequence[Row]], None],
        *,
        limit: int = 10_000,
        gather: float = GATHER_SECONDS,
    ) -> None:
        self._host = host
        self._write_rows = write_rows
        self._limit = limit
        self._gather = gather
        self._rows: deque[tuple[Row, Callable[[], None] | None]] = deque()
        self._is_running = False
        self._added = self._written = 0
        self._progress = Event()
        self._room = Event()

    def __len__(self) -> int:
        """How many rows are not committed yet."""
        return len(self._rows)

    def add(self, row: Row, done: Callable[[], None] | None = None) -> None:
        """Have a row written soon; `done` is called once it is committed. Never blocks.

        StorageFull when too many wait: nothing was taken, refuse what brought it.
        """
        if len(self._rows) >= self._limit:
            raise StorageFull("too much waits to be written")
        self._rows.append((row, done))
        self._added += 1
        if not self._is_running:
            self._is_running = True
            self._host.spawn(self._run)

    @property
    def is_busy(self) -> bool:
        """Whether so much waits that who has more should wait for room."""
        return len(self._rows) >= self._limit // 2

    def wait_for_room(self, seconds: float = 5.0) -> None:
        """Wait until it is not busy any more, or until that takes too long. Blocks."""
        if self.is_busy:
            self._room.clear()
            self._room.wait(seconds)

    def flush(self, seconds: float = 4.0) -> bool:
        """Wait until all that was added so far is committed; False if that took too long.

        For a plugin's `stop`, and for who must read what it has added.
        """
        last = self._added
        with gevent.Timeout(seconds, False):
            while self._written < last:
                self._progress.clear()
                self._progress.wait()
        return self._written >= last

    def _run(self) -> None:
        try:
            if self._gather:
                gevent.sleep(self._gather)
            while self._rows:
                batch = list(islice(self._rows, MAX_ROWS))
                try:
                    self._write([row for row, _ in batch])
                except StorageError as error:
                    self._host.log.error(
                        "rows not written yet", rows=len(batch), reason=str(error)
                    )
                    gevent.sleep(RETRY_SECONDS)
                    continue
                for _, done in batch:
                    self._rows.popleft()
                    if done is not None:
                        self._tell(done)
                self._written += len(batch)
                self._progress.set()
                if not self.is_busy:
                    self._room.set()
        finally:
            self._is_running = False

    def _tell(self, done: Callable[[], None]) -> None:
        try:
            done()
        except Exception as error:
            self._host.log.error("whoever waited for a row failed", exc_info=error)

    def _write(self, rows: Sequence[Row]) -> None:
        def write_batch(connection: Connection) -> None:
            self._write_rows(connection, rows)

        try:
            self._host.storage.write(write_batch)
        except StorageError:
            raise
        except Exception as error:
            # One of them cannot be written, ever: the others shall not suffer for it.
            if len(rows) == 1:
                self._host.log.error("row dropped", exc_info=error)
                return
            for row in rows:
                self._write([row])
