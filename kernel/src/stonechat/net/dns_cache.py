"""Keeps what DNS says for as long as it holds, and asks no question twice at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import gevent

from stonechat.net.dns_client import Answer, Kind, Unavailable

# In seconds. Below the least, each stanza to a domain that has no server would ask anew; above
# the most, an operator who moves a server would wait too long until others come after.
LEAST_KEPT = 10.0
MOST_KEPT = 3600.0
MOST_KEPT_WITHOUT_RECORDS = 300.0
FAILURE_KEPT = 10.0

MAX_KEPT = 10_000
MAX_OPEN = 1_000

Question = tuple[str, Kind]
Outcome = Answer | Unavailable


class DnsCache:
    """What came of questions. `ask` may block; it has a deadline. `now` tells seconds."""

    def __init__(self, ask: Callable[[str, Kind], Answer], now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._kept: OrderedDict[Question, tuple[float, Outcome]] = OrderedDict()
        self._open: dict[Question, _Open] = {}

    def outcomes(self, questions: Sequence[Question], patience: float) -> list[Outcome]:
        """What is known or comes out, in the order of the questions, which are asked all at once.

        When one of them has brought records, the others have `patience` seconds more.
        """
        outcomes: dict[Question, Outcome] = {}
        joined: dict[Question, _Open] = {}
        try:
            for question in dict.fromkeys(questions):
                known = self._known(question)
                if known is not None:
                    outcomes[question] = known
                elif question in self._open or len(self._open) < MAX_OPEN:
                    joined[question] = self._join(question)
                else:
                    outcomes[question] = Unavailable("too many questions of DNS are open")
            has_records = any(map(_has_records, outcomes.values()))
            _wait([open_.greenlet for open_ in joined.values()], has_records, patience)
            for question, open_ in joined.items():
                outcomes[question] = open_.outcome(question)
        finally:
            for question, open_ in joined.items():
                self._leave(question, open_)
        return [outcomes[question] for question in questions]

    def _known(self, question: Question) -> Outcome | None:
        until, outcome = self._kept.get(question, (0.0, None))
        if outcome is None:
            return None
        if until <= self._now():
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return outcome

    def _keep(self, question: Question, outcome: Outcome) -> None:
        self._kept[question] = (self._now() + _seconds(outcome), outcome)
        self._kept.move_to_end(question)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    # Questions that wait for their answer

    def _join(self, question: Question) -> _Open:
        open_ = self._open.get(question)
        if open_ is None:
            open_ = self._open[question] = _Open()
            open_.greenlet = gevent.spawn(self._work, question, open_)
        open_.askers += 1
        return open_

    def _leave(self, question: Question, open_: _Open) -> None:
        open_.askers -= 1
        if not open_.askers and not open_.greenlet.ready():
            # Nobody waits for it any more. Who asks now must not join what is dying.
            self._close(question, open_)
            open_.greenlet.kill(block=False)

    def _close(self, question: Question, open_: _Open) -> None:
        if self._open.get(question) is open_:
            del self._open[question]

    def _work(self, question: Question, open_: _Open) -> Outcome:
        outcome: Outcome
        try:
            outcome = self._ask(*question)
        except Unavailable as error:
            outcome = error.with_traceback(None)
        finally:
            self._close(question, open_)
        self._keep(question, outcome)
        return outcome


class _Open:
    """A question that was sent, and how many wait for what comes of it."""

    __slots__ = ("askers", "greenlet")

    greenlet: gevent.Greenlet

    def __init__(self) -> None:
        self.askers = 0

    def outcome(self, question: Question) -> Outcome:
        if not self.greenlet.ready():
            name, kind = question
            return Unavailable(f"the {kind} records of {name} did not come in time")
        outcome: Outcome = self.greenlet.get()
        return outcome


def _wait(greenlets: list[gevent.Greenlet], has_records: bool, patience: float) -> None:
    if not has_records:
        with gevent.iwait(greenlets) as finished:
            for greenlet in finished:
                if _has_records(greenlet.value):
                    break
    gevent.joinall(greenlets, timeout=patience)


def _has_records(outcome: object) -> bool:
    return isinstance(outcome, Answer) and bool(outcome.records)


def _seconds(outcome: Outcome) -> float:
    """How long to keep it."""
    if isinstance(outcome, Unavailable):
        return FAILURE_KEPT
    most = MOST_KEPT if outcome.records else MOST_KEPT_WITHOUT_RECORDS
    return max(LEAST_KEPT, min(outcome.ttl, most))
