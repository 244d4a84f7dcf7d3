"""Messages on their way from the spool to one session, until it has them or is gone."""

from collections.abc import Callable
from functools import partial

import gevent
from gevent.event import Event

from stonechat.custody import Custody
from stonechat.stanza import Message, Stanza
from stonechat_offline.backlog import Backlog

# How often to look whether a client that reads slowly has caught up.
LOOK_SECONDS = 0.2


class Parcel:
    """Some messages, by their ids in the spool.

    With stream management (XEP-0198) a message is there when the client says so; without
    it, when it has left our memory for the network.
    """

    def __init__(self) -> None:
        self.there: list[int] = []
        self.lost: list[int] = []
        self._unheld: list[int] = []
        self._held: set[int] = set()
        self._settled = Event()

    def send(self, pass_on: Callable[[Stanza], None], id: int, message: Message) -> None:
        """Send one on its way to the session."""
        custody = message.custody = Custody(
            partial(self._leave, id, self.there.append), partial(self._leave, id, self.lost.append)
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
        while self._held:
            self._settled.clear()
            self._settled.wait()
        if not self._unheld:
            return
        # Usually all of it leaves before this greenlet has its next turn.
        pause = 0.0
        session = backlog.session
        while session.is_open and backlog.under_way:
            gevent.sleep(pause)
            pause = min(pause + 0.01, LOOK_SECONDS)
        if session.is_open:
            self.there += self._unheld

    def _leave(self, id: int, note: Callable[[int], None]) -> None:
        note(id)
        self._held.discard(id)
        self._settled.set()
