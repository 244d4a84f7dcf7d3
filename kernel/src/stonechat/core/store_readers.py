"""The threads that read, and the queue they share.

Small reads of a file are Python for the most part, and threads that fight over the
interpreter make each of them three times as dear. So there one thread works while it gets
on well, and others are called when it does not: when it waits for the disk or searches for
long. Who reads over a network waits most of the time, and others are called at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence

from stonechat.core.store_jobs import Job, Waker, allocate_lock
from stonechat.core.store_queue import stopped
from stonechat.errors import StorageError

# While reads wait, look so often (in seconds) whether so many were taken up.
_LOOK_EVERY = 0.002
_TAKEN_BETWEEN_LOOKS = 8


class Readers:
    """Carries out reads, in the order they come, several at a time if need be.

    `eager`: call for a thread at each read, as long as one is idle.
    """

    def __init__(
        self, waker: Waker, readers: Sequence[Reader], *, limit: int, eager: bool = False
    ) -> None:
        self._waker = waker
        self._limit = limit
        self._eager = eager
        self._jobs: deque[Job] = deque()
        self._idle: list[Reader] = []
        self._taken_at_last_look = 0
        self._timer = waker.new_timer(_LOOK_EVERY)
        self._is_looking = False
        self._readers = readers
        self._idle.extend(readers)
        for reader in readers:
            reader.start(self._jobs, self._idle)

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def submit(self, job: Job) -> None:
        if len(self._jobs) >= self._limit:
            raise StorageError(f"{self._limit} reads wait for the store already")
        self._jobs.append(job)
        if self._eager or len(self._idle) == len(self._readers) or job.is_from_elsewhere:
            self._call_one()
        elif not self._is_looking:
            self._is_looking = True
            self._taken_at_last_look = self._taken()
            self._timer.start(self._look)

    def stop(self, deadline: float) -> None:
        """Carry out what waits, then end the threads."""
        stops = [self._waker.new_job(stopped, deadline) for _ in self._readers]
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


class Reader(ABC):
    """One thread and its connection."""

    _jobs: deque[Job]
    _idle: list[Reader]

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self.taken = 0
        self.called = allocate_lock()
        self.called.acquire()

    def start(self, jobs: deque[Job], idle: list[Reader]) -> None:
        self._jobs = jobs
        self._idle = idle
        self._waker.start(self._run)

    # In the thread

    @abstractmethod
    def _carry_out(self, job: Job) -> None:
        """Set the result of a job, or its error."""

    @abstractmethod
    def _shut(self) -> None:
        """Close the connection: the thread ends."""

    def _rest(self) -> None:  # noqa: B027 - most have nothing to do
        """What is to be done once the caller of a job has been told."""

    def _run(self) -> None:
        self.called.acquire()
        while True:
            try:
                job = self._jobs.popleft()
            except IndexError:
                self._sleep()
                continue
            self.taken += 1
            self._waker.progress += 1
            if job.work is stopped:
                self._shut()
                self._waker.finish((job,))
                return
            job.begun = True
            if not job.cancelled:
                self._carry_out(job)
                self._waker.finish((job,))
                self._rest()
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
