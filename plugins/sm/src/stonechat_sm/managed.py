"""One managed stream: what was sent and not acknowledged, what was received and is safe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from stonechat.custody import Custody
from stonechat.errors import StreamError
from stonechat.host import Timer
from stonechat.session import Session
from stonechat.stanza import Message, Stanza
from stonechat_sm.elements import REQUEST, WRAP, newly_acknowledged
from stonechat_sm.receipts import Receipts
from stonechat_sm.rounds import Rounds

if TYPE_CHECKING:
    from stonechat_sm import Options

# Presence and requests cannot be kept elsewhere as messages can. A session is over when so
# many times the stanzas, or octets, wait for it that messages may.
OVERFLOW_STANZAS = 2
OVERFLOW_OCTETS = 4

# That much of them may wait in any case: rosters and vCards are large.
LEAST_OVERFLOW = 4 * 1024 * 1024


class Sent:
    """A stanza that the client has not acknowledged yet."""

    __slots__ = ("at", "custody", "is_awaited", "is_spooled", "octets")

    def __init__(self, octets: bytes, at: int, custody: Custody | None) -> None:
        self.octets = octets
        self.at = at
        self.custody = custody
        """Shared with the other sessions that were given the same stanza."""
        self.is_spooled: bool | None = False
        """Whether it is in the spool, or on its way there; None if it never can be."""
        self.is_awaited = False
        """Whether somebody wants to know when it is safe."""

    @property
    def is_kept(self) -> bool:
        """Whether it is in a spool of its own."""
        return self.custody is not None and self.custody.is_kept

    def hold(self, hurry: Callable[[], None]) -> None:
        """Answer for it; whoever sent it is not told that it is safe."""
        custody = self.custody
        if custody is not None:
            custody.bearers += 1
            self.is_awaited = True
            custody.hold(hurry)

    def settle(self) -> None:
        """It is safe, by the client's word or on disk: whoever sent it may know."""
        custody = self.custody
        if custody is not None and self.is_awaited:
            self.is_awaited = False
            custody.release()

    def stay(self, reason: Exception) -> None:
        """The spool can never take it: whoever sent it waits for the client's word."""
        self.is_spooled = None

    def arrive(self) -> None:
        """The client has it, or somebody else took it on."""
        custody = self.custody
        if custody is not None:
            custody.has_arrived = True
            self.settle()


class Keeper(Protocol):
    """What a managed stream needs of the plugin."""

    options: Options
    rounds: Rounds

    def now(self) -> int: ...
    def will_spool(self, managed: Managed) -> None: ...
    def acknowledged(self, managed: Managed) -> None: ...
    def waits(self, managed: Managed, stanza: Stanza) -> None: ...


class Managed(Receipts):
    """The management of one session: its outlet next to the wire, and its inlet.

    Both ways are counted from zero, without end. `acked` is how many stanzas the client
    has acknowledged; behind them comes the `queue`.
    """

    __slots__ = (
        "_hurry",
        "_keeper",
        "_octets",
        "acked",
        "asked",
        "asked_at",
        "flows",
        "id",
        "is_over",
        "max_seconds",
        "next",
        "queue",
        "session",
        "takes_messages",
        "timer",
        "token",
    )

    next: Callable[[Stanza], None]

    def __init__(self, keeper: Keeper, session: Session, token: str) -> None:
        super().__init__()
        self._keeper = keeper
        self.session = session
        self.token = token
        """Names the session's rows in the spool."""
        self.id = ""
        """What the client resumes by; `""` if it may not."""
        self.max_seconds = 0.0
        self.timer: Timer | None = None
        """Ends the session that nobody resumes."""
        self.is_over = False
        """Whether others see to the queue, and to what still comes."""
        self.acked = 0
        self.queue: deque[Sent] | None = None  # an empty one takes 600 octets
        self._octets = 0
        self.takes_messages = True
        """Whether there is room for more that is not acknowledged."""
        self.flows = True
        """Whether what is sent leaves at once; not before a resumption is through."""
        self.asked = False
        self.asked_at = 0.0
        # Made once: it goes with each stanza.
        self._hurry = self.hurry

    # To the client: the outlet

    @property
    def unsent(self) -> int:
        # What has left, and is kept until it is acknowledged, does not count.
        return 0 if self.flows else self._octets

    @property
    def waiting(self) -> int:
        """How many stanzas the client has not acknowledged."""
        return len(self.queue) if self.queue else 0

    def send(self, stanza: Stanza) -> None:
        octets = stanza.to_bytes()
        keeper = self._keeper
        custody = stanza.custody
        if custody is None and type(stanza) is Message:
            # Nobody waits for it, but other sessions may be given it as well.
            custody = stanza.custody = Custody()
        queue = self.queue
        if queue is None:
            queue = self.queue = deque()
        sent = Sent(octets, keeper.now(), custody)
        queue.append(sent)
        self._octets += len(octets)
        options = keeper.options
        waiting = len(queue)
        if waiting >= options.max_unacked or self._octets >= options.max_unacked_bytes:
            self.takes_messages = False
        session = self.session
        if self.flows:
            session.write(octets)
            if not self.asked:
                if waiting >= options.ask_every:
                    self.ask()
                else:
                    keeper.rounds.will_ask(self)
        else:
            keeper.waits(self, stanza)
        # At the end: it may ask at once.
        sent.hold(self._hurry)
        if not self.takes_messages:
            self._look_for_overflow()

    def _look_for_overflow(self) -> None:
        # Messages go elsewhere long before; this is presence, or requests, without end.
        options = self._keeper.options
        if self.waiting > OVERFLOW_STANZAS * options.max_unacked or self._octets > max(
            OVERFLOW_OCTETS * options.max_unacked_bytes, LEAST_OVERFLOW
        ):
            self.session.close(StreamError("policy-violation", "Too much waits for the client."))

    def hurry(self) -> None:
        """Who sent the last stanza would like to know whether it is safe."""
        if not self.asked and self.flows:
            self.ask()
        self._keeper.will_spool(self)

    def ask(self) -> None:
        """Ask the client what it has handled; one that stays silent has lost its connection."""
        self.asked = True
        self._keeper.rounds.asks(self)
        self.session.write(REQUEST)

    def acknowledge(self, h: int) -> None:
        """The client has handled all up to `h`; StreamError if it was not sent so many."""
        queue = self.queue
        count = newly_acknowledged(h, self.acked, len(queue) if queue else 0)
        if not count or queue is None:
            return
        self.acked += count
        octets = 0
        is_spooled = False
        for _ in range(count):
            sent = queue.popleft()
            octets += len(sent.octets)
            if sent.is_spooled:
                is_spooled = True
            sent.arrive()
        self._octets -= octets
        if not queue:
            self.queue = None
        if not self.takes_messages:
            self._look_for_room()
        if is_spooled:
            self._keeper.acknowledged(self)

    def _look_for_room(self) -> None:
        options = self._keeper.options
        self.takes_messages = (
            self.waiting < options.max_unacked and self._octets < options.max_unacked_bytes
        )

    def answered(self, h: int) -> None:
        """The client has answered `<r/>`, or volunteered."""
        self.asked = False
        self.acknowledge(h)
        if self.waiting >= self._keeper.options.ask_every:
            self.ask()
        elif self.queue:
            self._keeper.rounds.will_ask(self)

    def resend(self) -> None:
        """A new connection has taken over: the client gets again what it has not handled."""
        self.asked = False
        self.flows = True
        session = self.session
        for sent in self.queue or ():
            session.write(sent.octets)
        if self.queue:
            self.ask()

    def rest(self) -> None:
        """The connection is gone, and with it what was asked over it."""
        self.asked = self.owes = self.flows = False

    def restore_queue(self, queue: deque[Sent]) -> None:
        """Take up what was in the spool."""
        self.queue = queue or None
        self._octets = sum(len(sent.octets) for sent in queue)
        self._look_for_room()

    def take_queue(self) -> list[Sent]:
        """What the client never acknowledged, once the session is over: others see to it."""
        self.is_over = True
        left = list(self.queue or ())
        # What comes late has numbers of its own.
        self.acked += len(left)
        self.queue = None
        self._octets = 0
        return left

    # From the client: the inlet

    def write_ack(self) -> None:
        """Say how far all is safe."""
        self.session.write(b"<a xmlns='urn:xmpp:sm:3' h='%d'/>" % (self.safe % WRAP))

    def _owe(self) -> None:
        self._keeper.rounds.owes(self)

    def go_back(self) -> None:
        """Count from what is safe: the client, who is told so, sends the rest again."""
        self.came = self.safe
        self._pending = None

    # The end

    @property
    def is_open(self) -> bool:
        return self.session.is_open

    @property
    def idle_seconds(self) -> float:
        # One that sends anything is there, and busy with what we sent before.
        return self.session.idle_seconds

    def lose(self) -> None:
        self.session.disconnect("the client answers no request for an ack")

    def stop(self) -> None:
        """It is over: nobody is asked or answered any more."""
        self.rest()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
