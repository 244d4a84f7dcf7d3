"""A stream between servers, either side of it: what may come when (RFC 6120, sections 4 to 6).

The receiving side:

    state       input                       next         event
    ----------  --------------------------  -----------  -------------------------
    HEADER      stream header               OPEN         StreamOpened
    OPEN        <starttls/>, in the clear   ENCRYPTING   StartTls
    OPEN        <auth/> <response/>         OPEN         SaslInput, until success
                <abort/>
    OPEN        (authenticated())           HEADER       -

The initiating side:

    HEADER      stream header               FEATURES *   StreamOpened
    FEATURES    <stream:features/>          OPEN         Features
    OPEN        (ask_tls())                 ASKING_TLS   -
    ASKING_TLS  <proceed/>                  ENCRYPTING   StartTls
    ASKING_TLS  <failure/>                  CLOSED       TlsRefused
    OPEN        (authenticate())            ASKING_SASL  -
    ASKING_SASL <challenge/>                ASKING_SASL  SaslChallenged
    ASKING_SASL <failure/>                  OPEN         SaslRefused
    ASKING_SASL <success/>                  HEADER **    SaslAccepted
    SUCCEEDED   stanza                      SUCCEEDED    Stanza
    SUCCEEDED   stream header               FEATURES     StreamOpened

Both of them:

    ENCRYPTING  (encrypted())               HEADER       -
    but HEADER  stanza, any other element   the same     Stanza, Element
    but HEADER  <stream:error/>             CLOSED       PeerFailed
    any         end of stream               CLOSED       StreamClosed

    * OPEN where the peer is older than XMPP 1.0 and has no features to tell.
    ** SUCCEEDED where the peer may speak before it has begun the stream anew.

Stanzas come and go as jabber:client. Whether one may come now is for the caller to say, and
so it is whether an element that is neither asked for nor known here is anybody's.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from stonechat.errors import JIDError, SaslFailure, StreamError, XMLError
from stonechat.jid import JID, prepare_domain
from stonechat.namespaces import (
    NS_CLIENT,
    NS_DIALBACK,
    NS_SASL,
    NS_SERVER,
    NS_STREAM,
    NS_STREAM_ERRORS,
    NS_TLS,
)
from stonechat.protocol.c2s import ELEMENTS, ELEMENTS_BEFORE_AUTH, SaslInput
from stonechat.protocol.content import received
from stonechat.protocol.content import to_bytes as to_bytes
from stonechat.protocol.sasl import SaslExchange
from stonechat.protocol.sasl.encoding import decode_utf8, encode_base64
from stonechat.protocol.splitter import Event, Splitter, StreamEnd, StreamHeader
from stonechat.protocol.stream import check_header
from stonechat.sasl import Mechanism, Outcome, Success
from stonechat.stanza import Stanza
from stonechat.xml import Element, escape_attribute, serialize

_SERVER = NS_SERVER.encode()

# How a document begins, or a stream's header without a declaration; no element here does.
_BEGINS_STREAM = re.compile(rb"\s*<(?:\?|(?:[^\s<>/:]+:)?stream[\s/>])")
# What may become either yet.
_UNDECIDED = re.compile(rb"\s*(?:<[^\s<>/?]*)?\Z")
_LONGEST_NAME = 1024


class State(Enum):
    HEADER = auto()
    FEATURES = auto()
    OPEN = auto()
    ASKING_TLS = auto()
    ENCRYPTING = auto()
    ASKING_SASL = auto()
    SUCCEEDED = auto()
    CLOSED = auto()


class StreamOpened(NamedTuple):
    """A valid header, its domains as they were written; `is_old` is before XMPP 1.0."""

    to: str
    from_: str
    id: str
    is_old: bool
    speaks_dialback: bool = False


class StartTls(NamedTuple):
    """TLS begins now. Nothing came after the word."""


class TlsRefused(NamedTuple):
    """The peer cannot do what it has offered."""


class Features(NamedTuple):
    """What the peer offers."""

    elements: tuple[Element, ...]


class SaslChallenged(NamedTuple):
    """The peer wants what it had before, or nothing: EXTERNAL has no more to say."""


class SaslAccepted(NamedTuple):
    """The peer knows us now; we begin the stream anew."""


class SaslRefused(NamedTuple):
    """The peer does not take our certificate for us; the stream goes on."""

    condition: str
    text: str


class PeerFailed(NamedTuple):
    """The peer has ended its stream with an error."""

    condition: str
    text: str


class StreamClosed(NamedTuple):
    """The peer has ended its stream."""


S2SEvent = (
    StreamOpened
    | StartTls
    | TlsRefused
    | Features
    | SaslInput
    | SaslChallenged
    | SaslAccepted
    | SaslRefused
    | PeerFailed
    | StreamClosed
    | Stanza
    | Element
)


class S2SStream(ABC):
    """What both sides have in common.

    `handle` is called with each event in order and may itself call what changes the state.
    StreamError and XMLError come out of `receive` and end the stream.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.state = State.HEADER
        self._splitter = Splitter(limit, ELEMENTS_BEFORE_AUTH, NS_SERVER)
        self.is_secure = False
        """Whether TLS is in force."""
        self.is_authenticated = False
        """Whether SASL was successful."""

    def receive(self, data: bytes, handle: Callable[[S2SEvent], None]) -> None:
        """Read octets."""
        if self.state is State.ENCRYPTING:
            raise StreamError("policy-violation", "Octets in the clear after <starttls/>.")
        fault: XMLError | None = None
        splitter = self._splitter
        try:
            events = splitter.feed(data)
        except XMLError as error:
            # Not the error itself: its frames, this one among them, hold what was read.
            fault = XMLError(error.condition, error.text)
            events = error.events
        # What was handled is let go, with the tree that it was given (robustness rule 2).
        events.reverse()
        while events and self.state is not State.CLOSED:
            handle(self._event(events.pop(), is_last=not events and fault is None))
            if self._splitter is not splitter and (events or fault is not None):
                # What came in the clear must not be taken for encrypted, nor
                # what came before authentication for what comes after.
                raise StreamError("policy-violation", _TOO_EARLY)
        if fault is not None and self.state is not State.CLOSED:
            raise fault

    def encrypted(self) -> None:
        """TLS is in force: the stream begins anew, and nothing of before counts (5.4.3.3)."""
        self.is_secure = True
        self._restart()

    def authenticated(self) -> None:
        """SASL succeeded: the stream begins anew (6.4.6)."""
        if not self._splitter.is_between_elements:
            raise StreamError("policy-violation", _TOO_EARLY)
        self.is_authenticated = True
        self._restart()

    def admit(self, limit: int) -> None:
        """The peer is no stranger any more: its elements may have so many octets."""
        self._limit = limit
        self._splitter.limit = limit
        self._splitter.element_limit = ELEMENTS

    def close(self) -> None:
        """Nothing more is taken from the peer."""
        self.state = State.CLOSED

    def _restart(self) -> None:
        self.state = State.HEADER
        self._splitter = Splitter(self._limit, ELEMENTS_BEFORE_AUTH, NS_SERVER)

    def _event(self, event: Event, *, is_last: bool) -> S2SEvent:
        if isinstance(event, StreamEnd):
            self.state = State.CLOSED
            return StreamClosed()
        if isinstance(event, StreamHeader):
            return self._opened(event)
        event = received(event, NS_SERVER, _SERVER)
        if isinstance(event, Stanza):
            return event
        if event.namespace == NS_STREAM and event.name == "error":
            self.state = State.CLOSED
            return PeerFailed(*_condition(event, NS_STREAM_ERRORS))
        is_alone = is_last and self._splitter.is_between_elements
        return self._element(event, is_alone=is_alone)

    def _opened(self, header: StreamHeader) -> StreamOpened:
        attributes = header.attributes
        is_old = "version" not in attributes
        if is_old:
            # So said nobody before RFC 3920 (4.7.5).
            header = header._replace(attributes={**attributes, "version": "1.0"})
        check_header(header, NS_SERVER)
        self.state = self._state_behind(is_old=is_old)
        return StreamOpened(
            attributes.get("to", ""),
            attributes.get("from", ""),
            attributes.get("id", ""),
            is_old,
            # XEP-0220, 2.4.1: so they told each other before there were features.
            NS_DIALBACK in header.prefixes.values(),
        )

    @abstractmethod
    def _state_behind(self, *, is_old: bool) -> State:
        """The state behind a header."""

    @abstractmethod
    def _element(self, element: Element, *, is_alone: bool) -> S2SEvent:
        """An element that is no stanza; `is_alone` if not an octet came after it."""

    def _starts_tls(self, *, is_alone: bool) -> StartTls:
        if not is_alone:
            raise StreamError("policy-violation", "Octets in the clear after <starttls/>.")
        self.state = State.ENCRYPTING
        return StartTls()


class ReceivingStream(S2SStream):
    """The side that was connected to."""

    def _state_behind(self, *, is_old: bool) -> State:
        return State.OPEN

    def _element(self, element: Element, *, is_alone: bool) -> S2SEvent:
        if element.namespace == NS_TLS and element.name == "starttls" and not self.is_secure:
            return self._starts_tls(is_alone=is_alone)
        if (
            element.namespace == NS_SASL
            and element.name in ("auth", "response", "abort")
            and not self.is_authenticated
        ):
            return SaslInput(element.name, element.get("mechanism"), element.text)
        return element


class InitiatingStream(S2SStream):
    """The side that has connected."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._is_used_early = False
        self._undecided = b""  # the first octets of what may be a header

    def _state_behind(self, *, is_old: bool) -> State:
        return State.OPEN if is_old else State.FEATURES

    def ask_tls(self) -> bytes:
        self.state = State.ASKING_TLS
        return serialize(Element(NS_TLS, "starttls"))

    def authenticate(self, domain: str, *, is_used_early: bool = False) -> bytes:
        """SASL EXTERNAL: `domain` is ours, and our certificate says so.

        The peer knows it from our header, but some want it once more (XEP-0178, 3). With
        `is_used_early` its stanzas may come as soon as it has said that it knows us: Prosody
        uses a stream for both directions (XEP-0288) from then on, and begins it anew (RFC 6120,
        6.4.6) only when our header has come.
        """
        self.state = State.ASKING_SASL
        self._is_used_early = is_used_early
        auth = Element(NS_SASL, "auth", {"mechanism": EXTERNAL})
        auth.append(_written(domain))
        return serialize(auth)

    def respond(self, domain: str) -> bytes:
        """The same to a peer that has overlooked it in `<auth/>`."""
        return serialize(Element(NS_SASL, "response", None, _written(domain)))

    def receive(self, data: bytes, handle: Callable[[S2SEvent], None]) -> None:
        if self._is_used_early and self.state in (State.ASKING_SASL, State.SUCCEEDED):
            self._receive_early(data, handle)
        else:
            super().receive(data, handle)

    def _receive_early(self, data: bytes, handle: Callable[[S2SEvent], None]) -> None:
        """Read what may hold elements of the stream as it was, and then a header.

        No parser takes both, so they are told apart at the top level, which is only reached
        behind a `>`. What looks like a header inside of a stanza is none.
        """
        data, self._undecided = self._undecided + data, b""
        at = 0
        while at < len(data) and self.state in (State.ASKING_SASL, State.SUCCEEDED):
            if self.state is State.SUCCEEDED and self._splitter.is_between_elements:
                if _BEGINS_STREAM.match(data, at) is not None:
                    self._restart()
                    # White space belongs to the stream as it was.
                    super().receive(data[at:].lstrip(), handle)
                    return
                if len(data) - at < _LONGEST_NAME and _UNDECIDED.match(data, at) is not None:
                    self._undecided = data[at:].lstrip()
                    return
            end = data.find(b">", at) + 1 or len(data)
            super().receive(data[at:end], handle)
            at = end
        if at < len(data) and self.state is not State.CLOSED:
            super().receive(data[at:], handle)

    def authenticated(self) -> None:
        if not self._is_used_early:
            super().authenticated()
            return
        self.is_authenticated = True
        self.state = State.SUCCEEDED

    def _element(self, element: Element, *, is_alone: bool) -> S2SEvent:
        namespace, name = element.namespace, element.name
        if self.state is State.SUCCEEDED:
            raise StreamError("policy-violation", _TOO_EARLY)
        if self.state is State.FEATURES and namespace == NS_STREAM and name == "features":
            self.state = State.OPEN
            return Features(tuple(element.elements))
        if self.state is State.ASKING_TLS and namespace == NS_TLS:
            if name == "proceed":
                return self._starts_tls(is_alone=is_alone)
            if name == "failure":
                self.state = State.CLOSED
                return TlsRefused()
        if self.state is State.ASKING_SASL and namespace == NS_SASL:
            if name == "success":
                return SaslAccepted()
            if name == "challenge":
                return SaslChallenged()
            if name == "failure":
                self.state = State.OPEN
                return SaslRefused(*_condition(element, NS_SASL))
        return element


# SASL EXTERNAL on the receiving side

EXTERNAL = "EXTERNAL"


def external_exchange(domain: str, *, is_offered: bool, failure_limit: int) -> SaslExchange:
    """The attempts of a peer whose certificate is for `domain`, if it is offered EXTERNAL."""
    return SaslExchange(
        (EXTERNAL,) if is_offered else (), lambda _: _External(domain), failure_limit=failure_limit
    )


class _External(Mechanism):
    """RFC 4422, appendix A, of a server: one message, its domain or nothing (XEP-0178, 3)."""

    def __init__(self, domain: str) -> None:
        # There is no account to look up.
        self.name = EXTERNAL
        self.domain = domain
        self.localpart = ""

    def step(self, response: bytes) -> Outcome:
        authzid = decode_utf8(response)
        try:
            is_its_own = not authzid or prepare_domain(authzid) == self.domain
        except JIDError:
            is_its_own = False
        if not is_its_own:
            raise SaslFailure("invalid-authzid", "The stream is from another domain.")
        return Success(JID.parse(self.domain))


# What goes out


def header(
    *,
    from_: str,
    to: str,
    id: str = "",
    lang: str = "en",
    is_old: bool = False,
    speaks_dialback: bool = False,
) -> bytes:
    """Our header: without an id it opens a stream, with one it answers a peer's."""
    attributes = [
        f"xmlns='{NS_SERVER}'",
        f"xmlns:stream='{NS_STREAM}'",
        f"from='{escape_attribute(from_)}'",
    ]
    if speaks_dialback:
        # How servers told each other of it before there were features (XEP-0220, 2.4.1).
        attributes.insert(2, f"xmlns:db='{NS_DIALBACK}'")
    if to:
        attributes.append(f"to='{escape_attribute(to)}'")
    if id:
        attributes.append(f"id='{escape_attribute(id)}'")
    attributes.append(f"xml:lang='{escape_attribute(lang)}'")
    if not is_old:
        attributes.append("version='1.0'")
    return f"<?xml version='1.0'?><stream:stream {' '.join(attributes)}>".encode()


def element_to_bytes(element: Element, *, is_db_declared: bool = True) -> bytes:
    """What is no stanza, to stand in a stream whose header declares the prefix `db` or not."""
    if element.namespace == NS_DIALBACK:
        # Some know it by that prefix alone (XEP-0220, 2.4.1).
        attributes = dict(element.attributes)
        if not is_db_declared:
            attributes["xmlns:db"] = NS_DIALBACK
        element = Element(NS_CLIENT, f"db:{element.name}", attributes, *element.children)
    return serialize(element, NS_CLIENT)


# Below

_TOO_EARLY = "Octets before the stream was restarted."


def _written(domain: str) -> str:
    return encode_base64(domain.encode()) or "="


def _condition(element: Element, namespace: str) -> tuple[str, str]:
    """The defined condition in an error, and its text."""
    names = [child.name for child in element.elements if child.namespace == namespace]
    condition = next((name for name in names if name != "text"), "undefined-condition")
    return condition, element.find_text("text", namespace)
