"""What a stream between servers writes: how much may wait, and what was lost with it."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING

from stonechat.core.peer_stream import STUCK_SECONDS, PeerStream, told
from stonechat.stanza import Stanza

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.errors import StreamError
    from stonechat.net.connection import Connection
    from stonechat.net.timers import TimerWheel

# So many stanzas may wait for a peer that does not read; what else there is stays with the
# owner of the stream, who answers it in time (robustness promise R18).
MOST_WAITING = 64
# How often a stream that waits is looked at: nobody says when there is room again.
ROOM_SECONDS = 1.0


class ServerWriter(PeerStream):
    """The writing side of a stream; knows which stanzas its connection still has."""

    def __init__(
        self,
        connection: Connection,
        timers: TimerWheel,
        log: FilteringBoundLogger,
        negotiation_timeout: float,
    ) -> None:
        super().__init__(connection, timers, log, negotiation_timeout)
        # What was written last: as many of these as wait in the connection are not sent yet.
        self._written: deque[Stanza | None] = deque(maxlen=4 * MOST_WAITING)
        self._has_written = False  # since it was last looked at
        self._left: tuple[Stanza, ...] = ()
        """What the connection had not sent when it was lost."""

    @property
    def takes_stanzas(self) -> bool:
        """False while the peer reads too slowly: `send` nothing before `Owner.flowing`."""
        if self._is_stuck:
            return False
        if self._connection.has_room(MOST_WAITING):
            return True
        if self.is_open:
            self._wait_for_room()
        return False

    @abstractmethod
    def _flowing(self) -> None:
        """Stanzas are taken again."""

    def close(self, error: StreamError | None = None) -> None:
        if not self._is_stuck or not self.is_open:
            super().close(error)
            return
        # Our end would come behind what nobody fetches, and that is to go another way.
        if error is not None:
            self._log_fault(error)
        self.abort(told(error))

    def _write(self, octets: bytes, stanza: Stanza | None = None) -> None:
        connection = self._connection
        if not self.may_write:
            return
        if not connection.unsent:
            self._written.clear()
        self._written.append(stanza)
        self._has_written = True
        connection.write(octets)

    # The connection's handler

    def output_stuck(self) -> None:
        if self.is_admitted:
            self._wait_for_room()
        else:
            self._give_up()

    def output_flowing(self) -> None:
        if self._is_stuck:
            super().output_flowing()
            self._flowing()

    # Below

    def _wait_for_room(self) -> None:
        if not self._is_stuck:
            self._is_stuck = True
            self._look_later(0.0)

    def _look_later(self, quiet: float) -> None:
        self._stuck_timer = self._timers.add(
            ROOM_SECONDS, self._look_for_room, self._connection.unsent, quiet + ROOM_SECONDS
        )

    def _look_for_room(self, before: int, quiet: float) -> None:
        connection = self._connection
        if not connection.waiting:
            self.output_flowing()
        elif connection.unsent < before:
            # The line is slow, but the peer is still at what we sent.
            self._look_later(0.0)
        elif quiet < STUCK_SECONDS:
            self._look_later(quiet)
        else:
            self._give_up()

    def _find_left(self) -> None:
        """The connection is lost: note what it has not sent."""
        lost = self._connection.lost_writes
        unsent = list(self._written)[-lost:] if lost else []
        self._left = tuple(stanza for stanza in unsent if stanza is not None)
        self._written.clear()
