"""Messages on their way from the spool to one session, until it has them or is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import gevent
from gevent.event import Event

from stonechat.custody import Custody
from stonechat.stanza import Message, Stanza
from stonechat_offline.backlog import Backlog

# How often to look whether a client that reads slowly has caught up.
LOOK_SECONDS = 0.2

# Who answers for a message says what became of it soon after its session has ended.
SETTLE_SECONDS = 60.0


class Parcel:
    """Some messages, by their ids in the spool.

    With stream management (XEP-0198) a message is there when the client says so; without
    it, when it has left our memory for the network.
    """

    def __init__(self) -> None:
        self.there: list[int] = []
        self._unheld: list[int] = []
        self._held: set[int] = set()
        self._settled = Event()
        self._late: Callable[[Sequence[int]], None] | None = None

    def send(self, pass_on: Callable[[Stanza], None], id: int, message: Message) -> None:
        """Send one on its way to the session."""
        custody = message.custody = Custody(
            partial(self._is_there, id), partial(self._is_lost, id)
        )
        pass_on(message)
        if custody.is_held:
            self._held.add(id)
        elif id not in self.there:
            self._unheld.append(id)

    def arrived(self, id: int) -> None:
        """One need not be sent."""
        self.there.append(id)

    def wait(self, backlog: Backlog) -> None:
        """Wait until it is known of each whether it is there, or the session has ended."""
        session = backlog.session
        while self._held:
            self._settled.clear()
            if not self._settled.wait(SETTLE_SECONDS) and not session.is_open:
                break
        if not self._unheld:
            return
        # Usually all of it leaves before this greenlet has its next turn.
        pause = 0.0
        while session.is_open and backlog.under_way:
            gevent.sleep(pause)
            pause = min(pause + 0.01, LOOK_SECONDS)
        if session.is_open:
            self.there += self._unheld

    def abandon(self, strike_off: Callable[[Sequence[int]], None]) -> None:
        """Nobody waits any more; what is there, or is so yet, is struck off all the same."""
        self._late = strike_off
        strike_off(self.there)

    def _is_there(self, id: int) -> None:
        if self._late is not None:
            self._late([id])
            return
        self.there.append(id)
        self._settle(id)

    def _is_lost(self, id: int) -> None:
        self._settle(id)

    def _settle(self, id: int) -> None:
        self._held.discard(id)
        self._settled.set()
