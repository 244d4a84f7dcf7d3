"""What a child writes to standard error, line by line, for the log."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent

# Longer lines are cut, and of more lines than these in a minute only the number is told.
LONGEST_LINE = 500
LINES_PER_MINUTE = 60


class Relay:
    """Writes lines by `log(text, pid=…, line=…)`. Control characters are escaped."""

    def __init__(
        self,
        log: Callable[..., object],
        pid: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._pid = pid
        self._clock = clock
        self._line = b""
        self._minute = clock()
        self._lines = 0

    def run(self, read: Callable[[], bytes]) -> None:
        """Until `read` gives nothing any more."""
        while octets := read():
            self.heard(octets)
            # Whoever writes without end keeps nobody else from their turn.
            gevent.sleep(0)
        self.ended()

    def heard(self, octets: bytes) -> None:
        *lines, rest = octets.split(b"\n")
        for line in lines:
            self._line = (self._line + line)[: LONGEST_LINE + 1]
            self._write()
        self._line = (self._line + rest)[: LONGEST_LINE + 1]

    def ended(self) -> None:
        self._write()
        self._tell_rest()

    def _write(self) -> None:
        line, self._line = self._line.removesuffix(b"\r"), b""
        if not line:
            return
        now = self._clock()
        if now - self._minute >= 60:
            self._tell_rest()
            self._minute = now
        self._lines += 1
        if self._lines <= LINES_PER_MINUTE:
            self._log("the program says", pid=self._pid, line=_printable(line))

    def _tell_rest(self) -> None:
        if self._lines > LINES_PER_MINUTE:
            self._log("the program says more", lines=self._lines - LINES_PER_MINUTE, pid=self._pid)
        self._lines = 0


def _printable(line: bytes) -> str:
    text = line[:LONGEST_LINE].decode(errors="backslashreplace")
    if len(line) > LONGEST_LINE:
        text += "…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
