"""One managed stream to or from another server; what is not acknowledged when it is lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from stonechat import timestamps
from stonechat.custody import Release
from stonechat.errors import StreamError
from stonechat.federation import ServerStream
from stonechat.host import Host
from stonechat.namespaces import NS_DELAY
from stonechat.stanza import Element, Message, Stanza
from stonechat_sm.elements import NS_SM, WRAP, newly_acknowledged
from stonechat_sm.receipts import Receipts
from stonechat_sm.rounds import Rounds

if TYPE_CHECKING:
    from stonechat_sm import Options

# What a lost stream gives back waits for the next one: as much of it as may wait for a
# domain (robustness promise R18). What there is no room for stays in that line meanwhile.
MOST_UNACKED = 1000

_REQUEST = Element(NS_SM, "r").freeze()


class Sent(NamedTuple):
    """A stanza that the peer has not acknowledged yet; until it has we answer for it."""

    stanza: Stanza
    octets: int
    at: int
    release: Release


class ManagedServer(Receipts):
    """The management of one stream; its `Keeper`, for the kernel.

    Both ways are counted from zero: what we send from our `<enable/>` or `<enabled/>` on,
    what comes from the peer's. `acked` is how many stanzas the peer has acknowledged;
    behind them comes the `queue`.
    """

    __slots__ = (
        "_hurry",
        "_max_octets",
        "_max_unacked",
        "_now",
        "_octets",
        "_options",
        "_rounds",
        "_settled",
        "acked",
        "asked",
        "asked_at",
        "flows",
        "is_enabled",
        "queue",
        "stream",
        "takes_stanzas",
    )

    def __init__(self, host: Host, options: Options, rounds: Rounds, stream: ServerStream) -> None:
        super().__init__()
        self._options = options
        self._rounds = rounds
        self._now = host.now
        self._max_unacked = min(options.max_unacked, MOST_UNACKED)
        self._max_octets = options.max_unacked_bytes
        self.stream = stream
        self.acked = 0
        self.queue: deque[Sent] = deque()
        self._octets = 0
        self.takes_stanzas = True
        self.flows = True
        self.asked = False
        self.asked_at = 0.0
        self.is_enabled = False
        """Whether the peer counts, too."""
        self._hurry = self.hurry
        self._settled: Callable[[], None] | None = None

    # Beginning

    def offer(self) -> None:
        """We have sent `<enable/>`: that is a question as well, to be answered in time."""
        self.asked = True
        self._rounds.asks(self)

    def enabled(self) -> None:
        """The peer agrees, or we do: what comes from now on is counted."""
        self.is_enabled = True
        self.asked = False
        if self.queue:
            self.ask()

    # To the peer

    @property
    def waiting(self) -> int:
        """How many stanzas the peer has not acknowledged."""
        return len(self.queue)

    def sent(self, stanza: Stanza) -> None:
        octets = len(stanza.to_bytes())
        self._octets += octets
        release = stanza.hold(self._hurry)
        self.queue.append(Sent(stanza, octets, self._now(), release))
        self.takes_stanzas = self._has_room
        self._ask_for_more()

    def hurry(self) -> None:
        """Who sent the last stanza would like to know whether it is safe."""
        if not self.asked:
            self.ask()

    def ask(self) -> None:
        """Ask the peer what it has handled; one that stays silent is lost."""
        self.asked = True
        self._rounds.asks(self)
        self.stream.send_element(_REQUEST)

    def _ask_for_more(self) -> None:
        if self.asked:
            return
        if self.waiting >= self._options.ask_every or not self.takes_stanzas:
            self.ask()
        elif self.queue:
            self._rounds.will_ask(self)

    @property
    def _has_room(self) -> bool:
        return self.waiting < self._max_unacked and self._octets < self._max_octets

    def answered(self, h: int) -> None:
        """The peer has handled all up to `h`; StreamError if it was not sent so many."""
        count = newly_acknowledged(h, self.acked, self.waiting)
        self.asked = False
        self.acked += count
        self._let_go(count)
        self._ask_for_more()

    def _let_go(self, count: int) -> None:
        for _ in range(count):
            sent = self.queue.popleft()
            self._octets -= sent.octets
            sent.release()
        if not self.takes_stanzas and self._has_room:
            self.takes_stanzas = True
            self.stream.flow()

    # From the peer

    def receiving(self, stanza: Stanza) -> None:
        # What came over a stream for both directions before the peer agreed, it has not counted.
        if self.is_enabled:
            self.handling(stanza)

    def received(self, stanza: Stanza) -> None:
        if self.is_enabled:
            self.handled(stanza)

    def write_ack(self) -> None:
        self.stream.send_element(Element(NS_SM, "a", {"h": str(self.safe % WRAP)}))

    def _owe(self) -> None:
        self._rounds.owes(self)

    # The end

    @property
    def is_open(self) -> bool:
        return self.stream.is_open

    @property
    def idle_seconds(self) -> float:
        # What it sends comes over another stream, mostly.
        return math.inf

    def lose(self) -> None:
        # RFC 6120, 4.9.3.4
        self.stream.close(StreamError("connection-timeout", "Nothing is acknowledged."))

    def settle(self, settled: Callable[[], None]) -> bool:
        # The peer has counted nothing where it has not agreed to.
        if not self.is_enabled or self.press():
            return True
        self._settled = settled
        return False

    def _freed(self) -> None:
        super()._freed()
        if self._settled is not None and self.safe == self.came:
            settled, self._settled = self._settled, None
            settled()

    def ending(self, *, is_answered: bool) -> bool:
        if not self.is_enabled:
            return False
        # What the peer knows that we have it does not send again (section 4); and what it
        # has is not sent again by us, if it says so before its own end.
        self.write_ack()
        if self.queue and is_answered:
            self.stream.send_element(_REQUEST)
        return True

    def unacknowledged(self) -> Sequence[Stanza]:
        if self.is_open:
            return [sent.stanza for sent in self.queue]
        return [_delayed(sent) for sent in self.queue]

    def release(self) -> None:
        """Somebody else answers for what is left, or nobody can: it is not kept any more."""
        self._let_go(self.waiting)


def _delayed(sent: Sent) -> Stanza:
    """What is sent again says when it was sent first (XEP-0198, section 4)."""
    stanza = sent.stanza
    to, from_ = stanza.to, stanza.from_
    if not isinstance(stanza, Message) or to is None or from_ is None:
        return stanza
    if stanza.find(NS_DELAY, "delay", {"from": from_.domain}) is not None:
        return stanza
    # Others may have the stanza as it is.
    delayed = stanza.copy_for(to)
    stamp = timestamps.written(sent.at)
    delayed.append(Element(NS_DELAY, "delay", {"from": from_.domain, "stamp": stamp}))
    return delayed
