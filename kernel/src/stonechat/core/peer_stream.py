"""A stream of a peer that is no client: the bounds that hold on all of them, and the end.

How a stream ends (RFC 6120, 4.4):

    phase     input                                        next      deed
    --------  -------------------------------------------  --------  --------------------
    OPEN      (close()), of a peer that is admitted        CLOSING   our end is written
    OPEN      (end()): the peer's fault, or a stranger     SENDING   our end is written
    OPEN      the peer's end                               SENDING   our end is written
    OPEN      both of these while something is made safe   SETTLING  -
    SETTLING  all is safe, or timeout                      as above  our end is written
    CLOSING   what the peer sends                          CLOSING   it is handled
    CLOSING   the peer's end, its fault, (end()), timeout  SENDING   -
    SENDING   all that was written has left                OVER      the owner is told
    any       the connection is lost                       OVER      the owner is told
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

import gevent

from stonechat.errors import StreamError
from stonechat.protocol.stream import STREAM_END, stream_error

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.host import Timer
    from stonechat.net.connection import Connection
    from stonechat.net.timers import TimerWheel

# A peer that fetches nothing for so long is gone (robustness promise R8).
STUCK_SECONDS = 30.0

# Who ends a stream hears the peer out for so long.
GOODBYE_SECONDS = 5.0

# So long the end waits for what came before it, so that the peer can be told that it is safe.
SETTLE_SECONDS = 1.0

# How often it is looked whether what was written has left: nobody says so.
SENT_SECONDS = 1.0

# Where streams end because all does, their peers are waited for so long, and for half of the
# time that is left at most.
PATIENCE = 2.0
_LOOK_SECONDS = 0.02


class Phase(Enum):
    OPEN = auto()
    SETTLING = auto()
    CLOSING = auto()
    SENDING = auto()
    OVER = auto()


class PeerStream(ABC):
    """Its deadlines, its end, and what becomes of a peer that does not read.

    A connection's handler. `_timer` is the deadline of a stranger, then the watch over its
    silence, and at last over its end.
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
        self._phase = Phase.OPEN
        self._reason = ""  # of the end, as far as that was not the connection's
        self._then: Callable[[], None] = self.end  # while it is settling
        self._header_sent = False
        self._is_stuck = False
        self._stuck_timer: Timer | None = None
        self._timer: Timer = timers.add(negotiation_timeout, self._too_late)

    @property
    @abstractmethod
    def is_admitted(self) -> bool:
        """Whether the peer has proven who it is."""

    @abstractmethod
    def _who(self) -> dict[str, str]:
        """The peer, for the log."""

    @abstractmethod
    def _send_own_header(self) -> None:
        """Say who we are to a peer that is told nothing but an error (4.9.1.2)."""

    @abstractmethod
    def _write(self, octets: bytes) -> None: ...

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def is_open(self) -> bool:
        return self._phase is Phase.OPEN and not self._connection.is_ending

    @property
    def is_taking(self) -> bool:
        """Whether what the peer sends is handled."""
        return self._phase in (Phase.OPEN, Phase.SETTLING, Phase.CLOSING)

    @property
    def may_write(self) -> bool:
        """Whether our end is not said yet."""
        is_said = self._phase not in (Phase.OPEN, Phase.SETTLING)
        return not is_said and not self._connection.is_ending

    @property
    def is_gone(self) -> bool:
        """Whether the connection is gone, too."""
        return self._connection.is_closed

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
        self.end(StreamError("resource-constraint", "Too many connections."))

    # The end

    def close(self, error: StreamError | None = None) -> None:
        """End the stream; what the peer sends before it ends its side is handled (4.4)."""
        if self._phase is not Phase.OPEN:
            return
        if not self.is_admitted or self._is_stuck:
            self.end(error)
            return
        if error is not None:
            self._log_fault(error)
        self._reason = self._reason or told(error)
        self._settle(self._say_end, error)

    def _settle(self, then: Callable[..., None], *arguments: object) -> None:
        """Go on to the end, at once or when what came before is safe."""
        self._cancel_timers()
        self._then = partial(then, *arguments)
        if self._may_end_now():
            self._then()
        else:
            self._phase = Phase.SETTLING
            self._timer = self._timers.add(SETTLE_SECONDS, self._then)

    def _may_end_now(self) -> bool:
        """Whether all that came is dealt with; if not, `_settled` is called once it is."""
        return True

    def _settled(self) -> None:
        """What came before the end is dealt with, or some of it."""
        if self._phase is Phase.SETTLING and self._may_end_now():
            self._then()

    def _say_end(self, error: StreamError | None) -> None:
        """Our end; the peer may go on up to its own."""
        self._cancel_timers()
        self._about_to_end(is_answered=True)
        self._write(STREAM_END if error is None else stream_error(error))
        self._phase = Phase.CLOSING
        self._timer = self._timers.add(GOODBYE_SECONDS, self.end)
        # Where the server stops there is no other turn for it.
        self._connection.flush()

    def end(self, error: StreamError | None = None) -> None:
        """End the stream now: nothing more of the peer's is taken, whatever it has sent."""
        if not self.is_taking:
            return
        if error is not None:
            self._log_fault(error)
        if self._phase is not Phase.CLOSING and not self._says_end(error):
            self.abort(told(error))
            return
        self._take_no_more(Phase.SENDING, told(error))
        self._connection.flush()
        self._send_rest()

    def abort(self, reason: str) -> None:
        """End the stream without a word."""
        if self.is_taking:
            self._take_no_more(Phase.SENDING, reason)
        self._connection.abort(reason)

    def _peer_ended(self, reason: str) -> None:
        """The peer has said its end: it may fetch what was written up to ours."""
        self._reason = self._reason or reason
        if self._phase is Phase.CLOSING:
            self.end()
        else:
            self._settle(self.end)

    def _about_to_end(self, *, is_answered: bool) -> None:
        """Say what there is to be said before our end."""
        return

    def _says_end(self, error: StreamError | None) -> bool:
        """Write our end; False if nothing can be said."""
        tls = self._connection.tls
        if tls is not None and not tls.is_established:
            # Nothing can be said in the middle of a handshake.
            return False
        if error is not None:
            if not self._header_sent:
                self._send_own_header()
            self._about_to_end(is_answered=False)
            self._write(stream_error(error))
        elif self._header_sent:
            self._about_to_end(is_answered=False)
            self._write(STREAM_END)
        return True

    def _take_no_more(self, phase: Phase, reason: str) -> None:
        self._phase = phase
        self._reason = self._reason or reason
        self._cancel_timers()

    def _send_rest(self) -> None:
        """Let what is written leave, and then the connection end."""
        self._connection.close()
        self._look_whether_sent()

    def _look_whether_sent(self) -> None:
        """All has left, or else the connection says in time that it is lost."""
        connection = self._connection
        if connection.is_closed or self._phase is not Phase.SENDING:
            return
        if connection.unsent:
            self._timer = self._timers.add(SENT_SECONDS, self._look_whether_sent)
        else:
            self._over(self._reason)

    def _over(self, reason: str) -> None:
        """Nothing is left to be done, but to wait for the end of the connection."""
        self._take_no_more(Phase.OVER, reason)

    # Below

    def _too_late(self) -> None:
        self.end(StreamError("connection-timeout", "The handshake took too long."))

    def _give_up(self) -> None:
        self._log_fault(StreamError("policy-violation", "The peer does not read."))
        self.abort("the peer does not read")

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


def hear_out(
    streams: Iterable[PeerStream],
    left: Callable[[], float],
    *,
    also: Callable[[], object] = lambda: False,
) -> None:
    """Wait until the peers of streams that we have ended say their end, or have had their time.

    `left` says what time is. Blocks; as long, too, as `also` something is to be waited for.
    """
    streams = list(streams)
    until = left() - min(PATIENCE, left() / 2)
    while (any(stream.is_taking for stream in streams) or also()) and left() > until:
        gevent.sleep(_LOOK_SECONDS)


def told(error: StreamError | None) -> str:
    """Why a stream ends that we end, in words."""
    if error is None:
        return "closed"
    return f"{error.condition}: {error.text}".removesuffix(": ")
