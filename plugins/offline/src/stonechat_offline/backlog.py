"""Keeps what is new behind what is old, while a session gets its offline messages."""

from collections import deque
from collections.abc import Callable

from stonechat.custody import Release
from stonechat.session import Session
from stonechat.stanza import Message, Stanza

# New messages that wait for the old ones; further ones go to the spool, and so keep their place.
MAX_HELD = 64

FOREVER = 2**63 - 1


class Backlog:
    """An outlet: messages wait in it, all else passes.

    The old messages go through `next`, past those that are held.
    """

    next: Callable[[Stanza], None]

    def __init__(self, session: Session, now: Callable[[], int]) -> None:
        self.session = session
        self._now = now
        self._account = session.jid.bare.text
        self.since = FOREVER
        """When the first message came that is held; microseconds since the epoch."""
        self._held: deque[tuple[Message, Release]] = deque()
        self._asks = False
        session.add_outlet(self)

    def send(self, stanza: Stanza) -> None:
        # What the account itself sends are answers: results of its archive, above all.
        if isinstance(stanza, Message) and stanza.attributes.get("from") != self._account:
            if not self._held:
                self.since = self._now()
            # Nobody else answers for it yet.
            self._held.append((stanza, stanza.hold()))
        else:
            self.next(stanza)

    @property
    def unsent(self) -> int:
        return sum(len(message.to_bytes()) for message, _ in self._held)

    @property
    def takes_messages(self) -> bool:
        return self._asks or len(self._held) < MAX_HELD

    @property
    def is_full(self) -> bool:
        """Whether messages have gone to the spool behind those that are held."""
        return len(self._held) >= MAX_HELD

    @property
    def client_reads(self) -> bool:
        """Whether the client can take old messages; the new ones here do not count."""
        self._asks = True
        try:
            return self.session.takes_messages
        finally:
            self._asks = False

    @property
    def under_way(self) -> int:
        """Octets that we have passed on and the client has not got."""
        return self.session.unsent - self.unsent

    def let_go(self) -> None:
        """Pass on what is held."""
        while self._held:
            message, release = self._held.popleft()
            self.next(message)
            release()
        self.since = FOREVER

    def remove(self) -> list[tuple[Message, Release]]:
        """Get out of the way; returns what was held for a session that is over."""
        if self.session.is_open:
            self.let_go()
            self.session.remove_outlet(self)
            return []
        held = list(self._held)
        self._held.clear()
        return held
