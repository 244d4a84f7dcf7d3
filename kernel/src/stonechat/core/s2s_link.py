"""One pair of domains: the stream that its stanzas leave by, and what waits for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stonechat.errors import StanzaError
from stonechat.federation import Pair
from stonechat.stanza import Stanza

if TYPE_CHECKING:
    from stonechat.core.s2s_setup import Setup
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.custody import Release
    from stonechat.net.timers import Timer

# Of all domains together, whatever each of them may hold.
MAX_WAITING_OCTETS = 32 * 1024 * 1024


class Room:
    """How much may wait for one domain (promise R18), and what waits for all of them."""

    __slots__ = ("octets", "stanzas", "waiting", "waiting_octets")

    def __init__(self) -> None:
        # By the configuration.
        self.stanzas = 0
        self.octets = 0
        self.waiting = 0
        self.waiting_octets = 0


class Remote:
    """A domain of another server's, as all pairs with it see it."""

    __slots__ = ("domain", "links", "octets", "places", "stanzas", "streams")

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.links: set[Link] = set()
        self.streams: set[ServerStreamBase] = set()
        """Those that carry stanzas to it."""
        self.places = 0
        """How many streams to it are being set up."""
        self.stanzas = 0
        self.octets = 0

    @property
    def is_idle(self) -> bool:
        return not self.links and not self.streams and not self.places


class Waiting(NamedTuple):
    """A stanza in a queue. Its sender hears nothing of it before it is released."""

    stanza: Stanza
    octets: int
    release: Release


class Link:
    """Keeps a pair's stanzas in order, whatever becomes of its streams."""

    __slots__ = (
        "_room",
        "deadline",
        "opened_at",
        "pair",
        "pause",
        "queue",
        "remote",
        "returns",
        "setup",
        "stream",
    )

    def __init__(self, pair: Pair, remote: Remote, room: Room) -> None:
        self.pair = pair
        self.remote = remote
        self._room = room
        self.queue: deque[Waiting] = deque()
        self.stream: ServerStreamBase | None = None
        self.opened_at = 0.0
        self.setup: Setup | None = None
        """What is to bring the next stream."""
        self.pause: Timer | None = None
        """Until then a stream that was lost is not replaced."""
        self.deadline: Timer | None = None
        """When what waits is answered; runs from the first that waits."""
        self.returns = 0
        """How often a lost stream has left something, since one has held."""
        remote.links.add(self)

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost with it."""
        return not (self.queue or self.stream or self.setup or self.pause)

    def send(self, stanza: Stanza) -> bool:
        """Write a stanza, if there is a stream that takes it and nothing waits before it."""
        stream = self.stream
        if stream is None or self.queue or not stream.takes_stanzas:
            return False
        return stream.send(stanza)

    def put(self, stanza: Stanza) -> None:
        """Let a stanza wait; StanzaError if there is no room for it."""
        octets = len(stanza.to_bytes())
        if self._is_full(1, octets):
            raise StanzaError("resource-constraint", "Too much waits for this domain already.")
        # Until it has left, or was answered: nobody else has it (promise R1).
        self._count(1, octets)
        self.queue.append(Waiting(stanza, octets, stanza.hold()))

    def put_back(self, stanzas: Sequence[Stanza]) -> list[Waiting]:
        """What a lost stream may not have delivered comes first again.

        Returns what there is no room for after that, the last ones, in order.
        """
        for stanza in reversed(stanzas):
            octets = len(stanza.to_bytes())
            self._count(1, octets)
            self.queue.appendleft(Waiting(stanza, octets, stanza.hold()))
        surplus: deque[Waiting] = deque()
        while self.queue and self._is_full(0, 0):
            surplus.appendleft(self._take(self.queue.pop()))
        return list(surplus)

    def flush(self) -> None:
        """Write what waits, as far as the stream takes it."""
        stream, queue = self.stream, self.queue
        while queue and stream is not None and stream.takes_stanzas:
            if not stream.send(queue[0].stanza):
                break
            self._take(queue.popleft()).release()

    def empty(self) -> Iterator[Waiting]:
        """Take out all that waits, for it to be answered."""
        while self.queue:
            yield self._take(self.queue.popleft())

    def _is_full(self, stanzas: int, octets: int) -> bool:
        """Whether with so much more there would be too much."""
        room, remote = self._room, self.remote
        return (
            remote.stanzas + stanzas > room.stanzas
            or remote.octets + octets > room.octets
            or room.waiting_octets + octets > MAX_WAITING_OCTETS
        )

    def _take(self, waiting: Waiting) -> Waiting:
        self._count(-1, -waiting.octets)
        return waiting

    def _count(self, stanzas: int, octets: int) -> None:
        room, remote = self._room, self.remote
        remote.stanzas += stanzas
        remote.octets += octets
        room.waiting += stanzas
        room.waiting_octets += octets
