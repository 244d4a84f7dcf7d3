"""A session's wire: the one connection that it speaks through now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent import getcurrent
from gevent.event import Event

from stonechat.core.chains import FAULTS
from stonechat.core.client_stanzas import take
from stonechat.errors import StreamError, XMLError
from stonechat.protocol.splitter import Event as StreamEvent
from stonechat.protocol.splitter import Splitter, StreamEnd
from stonechat.protocol.stream import STREAM_END, stream_error
from stonechat.stanza import Stanza
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.core.client_session import ClientSession
    from stonechat.core.client_stream import Port
    from stonechat.host import Timer
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission

# A client that fetches nothing for so long is gone (robustness promise R8).
STUCK_SECONDS = 30.0

# So many stanzas, with messages among them, may wait for a client that does not read (R8).
MOST_WAITING = 64


class ClientWire:
    """Brings a session what its connection receives; the connection's handler.

    A session that is resumed gets another wire, and the old one does nothing more.
    """

    __slots__ = (
        "_admission",
        "_port",
        "_resting",
        "_splitter",
        "_stop",
        "_stuck_timer",
        "_workers",
        "connection",
        "is_stuck",
        "session",
    )

    def __init__(
        self,
        session: ClientSession,
        connection: Connection,
        splitter: Splitter,
        admission: Admission[Connection] | None,
        port: Port,
    ) -> None:
        self.session = session
        self.connection = connection
        self._splitter = splitter
        self._admission = admission
        self._port = port
        self._stop = False  # looked at after each stanza
        # The greenlets that handle what the session has sent.
        self._workers: tuple[object, ...] = ()
        self._resting: Event | None = None
        self.is_stuck = False
        """From a bound that was reached until everything is sent."""
        self._stuck_timer: Timer | None = None

    @property
    def is_open(self) -> bool:
        return not self._stop and not self.connection.is_ending

    @property
    def takes_messages(self) -> bool:
        """Whether messages may be queued; no longer once the client reads too slowly.

        Then not before everything is sent: else one would slip in for each that leaves, and
        overtake those that had to go elsewhere.
        """
        connection = self.connection
        if not self.is_stuck:
            if connection.has_room(MOST_WAITING):
                return True
            if self.is_open:
                self.is_stuck = True
                self._look_later()
            return False
        if connection.waiting or not self.is_open:
            return False
        self.output_flowing()
        return True

    def keep_alive(self, every: float) -> None:
        """White space to a client silent for long: it shows a dead connection (4.6.1).

        Asked `every` so many seconds. One that left our octets unfetched for
        twice as long is gone.
        """
        longest = self._port.options.idle_timeout
        idle = self.connection.idle_seconds
        # Once for each such silence, not at each asking.
        if not longest or idle < longest or idle % longest >= every or not self.is_open:
            return
        if self.connection.unsent and idle >= 2 * longest:
            self._log_fault("connection-timeout", "the client does not read")
            self.connection.abort("connection timeout")
        else:
            self.connection.write(b" ")

    # The connection's handler

    def bytes_received(self, data: bytes) -> None:
        """Handle what the client sent; may block where a plugin does."""
        fault: StreamError | None = None
        try:
            events = self._splitter.feed(data)
        except XMLError as error:
            # Not the error itself: its frames, this one among them, hold what was read.
            fault = StreamError(error.condition, error.text)
            events = error.events
        self.handle(events)
        if fault is not None:
            self.input_failed(fault)

    def handle(self, events: list[StreamEvent]) -> None:
        """Handle the events of the stream, in order, until it stops; takes them off the list."""
        session = self.session
        self.begin_work()
        # What was handled is let go, with the tree that it was given (robustness rule 2).
        events.reverse()
        try:
            while events:
                event = events.pop()
                if self._stop:
                    return
                try:
                    if isinstance(event, Stanza):
                        take(session, event)
                    elif isinstance(event, StreamEnd):
                        session.stream_ended()
                    else:
                        self._element(event)
                except StreamError as error:
                    self._log_fault(error.condition, error.text)
                    session.close(error)
        finally:
            self.end_work()

    def _element(self, event: StreamEvent) -> None:
        host = self.session.host
        if not isinstance(event, Element):
            raise StreamError("unsupported-stanza-type")
        handled = host.session_elements.get((event.namespace, event.name))
        if handled is None:
            raise StreamError("unsupported-stanza-type")
        plugin, handler = handled
        try:
            handler(self.session, event)
        except StreamError:
            raise
        except FAULTS as error:
            host.plugin_failed(plugin, "stonechat_stream_elements", error, None)
            raise StreamError("internal-server-error") from error

    def input_failed(self, error: StreamError) -> None:
        if not self._stop:
            self._log_fault(error.condition, error.text)
            self.session.close(error)

    def tls_established(self) -> None:
        raise AssertionError("TLS begins before a session does")

    def connection_lost(self, reason: str) -> None:
        self._let_go()
        self.session.connection_lost(self, reason)

    def output_stuck(self) -> None:
        self.is_stuck = True
        if self._stuck_timer is None:
            self._stuck_timer = self._port.timers.add(STUCK_SECONDS, self._give_up)

    def output_flowing(self) -> None:
        self.is_stuck = False
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _look_later(self) -> None:
        self._stuck_timer = self._port.timers.add(
            STUCK_SECONDS, self._look_again, self.connection.unsent
        )

    def _look_again(self, before: int) -> None:
        connection = self.connection
        if not connection.waiting:
            self.output_flowing()
        elif connection.unsent < before:
            # The line is slow, but the client is still at what we sent.
            self._look_later()
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._log_fault("policy-violation", "the client does not read")
        self.connection.abort("the client does not read")

    def _log_fault(self, condition: str, text: str) -> None:
        self.session.host.log.info(
            "stream error",
            jid=self.session.jid.text,
            address=self.connection.address,
            condition=condition,
            text=text,
        )

    # The end

    def close(self, error: StreamError | None) -> None:
        """Say how the stream ends, and take nothing more from it."""
        if self._stop:
            return
        self._stop = True
        self.connection.write(STREAM_END if error is None else stream_error(error))
        self.connection.close()

    def stop(self) -> None:
        """Take nothing more."""
        self._stop = True

    def begin_work(self) -> None:
        """A stanza of the session is handled in this greenlet, until `end_work`."""
        self._workers += (getcurrent(),)

    def end_work(self) -> None:
        if len(self._workers) == 1:
            self._workers = ()
            if self._resting is not None:
                self._resting.set()
        else:
            workers = list(self._workers)
            workers.remove(getcurrent())
            self._workers = tuple(workers)

    @property
    def is_at_work_here(self) -> bool:
        """Whether a stanza of the session is handled in this very greenlet."""
        return getcurrent() in self._workers

    def wait_until_at_rest(self, seconds: float) -> bool:
        """Wait for the stanza at hand; False if it takes longer than that.

        It has to be stopped before. Who is at the stanza himself does not wait.
        """
        if not self._workers or self.is_at_work_here:
            return True
        if self._resting is None:
            self._resting = Event()
        self._resting.wait(seconds)
        return not self._workers

    def hurry(self) -> None:
        """Whoever waits for the stanza at hand, or is going to, waits no longer."""
        if self._resting is None:
            self._resting = Event()
        self._resting.set()

    def _let_go(self) -> None:
        self._stop = True
        # It would be let go with the session, which is in a cycle with this and may be found
        # late; and half a stanza may be large.
        del self._splitter
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
        if self._admission is not None:
            self._admission.close()
