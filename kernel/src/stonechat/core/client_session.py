"""A client's session: a bound resource, whatever connection it speaks through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from gevent import getcurrent
from gevent.event import Event

from stonechat.core.client_stanzas import receive
from stonechat.core.client_wire import ClientWire
from stonechat.errors import StreamError
from stonechat.jid import JID
from stonechat.protocol.splitter import Splitter
from stonechat.session import Inlet, Outlet
from stonechat.stanza import Presence, Stanza

if TYPE_CHECKING:
    from stonechat.core.client_stream import Port
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission

# How long a session's end, and who resumes it, waits for the stanza that is being handled.
REST_SECONDS = 10.0

CONNECTION_LOST = "connection-lost"


class ClientSession:
    """One client; a `stonechat.session.Session`."""

    __slots__ = (
        "__weakref__",
        "_cleared",
        "_connection",
        "_data",
        "_ender",
        "_is_cleared",
        "_is_closing",
        "_nearest",
        "_outlets",
        "_wire",
        "connected_at",
        "ended_by",
        "host",
        "inlet",
        "is_connected",
        "is_ended",
        "is_over",
        "jid",
        "presence",
        "priority",
    )

    def __init__(
        self,
        host: VirtualHost,
        jid: JID,
        connection: Connection,
        splitter: Splitter,
        admission: Admission[Connection] | None,
        port: Port,
    ) -> None:
        self.host = host
        self.jid = jid
        self._data: dict[str, Any] | None = None
        # From the first that a stanza meets to the one next to the wire.
        self._outlets: list[Outlet] | None = None
        self._nearest: Outlet | None = None
        self.inlet: Inlet | None = None
        self.connected_at = host.now()
        self.ended_by = ""
        self._is_closing = False
        self.is_ended = False
        """Whether its end has begun, and nobody finds it any more."""
        self.is_over = False
        """Whether its end is being told; nobody may hear of its presence behind that."""
        self._is_cleared = False
        self._cleared: Event | None = None
        self._ender: object = None  # the greenlet that clears up
        self.presence: Presence | None = None
        self.priority = 0
        self._speak_through(connection, splitter, admission, port)

    def __repr__(self) -> str:
        return f"<ClientSession {self.jid}>"

    def _speak_through(
        self,
        connection: Connection,
        splitter: Splitter,
        admission: Admission[Connection] | None,
        port: Port,
    ) -> None:
        self._wire = ClientWire(self, connection, splitter, admission, port)
        self._connection = connection
        self.is_connected = True
        connection.handler = self._wire

    # For plugins and the session manager

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def is_secure(self) -> bool:
        return self._connection.tls is not None

    @property
    def is_open(self) -> bool:
        if self._is_closing:
            return False
        # With somebody next to the wire, it may be lost: others will come.
        return not self.is_connected or self._wire.is_open or self._nearest is not None

    @property
    def idle_seconds(self) -> float:
        return self._connection.idle_seconds

    @property
    def unsent(self) -> int:
        """Octets that wait for the client to read them."""
        unsent = self._connection.unsent
        for outlet in self._outlets or ():
            unsent += outlet.unsent
        return unsent

    @property
    def takes_messages(self) -> bool:
        """Whether messages may be queued; not while the client is too slow for them."""
        if self._outlets is None:
            return not self.is_connected or self._wire.takes_messages
        return self._take_messages(self._outlets)

    def takes_messages_behind(self, outlet: Outlet) -> bool:
        """Whether those behind an outlet take messages: the outlets there, and the client."""
        outlets = self._outlets or []
        return self._take_messages(outlets[outlets.index(outlet) + 1 :])

    def _take_messages(self, outlets: list[Outlet]) -> bool:
        for outlet in outlets:
            if not outlet.takes_messages:
                return False
        if not self.is_connected:
            return True
        if self._nearest is not None:
            # It keeps what is under way, and says how much that may be (R8).
            return not self._wire.is_stuck
        return self._wire.takes_messages

    @property
    def data(self) -> dict[str, Any]:
        if self._data is None:
            self._data = {}
        return self._data

    def send(self, stanza: Stanza) -> None:
        if self._outlets is None:
            self._connection.write(stanza.to_bytes())
        else:
            self._outlets[0].send(stanza)

    def write(self, octets: bytes) -> None:
        self._connection.write(octets)

    def _write_stanza(self, stanza: Stanza) -> None:
        self._connection.write(stanza.to_bytes())

    def add_outlet(self, outlet: Outlet, *, nearest: bool = False) -> None:
        outlets = self._outlets or []
        if nearest:
            if self._nearest is not None:
                raise ValueError(f"{self._nearest!r} is next to the wire already")
            self._nearest = outlet
            outlets = [*outlets, outlet]
        else:
            outlets = [outlet, *outlets]
        self._chain(outlets)

    def remove_outlet(self, outlet: Outlet) -> None:
        if outlet is self._nearest:
            self._nearest = None
        self._chain([other for other in self._outlets or () if other is not outlet])

    def _chain(self, outlets: list[Outlet]) -> None:
        following = self._write_stanza
        for outlet in reversed(outlets):
            outlet.next = following
            following = outlet.send
        self._outlets = outlets or None

    def receive(self, stanza: Stanza) -> None:
        if self.is_ended:
            return
        stanza.stamp(self.jid)
        wire = self._wire
        wire.begin_work()
        try:
            receive(self, stanza)
        finally:
            wire.end_work()

    def keep_alive(self, every: float) -> None:
        """White space to a client silent for long; see `ClientWire`."""
        if self.is_connected:
            self._wire.keep_alive(every)

    # Connections come and go

    def connection_lost(self, wire: ClientWire, reason: str) -> None:
        """A wire has lost its connection; the session may wait for another."""
        if wire is not self._wire or not self.is_connected:
            return  # another has taken over
        self.is_connected = False
        if self._is_closing:
            self.end()
            return
        if self._outlets and self.host.first(
            "stonechat_session_detached", {"session": self, "reason": reason}
        ):
            self.host.log.info("session detached", jid=self.jid.text, reason=reason)
            return
        self._is_closing = True
        self.ended_by = CONNECTION_LOST
        self.end()

    def disconnect(self, reason: str) -> None:
        if self.is_connected:
            self._connection.abort(reason)

    def attach(
        self,
        connection: Connection,
        splitter: Splitter,
        admission: Admission[Connection] | None,
        port: Port,
    ) -> None:
        """Go on over another connection; StreamError if the session ends meanwhile. May block."""
        old = self._wire
        if self.is_connected:
            # From now on nothing is written to the old one but its end (XEP-0198, section 5).
            self.is_connected = False
            old.close(StreamError("conflict", "The session was resumed by another connection."))
        old.stop()
        if not old.wait_until_at_rest(REST_SECONDS) or self._is_closing:
            raise StreamError("internal-server-error", "The session cannot be resumed now.")
        self._speak_through(connection, splitter, admission, port)

    # The end

    @property
    def is_gone(self) -> bool:
        """Whether it is cleared up, and the client has seen the end, or had its time.

        To end the process while a client still sends resets its connection, and takes what
        is on the way to it along.
        """
        return self._is_cleared and self._connection.is_closed

    def close(self, error: StreamError | None = None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self.ended_by = "" if error is None else error.condition
        if self.is_connected:
            self._wire.close(error)
        gevent.spawn(self.end)

    def stream_ended(self) -> None:
        """The client has ended its stream, and with it the session."""
        self._is_closing = True
        self._wire.close(None)
        self.end()

    def end(self) -> None:
        """Clear up: once, whoever comes first. May block."""
        if self.is_ended:
            return
        self.is_ended = True
        self._is_closing = True
        self._wire.stop()
        self._ender = getcurrent()
        manager = self.host.session_manager
        manager.remove(self)
        manager.end_begun(self)
        try:
            # Whoever is told of its presence hears last that it is gone.
            self._wire.wait_until_at_rest(REST_SECONDS)
            self.is_over = True
            self._clear_up()
        finally:
            self._is_cleared = True
            self._ender = None
            manager.end_over(self)
            if self._cleared is not None:
                self._cleared.set()

    def hurry(self) -> None:
        """Have its end, begun or to come, not wait for the stanza that is being handled."""
        self._wire.hurry()

    def wait_until_cleared(self, seconds: float) -> bool:
        """Wait until it is cleared up after `close`; False if that takes longer.

        Who is at a stanza of this very session ends it with that stanza, and who is told of
        its end does not wait for himself.
        """
        if self._is_cleared or self._ender is getcurrent():
            return True
        if self._wire.is_at_work_here:
            self._wire.hurry()
        if self._cleared is None:
            self._cleared = Event()
        return bool(self._cleared.wait(seconds))

    def _clear_up(self) -> None:
        host = self.host
        host.notify("stonechat_session_ending", {"session": self})
        previous = self.presence
        if previous is not None:
            self.presence = None
            gone = Presence(from_=self.jid, type="unavailable")
            host.notify(
                "stonechat_presence_changed",
                {"session": self, "presence": gone, "previous": previous},
            )
        host.notify("stonechat_session_closed", {"session": self})
        self._data = None
        self._outlets = self._nearest = self.inlet = None
