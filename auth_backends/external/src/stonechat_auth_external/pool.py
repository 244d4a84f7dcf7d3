"""The children of one host: who is free is asked, and who must wait waits in a line."""

from __future__ import annotations

from collections import deque

import gevent

from stonechat.auth import AuthUnavailable
from stonechat.host import Host
from stonechat_auth_external.command import ProgramLine
from stonechat_auth_external.worker import Request, Worker

MAX_WAITING = 64

# A program that keeps dying is told of so often.
_TELL_EVERY = 60.0

# Children whose input has ended are given so long.
_STOP_SECONDS = 1.0


class Pool:
    """Sends each request to one of `instances` children, each of which has one at a time."""

    def __init__(self, host: Host, line: ProgramLine, *, instances: int, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._workers = [Worker(host, line, timeout, self) for _ in range(instances)]
        # In the order in which they became free, so that all have their turn.
        self._free: deque[Worker] = deque(maxlen=instances)
        self._waiting: deque[Request] = deque(maxlen=MAX_WAITING)
        self._quiet_until = 0.0
        self._untold = 0
        self.is_stopping = False

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End all children; those that do not end by themselves are killed."""
        self.is_stopping = True
        children = [worker.process for worker in self._workers if worker.process is not None]
        for child in children:
            child.close_input()
        with gevent.Timeout(_STOP_SECONDS, False):
            for child in children:
                child.wait(_STOP_SECONDS)
        for child in children:
            child.kill()
        # They have pipes to close.
        lives = [worker.greenlet for worker in self._workers if worker.greenlet is not None]
        gevent.joinall(lives, _STOP_SECONDS)

    def ask(self, octets: bytes) -> bool:
        """The answer to a request. Blocks; raises AuthUnavailable."""
        if self.is_stopping:
            raise AuthUnavailable("The program is being stopped.")
        request = Request(octets)
        if self._send(request):
            return bool(request.result.get())
        if len(self._waiting) >= MAX_WAITING:
            raise AuthUnavailable(f"{MAX_WAITING} requests wait for the program already.")
        self._waiting.append(request)
        timer = self._host.call_later(self._timeout, self._give_up, request)
        try:
            return bool(request.result.get())
        finally:
            timer.cancel()
            self._forget(request)

    def _send(self, request: Request) -> bool:
        # Those that cannot be asked come back when they have been replaced.
        while self._free:
            if self._free.popleft().ask(request):
                return True
        return False

    def _give_up(self, request: Request) -> None:
        if self._forget(request):
            request.result.set_exception(
                AuthUnavailable(f"No program was free in {self._timeout:g} s.")
            )

    def _forget(self, request: Request) -> bool:
        try:
            self._waiting.remove(request)
        except ValueError:
            return False
        return True

    # For workers

    def is_free(self, worker: Worker) -> None:
        """A worker can be asked."""
        while self._waiting:
            request = self._waiting.popleft()
            if worker.ask(request):
                return
            self._waiting.appendleft(request)
            return
        self._free.append(worker)

    def failed(self, reason: str) -> None:
        """A child has ended, or was ended, for this reason."""
        now = self._host.monotonic()
        if now < self._quiet_until:
            self._untold += 1
            return
        self._host.log.warning("the program failed", reason=reason, times_before=self._untold)
        self._quiet_until = now + _TELL_EVERY
        self._untold = 0
