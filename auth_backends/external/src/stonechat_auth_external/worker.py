"""One place for a child: keeps the program running there, and asks it one thing at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent import Greenlet
from gevent.event import AsyncResult

from stonechat.auth import AuthUnavailable
from stonechat.host import Host, Timer
from stonechat_auth_external.command import ProgramLine
from stonechat_auth_external.process import ChildProcess
from stonechat_auth_external.protocol import ANSWER_OCTETS, ANSWERS
from stonechat_auth_external.relay import Relay

if TYPE_CHECKING:
    from stonechat_auth_external.pool import Pool

# Robustness promise R7: replaced within a second, but not more than once in one.
RESTART_SECONDS = 1.0

# What it has said to standard error is awaited so long after its end.
_LAST_WORDS = 1.0


class Request:
    """What somebody waits to hear."""

    __slots__ = ("octets", "result")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.result: AsyncResult[bool] = AsyncResult()


class Worker:
    """Its life is a greenlet's: start, answer, end; and then another one.

    A child that has done anything but to give one answer to one request is ended: nobody
    could tell any more which of its answers belongs to which request.
    """

    def __init__(self, host: Host, line: ProgramLine, timeout: float, pool: Pool) -> None:
        self._host = host
        self._line = line
        self._timeout = timeout
        self._pool = pool
        self._reason = ""  # for which the child was ended
        self._timer: Timer | None = None
        self._request: Request | None = None
        self._said = b""
        self.greenlet: Greenlet | None = None
        self.process: ChildProcess | None = None
        """The child, while it may be asked."""

    def start(self) -> None:
        self.greenlet = self._host.spawn(self._live)

    def ask(self, request: Request) -> bool:
        """Send a request to a child that has none; False if it cannot be asked any more."""
        process = self.process
        if process is None:
            return False
        # What was said since the last answer is no answer to this.
        if process.has_output():
            self._end("it wrote without being asked, or ended")
            return False
        if not process.write(request.octets):
            self._end("it does not read")
            return False
        self._request = request
        self._timer = self._host.call_later(self._timeout, self._too_late, request)
        return True

    def _too_late(self, request: Request) -> None:
        if self._request is request:
            self._end(f"it did not answer in {self._timeout:g} s")

    def _end(self, reason: str) -> None:
        """Have the greenlet that reads come to its end."""
        if self.process is not None:
            self._reason = reason
            self.process.kill()
            self.process = None

    # The life of a child

    def _live(self) -> None:
        begun = self._host.monotonic()
        try:
            process = ChildProcess(self._line)
        except (OSError, ValueError) as error:
            self._pool.failed(f"it cannot be started: {error}")
        else:
            self._live_with(process)
        if not self._pool.is_stopping:
            rest = begun + RESTART_SECONDS - self._host.monotonic()
            if rest > 0:
                self._host.call_later(rest, self.start)
            else:
                self.start()

    def _live_with(self, process: ChildProcess) -> None:
        relay = self._host.spawn(Relay(self._host.log.info, process.pid).run, process.read_errors)
        try:
            self.process = process
            self._said = b""
            self._reason = ""
            reason = self._serve(process)
        finally:
            self.process = None
            process.kill()
            self._fail_request()
            # It ends by itself, unless what the child has started lives on elsewhere.
            relay.join(_LAST_WORDS)
            relay.kill()
            process.close()
        if not self._pool.is_stopping:
            self._pool.failed(reason)

    def _serve(self, process: ChildProcess) -> str:
        """Until something is wrong; returns what."""
        self._pool.is_free(self)
        while octets := process.read():
            if fault := self._heard(octets):
                return fault
        self.process = None
        # Nobody waits any longer than they have to.
        self._fail_request()
        return self._reason or process.fate(_LAST_WORDS)

    def _heard(self, octets: bytes) -> str:
        """The answer, or a part of it; returns what is wrong with it."""
        request = self._request
        if request is None:
            return "it wrote without being asked"
        self._said += octets
        if not any(answer.startswith(self._said) for answer in ANSWERS):
            return f"it answered {self._said[: ANSWER_OCTETS + 1]!r}, which is no answer"
        if len(self._said) == ANSWER_OCTETS:
            answer = ANSWERS[self._said]
            self._said = b""
            self._request = None
            self._cancel_timer()
            request.result.set(answer)
            self._pool.is_free(self)
        return ""

    def _fail_request(self) -> None:
        request, self._request = self._request, None
        self._cancel_timer()
        if request is not None:
            request.result.set_exception(AuthUnavailable("The program did not answer."))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
