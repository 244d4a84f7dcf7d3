"""Who is asked, and answered, in a moment: one timer for all streams, not one for each."""

from __future__ import annotations

from typing import Protocol

from stonechat.host import Host

# How long stanzas that nobody asked about wait for company, or for the peer's own ack.
ASK_SECONDS = 0.5

# How long a peer waits at least for its <a/> while something that it sent is made safe,
# and at most twice as long. It hears then what is safe, and the rest when that is.
ACK_SECONDS = 0.25


class Party(Protocol):
    """A managed stream, of a client's or another server's."""

    asked: bool
    asked_at: float
    owes: bool
    flows: bool

    @property
    def waiting(self) -> int:
        """How many stanzas are not acknowledged."""

    @property
    def is_open(self) -> bool: ...

    @property
    def idle_seconds(self) -> float:
        """How long nothing has come that shows that somebody is there."""

    def ask(self) -> None: ...
    def write_ack(self) -> None: ...

    def lose(self) -> None:
        """Nobody is there any more."""


class Rounds:
    """Goes round the streams that wait for something."""

    def __init__(self, host: Host, ack_timeout: float) -> None:
        self._host = host
        self._ack_timeout = ack_timeout
        # Streams whose peers are to be asked soon; each at most once.
        self._to_ask: set[Party] = set()
        # Those who have been asked, or want to know, and those since longer.
        self._asked: set[Party] = set()
        self._owing: set[Party] = set()
        self._owing_longer: set[Party] = set()

    def start(self) -> None:
        self._host.call_every(self._ack_timeout / 4, self._look_for_silent)

    def discard(self, party: Party) -> None:
        """A stream is over."""
        for waiting in (self._to_ask, self._asked, self._owing, self._owing_longer):
            waiting.discard(party)

    def will_ask(self, party: Party) -> None:
        """Ask a peer in a moment."""
        if not self._to_ask:
            self._host.call_later(ASK_SECONDS, self._ask)
        self._to_ask.add(party)

    def _ask(self) -> None:
        to_ask, self._to_ask = self._to_ask, set()
        for party in to_ask:
            if party.waiting and not party.asked and party.flows:
                party.ask()

    def asks(self, party: Party) -> None:
        """A peer was asked; one that stays silent for too long is lost."""
        party.asked_at = self._host.monotonic()
        self._asked.add(party)

    def _look_for_silent(self) -> None:
        asked, self._asked = self._asked, set()
        now = self._host.monotonic()
        for party in asked:
            if not party.asked or not party.is_open:
                continue
            if min(now - party.asked_at, party.idle_seconds) >= self._ack_timeout:
                party.lose()
            else:
                self._asked.add(party)

    def owes(self, party: Party) -> None:
        """A peer wants to know what is not safe yet."""
        if party in self._owing_longer:
            return  # it is answered soon
        if not self._owing and not self._owing_longer:
            self._host.call_later(ACK_SECONDS, self._answer)
        self._owing.add(party)

    def _answer(self) -> None:
        for party in self._owing_longer:
            if party.owes and party.flows:
                party.write_ack()
        self._owing_longer, self._owing = self._owing, set()
        if self._owing_longer:
            self._host.call_later(ACK_SECONDS, self._answer)
