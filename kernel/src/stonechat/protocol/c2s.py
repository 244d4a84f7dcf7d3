"""A client's stream until it is bound: what may come when (RFC 6120, sections 4 to 7).

    state           input                       next           event
    --------------  --------------------------  -------------  ---------------------
    HEADER          stream header               NEGOTIATING *  StreamOpened
    NEGOTIATING     <starttls/>                 ENCRYPTING     StartTls
    ENCRYPTING      (encrypted())               HEADER         -
    NEGOTIATING     <auth/> <response/>         NEGOTIATING    SaslInput
                    <abort/>
    NEGOTIATING     iq                          NEGOTIATING    UnauthenticatedIq
    NEGOTIATING     (authenticated())           HEADER *       -
    NEGOTIATING     (admitted())                BINDING        -
    BINDING         (transformed())             HEADER *       -
    BINDING         iq set bind                 BINDING        BindRequest
    NEG., BINDING   any other element           the same       OtherElement
    BINDING         (bound())                   BOUND          -
    any             end of stream               CLOSED         StreamClosed

    * a header after authentication leads to BINDING instead.

With SASL as in RFC 6120 the stream begins anew (`authenticated`), with XEP-0388 it goes
on (`admitted`). A stanza too early ends the stream with not-authorized; what becomes of
another element, whoever handles this event decides.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from stonechat.errors import StreamError, XMLError
from stonechat.namespaces import NS_BIND, NS_SASL, NS_SESSION, NS_TLS
from stonechat.protocol.splitter import Event, Splitter, StreamEnd, StreamHeader
from stonechat.protocol.stream import check_header
from stonechat.stanza import Iq, Stanza
from stonechat.xml import XML_LANG, Element

# A stream that has not authenticated needs no more (robustness rule 2).
ELEMENTS_BEFORE_AUTH = 64
ELEMENTS = 10_000


class State(Enum):
    HEADER = auto()
    NEGOTIATING = auto()
    ENCRYPTING = auto()
    BINDING = auto()
    BOUND = auto()
    CLOSED = auto()


class StreamOpened(NamedTuple):
    """A valid header: whom the client wants, who it says it is, and its language."""

    to: str
    from_: str
    lang: str


class StartTls(NamedTuple):
    """The client wants TLS now. Nothing came after the request."""


class SaslInput(NamedTuple):
    """`auth`, `response` or `abort`, with its mechanism (auth only) and text."""

    name: str
    mechanism: str
    text: str


class UnauthenticatedIq(NamedTuple):
    """A request before authentication, such as in-band registration."""

    iq: Iq


class BindRequest(NamedTuple):
    """The client binds a resource; `""` leaves the choice to us."""

    iq: Iq
    resource: str


class OtherElement(NamedTuple):
    """Neither a stanza nor anything of RFC 6120: for a plugin, or for nobody."""

    element: Element


class StreamClosed(NamedTuple):
    """The client has ended its stream."""


C2SEvent = (
    StreamOpened
    | StartTls
    | SaslInput
    | UnauthenticatedIq
    | BindRequest
    | OtherElement
    | StreamClosed
)


class C2SStream:
    """The receiving side of a client's stream, up to its binding.

    `handle` is called with each event in order and may itself call `encrypted`,
    `authenticated`, `admitted`, `transformed`, `bound` or `close`. StreamError and XMLError
    come out of `receive` and end the stream.
    """

    def __init__(self, limit_before_auth: int, limit: int) -> None:
        self._limit_before_auth = limit_before_auth
        self._limit = limit
        self.state = State.HEADER
        self.is_authenticated = False
        self._is_last = True  # of what has come, the event at hand
        self.splitter = Splitter(limit_before_auth, ELEMENTS_BEFORE_AUTH)

    def receive(self, data: bytes, handle: Callable[[C2SEvent], None]) -> list[Event]:
        """Read octets; returns what came behind the binding and belongs to the session."""
        if self.state is State.ENCRYPTING:
            raise StreamError("policy-violation", "Octets in the clear after <starttls/>.")
        fault: XMLError | None = None
        try:
            events = self.splitter.feed(data)
        except XMLError as error:
            # Not the error itself: its frames, this one among them, hold what was read.
            fault = XMLError(error.condition, error.text)
            events = error.events
        for index, event in enumerate(events):
            if self.state is State.BOUND:
                if fault is not None:
                    raise fault
                return events[index:]
            if self.state is State.CLOSED:
                return []
            self._is_last = index == len(events) - 1 and fault is None
            handle(self._event(event))
        if fault is not None and self.state is not State.CLOSED:
            raise fault
        return []

    def encrypted(self) -> None:
        """TLS is in force: the client opens a new stream (RFC 6120, 5.4.3.3)."""
        self._restart(self._limit_before_auth, ELEMENTS_BEFORE_AUTH)

    def authenticated(self) -> None:
        """SASL succeeded: the client opens a new stream (RFC 6120, 6.4.6)."""
        self._check_nothing_behind("Octets before the stream was restarted.")
        self.is_authenticated = True
        self._restart(self._limit)

    def admitted(self) -> None:
        """The client is authenticated, and its stream goes on as it is (XEP-0388)."""
        self.is_authenticated = True
        self.state = State.BINDING
        self.splitter.limit = self._limit
        self.splitter.element_limit = ELEMENTS

    def transformed(self) -> None:
        """Octets go through a codec now: the client opens a new stream (XEP-0138)."""
        self._check_nothing_behind("Octets before the stream was restarted.")
        self._restart(self._limit)

    def bound(self) -> None:
        """A resource is bound."""
        self.state = State.BOUND

    def close(self) -> None:
        """We have ended the stream."""
        self.state = State.CLOSED

    def _check_nothing_behind(self, fault: str) -> None:
        """The client waits for our word before it begins the stream anew.

        What came in the clear must not be taken for encrypted, nor what came before
        authentication for what comes after.
        """
        if not self._is_last or not self.splitter.is_between_elements:
            raise StreamError("policy-violation", fault)

    def _restart(self, limit: int, element_limit: int = ELEMENTS) -> None:
        self.state = State.HEADER
        self.splitter = Splitter(limit, element_limit)

    def _event(self, event: Event) -> C2SEvent:
        if isinstance(event, StreamEnd):
            self.state = State.CLOSED
            return StreamClosed()
        if isinstance(event, StreamHeader):
            check_header(event)
            self.state = State.BINDING if self.is_authenticated else State.NEGOTIATING
            attributes = event.attributes
            return StreamOpened(
                attributes.get("to", ""), attributes.get("from", ""), attributes.get(XML_LANG, "")
            )
        if isinstance(event, Stanza):
            return self._stanza(event)
        return self._element(event)

    def _stanza(self, stanza: Stanza) -> C2SEvent:
        if not isinstance(stanza, Iq) or not stanza.is_request:
            raise StreamError("not-authorized", "Log in and bind a resource first.")
        if not self.is_authenticated:
            return UnauthenticatedIq(stanza)
        if stanza.type == "set" and stanza.children == (f"{NS_BIND} bind",):
            payload = stanza.payload
            assert payload is not None
            return BindRequest(stanza, payload.find_text("resource").strip())
        raise StreamError("not-authorized", "Bind a resource first.")

    def _element(self, element: Element) -> C2SEvent:
        if self.is_authenticated:
            return OtherElement(element)
        if element.namespace == NS_TLS and element.name == "starttls":
            self._check_nothing_behind("Octets in the clear after <starttls/>.")
            self.state = State.ENCRYPTING
            return StartTls()
        if element.namespace == NS_SASL and element.name in ("auth", "response", "abort"):
            return SaslInput(element.name, element.get("mechanism"), element.text)
        return OtherElement(element)


def is_session_request(iq: Iq) -> bool:
    """Whether a bound client asks for a session as in RFC 3921; it has one already."""
    return iq.type == "set" and iq.children == (f"{NS_SESSION} session",)
