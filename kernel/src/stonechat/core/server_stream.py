"""Streams to and from other servers: what both directions have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from stonechat.core.chains import FAULTS
from stonechat.core.peer_stream import Phase
from stonechat.core.server_owner import Owner as Owner
from stonechat.core.server_proofs import Proofs
from stonechat.core.server_stanzas import take, take_late
from stonechat.core.server_writer import ServerWriter
from stonechat.errors import StanzaError, StreamError, XMLError
from stonechat.federation import Keeper, Pair, Trust
from stonechat.namespaces import NS_DIALBACK
from stonechat.protocol.s2s import (
    PeerFailed,
    S2SEvent,
    S2SStream,
    StreamClosed,
    element_to_bytes,
    to_bytes,
)
from stonechat.stanza import Stanza
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.connection import Connection

# How often a stream is looked at that nothing is wrong with, and written a white space to
# that had nothing to carry: it shows a dead connection (RFC 6120, 4.6.1).
WATCH_SECONDS = 120.0


class ServerStreamBase(ServerWriter):
    """A `stonechat.federation.ServerStream`, and its connection's handler."""

    is_outgoing: ClassVar[bool]

    def __init__(
        self,
        owner: Owner,
        connection: Connection,
        protocol: S2SStream,
        *,
        host: VirtualHost | None,
        pair: Pair,
        timeout: float,
        idle_timeout: float,
    ) -> None:
        super().__init__(connection, owner.timers, owner.log, timeout)
        self._owner = owner
        self._protocol = protocol
        self._idle_timeout = idle_timeout
        self._proofs = Proofs(owner, connection)
        self._features: tuple[Element, ...] = ()
        self._data: dict[str, Any] | None = None
        self._is_db_declared = False  # the prefix, by our header
        self._is_resent = False  # what comes behind our end, by its peer
        self._is_handling = False  # a stanza, in another greenlet than who asks
        self.host = host
        """Whose plugins the stream meets; None before a peer has said whom it wants."""
        self.pair = pair
        self.id = ""
        self.speaks_dialback = False
        self.keeper: Keeper | None = None
        self.is_bidirectional = False
        self.last_stanza_at = owner.timers.now
        """When a stanza last passed, in either direction."""
        self.peer_error = ""
        """The condition with which the peer has ended the stream."""
        self.stanzas_in = 0
        self.stanzas_out = 0

    # What a plugin sees

    @property
    def is_secure(self) -> bool:
        return self._protocol.is_secure

    @property
    def features(self) -> Sequence[Element]:
        return self._features

    @property
    def data(self) -> dict[str, Any]:
        if self._data is None:
            self._data = {}
        return self._data

    def trust(self, remote: str, local: str = "") -> Trust | None:
        return self._owner.policy(local or self.pair.local, remote)

    def has_certificate_of(self, remote: str) -> bool:
        return not self._proofs.certificate_fault(remote)

    def is_authorized(self, pair: Pair) -> bool:
        return pair in self._proofs.pairs

    def authorize(self, pair: Pair, way: str) -> None:
        if self._take_pair(pair, way):
            self._tell(pair)

    def refuse(self, pair: Pair, error: StanzaError) -> None:
        if self.is_outgoing and self.is_open:
            self._refused(pair, error)

    def make_bidirectional(self) -> None:
        if self.is_admitted:
            raise StreamError("policy-violation", "Bidirectionality comes before the first proof.")
        self.is_bidirectional = True

    def flow(self) -> None:
        if self.is_open:
            self._flowing()

    def send_element(self, element: Element) -> None:
        if self.may_write:
            self._write(element_to_bytes(element, is_db_declared=self._is_db_declared))

    # What its owner sees

    @property
    def is_admitted(self) -> bool:
        return bool(self._proofs.pairs)

    @property
    def authorized_pairs(self) -> frozenset[Pair]:
        return frozenset(self._proofs.pairs)

    @property
    def takes_stanzas(self) -> bool:
        keeper = self.keeper
        return (keeper is None or keeper.takes_stanzas) and super().takes_stanzas

    def may_send(self, pair: Pair) -> bool:
        """Whether our stanzas of a pair go over this stream."""
        return self.is_open and self._sends and pair in self._proofs.pairs

    def send(self, stanza: Stanza) -> bool:
        """Queue a stanza of a pair that `may_send`; False if the stream is over."""
        if not self.is_open:
            return False
        self._write(to_bytes(stanza), stanza)
        self.stanzas_out += 1
        self.last_stanza_at = self._timers.now
        keeper = self.keeper
        if keeper is not None:
            try:
                keeper.sent(stanza)
            except FAULTS as error:
                self._keeper_failed(error)
        return True

    def handling(self, stanza: Stanza) -> None:
        """A stanza of the peer's is about to be dealt with; StreamError if it cannot be."""
        self._is_handling = True
        keeper = self.keeper
        if keeper is not None:
            try:
                keeper.receiving(stanza)
            except FAULTS as error:
                # The peer sends it again: it must not be handled now.
                self._log.error("keeper failed", **self._who(), exc_info=error)
                raise StreamError("internal-server-error") from error

    def handled(self, stanza: Stanza) -> None:
        """A stanza of the peer's was dealt with."""
        self._is_handling = False
        self.stanzas_in += 1
        self.last_stanza_at = self._timers.now
        keeper = self.keeper
        if keeper is not None:
            try:
                keeper.received(stanza)
            except FAULTS as error:
                self._keeper_failed(error)
        if self._phase is Phase.SETTLING:
            self._settled()

    def unacknowledged(self) -> Sequence[Stanza]:
        """After the end: what was sent, and the peer may not have, in order.

        Without a keeper that is what a peer that read nothing has left with us.
        """
        if self.keeper is None:
            return self._left
        try:
            return tuple(self.keeper.unacknowledged())
        except FAULTS as error:
            self._log.error("keeper failed", **self._who(), exc_info=error)
            return ()

    # The connection's handler

    def bytes_received(self, data: bytes) -> None:
        try:
            self._protocol.receive(data, self._handle)
        except StreamError as error:
            self.end(error)
        except XMLError as error:
            self.end(StreamError(error.condition, error.text))

    def tls_established(self) -> None:
        self._protocol.encrypted()
        # What was said before may have been said by anybody (5.4.3.3).
        self.id = ""
        self.is_bidirectional = False
        self._data = None

    def connection_lost(self, reason: str) -> None:
        self._find_left()
        self._over(reason)
        if self.host is not None:
            self.host.notify("stonechat_server_stream_closed", {"stream": self})

    def _flowing(self) -> None:
        self._owner.flowing(self)

    # Events

    def _handle(self, event: S2SEvent) -> None:
        match event:
            case Stanza() if self._phase is Phase.OPEN:
                take(self, event, self._owner)
            case Stanza() if not self._is_resent:
                take_late(self, event, self._owner)
            case Element():
                self._element(event)
            case StreamClosed():
                self._peer_ended("the peer has ended the stream")
            case PeerFailed(condition, text):
                self.peer_error = condition
                told = f"{condition}: {text}" if text else condition
                self._peer_ended(f"the peer has ended the stream: {told}")
            case _ if self._phase is Phase.OPEN:
                self._negotiate(event)

    @abstractmethod
    def _negotiate(self, event: S2SEvent) -> None:
        """What comes before stanzas do."""

    @abstractmethod
    def _check_element(self) -> None:
        """Raise StreamError if it is too early for what only plugins understand."""

    def _element(self, element: Element) -> None:
        host = self.host
        assert host is not None
        handled = host.server_elements.get((element.namespace, element.name))
        if handled is None:
            raise StreamError("unsupported-stanza-type")
        self._check_element()
        plugin, handler = handled
        try:
            handler(self, element)
        except StreamError:
            raise
        except FAULTS as error:
            host.plugin_failed(plugin, "stonechat_server_stream_elements", error, None)
            raise StreamError("internal-server-error") from error

    # Pairs

    @property
    def _sends(self) -> bool:
        return self.is_outgoing or self.is_bidirectional

    def check_pair(self, local: str, remote: str) -> None:
        """Raise StreamError unless the peer may send stanzas of a pair over this stream."""
        receives = self.is_bidirectional or not self.is_outgoing
        # A tuple is made in a third of the time, and is the same.
        if not receives or (local, remote) not in self._proofs.pairs:
            raise self._proofs.fault_in(remote, receives=receives)

    def fault_of(self, pair: Pair) -> str:
        """Why a pair cannot be authorized here, in words; `""` if it can."""
        return self._proofs.fault_of(pair)

    def _take_pair(self, pair: Pair, way: str) -> bool:
        proofs = self._proofs
        # Without a host the stream has not begun anew since TLS has.
        if not self.is_open or self.host is None or pair in proofs.pairs:
            return False
        fault = proofs.fault_of(pair)
        if not fault and self._owner.host_of(pair.local) is None:
            fault = "there is no such domain here"
        if fault:
            self._log.info("domain not authorized", **self._who(pair), way=way, reason=fault)
            return False
        if proofs.is_full:
            self.close(StreamError("resource-constraint", "Too many domains for one stream."))
            return False
        proofs.add(pair)
        self._log.info("domain authorized", **self._who(pair), way=way, address=self.address)
        if len(proofs.pairs) == 1:
            self._admit()
        return True

    def _admit(self) -> None:
        self._timer.cancel()
        self._connection.is_stranger = False
        self._protocol.admit(self._owner.limits.stanza_bytes)
        self._watch_later()

    def _tell(self, pair: Pair) -> None:
        if not self.is_outgoing:
            self._owner.incoming_ready(self, pair)
        if self.is_open and self.host is not None:
            self.host.notify("stonechat_server_stream_authorized", {"stream": self, "pair": pair})
        if self._sends and self.is_open:
            self._owner.authorized(self, pair)

    def _refused(self, pair: Pair, error: StanzaError) -> None:
        self._log.info(
            "domain refused", **self._who(pair), address=self.address, reason=error.text
        )
        self._owner.refused(self, pair, error)

    # The watch

    def _watch_later(self) -> None:
        wait = WATCH_SECONDS
        if self._idle_timeout:
            left = self.last_stanza_at + self._idle_timeout - self._timers.now
            if left > 0:
                wait = min(wait, left)
        self._timer = self._timers.add(wait, self._watch)

    def _watch(self) -> None:
        """Now and then: is it still of use, and is there still somebody?"""
        if not self.is_open:
            return
        connection = self._connection
        host = self.host
        assert host is not None
        ends = self._proofs.certificate_ends
        if ends and host.now() > ends:
            # RFC 6120, 13.7.2.3
            self.close(StreamError("reset", "The certificate has expired."))
        elif self._is_idle:
            self.close()
        else:
            if connection.waiting:
                self._wait_for_room()
            elif not self._has_written:
                self._write(b" ")
            elif not connection.unsent:
                self._written.clear()
            self._has_written = False
            self._watch_later()

    @property
    def _is_idle(self) -> bool:
        longest = self._idle_timeout
        if not longest or self._timers.now - self.last_stanza_at < longest:
            return False
        return self.keeper is None or not self.unacknowledged()

    # The end

    def _may_end_now(self) -> bool:
        keeper = self.keeper
        if keeper is None:
            return True
        if self._is_handling:
            is_settled = False
        else:
            try:
                is_settled = keeper.settle(self._settled)
            except FAULTS as error:
                self._log.error("keeper failed", **self._who(), exc_info=error)
                return True
        self._is_resent = self._is_resent or not is_settled
        return is_settled

    def _about_to_end(self, *, is_answered: bool) -> None:
        keeper = self.keeper
        if keeper is not None:
            try:
                self._is_resent = keeper.ending(is_answered=is_answered)
            except FAULTS as error:
                self._log.error("keeper failed", **self._who(), exc_info=error)

    def _take_no_more(self, phase: Phase, reason: str) -> None:
        super()._take_no_more(phase, reason)
        self._protocol.close()

    def _send_rest(self) -> None:
        keeper = self.keeper
        if keeper is None:
            super()._send_rest()
            return
        if self._connection.unsent:
            # The peer could not tell us any more that it has it: it is sent again.
            self._connection.abort(self._reason)
        else:
            self._connection.close()
        self._over(self._reason)

    def abort(self, reason: str) -> None:
        super().abort(reason)
        if self.keeper is not None:
            self._over(reason)

    def _over(self, reason: str) -> None:
        if self._phase is not Phase.OVER:
            super()._over(reason)
            self._owner.lost(self, self._reason)

    # Below

    @abstractmethod
    def _send_header(self) -> None: ...

    def _declare_db(self) -> bool:
        """Whether our header tells of dialback: where a plugin of the host's speaks it."""
        host = self.host
        speaks = host is not None and (NS_DIALBACK, "result") in host.server_elements
        self._is_db_declared = speaks
        return speaks

    def _send_own_header(self) -> None:
        self._send_header()

    def _keeper_failed(self, error: BaseException) -> None:
        """What the peer is told of its stanzas cannot be right any more."""
        self._log.error("keeper failed", **self._who(), exc_info=error)
        self.end(StreamError("internal-server-error"))

    def _who(self, pair: Pair | None = None) -> dict[str, str]:
        local, remote = pair or self.pair
        return {
            "local": local,
            "remote": remote,
            "direction": "out" if self.is_outgoing else "in",
        }
