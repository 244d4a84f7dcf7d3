"""A stream of a peer that is no client: the bounds that hold on all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from stonechat.errors import StreamError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.host import Timer
    from stonechat.net.connection import Connection
    from stonechat.net.timers import TimerWheel

# A peer that fetches nothing for so long is gone (robustness promise R8).
STUCK_SECONDS = 30.0


class PeerStream(ABC):
    """Its deadlines, and what becomes of a peer that does not read: a connection's handler.

    `_timer` is the deadline of a stranger, and then the watch over its silence.
    """

    def __init__(
        self,
        connection: Connection,
        timers: TimerWheel,
        log: FilteringBoundLogger,
        negotiation_timeout: float,
    ) -> None:
        self._connection = connection
        self._timers = timers
        self._log = log
        self._is_over = False
        self._is_stuck = False
        self._stuck_timer: Timer | None = None
        self._timer: Timer = timers.add(negotiation_timeout, self._too_late)

    @property
    @abstractmethod
    def is_admitted(self) -> bool:
        """Whether the peer has proven who it is."""

    @abstractmethod
    def close(self, error: StreamError | None = None) -> None: ...

    @abstractmethod
    def _who(self) -> dict[str, str]:
        """The peer, for the log."""

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def is_open(self) -> bool:
        return not self._is_over and not self._connection.is_ending

    @property
    def takes_stanzas(self) -> bool:
        return not self._is_stuck

    def output_stuck(self) -> None:
        if not self.is_admitted:
            self._give_up()
            return
        self._is_stuck = True
        if self._stuck_timer is None:
            self._stuck_timer = self._timers.add(STUCK_SECONDS, self._give_up)

    def output_flowing(self) -> None:
        self._is_stuck = False
        self._cancel_stuck()

    def evict(self) -> None:
        """Make room for another stranger."""
        self.close(StreamError("resource-constraint", "Too many connections."))

    def _too_late(self) -> None:
        self.close(StreamError("connection-timeout", "The handshake took too long."))

    def _give_up(self) -> None:
        self._log_fault(StreamError("policy-violation", "The peer does not read."))
        self._connection.abort("the peer does not read")

    def _log_fault(self, error: StreamError) -> None:
        self._log.info(
            "stream error",
            **self._who(),
            address=self.address,
            condition=error.condition,
            text=error.text,
        )

    def _cancel_timers(self) -> None:
        self._timer.cancel()
        self._cancel_stuck()

    def _cancel_stuck(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
