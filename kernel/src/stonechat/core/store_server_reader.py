"""A thread that reads from a database server."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

from stonechat.core.store_circuit import Circuit
from stonechat.core.store_connection import closed
from stonechat.core.store_jobs import Job, Waker, sleep
from stonechat.core.store_readers import Reader
from stonechat.core.store_server_link import Link
from stonechat.core.store_server_session import Database, Fault, Session
from stonechat.core.store_slow import SlowLog
from stonechat.errors import ConfigError, StorageError

# A read is tried again so often when it lost its connection, or met another transaction.
MOST_TRIES = 5
# How long before another try, doubled each time.
PAUSE = 0.05


class ServerReader(Reader):
    """Each read sees one moment of the database, in a transaction that cannot write."""

    def __init__(self, database: Database, waker: Waker, circuit: Circuit, slow: SlowLog) -> None:
        super().__init__(waker)
        self._link = Link(database, writes=False)
        self._circuit = circuit
        self._slow = slow
        self._is_in_transaction = False

    def _carry_out(self, job: Job) -> None:
        pause = PAUSE
        for tried in range(1, MOST_TRIES + 1):
            if self._circuit.is_open:
                job.error = self._circuit.refusal()
                return
            error, may_repeat = self._try(job)
            if error is None or not may_repeat or tried == MOST_TRIES:
                job.error = error
                return
            if job.cancelled or monotonic() + pause >= job.until:
                job.error = error
                return
            sleep(pause)
            pause *= 2

    def _try(self, job: Job) -> tuple[BaseException | None, bool]:
        """Carry it out once; what went wrong, and whether it may be tried again."""
        link = self._link
        try:
            session = link.session or link.open()
        except (StorageError, ConfigError) as error:
            self._circuit.failed(str(error))
            return StorageError(str(error)), True
        begun = monotonic()
        try:
            link.allow(job.until)
            self._is_in_transaction = True
            session.begin_read(max(0.001, job.until - begun))
            session.connection.begin_work()
            job.result = closed(job.work(session.connection))
            check_fitness(session)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            fault = link.fault(error)
            result = link.database.error_for(error, fault)
            if fault is Fault.LOST:
                self._is_in_transaction = False
                link.drop()
                return result, True
            self._rest()
            return result, fault is Fault.REPEAT
        self._circuit.worked()
        seconds = monotonic() - begun
        if seconds >= self._slow.limit:
            self._slow.note(job.name, seconds, session.connection.slowest_statement)
        return None, False

    def _rest(self) -> None:
        if not self._is_in_transaction:
            return
        self._is_in_transaction = False
        session = self._link.session
        if session is None:
            return
        try:
            # The job may have used up its time.
            self._link.allow(monotonic())
            session.connection.drop_savepoints()
            session.rollback()
        except Exception:  # noqa: BLE001 - whatever it was, the next read gets another connection
            self._link.drop()

    def _shut(self) -> None:
        with suppress(Exception):
            self._link.close()


def check_fitness(session: Session) -> None:
    """Raise an error for a work that returned although a statement of its own had failed.

    PostgreSQL refuses all else in that transaction, and would answer a COMMIT with no
    more than a different word.
    """
    connection = session.connection
    if connection.in_nested_transaction():
        raise StorageError("a work left a nested transaction open")
    if connection.errors:
        session.ping()
