"""Pairs of domains that could not be joined, and until when nobody tries again."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from stonechat.errors import StanzaError
from stonechat.federation import Pair

# RFC 6120, 3.3: back off increasingly, and not all at the same moment.
FIRST_REST = 5.0
LONGEST_REST = 300.0

# The least recent is forgotten: then it is tried once more than it would have been.
MAX_RESTING = 10_000

_STEPS = 1000


class _Rest(NamedTuple):
    failures: int
    until: float
    error: StanzaError
    reason: str


class Rests:
    """After each failure a pair rests, twice as long as after the one before."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rests: OrderedDict[Pair, _Rest] = OrderedDict()

    def failed(self, pair: Pair, error: StanzaError, reason: str) -> float:
        """Let a pair rest; `error` answers what comes meanwhile. Returns for how long.

        The reason is for whoever looks what is wrong.
        """
        now = self._now()
        before = self._rests.pop(pair, None)
        # What went well for so long after its rest, or was not tried, begins anew.
        failures = (
            1 if before is None or now > before.until + LONGEST_REST else before.failures + 1
        )
        longest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(failures - 1, 10))
        seconds = with_jitter(longest)
        self._rests[pair] = _Rest(failures, now + seconds, error, reason)
        if len(self._rests) > MAX_RESTING:
            self._rests.popitem(last=False)
        return seconds

    def error(self, pair: Pair) -> StanzaError | None:
        """What to answer while a pair rests; None if it may be tried."""
        rest = self._rests.get(pair)
        if rest is None or self._now() >= rest.until:
            return None
        return anew(rest.error)

    def forget(self, pair: Pair) -> None:
        """Something speaks for the domain: it may be tried at once."""
        self._rests.pop(pair, None)

    def forget_domain(self, remote: str) -> int:
        """The same for all pairs with a remote domain; returns how many there were."""
        pairs = [pair for pair in self._rests if pair.remote == remote]
        for pair in pairs:
            del self._rests[pair]
        return len(pairs)

    def clear(self) -> None:
        self._rests.clear()

    def resting(self) -> list[tuple[Pair, float, str]]:
        """Who rests now: for how many seconds yet, and why."""
        now = self._now()
        return [
            (pair, rest.until - now, rest.reason)
            for pair, rest in self._rests.items()
            if rest.until > now
        ]


def anew(error: StanzaError) -> StanzaError:
    """The same error, to be raised: what was raised holds on to the frames it went through."""
    return StanzaError(error.condition, error.text, type=error.type, application=error.application)


def with_jitter(seconds: float) -> float:
    """Somewhere between half of that and all of it."""
    return seconds / 2 * (1 + secrets.randbelow(_STEPS) / _STEPS)
