"""zlib over a stream (RFC 1950): what goes out in little memory, what comes in within bounds."""

from __future__ import annotations

import zlib

from stonechat.errors import StreamError
from stonechat.stanza import Element

NS_COMPRESS = "http://jabber.org/protocol/compress"


class Deflate:
    """A `stonechat.codec.Codec`.

    What a peer has sent may stand for `max_ratio` times as many octets, and `max_excess`
    more. Only what it has sent meanwhile is set against that: who was modest for a day may
    not be immodest because of it.
    """

    __slots__ = (
        "__weakref__",
        "_deflate",
        "_excess",
        "_inflate",
        "_max_excess",
        "_max_ratio",
        "has_more",
    )

    def __init__(
        self, level: int, window_bits: int, memory_level: int, *, max_ratio: int, max_excess: int
    ) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, window_bits, memory_level)
        # As large a window as the peer's header asks for, and no larger.
        self._inflate = zlib.decompressobj(wbits=0)
        self._max_ratio = max_ratio
        self._max_excess = max_excess
        self._excess = 0
        self.has_more = False

    def encode(self, octets: bytes) -> bytes:
        # XEP-0138, "Implementation Notes": flushed when a send is complete.
        return self._deflate.compress(octets) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, octets: bytes, limit: int) -> bytes:
        inflate = self._inflate
        came = octets or inflate.unconsumed_tail
        try:
            decoded = inflate.decompress(came, limit)
        except zlib.error as error:
            raise _processing_failed("What came is not compressed by zlib.") from error
        if inflate.unused_data:
            raise _processing_failed("Octets behind the end of what was compressed.")
        left = len(inflate.unconsumed_tail)
        # Where the limit was reached, zlib may hold back the rest of what it has read.
        self.has_more = left > 0 or len(decoded) == limit
        allowed = self._max_ratio * (len(came) - left)
        self._excess = max(0, self._excess + len(decoded) - allowed)
        if self._excess > self._max_excess:
            raise StreamError("policy-violation", "Compressed beyond all measure.")
        return decoded


def _processing_failed(text: str) -> StreamError:
    failure = Element(NS_COMPRESS, "failure", None, Element(NS_COMPRESS, "processing-failed"))
    return StreamError("undefined-condition", text, application=failure)
