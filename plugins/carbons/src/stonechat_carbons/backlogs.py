"""Copies on their way to sessions, and those that wait for one that reads too slowly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from stonechat.errors import StreamError
from stonechat.host import Host, Timer
from stonechat.session import Session
from stonechat.stanza import Message

# How often to look whether a slow client has caught up.
LOOK_SECONDS = 0.5


class _Backlog:
    """What waits for one session, in order."""

    __slots__ = ("copies", "octets", "timer")

    def __init__(self) -> None:
        self.copies: deque[Message] = deque()
        self.octets = 0
        self.timer: Timer | None = None


class Backlogs:
    """Gives copies out. A session that would have to miss one is ended instead.

    Messages themselves go to the spool while a client reads too slowly; there is no such
    place for copies. Who is cut off knows that it has missed something, and can look into
    the archive.
    """

    def __init__(self, host: Host, max_copies: int, max_octets: int) -> None:
        self._host = host
        self._max_copies = max_copies
        self._max_octets = max_octets
        self._backlogs: dict[Session, _Backlog] = {}

    def send(self, copy: Message, sessions: Iterable[Session]) -> None:
        """Give a copy to these; its inside is shared by all."""
        for session in sessions:
            own = copy.copy_for(session.jid)
            if session not in self._backlogs and session.takes_messages:
                session.send(own)
            else:
                self._keep(session, own)

    def _keep(self, session: Session, copy: Message) -> None:
        if not session.is_open:
            return
        backlog = self._backlogs.get(session)
        if backlog is None:
            backlog = self._backlogs[session] = _Backlog()
            self._look_later(session, backlog)
        backlog.copies.append(copy)
        backlog.octets += len(copy.to_bytes())
        if len(backlog.copies) > self._max_copies or backlog.octets > self._max_octets:
            session.close(StreamError("policy-violation", "Too many copies wait for the client."))

    def _look_later(self, session: Session, backlog: _Backlog) -> None:
        backlog.timer = self._host.call_later(LOOK_SECONDS, self._look, session, backlog)

    def _look(self, session: Session, backlog: _Backlog) -> None:
        if self._backlogs.get(session) is not backlog:
            return  # it has ended
        while backlog.copies and session.takes_messages:
            self._send_next(session, backlog)
        if backlog.copies:
            self._look_later(session, backlog)
        else:
            del self._backlogs[session]

    def _send_next(self, session: Session, backlog: _Backlog) -> None:
        copy = backlog.copies.popleft()
        backlog.octets -= len(copy.to_bytes())
        session.send(copy)

    def hand_over(self, session: Session) -> None:
        """Send all that waits, whether the client reads or not: somebody keeps it meanwhile."""
        backlog = self._backlogs.get(session)
        while backlog is not None and backlog.copies:
            self._send_next(session, backlog)

    def hand_over_all(self) -> None:
        """The same for all sessions, which nobody will look at any more."""
        for session in self._backlogs:
            self.hand_over(session)

    def take(self, session: Session) -> list[Message]:
        """What a session that ends has not got."""
        backlog = self._backlogs.pop(session, None)
        if backlog is None:
            return []
        if backlog.timer is not None:
            backlog.timer.cancel()
        return list(backlog.copies)
