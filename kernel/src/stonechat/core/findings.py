"""What examinations have in common: findings that are safe to show, and deadlines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import gevent

from stonechat.core.stream_probe import ProbeFailure
from stonechat.examination import Code, Finding, Step, Verdict

# A stranger's error may be as long as he likes.
LONGEST_TEXT = 400


def finding(step: Step, target: str, verdict: Verdict, code: Code, text: str) -> Finding:
    """A finding, its texts printable and not too long."""
    return Finding(step, shown(target), verdict, code, shown(text))


def shown(text: str) -> str:
    """A text on one line that moves no cursor and breaks no XML, whoever wrote it."""
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


class Deadlines:
    """So many seconds for each step, and so many for all of them."""

    def __init__(self, step: float, total: float) -> None:
        self._step = step
        self._end = time.monotonic() + total

    @property
    def step(self) -> float:
        """What the next step may take."""
        return max(0.0, min(self._step, self._end - time.monotonic()))

    @contextmanager
    def hold(self, what: str) -> Iterator[None]:
        """The time of one step; ProbeFailure when it is over before `what` has come."""
        seconds = self.step
        if not seconds:
            raise ProbeFailure("no-time", f"there was no time left for {what}")
        timeout = gevent.Timeout(seconds)
        try:
            with timeout:
                yield
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            raise ProbeFailure(
                "no-answer", f"{what} did not come within {seconds:.0f} s"
            ) from None
