"""Codecs: what the octets of a stream go through, both ways, such as compression (XEP-0138).

    class Plugin:
        @hookimpl
        def stonechat_unbound_stream_elements(self):
            return {(NS_COMPRESS, "compress"): self.compress}

        def compress(self, stream: UnboundStream, element: Element) -> None:
            stream.transform(Deflate(), Element(NS_COMPRESS, "compressed"))

A stream's codec is between it and TLS, or the socket where there is none. It stays until the
connection ends, whatever becomes of the plugin that made it.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Codec"]


class Codec(Protocol):
    """Encodes and decodes the octets of one connection, which calls it once at a time.

    Nothing here may block. What `encode` and `decode` raise, but for a StreamError, is a
    failure of the plugin, and ends the stream.
    """

    has_more: bool
    """Whether there is more to decode of what came. Looked at after each call of `decode`."""

    def encode(self, octets: bytes) -> bytes:
        """What is to be sent for these octets: enough for the peer to decode all of them.

        Called when the connection sends what was written to it meanwhile: not for each
        stanza, but once for all of a turn, with 64 KiB at most. Not called again before
        what it returned has left, so a peer that does not read makes it no work. There is
        no call for the end of the stream. A StreamError ends the connection without a word.
        """

    def decode(self, octets: bytes, limit: int) -> bytes:
        """What the next octets from the peer stand for, as far as `limit` goes.

        What is beyond the limit stays here, and `has_more` says so; it is asked for by
        further calls with `b""`, each once the octets before were handled and others have
        had their turn. The peer is not read meanwhile. `b""` says that nothing can be told
        before more comes, and is no answer to `b""` while there is more.

        A StreamError is sent to the peer, and nothing is decoded behind it.
        """
