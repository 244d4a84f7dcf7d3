"""A client's session: a bound resource and the stream it speaks through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent

from stonechat.errors import JIDError, StanzaError, StreamError, XMLError
from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY, NS_STANZA_ID
from stonechat.protocol.c2s import is_session_request
from stonechat.protocol.splitter import Event, Splitter, StreamEnd
from stonechat.protocol.stream import STREAM_END, stream_error
from stonechat.stanza import PRESENCE_TYPES, Iq, Message, Presence, Stanza
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.core.client_stream import Port
    from stonechat.core.router import Router
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.host import Timer
    from stonechat.net.connection import Connection
    from stonechat.net.limits import Admission

# A client that fetches nothing for so long is gone (robustness promise R8).
STUCK_SECONDS = 30.0

# Only a server may say these of itself (robustness rule 14).
_OCCUPANT_ID = "urn:xmpp:occupant-id:0 occupant-id"
_SERVER_MARKS = {f"{NS_STANZA_ID} stanza-id": "by", f"{NS_DELAY} delay": "from", _OCCUPANT_ID: ""}


class ClientSession:
    """One client at work; a `stonechat.host.Session` and its connection's handler."""

    __slots__ = (
        "__weakref__",
        "_admission",
        "_connection",
        "_data",
        "_host",
        "_is_cleared",
        "_port",
        "_splitter",
        "_stop",
        "_stuck_timer",
        "connected_at",
        "is_ended",
        "jid",
        "presence",
        "priority",
        "takes_messages",
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
        self._host = host
        self._port = port
        self._admission = admission
        self.jid = jid
        self._connection = connection
        self._splitter = splitter
        self._data: dict[str, Any] | None = None
        self._stop = False  # looked at after each stanza
        self._stuck_timer: Timer | None = None
        self.connected_at = host.now()
        self.is_ended = False
        self._is_cleared = False
        self.presence: Presence | None = None
        self.priority = 0
        self.takes_messages = True
        """Whether messages may be queued; no longer once the client reads too slowly."""

    def __repr__(self) -> str:
        return f"<ClientSession {self.jid}>"

    # For plugins and the session manager

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def is_secure(self) -> bool:
        return self._connection.tls is not None

    @property
    def is_open(self) -> bool:
        return not self._stop and not self._connection.is_ending

    @property
    def idle_seconds(self) -> float:
        return self._connection.idle_seconds

    @property
    def unsent(self) -> int:
        """Octets that wait for the client to read them."""
        return self._connection.unsent

    @property
    def data(self) -> dict[str, Any]:
        if self._data is None:
            self._data = {}
        return self._data

    def send(self, stanza: Stanza) -> None:
        self._connection.write(stanza.to_bytes())

    def keep_alive(self, every: float) -> None:
        """White space to a client silent for long: it shows a dead connection (4.6.1).

        Asked `every` so many seconds. One that left our octets unfetched for
        twice as long is gone.
        """
        longest = self._port.options.idle_timeout
        idle = self.idle_seconds
        # Once for each such silence, not at each asking.
        if not longest or idle < longest or idle % longest >= every or not self.is_open:
            return
        if self._connection.unsent and idle >= 2 * longest:
            self._log_fault("connection-timeout", "the client does not read")
            self.abort("connection timeout")
        else:
            self._connection.write(b" ")

    @property
    def is_gone(self) -> bool:
        """Whether it is cleared up, and the client has seen the end, or had its time.

        To end the process while a client still sends resets its connection, and takes what
        is on the way to it along.
        """
        return self._is_cleared and self._connection.is_closed

    def close(self, error: StreamError | None = None) -> None:
        if self._stop:
            return
        self._stop = True
        self._connection.write(STREAM_END if error is None else stream_error(error))
        self._connection.close()
        gevent.spawn(self.end)

    def abort(self, reason: str) -> None:
        """Drop the connection without another word."""
        self._stop = True
        self._connection.abort(reason)

    # The connection's handler

    def bytes_received(self, data: bytes) -> None:
        """Handle what the client sent; may block where a plugin does."""
        fault: XMLError | None = None
        try:
            events = self._splitter.feed(data)
        except XMLError as error:
            fault = error
            events = error.events
        self.handle(events)
        if fault is not None and not self._stop:
            self._log_fault(fault.condition, fault.text)
            self.close(StreamError(fault.condition, fault.text))

    def handle(self, events: list[Event]) -> None:
        """Handle the events of the stream, in order, until it stops."""
        for event in events:
            if self._stop:
                return
            try:
                if isinstance(event, Stanza):
                    self._stanza(event)
                elif isinstance(event, StreamEnd):
                    self._stream_end()
                else:
                    raise StreamError("unsupported-stanza-type")
            except StreamError as error:
                self._log_fault(error.condition, error.text)
                self.close(error)

    def tls_established(self) -> None:
        raise AssertionError("TLS begins before a session does")

    def connection_lost(self, reason: str) -> None:
        self._stop = True
        self.end()

    def output_stuck(self) -> None:
        self.takes_messages = False
        if self._stuck_timer is None:
            self._stuck_timer = self._host.timers.add(STUCK_SECONDS, self._give_up)

    def output_flowing(self) -> None:
        self.takes_messages = True
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def _give_up(self) -> None:
        self._log_fault("policy-violation", "the client does not read")
        self.abort("the client does not read")

    def _log_fault(self, condition: str, text: str) -> None:
        self._host.log.info(
            "stream error",
            jid=self.jid.text,
            address=self.address,
            condition=condition,
            text=text,
        )

    # The end

    def _stream_end(self) -> None:
        self._stop = True
        self._connection.write(STREAM_END)
        self._connection.close()
        self.end()

    def end(self) -> None:
        """Clear up: once, whoever comes first. May block."""
        if self.is_ended:
            return
        self.is_ended = True
        ending = self._host.session_manager.ending
        ending.add(self)
        try:
            self._clear_up()
        finally:
            self._is_cleared = True
            ending.discard(self)

    def _clear_up(self) -> None:
        host = self._host
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
        host.session_manager.remove(self)
        previous = self.presence
        if previous is not None:
            self.presence = None
            gone = Presence(from_=self.jid, type="unavailable")
            self._presence_changed(gone, previous)
        host.notify("stonechat_session_closed", {"session": self})
        if self._admission is not None:
            self._admission.close()
        self._data = None

    # Stanzas from the client

    def _stanza(self, stanza: Stanza) -> None:
        written = stanza.attributes.get("from")
        if written is not None:
            self._check_sender(written)
        stanza.stamp(self.jid)
        for child in stanza.children:
            if child in _SERVER_MARKS:
                _strip_server_marks(stanza, self._host.router)
                break
        try:
            kind = type(stanza)
            if kind is Message:
                self._message(stanza)  # type: ignore[arg-type]
            elif kind is Presence:
                self._presence(stanza)  # type: ignore[arg-type]
            else:
                self._iq(stanza)  # type: ignore[arg-type]
        except StanzaError as error:
            self._host.router.bounce(stanza, error)
        except JIDError as error:
            self._host.router.bounce(stanza, StanzaError("jid-malformed", str(error)))

    def _check_sender(self, written: str) -> None:
        """RFC 6120, 8.1.2.1: the full or the bare JID, or else the stream ends."""
        if written == self.jid.text:
            return
        try:
            claimed = JID.parse(written)
        except JIDError:
            claimed = None
        if claimed not in (self.jid, self.jid.bare):
            raise StreamError("invalid-from")

    def _message(self, message: Message) -> None:
        if self._host.hooks.message_from_user.run(message, self):
            return
        if message.to is None:
            # RFC 6120, 10.3.1
            message.to = self.jid.bare
        self._host.router.route(message)

    def _presence(self, presence: Presence) -> None:
        type_ = presence.attributes.get("type", "")
        if type_ and type_ not in PRESENCE_TYPES:
            raise StanzaError("bad-request", "There is no such type of presence.")
        if presence.to is not None:
            if not self._host.hooks.presence_from_user.run(presence, self):
                self._host.router.route(presence)
            return
        if type_ == "unavailable":
            previous = self.presence
            if previous is not None:
                self.presence = None
                self.priority = 0
                self._presence_changed(presence, previous)
        elif not type_:
            priority = presence.priority
            previous = self.presence
            self.presence = presence
            self.priority = priority
            self._presence_changed(presence, previous)
        elif type_ != "error":
            raise StanzaError("bad-request", "Presence of this type needs a recipient.")

    def _presence_changed(self, presence: Presence, previous: Presence | None) -> None:
        self._host.notify(
            "stonechat_presence_changed",
            {"session": self, "presence": presence, "previous": previous},
        )

    def _iq(self, iq: Iq) -> None:
        iq.check()
        host = self._host
        if host.hooks.iq_from_user.run(iq, self):
            return
        if iq.to is not None:
            host.router.route(iq)
            return
        if not iq.is_request:
            host.requests.answered(iq)
        elif is_session_request(iq):
            self.send(iq.result())
        else:
            # RFC 6120, 10.3.3: the server answers for the account.
            host.account_iq.answer(iq)


def _strip_server_marks(stanza: Stanza, router: Router) -> None:
    """Take away every mark that claims to be ours, before any hook sees the stanza."""
    with stanza.edit() as tree:
        for child in tree.elements:
            attribute = _SERVER_MARKS.get(child.qualified_name)
            if attribute is not None and (not attribute or _is_ours(child, attribute, router)):
                tree.remove(child)


def _is_ours(child: Element, attribute: str, router: Router) -> bool:
    """Whether a mark names a domain that this node answers for, a service's among them."""
    try:
        return bool(router.owner(JID.parse(child.get(attribute)).domain))
    except JIDError:
        # A client that looks less closely might take it for ours.
        return True
