"""The s2s manager: where stanzas to other servers' domains leave.

What becomes of single stanzas is in `s2s_links`; here is what concerns all streams: their
figures, their administration, another configuration, the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import gevent

from stonechat.core.peer_stream import hear_out
from stonechat.core.s2s_link import Link
from stonechat.core.s2s_links import Links, timed_out
from stonechat.errors import StanzaError, StreamError

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.core.server_stream import ServerStreamBase

_LOOK_SECONDS = 0.02


class Figures(NamedTuple):
    """How federation is, in numbers."""

    outgoing: int
    """Streams of ours that carry stanzas."""
    incoming: int
    """Streams of other servers that have proven a domain."""
    connecting: int
    """Streams that are being set up."""
    waiting: int
    """Stanzas that wait for a stream."""
    refused: int
    """Stanzas that could not leave, since the start."""


class S2SManager(Links):
    """Takes every stanza that no node answers for; the owner of streams between servers."""

    @property
    def figures(self) -> Figures:
        outgoing = sum(since is not None for since in self._outgoing.values())
        return Figures(
            outgoing, len(self.incoming), len(self._setups), self.room.waiting, self._refused
        )

    # Administration

    def dismiss(self, domain: str) -> int:
        """End all streams to and from a domain; what waits is answered, and it may be tried.

        Returns how many streams there were.
        """
        streams = self._streams_of(domain)
        for stream in streams:
            self._dismiss(stream)
        for link in [link for link in self.links.values() if link.pair.remote == domain]:
            self._stop_waiting(link, timed_out(link.pair))
        self.rests.forget_domain(domain)
        return len(streams)

    def _streams_of(self, domain: str) -> list[ServerStreamBase]:
        every = (*self._outgoing, *self.incoming)
        return [
            stream
            for stream in every
            if stream.pair.remote == domain
            or any(pair.remote == domain for pair in stream.authorized_pairs)
        ]

    def _dismiss(self, stream: ServerStreamBase, error: StreamError | None = None) -> None:
        if stream.is_open:
            self._dismissed.add(stream)
            stream.close(error)

    def _stop_waiting(self, link: Link, error: StanzaError) -> None:
        if link.setup is not None:
            self._setups.end(link.setup)
        if link.pause is not None:
            link.pause.cancel()
            link.pause = None
        self._answer(link, error)

    def reload(self, old: Configuration) -> None:
        """Another configuration is in force. Does not block."""
        new = self._node.configuration
        self._leaving = {
            name: host.federation for name, host in old.hosts.items() if name not in new.hosts
        }
        self.set_bounds()
        self.ways.renew()
        # What could not be before may be by now.
        self.rests.clear()
        self.review()
        self._setups.let_in()

    def hosts_gone(self) -> None:
        """Hosts that are not in the configuration any more have said their last word."""
        self._leaving = {}
        self.review()

    def review(self) -> None:
        """End what the configuration does not allow, or not any more."""
        for stream in (*self._outgoing, *self.incoming):
            for pair in stream.authorized_pairs:
                if self.host_of(pair.local) is None:
                    error = StreamError("host-gone", f"{pair.local} is not served here any more.")
                elif fault := stream.fault_of(pair):
                    error = StreamError("policy-violation", f"{pair.remote}: {fault}")
                else:
                    continue
                self._dismiss(stream, error)
                break
        for link in list(self.links.values()):
            refusal = self.refusal(link.pair)
            if refusal is not None:
                self._stop_waiting(link, refusal)

    # The end

    def drain(self, left: Callable[[], float]) -> None:
        """Let what waits leave or be answered, then end all streams; `left` says what time is.

        Blocks. Until `stop` what comes is taken as ever.
        """
        # What is on its way in comes first: its answers may leave yet.
        incoming = [stream for stream in self.incoming if not stream.is_bidirectional]
        for stream in incoming:
            self._dismiss(stream, StreamError("system-shutdown"))
        # A new stream takes less time, and there is always a domain that does not answer.
        hear_out(incoming, left, also=lambda: self.room.waiting)
        error = StanzaError("remote-server-timeout", "The server is being stopped.")
        for link in list(self.links.values()):
            self._stop_waiting(link, error)
        gevent.joinall(list(self._answering), timeout=max(left(), 0.0))
        streams = (*self._outgoing, *self.incoming)
        self.stop()
        hear_out(streams, left)
        for stream in streams:
            stream.end()
        while any(not stream.is_gone for stream in streams) and left() > 0:
            gevent.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """End all streams. What waits yet is dropped, and its senders do not hear otherwise."""
        if self._is_over:
            return
        self._is_over = True
        self._setups.end_all()
        self._inquiries.end_all()
        self._drop(self.links.values())
        for link in list(self.links.values()):
            self._stop_waiting(link, timed_out(link.pair))
        error = StreamError("system-shutdown")
        for stream in (*self._outgoing, *self.incoming):
            self._dismiss(stream, error)
