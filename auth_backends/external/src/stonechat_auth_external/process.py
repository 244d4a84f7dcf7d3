"""One run of the program: the process, its pipes, and all that it has started besides."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from gevent import get_hub
from gevent.event import Event
from gevent.os import nb_read
from gevent.subprocess import Popen, TimeoutExpired

from stonechat_auth_external.command import ProgramLine

_CHUNK = 4096

# All that it learns of our surroundings.
_KEPT = ("HOME", "PATH", "TMPDIR", "TZ")


class ChildProcess:
    """A child in a process group of its own, that has nothing of ours but three pipes.

    The end of our own process, however it comes, ends its input.
    """

    def __init__(self, line: ProgramLine) -> None:
        ours: list[int] = []
        try:
            with _pipes() as ((its_input, input_), (output, its_output), (errors, its_errors)):
                ours += (input_, output, errors)
                self._process = Popen(
                    [line.program, *line.words[1:]],
                    stdin=its_input,
                    stdout=its_output,
                    stderr=its_errors,
                    cwd=line.directory,
                    env=_environment(),
                    close_fds=True,
                    start_new_session=True,
                )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        self._input, self._output, self._errors = ours
        for descriptor in ours:
            os.set_blocking(descriptor, False)
        self._is_over = False
        self._wake = Event()
        self._watcher = get_hub().loop.io(self._output, 1)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    def write(self, octets: bytes) -> bool:
        """Send at once, or tell that this cannot be: it has ended, or does not read."""
        try:
            # It has read what was sent before, for it has answered: there is room.
            return os.write(self._input, octets) == len(octets)
        except (BlockingIOError, BrokenPipeError):
            return False

    def has_output(self) -> bool:
        """Whether there is output, or the end of it, that nobody has read. It is lost then."""
        try:
            os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        return True

    def read(self) -> bytes:
        """What it writes next; nothing at the end, and once it was killed. Blocks."""
        while not self._is_over:
            try:
                return os.read(self._output, _CHUNK)
            except BlockingIOError:
                self._wait_for_output()
        return b""

    def _wait_for_output(self) -> None:
        self._wake.clear()
        self._watcher.start(self._wake.set)
        try:
            self._wake.wait()
        finally:
            self._watcher.stop()

    def read_errors(self) -> bytes:
        """What it writes next to standard error; nothing at the end. Blocks."""
        octets: bytes = nb_read(self._errors, _CHUNK)
        return octets

    def fate(self, seconds: float) -> str:
        """How it ended, for the log; waits a while for it to have ended."""
        status = self.wait(seconds)
        if status is None:
            return "it closed its output"
        if status < 0:
            return f"it was ended by signal {-status}"
        return f"it ended with status {status}"

    def wait(self, seconds: float) -> int | None:
        """Its exit status, once it has ended."""
        try:
            status: int = self._process.wait(seconds)
        except TimeoutExpired:
            return None
        return status

    def close_input(self) -> None:
        """What well-behaved programs take for the wish that they end."""
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def kill(self) -> None:
        """End it and what it has started, and whoever reads."""
        self._is_over = True
        self._wake.set()
        self.close_input()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # all gone already

    def close(self) -> None:
        """Let go of the pipes; nobody may be reading them any more."""
        self.close_input()
        self._watcher.close()
        os.close(self._output)
        os.close(self._errors)


@contextmanager
def _pipes() -> Iterator[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
    """Three pipes; the child's ends are closed here afterwards."""
    opened: list[int] = []
    try:
        for _ in range(3):
            opened += os.pipe()
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    its_input, input_, output, its_output, errors, its_errors = opened
    try:
        yield (its_input, input_), (output, its_output), (errors, its_errors)
    finally:
        for descriptor in (its_input, its_output, its_errors):
            os.close(descriptor)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # Passwords are UTF-8, whatever the machine speaks.
    return {"PATH": os.defpath, **kept, "LANG": "C.UTF-8"}
