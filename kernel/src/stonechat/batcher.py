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


Done = Callable[[], None]
Failed = Callable[[Exception], None]


class Batcher(Generic[Row]):
    """Rows of one plugin on their way to the store, in order.

    A row that can be changed may be, until it is `taken`.

    `write_rows` is a work as in `stonechat.storage`, with the rows besides: it must stand
    being called again with rows that it has written already, for a commit whose outcome
    nobody knows is repeated. While the store fails (StorageError), rows wait, up to `limit`.

    Any other exception of `write_rows` is a row's own fault: no attempt will ever write it.
    Then the batch is halved until that row is alone; it is left out and the log says so,
    by its kind and size. Nobody is told that such a row is safe: see `add`.

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
        self._rows: deque[tuple[Row, Done | None, Failed | None]] = deque()
        self._is_running = False
        self.added = 0
        """How many rows were ever added."""
        self.taken = 0
        """How many of these, the first ones, are in the hands of the store, or were."""
        self.settled = 0
        """How many of these, the first ones, are committed, or can never be written."""
        self._progress = Event()
        self._room = Event()

    def __len__(self) -> int:
        """How many rows are not committed yet."""
        return len(self._rows)

    def add(self, row: Row, done: Done | None = None, failed: Failed | None = None) -> None:
        """Have a row written soon; `done` is called once it is committed. Never blocks.

        `failed` is called in its place, with the reason, for a row that can never be
        written. Who holds a stanza until `done` (`stonechat.custody`) has to let go of it
        in `failed` too, or its sender waits for ever; and has to answer it with an error,
        if nobody else has the stanza.

        StorageFull when too many wait: nothing was taken, refuse what brought it.
        """
        if len(self._rows) >= self._limit:
            raise StorageFull("too much waits to be written")
        self._rows.append((row, done, failed))
        self.added += 1
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

        What can never be written is not waited for. For a plugin's `stop`, and for who must
        read what it has added.
        """
        last = self.added
        with gevent.Timeout(seconds, False):
            while self.settled < last:
                self._progress.clear()
                self._progress.wait()
        return self.settled >= last

    def _run(self) -> None:
        try:
            if self._gather:
                gevent.sleep(self._gather)
            while self._rows:
                batch = [row for row, _, _ in islice(self._rows, MAX_ROWS)]
                self.taken = max(self.taken, self.settled + len(batch))
                try:
                    self._write(batch)
                except StorageError as error:
                    self._host.log.error(
                        "rows not written yet", rows=len(batch), reason=str(error)
                    )
                    gevent.sleep(RETRY_SECONDS)
        finally:
            self._is_running = False

    def _write(self, batch: Sequence[Row]) -> None:
        """Write the first rows that wait; they are done with when this returns."""

        def write_batch(connection: Connection) -> None:
            self._write_rows(connection, batch)

        try:
            self._host.storage.write(write_batch)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of a row
            if len(batch) == 1:
                self._refused(error)
                return
            # One of them cannot be written, ever: the others shall not suffer for it.
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])
        else:
            for _ in batch:
                _, done, _ = self._rows.popleft()
                if done is not None:
                    self._tell(done)
            self._progressed(len(batch))

    def _refused(self, error: Exception) -> None:
        row, _, failed = self._rows.popleft()
        self._host.log.error(
            "row can never be written",
            kind=type(row).__name__,
            octets=_octets_of(row),
            exc_info=error,
        )
        if failed is not None:
            self._tell(failed, error)
        self._progressed(1)

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception as error:
            self._host.log.error("whoever waited for a row failed", exc_info=error)

    def _progressed(self, rows: int) -> None:
        self.settled += rows
        self._progress.set()
        if not self.is_busy:
            self._room.set()


def _octets_of(value: object) -> int:
    """About how much of texts and octets is in a row."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, tuple | list):
        return sum(map(_octets_of, value))
    return 0
