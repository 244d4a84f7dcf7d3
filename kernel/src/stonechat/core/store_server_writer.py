"""The one writer of a database server: a thread that commits many jobs at once.

What waits shares a transaction, as in `stonechat.core.store_writer`. Savepoints cost a way
over the network each, so a group goes without at first; if a work of it fails, all is
undone and the group is carried out again with them. Lost connections and conflicts with
other transactions lead to another try, too. So a work may run more than once.
"""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic

from stonechat.core.store_circuit import Circuit
from stonechat.core.store_connection import closed
from stonechat.core.store_jobs import Job, Waker, sleep
from stonechat.core.store_queue import FULL, GROUP_JOBS, LEVELS, NORMAL, WriteQueue, stopped
from stonechat.core.store_server_link import Link
from stonechat.core.store_server_reader import MOST_TRIES, PAUSE, check_fitness
from stonechat.core.store_server_session import Database, Fault
from stonechat.core.store_slow import SlowLog
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import StorageFull, StorageUncertain

# A group ends by this, or by the number of its jobs.
GROUP_SECONDS = 0.02

# An idle connection is looked after so often: somebody else's lock must not go unnoticed.
CARE_SECONDS = 30.0
PROBE_SECONDS = 1.0
_FIRST_PAUSE = 0.1

# How long another server may take to let go of the database when this one starts.
_LOCK_PATIENCE = 2.0


class _TakenError(StorageError):
    """Another server uses the database."""


class _AgainError(Exception):
    """All of the group is undone, and has to be carried out once more."""

    def __init__(self, cause: BaseException, fault: Fault, *, in_commit: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fault = fault
        self.in_commit = in_commit


class ServerWriter(WriteQueue):
    """Carries out writes one after the other, in the order they come."""

    def __init__(
        self, database: Database, waker: Waker, circuit: Circuit, *, limit: int, slow: SlowLog
    ) -> None:
        super().__init__(waker, limit=limit, slow=slow)
        self._database = database
        self._circuit = circuit
        self._link = Link(database, writes=True)
        # The session that had the lock last.
        self._identity = ""
        self._next_probe = 0.0
        self._least_level = min(LEVELS[database.durability], NORMAL)

    def start(self, opening: Job, until: float) -> None:
        """Connect, take the database and say so by `opening`; then carry out what comes.

        There are tries until then, for a database that starts with the machine.
        """
        self._waker.start(lambda: self._run(opening, until))

    # In the writer's thread

    def _run(self, opening: Job, until: float) -> None:
        try:
            self._open(opening, until)
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            opening.error = error
            self._link.close()
            self._waker.finish((opening,))
            return
        self._waker.finish((opening,))
        del opening
        while True:
            seconds = PROBE_SECONDS if self._circuit.is_open else CARE_SECONDS
            self._gather(GROUP_JOBS, wait=True, seconds=seconds)
            job = self._next[0] if self._next else None
            if job is not None and job.work is stopped:
                self._link.close()
                self._waker.finish((job,))
                return
            if job is None or self._circuit.is_open:
                self._care()
                self._refuse_if_open()
                continue
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
            self._refuse_if_open()

    # The connection

    def _open(self, opening: Job, until: float) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                self._connect(_LOCK_PATIENCE)
                break
            except _TakenError:
                raise
            except StorageError:
                if opening.cancelled or monotonic() + pause >= until:
                    raise
            sleep(pause)
            pause = min(2 * pause, 1.0)
        session = self._link.session
        assert session is not None
        for warning in session.examine():
            self._waker.log(logging.WARNING, "%s", warning)
        try:
            session.make_versions()
        except Exception as error:
            raise ConfigError(
                "storage.url: the table stonechat_schema cannot be made:"
                f" {self._database.error_for(error, Fault.OTHER)}"
            ) from error

    def _connect(self, patience: float = 0.0) -> None:
        session = self._link.open()
        until = monotonic() + patience
        try:
            while not session.lock():
                # After a broken connection its other end may live on for a while, perhaps in
                # the midst of a commit. Whatever it still does has to come before us.
                if self._identity and session.end_holder(self._identity):
                    until = max(until, monotonic() + 1.0)
                if monotonic() >= until:
                    holder = session.holder()
                    raise _TakenError(
                        f"another server uses the database at {self._database.place}"
                        + (f" ({holder})" if holder else "")
                        + "; stop that one first, or set another storage.url"
                    )
                sleep(_FIRST_PAUSE)
            self._identity = session.identity()
        except BaseException as error:
            self._link.drop()
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"{self._database.label} failed: {error}") from error

    def _reach(self, group: list[Job]) -> bool:
        """Have a connection, trying for as long as somebody waits; False if there is none."""
        pause = _FIRST_PAUSE
        while not self._link.is_up:
            if self._circuit.is_open:
                return False
            try:
                self._connect()
            except (StorageError, ConfigError) as error:
                self._circuit.failed(str(error))
                if all(job.cancelled or not job.awaited for job in group):
                    return False
                sleep(pause)
                pause = min(2 * pause, 1.0)
        return True

    def _care(self) -> None:
        """Nothing is to be done: see whether the server is there."""
        now = monotonic()
        if self._circuit.is_open and now < self._next_probe:
            return
        self._next_probe = now + PROBE_SECONDS
        try:
            if not self._link.is_up:
                self._connect()
            session = self._link.session
            assert session is not None
            self._link.allow(monotonic() + 1.0)
            session.ping()
        except Exception as error:  # noqa: BLE001 - the circuit tells everybody
            self._link.drop()
            self._circuit.failed(str(error))
        else:
            self._circuit.worked()

    def _refuse_if_open(self) -> None:
        """Let nobody wait for a server that does not answer."""
        if not self._circuit.is_open:
            return
        self._gather(self._limit)
        refused = []
        kept: deque[Job] = deque()
        for job in self._next:
            if job.work is stopped:
                kept.append(job)
                continue
            refused.append(job)
            if job.awaited:
                job.error = self._circuit.refusal()
                self.failures += 1
            else:
                self.dropped += 1
        self._next = kept
        self.jobs += len(refused)
        self._waker.finish(refused)

    # Groups

    def _carry_out_group(self, group: list[Job]) -> None:
        coming = self._next
        level = self._least_level
        for job in coming:
            if job.alone or job.work is stopped:
                break
            level = max(level, job.level)
        waiting = [job for job in coming if not job.alone and job.work is not stopped]
        if not self._link.is_up and not self._reach(waiting):
            while coming and coming[0].work is not stopped and not coming[0].alone:
                group.append(coming.popleft())
            raise self._circuit.refusal()
        careful = False
        pause = PAUSE
        for tried in range(1, MOST_TRIES + 1):
            try:
                self._carry_out_once(group, level, careful=careful, may_grow=tried == 1)
                return
            except _AgainError as again:
                if again.fault is Fault.LOST:
                    self._link.drop()
                    if again.in_commit:
                        self._leave_uncertain(group, again.cause)
                        return
                else:
                    self._undo_all()
                if again.fault is Fault.WORK:
                    careful = True
                    continue
                error = self._database.error_for(again.cause, again.fault)
                if tried == MOST_TRIES or all(job.cancelled for job in group if job.awaited):
                    raise error from again.cause
                if again.fault is Fault.REPEAT:
                    sleep(pause)
                    pause *= 2
                if not self._link.is_up and not self._reach(group):
                    raise error from again.cause

    def _carry_out_once(
        self, group: list[Job], level: int, *, careful: bool, may_grow: bool
    ) -> None:
        session = self._link.session
        assert session is not None
        begun = monotonic()
        until = self._patience(group or self._next)
        self._link.allow(until)
        is_empty = True
        number = 0
        try:
            session.begin_write(max(0.001, until - begun), level)
            while True:
                if number == len(group) and not (
                    may_grow and self._grow(group, level, begun + GROUP_SECONDS)
                ):
                    break
                job = group[number]
                number += 1
                if self._carry_out(job, careful=careful, is_first=is_empty, level=level):
                    is_empty = False
        except _AgainError:
            raise
        except Exception as error:
            # Of our own: BEGIN, SAVEPOINT and their like.
            raise _AgainError(error, self._seriously(error)) from error
        try:
            if is_empty:
                session.rollback()
                return
            session.commit()
        except Exception as error:
            fault = self._link.fault(error)
            if fault not in (Fault.REPEAT, Fault.FULL):
                fault = Fault.LOST
            raise _AgainError(error, fault, in_commit=not is_empty) from error
        self.commits += 1
        self._circuit.worked()

    def _seriously(self, error: BaseException) -> Fault:
        """The fault of a statement of ours, of which none is to be expected."""
        fault = self._link.fault(error)
        return fault if fault in (Fault.REPEAT, Fault.LATE) else Fault.LOST

    def _grow(self, group: list[Job], level: int, until: float) -> bool:
        """Take one more job into the group, if there is one that fits."""
        if len(group) >= GROUP_JOBS or (group and monotonic() >= until):
            return False
        if not self._next:
            self._gather(GROUP_JOBS - len(group))
        if not self._next:
            return False
        job = self._next[0]
        if job.alone or job.work is stopped or job.level > level:
            return False
        group.append(self._next.popleft())
        return True

    def _patience(self, jobs: list[Job] | deque[Job]) -> float:
        """Until when an answer is of use to somebody."""
        now = monotonic()
        usual = now + self._database.seconds
        longest = max((job.until if job.awaited else usual for job in jobs), default=usual)
        return max(longest, now + 0.1)

    def _carry_out(self, job: Job, *, careful: bool, is_first: bool, level: int) -> bool:
        """Run one job in the open transaction; False if it left nothing there."""
        job.begun = True
        job.result = job.error = None
        self._waker.progress += 1
        if job.cancelled:
            return False
        session = self._link.session
        assert session is not None
        connection = session.connection
        if careful:
            session.save()
        connection.begin_work()
        begun = monotonic()
        try:
            job.result = closed(job.work(connection))
            self._time(job, begun, connection.slowest_statement)
            check_fitness(session)
        except BaseException as error:
            fault = self._link.fault(error)
            if fault in (Fault.LOST, Fault.REPEAT):
                raise _AgainError(error, fault) from error
            if not careful and not is_first:
                raise _AgainError(error, Fault.WORK) from error
            job.error = self._database.error_for(error, fault)
            connection.drop_savepoints()
            if careful:
                session.undo()
            else:
                session.rollback()
                until = self._patience([job])
                session.begin_write(max(0.001, until - monotonic()), level)
            return False
        if careful:
            session.forget()
        return True

    def _carry_out_alone(self, group: list[Job]) -> None:
        """A change of tables, in a transaction of its own where the database can."""
        job = self._next.popleft()
        group.append(job)
        if not self._link.is_up and not self._reach(group):
            raise self._circuit.refusal()
        session = self._link.session
        assert session is not None
        job.begun = True
        if job.cancelled:
            return
        seconds = max(0.1, job.until - monotonic())
        self._link.allow(job.until)
        in_commit = False
        try:
            with session.defining():
                if self._database.defines_in_transactions:
                    session.begin_write(seconds, FULL)
                session.connection.begin_work(may_define=True)
                job.result = closed(job.work(session.connection))
                in_commit = True
                if self._database.defines_in_transactions:
                    session.commit()
            self.commits += 1
            self._circuit.worked()
        except BaseException as error:
            fault = self._link.fault(error)
            if fault is Fault.LOST:
                self._link.drop()
                if in_commit:
                    self._leave_uncertain(group, error)
                    return
            else:
                self._undo_all()
            raise

    # What went wrong

    def _undo_all(self) -> None:
        session = self._link.session
        if session is None:
            return
        try:
            self._link.allow(monotonic())
            session.connection.drop_savepoints()
            session.rollback()
        except Exception as error:  # noqa: BLE001 - then the server does it, when it notices
            self._waker.log(logging.WARNING, "The store lost its connection: %s", error)
            self._link.drop()

    def _leave_uncertain(self, group: list[Job], error: BaseException) -> None:
        """Tell a group that nobody knows whether it was committed."""
        for job in group:
            if job.error is None:
                job.error = StorageUncertain(
                    f"the connection was lost in the midst of a commit: {error}"
                )
                job.error.__cause__ = error
                job.result = None

    def _lose(self, group: list[Job], error: BaseException) -> None:
        """Tell a whole group that nothing of it was written."""
        if self._link.is_up:
            self._undo_all()
        reason = self._database.error_for(error, self._link.fault(error))
        for job in group:
            job.result = None
            if job.error is None:
                if job.alone:
                    job.error = reason
                    continue
                kind = StorageFull if isinstance(reason, StorageFull) else StorageError
                job.error = kind(f"nothing was written: {reason}")
                job.error.__cause__ = error
