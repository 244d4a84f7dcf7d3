"""Streams of trusted peers, such as external components (XEP-0114), in a plugin's hands.

    class Plugin:
        def __init__(self, host: Host, options: Options) -> None:
            host.accept_streams("gateway.capulet.example", self.opened)

        def opened(self, stream: Stream) -> StreamHandler:
            return Gateway(stream)

A listener of type `component` takes the connections. The kernel reads and writes the stream,
within the same bounds as a client's; who the peer is, and what it may say, is the plugin's
to decide.
"""

from __future__ import annotations

from typing import Protocol

from stonechat.errors import StreamError
from stonechat.stanza import Element, Stanza

__all__ = ["Stream", "StreamHandler"]


class StreamHandler(Protocol):
    """What a plugin answers for each stream that is opened to one of its domains."""

    def received(self, element: Stanza | Element) -> None:
        """The next element; whatever is in the stream's content namespace comes as jabber:client.

        Called in the stream's greenlet, which reads no further meanwhile: you may block.
        A StreamError ends the stream. It may come for a stream that is not admitted.
        """

    def ended(self, reason: str) -> None:
        """The connection is gone, whoever ended it; called once, last of all. May block."""


class Stream(Protocol):
    """A peer's stream. Until it is admitted it is a stranger's, with a deadline."""

    @property
    def address(self) -> str:
        """The IP address that the peer connects from."""

    @property
    def domain(self) -> str:
        """The domain that the peer's header is to, prepared."""

    @property
    def id(self) -> str:
        """The id in our header, which nobody can guess."""

    @property
    def is_admitted(self) -> bool: ...
    @property
    def is_open(self) -> bool:
        """False once either side has ended it."""

    @property
    def takes_stanzas(self) -> bool:
        """False while the peer reads too slowly: `send` nothing, and tell the senders."""

    def admit(self) -> None:
        """The peer has proven who it is: the bounds for strangers hold no longer."""

    def send(self, stanza: Stanza) -> None:
        """Queue a stanza; never blocks. Dropped if the stream is closed."""

    def send_element(self, element: Element) -> None:
        """Queue what is no stanza; in the namespace jabber:client for that of the stream."""

    def close(self, error: StreamError | None = None) -> None:
        """End the stream: nothing more is sent.

        From a peer that is admitted there may come something yet, until it ends it, too.
        """
