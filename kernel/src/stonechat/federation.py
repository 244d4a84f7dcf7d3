"""Streams between servers, as plugins see them (RFC 6120; XEP-0220, XEP-0288, XEP-0198).

A stream between servers carries stanzas for *pairs*: a domain of ours and one of theirs.
Over an incoming stream a peer may say something for a pair once it has proven to be that
domain; over an outgoing one we may, once we have. The kernel knows one proof, a
certificate (SASL EXTERNAL). Others are plugins', which meet a stream by these hooks:

    stonechat_server_stream_features     what we offer on incoming streams
    stonechat_server_stream_elements     what is no stanza, on streams of both directions
    stonechat_server_stream_opened       a peer's features have come; we may say something
    stonechat_prove_domain               prove to a peer that a domain is ours
    stonechat_server_stream_authorized   a pair is proven; stanzas may pass
    stonechat_server_stream_closed       the stream is over
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from stonechat.errors import StanzaError, StreamError
from stonechat.stanza import Element, Stanza

__all__ = ["Keeper", "Pair", "ServerStream", "Trust"]

Trust = Literal["require", "dialback", "any"]
"""What a remote domain has to show for itself, by the configuration:

`require`   a certificate that an authority we trust has issued for it;
`dialback`  that, or any certificate and a dialback (XEP-0220): the stream is encrypted;
`any`       a dialback at least, over a stream that need not be encrypted.
"""


class Pair(NamedTuple):
    """A domain of ours and one of theirs, prepared."""

    local: str
    remote: str


class Keeper(Protocol):
    """Keeps what was sent over a stream until the peer has acknowledged it (XEP-0198)."""

    @property
    def takes_stanzas(self) -> bool:
        """Whether there is room for more; until `ServerStream.flow` stanzas wait elsewhere."""

    def sent(self, stanza: Stanza) -> None:
        """Written to the stream; called in the order of the writes. Must not block."""

    def receiving(self, stanza: Stanza) -> None:
        """A stanza of the peer's is about to be handled: whoever holds it does so after this."""

    def received(self, stanza: Stanza) -> None:
        """A stanza of the peer's was handled."""

    def settle(self, settled: Callable[[], None]) -> bool:
        """The stream is about to end: whether the peer can be told that all that came is safe.

        If not, `settled` is called once it can be. Meanwhile nothing more is handled: the peer
        sends it again.
        """

    def ending(self, *, is_answered: bool) -> bool:
        """We say the end of the stream now: the last moment to say something before it.

        Something comes of a question only where the peer still answers. Returns True if it
        sends again what it cannot hear of any more that it has come: then nothing that comes
        from now on is handled.
        """

    def unacknowledged(self) -> Sequence[Stanza]:
        """The stream is lost: what the peer may not have, in order. Sent again or answered."""


class ServerStream(Protocol):
    """One stream to or from another server. Methods never block unless they say so."""

    keeper: Keeper | None
    """Who keeps what is sent; one plugin's, or None."""

    @property
    def is_outgoing(self) -> bool:
        """Whether we opened it."""

    @property
    def id(self) -> str:
        """The id in the receiving side's header; `""` before that was read."""

    @property
    def address(self) -> str:
        """The peer's IP address."""

    @property
    def pair(self) -> Pair:
        """The domains in the headers; an incoming stream's peer may name none, `remote=""`."""

    @property
    def speaks_dialback(self) -> bool:
        """Whether the peer's header declares dialback's namespace (XEP-0220, 2.4.1)."""

    @property
    def is_secure(self) -> bool:
        """Whether the stream is encrypted."""

    @property
    def is_open(self) -> bool: ...

    @property
    def is_bidirectional(self) -> bool:
        """Whether what is authorized for one direction is for the other, too (XEP-0288)."""

    @property
    def features(self) -> Sequence[Element]:
        """What the peer of an outgoing stream offers; empty before, and on incoming ones."""

    @property
    def data(self) -> dict[str, Any]:
        """For plugins to keep what belongs to the stream, each under its own name."""

    def trust(self, remote: str, local: str = "") -> Trust | None:
        """What the configuration wants of a remote domain; None if it is not to be spoken to.

        For a domain of ours, by default the one in the headers: hosts may differ in it.
        """

    def has_certificate_of(self, remote: str) -> bool:
        """Whether the peer showed a certificate for a domain that an authority vouches for."""

    def is_authorized(self, pair: Pair) -> bool:
        """Whether stanzas of a pair may pass, in the stream's own direction."""

    def authorize(self, pair: Pair, way: str) -> None:
        """A pair is proven, in some `way` (for logs: `"dialback"`); what waits for it leaves.

        Ignored for a remote domain that `trust` does not let pass this way: the caller has
        looked. On an incoming stream the bounds for strangers hold no longer.
        """

    def refuse(self, pair: Pair, error: StanzaError) -> None:
        """The peer of an outgoing stream does not take a pair; what waits for it is answered.

        The stream itself goes on for others.
        """

    def make_bidirectional(self) -> None:
        """Both sides have agreed to it (XEP-0288); before the first pair is authorized."""

    def flow(self) -> None:
        """The keeper takes stanzas again: what waits leaves."""

    def send_element(self, element: Element) -> None:
        """Queue what is no stanza; in the namespace jabber:client for jabber:server."""

    def close(self, error: StreamError | None = None) -> None:
        """End the stream; what the peer sends before it ends its side is handled (4.4)."""

    def end(self, error: StreamError | None = None) -> None:
        """End the stream at once: nothing more of the peer's is taken.

        What its keeper has not seen acknowledged was given back when this returns.
        """
