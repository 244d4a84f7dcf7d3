"""What streams between servers need of their manager, and what they tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stonechat.errors import StanzaError
from stonechat.federation import Pair, Trust

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_model import Limits
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.timers import TimerWheel
    from stonechat.net.tls import TlsConnector, TlsContexts


class Owner(Protocol):
    """The manager, as streams see it. Nothing here blocks."""

    timers: TimerWheel
    log: FilteringBoundLogger

    @property
    def limits(self) -> Limits:
        """The bounds that hold now: a reload may change them."""

    @property
    def is_stopping(self) -> bool: ...

    @property
    def default_domain(self) -> str:
        """Who speaks where a peer has named no domain of ours."""

    @property
    def contexts(self) -> TlsContexts | None:
        """TLS for peers that connect: asks for certificates and knows `xmpp-server` (ALPN).

        None where no host has a certificate.
        """

    @property
    def connector(self) -> TlsConnector:
        """TLS for streams that we open."""

    def certificate_of(self, local: str) -> str:
        """The host whose certificate we show for a local domain; `""` if there is none."""

    def policy(self, local: str, remote: str) -> Trust | None:
        """What a remote domain must show to speak with a local one; None if it may not."""

    def host_of(self, domain: str) -> VirtualHost | None:
        """Who answers for a local domain: a host's own, or one that its plugins registered.

        Asked for each stanza that comes in.
        """

    # What becomes of streams

    def begun(self, stream: ServerStreamBase) -> None:
        """A peer has connected; nothing is known of it. Where there is no room, `close` it."""

    def opened(self, stream: ServerStreamBase) -> None:
        """The features of an outgoing stream's peer have come, TLS is settled."""

    def authorized(self, stream: ServerStreamBase, pair: Pair) -> None:
        """We may send for a pair: over an outgoing stream, or a bidirectional one."""

    def refused(self, stream: ServerStreamBase, pair: Pair, error: StanzaError) -> None:
        """An outgoing stream cannot be used for a pair; `error` is for what waits for it.

        The stream goes on for others. Where it has none, close it, or it is closed when the
        time for its own pair is over.
        """

    def incoming_ready(self, stream: ServerStreamBase, pair: Pair) -> None:
        """A pair is authorized on an incoming stream. `authorized` follows on one for both."""

    def flowing(self, stream: ServerStreamBase) -> None:
        """A stream that took no stanzas (`takes_stanzas`) does so again."""

    def lost(self, stream: ServerStreamBase, reason: str) -> None:
        """A stream is over, whoever ended it; once for each, and nothing more comes of it.

        What the peer may not have is in `stream.unacknowledged()`. Its connection may still
        be there for a while, to send what was written to it (`is_gone`).
        """
