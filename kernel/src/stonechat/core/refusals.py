"""Refused connections in the log: a flood is told of once a minute, not once for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.net.timers import TimerWheel

MINUTE = 60.0

# Addresses of one minute that have a line each; the others share one.
MAX_ADDRESSES = 100

OTHERS = "others"


class Refusals:
    """The first refusal of an address is logged at once, the rest of a minute at its end."""

    def __init__(self, log: FilteringBoundLogger, timers: TimerWheel) -> None:
        self._log = log
        self._timers = timers
        self._more: dict[str, int] = {}

    def note(self, address: str, reason: str) -> None:
        """A connection was refused."""
        more = self._more
        if address not in more and len(more) >= MAX_ADDRESSES:
            more[OTHERS] = more.get(OTHERS, 0) + 1
        elif address in more:
            more[address] += 1
        else:
            if not more:
                self._timers.add(MINUTE, self._sum_up)
            more[address] = 0
            self._log.info("connection refused", address=address, reason=reason)

    def _sum_up(self) -> None:
        more, self._more = self._more, {}
        for address, count in more.items():
            if count:
                self._log.info("connections refused", address=address, more=count)
