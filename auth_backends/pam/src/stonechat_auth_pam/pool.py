"""The helper processes: a few that live long, each replaced once it fails to answer.

Processes and not threads, tried both: a module that hangs keeps a thread for good, and ten
of those are all that the server has; and what asks PAM about other people's passwords needs
rights that the server had better not have.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import gevent
from gevent.fileobject import FileObjectPosix
from gevent.lock import BoundedSemaphore

from stonechat.auth import AuthUnavailable
from stonechat_auth_pam import wire
from stonechat_auth_pam.processes import end_descendants
from stonechat_auth_pam.wire import Verdict

# Robustness promise R7: at most one start in this time, after a failure.
RESTART_SECONDS = 1.0

# How much of what a helper has printed is shown when it is gone.
_SHOWN = 500


class Helper:
    """One process. It is asked one thing at a time, and ended after any failure."""

    def __init__(self, command: Sequence[str]) -> None:
        requests, to_helper = os.pipe()
        from_helper, answers = os.pipe()
        printed, complaints = os.pipe()
        self._requests: Any = FileObjectPosix(to_helper, "wb", bufsize=0)
        self._answers: Any = FileObjectPosix(from_helper, "rb", bufsize=0)
        self._complaints: Any = FileObjectPosix(printed, "rb", bufsize=0)
        self._has_ended = False
        try:
            # The standard library's, which is gevent's in the server: where it is not, as
            # in tests, gevent's own would take the exit status of all other processes.
            self.process = subprocess.Popen(
                command,
                stdin=requests,
                stdout=answers,
                stderr=complaints,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                # Ctrl-C is for the server.
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            for descriptor in (requests, answers, complaints):
                os.close(descriptor)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def greet(self) -> None:
        """Wait until it can work."""
        if wire.read_exactly(self._answers.read, len(wire.HELLO)) != wire.HELLO:
            raise ValueError("This is no helper.")

    def ask(self, request: bytes) -> tuple[Verdict, str]:
        while request:
            request = request[self._requests.write(request) :]
        return wire.read_answer(self._answers.read)

    def last_words(self) -> str:
        """What it has printed, as far as that is there."""
        text: bytes = b""
        with gevent.Timeout(0.1, False):
            text = self._complaints.read(_SHOWN)
        return text.decode("utf-8", "replace").strip()

    def end(self) -> None:
        """Be done with it, whatever it does."""
        if self._has_ended:
            return
        self._has_ended = True
        if self.is_alive:
            # It may be root's, by sudo: that one ends by its own clock.
            end_descendants(self.process.pid)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self._close()
        # So that it is waited for, if not now then with the next one that is started.
        self.process.poll()

    def _close(self) -> None:
        for stream in (self._requests, self._answers, self._complaints):
            stream.close()


class HelperPool:
    """At most `size` helpers. Each answer comes within `seconds`, or AuthUnavailable."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: int,
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._command = tuple(command)
        self._seconds = seconds
        self._clock = clock
        self._slots = BoundedSemaphore(size)
        self._helpers: set[Helper] = set()
        self._idle: list[Helper] = []
        self._next_start = 0.0
        self._is_stopped = False

    @property
    def pids(self) -> list[int]:
        """Of the helpers that are there."""
        return [helper.process.pid for helper in self._helpers]

    def ask(self, request: bytes) -> tuple[Verdict, str]:
        """Have a helper answer. Waits for one to be free, too."""
        timeout = gevent.Timeout.start_new(self._seconds)
        try:
            with self._slots:
                return self._ask(request)
        except gevent.Timeout as error:
            if error is not timeout:
                raise
            raise AuthUnavailable(f"PAM has not answered in {self._seconds:g} s.") from None
        finally:
            timeout.close()

    def stop(self) -> None:
        """End all helpers; whoever waits for one gets AuthUnavailable."""
        self._is_stopped = True
        for helper in list(self._helpers):
            self._end(helper)

    def _ask(self, request: bytes) -> tuple[Verdict, str]:
        helper = self._free_helper()
        try:
            answer = helper.ask(request)
        except (EOFError, OSError, ValueError) as error:
            raise self._failed(helper, error) from error
        except BaseException:
            # A deadline, ours or the kernel's: a late answer must not be taken for the next.
            self._next_start = self._clock() + RESTART_SECONDS
            self._end(helper)
            raise
        self._idle.append(helper)
        return answer

    def _free_helper(self) -> Helper:
        while self._idle:
            helper = self._idle.pop()
            if helper.is_alive:
                return helper
            self._end(helper)
        if self._is_stopped:
            raise AuthUnavailable("The server stops.")
        if self._clock() < self._next_start:
            raise AuthUnavailable("A process that asks PAM has failed, and is replaced soon.")
        try:
            helper = Helper(self._command)
        except OSError as error:
            self._next_start = self._clock() + RESTART_SECONDS
            raise AuthUnavailable(f"{self._command[0]} cannot be started: {error}") from error
        self._helpers.add(helper)
        try:
            helper.greet()
        except (EOFError, OSError, ValueError) as error:
            raise self._failed(helper, error) from error
        except BaseException:
            self._next_start = self._clock() + RESTART_SECONDS
            self._end(helper)
            raise
        return helper

    def _failed(self, helper: Helper, error: Exception) -> AuthUnavailable:
        self._next_start = self._clock() + RESTART_SECONDS
        said = helper.last_words() if helper in self._helpers else ""
        self._end(helper)
        return AuthUnavailable(f"A process that asks PAM has failed: {said or error}")

    def _end(self, helper: Helper) -> None:
        self._helpers.discard(helper)
        if helper in self._idle:
            self._idle.remove(helper)
        helper.end()
