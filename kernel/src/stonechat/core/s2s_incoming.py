"""Streams that other servers have opened: how many there are, and may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stonechat.errors import StreamError

if TYPE_CHECKING:
    from stonechat.core.server_stream import ServerStreamBase

# Past it the oldest of a domain goes: a peer that has lost its end of some would otherwise
# keep itself out, and one that opens more and more all others.
MAX_PER_DOMAIN = 50


class IncomingStreams:
    """Strangers, whom the listeners bound, and those that have proven a domain."""

    def __init__(self) -> None:
        self._strangers: set[ServerStreamBase] = set()
        self._domains: dict[ServerStreamBase, str] = {}
        self._streams: dict[str, dict[ServerStreamBase, None]] = {}

    def __len__(self) -> int:
        """How many have proven a domain."""
        return len(self._domains)

    def __iter__(self) -> Iterator[ServerStreamBase]:
        """All of them, strangers too."""
        return iter([*self._strangers, *self._domains])

    def of(self, remote: str) -> list[ServerStreamBase]:
        """Those that have proven this domain first."""
        return list(self._streams.get(remote, ()))

    def begun(self, stream: ServerStreamBase, most: int) -> None:
        """A stranger has connected; where there is no room for one more it has to go."""
        self._strangers.add(stream)
        if len(self) >= most:
            stream.end(_full())

    def ready(self, stream: ServerStreamBase, remote: str, most: int) -> None:
        """A stranger has proven a domain; for further ones nothing changes."""
        if stream not in self._strangers:
            return
        self._strangers.discard(stream)
        streams = self._streams.setdefault(remote, {})
        streams[stream] = None
        self._domains[stream] = remote
        if len(self) > most:
            stream.end(_full())
            return
        if len(streams) > 2 * MAX_PER_DOMAIN:
            # So many are to end, and their peers do not say that they do.
            next(iter(streams)).end(_too_many())
        if sum(each.is_open for each in streams) > MAX_PER_DOMAIN:
            next(each for each in streams if each.is_open).close(_too_many())

    def lost(self, stream: ServerStreamBase) -> None:
        """A stream is over."""
        self._strangers.discard(stream)
        remote = self._domains.pop(stream, None)
        if remote is not None:
            streams = self._streams[remote]
            del streams[stream]
            if not streams:
                del self._streams[remote]


def _too_many() -> StreamError:
    return StreamError("conflict", "There are too many streams from this domain.")


def _full() -> StreamError:
    return StreamError("resource-constraint", "Too many servers are connected.")
