"""What came over a managed stream, and how much of it is safe (XEP-0198, section 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque

from stonechat.custody import Custody
from stonechat.stanza import Presence, Stanza


class Receipts(ABC):
    """Counts what a peer has sent, from zero and without end.

    `came` is how many stanzas there were, `safe` how many of these we answer for: all before
    the first that somebody holds.
    """

    __slots__ = ("_pending", "came", "owes", "safe")

    def __init__(self) -> None:
        self.came = 0
        self.safe = 0
        self._pending: deque[tuple[int, Custody]] | None = None
        self.owes = False
        """Whether the peer waits for an <a/> that covers all that is pending."""

    @abstractmethod
    def write_ack(self) -> None:
        """Say how far all is safe."""

    @abstractmethod
    def _owe(self) -> None:
        """See to it that the peer need not wait long for its <a/>."""

    def handling(self, stanza: Stanza) -> None:
        if type(stanza) is not Presence:
            stanza.custody = Custody(self._freed)

    def handled(self, stanza: Stanza) -> None:
        self.came += 1
        custody = stanza.custody
        pending = self._pending
        if custody is not None and custody.is_held:
            if pending is None:
                pending = self._pending = deque()
            pending.append((self.came, custody))
        elif not pending:
            self.safe = self.came

    def _freed(self) -> None:
        pending = self._pending
        if not pending:
            return
        while pending and not pending[0][1].is_held:
            pending.popleft()
        if pending:
            self.safe = pending[0][0] - 1
            return
        self._pending = None
        self.safe = self.came
        if self.owes:
            self.owes = False
            self.write_ack()

    def requested(self) -> None:
        """The peer wants to know what is safe: it hears it once all is, or soon (section 4)."""
        if not self._pending:
            self.write_ack()
            return
        self.owes = True
        self._owe()
        self.press()

    def press(self) -> bool:
        """Ask whoever holds a stanza to make it safe; whether there is none."""
        pressing = []
        for _, custody in reversed(self._pending or ()):
            if custody.is_hurried:
                break
            pressing.append(custody)
        for custody in reversed(pressing):
            custody.hurry()
        return not self._pending
