"""Clients, as plugins see them: streams before the login, and sessions after it.

A connected client is an `UnboundStream` until a resource is bound, and a `Session` from
then on. What stands between a session and its client, in either direction, is an
`Outlet` or an `Inlet` of a plugin's. The streams of external components are in
`stonechat.streams`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stonechat.codec import Codec
from stonechat.errors import SaslFailure, StreamError
from stonechat.jid import JID
from stonechat.sasl import SaslEvent
from stonechat.stanza import Element, Presence, Stanza

Target = TypeVar("Target")


class Session(Protocol):
    """A bound resource: one client that is connected to this host.

    `presence` is the available presence it last broadcast, or None; only then
    is it *available*, and `priority` counts. `data` is for plugins to keep
    what belongs to the session, each under its own name; it ends with it.
    """

    inlet: Inlet | None
    """Who counts what the client sends; one plugin's, or None."""

    @property
    def jid(self) -> JID: ...
    @property
    def presence(self) -> Presence | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def address(self) -> str:
        """The IP address that the client connects from."""

    @property
    def is_secure(self) -> bool:
        """Whether the stream is encrypted."""

    @property
    def is_open(self) -> bool:
        """Whether stanzas can still be sent to it; so it is while it is detached."""

    @property
    def is_connected(self) -> bool:
        """False once its connection was lost and before another resumes it (XEP-0198)."""

    @property
    def ended_by(self) -> str:
        """The condition of the stream error that ended it, `connection-lost`, or `""`."""

    @property
    def takes_messages(self) -> bool:
        """False while the client reads too slowly: send it nothing that can wait."""

    def takes_messages_behind(self, outlet: Outlet) -> bool:
        """Whether those behind an outlet take messages: the outlets there, and the client.

        For the outlet itself, whose own bound then does not count. ValueError if it is not
        the session's.
        """

    @property
    def unsent(self) -> int:
        """Octets that wait to be sent; they are lost if the client or the process goes.

        What was queued counts at once, and leaves soon after; 0 when the session is closed.
        """

    @property
    def connected_at(self) -> int:
        """When it was bound: microseconds since the epoch."""

    @property
    def idle_seconds(self) -> float:
        """Seconds since anything came from the client."""

    @property
    def data(self) -> dict[str, Any]: ...
    def send(self, stanza: Stanza) -> None:
        """Queue a stanza for the client; never blocks. Dropped if the session is closed."""

    def write(self, octets: bytes) -> None:
        """Queue octets past all outlets: an element that is no stanza.

        Dropped if the session is closed or not connected.
        """

    def add_outlet(self, outlet: Outlet, *, nearest: bool = False) -> None:
        """Put an outlet in front of those that are there, or, as `nearest`, next to the wire.

        There is one nearest at most; ValueError for another.
        """

    def remove_outlet(self, outlet: Outlet) -> None:
        """Take an outlet away; what it holds is its own to pass on before."""

    def receive(self, stanza: Stanza) -> None:
        """Handle a stanza as if the client had just sent it. May block.

        Dropped if the session has ended.
        """

    def disconnect(self, reason: str) -> None:
        """Give the connection up, as one that was lost."""

    def close(self, error: StreamError | None = None) -> None:
        """End the stream; its presence and its resource are cleared up soon after."""


class Outlet(Protocol):
    """A plugin's place between the server and one client (`Session.add_outlet`).

    What the server sends to the session comes to `send`, which passes it on by
    `self.next`, now, later, or not at all. `send` never blocks.
    """

    next: Callable[[Stanza], None]
    """The next outlet, or the wire; set when the outlet is added."""

    def send(self, stanza: Stanza) -> None: ...

    @property
    def unsent(self) -> int:
        """Octets of stanzas that this outlet holds back."""

    @property
    def takes_messages(self) -> bool:
        """False to have messages kept elsewhere for the time being."""


class Inlet(Protocol):
    """Told of each stanza that a client sends (`Session.inlet`)."""

    def handling(self, stanza: Stanza) -> None:
        """A stanza is about to be handled; may give it a custody (`stonechat.custody`)."""

    def handled(self, stanza: Stanza) -> None:
        """It was handled, or refused: it will not be looked at again here."""


class UnboundStream(Protocol):
    """A client's stream that has no session yet.

    Who handles an element of it may authenticate, bind and answer in one go: whatever the
    handler itself sends leaves before anything that others send to the new session.
    """

    exclusive: str
    """A namespace: while it is set, anything else from the client ends the stream."""

    @property
    def address(self) -> str: ...
    @property
    def is_secure(self) -> bool: ...
    @property
    def is_authenticated(self) -> bool: ...
    @property
    def is_bound(self) -> bool:
        """Whether a session has taken the stream over."""

    @property
    def is_transformed(self) -> bool:
        """Whether its octets go through a codec."""

    @property
    def account(self) -> JID | None:
        """The bare JID that was authenticated."""

    @property
    def claimed(self) -> JID | None:
        """The bare JID that the client's stream header is from; nothing proves it."""

    @property
    def lang(self) -> str:
        """`xml:lang` of the client's stream header, or `""`."""

    @property
    def data(self) -> dict[str, Any]:
        """For plugins to keep what belongs to the stream, each under its own name.

        A session that is bound takes it over into its own.
        """

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, the strongest first; none once authenticated."""

    @property
    def channel_bindings(self) -> Mapping[str, bytes]:
        """What TLS gives to bind to, by the type's name (`"tls-exporter"`, RFC 9266)."""

    def send(self, element: Element) -> None:
        """Queue an element for the client; never blocks."""

    def send_features(self) -> None:
        """Send the features that hold now, as XEP-0388 does after a success."""

    def transform(self, codec: Codec, answer: Element) -> None:
        """Have the stream go through a codec, and begin anew (XEP-0138); it must not be bound.

        Said by who handles the element that asks for it, on an authenticated stream.
        `answer` is the last that is sent as it is. The octets behind it, both ways, go
        through the codec; the first of them are the client's new header, and features are
        offered once more. The account and `data` stay. StreamError where the client has
        sent more behind the element, or is gone; ValueError where it `is_transformed`.
        """

    def authenticate(self, mechanism: str, text: str, *, provisional: bool = False) -> SaslEvent:
        """Begin an attempt, with the initial response in base64. May block.

        `""` stands for no response, `"="` for an empty one. The mechanism is one of
        `mechanisms`, or of a plugin's (`stonechat_sasl_mechanisms`). A success is in
        force when this returns: the stream is authenticated and not restarted. If it is
        `provisional` it waits for `admit`, or `refuse`. A failure is logged and counted;
        after the last one (`is_last`) the caller ends the stream. An account that is not
        the one `claimed` is refused. StreamError where the stream has ended meanwhile.
        """

    def respond(self, text: str) -> SaslEvent:
        """Go on with the attempt, with a response in base64; otherwise as above."""

    def abort(self) -> SaslEvent:
        """The client gives the attempt up."""

    def admit(self) -> None:
        """Put a provisional success in force."""

    def refuse(self, failure: SaslFailure) -> SaslEvent:
        """Take a provisional success back; it is counted as a failure."""

    def bind(self, resource: str) -> Session:
        """Make the session of an authenticated stream, `""` for a resource of our choice.

        Plugins are told of it before this returns. StanzaError where that is refused
        (RFC 6120, 7.6.2 and 7.7.2).
        """

    def resume(self, session: Session) -> None:
        """Go on with a session of the same account; its old connection, if any, ends.

        StanzaError item-not-found for another's.
        """

    def close(self, error: StreamError | None = None) -> None:
        """End the stream."""


@dataclass(frozen=True, slots=True)
class InlineFeature(Generic[Target]):
    """Something that a client may ask for inline, while it logs in or binds.

    `offer` makes what is announced to one stream, or returns None to offer nothing.
    `handle` gets the client's element and returns what to put into the answer. It is
    called for an element that was not offered, too, and, where the feature is `always`
    wanted, for one without attributes and children if the client has sent none.
    """

    namespace: str
    name: str
    offer: Callable[[UnboundStream], Element | None]
    handle: Callable[[Target, Element], Element | None]
    always: bool = False
