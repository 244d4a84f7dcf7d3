"""Messages that were held for a session which does not get them: others do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import gevent

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.session import Session
from stonechat_offline.backlog import Held
from stonechat_offline.pending import Pending

# What is newer waits no longer for them, and neither does who stops the plugin.
WAIT_SECONDS = 5.0
STOP_SECONDS = 2.0


class Returns:
    """Gives such messages on, in order; true while it is at that."""

    def __init__(self, host: Host, changed: Callable[[], None]) -> None:
        self._host = host
        self._changed = changed
        # Of sessions that end: they go on when what these have left otherwise has gone on.
        self._put_aside: dict[Session, Sequence[Held]] = {}
        self._pending = Pending()
        # Greenlets that do not wait for them.
        self._excused: dict[Session, object] = {}

    def __bool__(self) -> bool:
        return bool(self._pending)

    def wait(self, localpart: str) -> None:
        """Wait until all that is older than a message to this account has gone on."""
        if localpart in self._pending and gevent.getcurrent() not in self._excused.values():
            self._pending.wait(localpart, WAIT_SECONDS)

    def excuse(self, session: Session) -> None:
        """What is sent by this greenlet because a session ends does not wait for that end."""
        if session in self._put_aside:
            self._excused[session] = gevent.getcurrent()

    def put_aside(self, session: Session, messages: Sequence[Held]) -> None:
        """A session is over; these go on by `give_put_aside`."""
        if messages:
            self._put_aside[session] = messages
            self._pending.begin(session.jid.localpart)
            self._changed()

    def has_put_aside(self, session: Session) -> bool:
        return session in self._put_aside

    def give_put_aside(self, session: Session) -> None:
        messages = self._put_aside.pop(session)
        try:
            self._give(session, messages)
        finally:
            self._excused.pop(session, None)
            self._pending.end(session.jid.localpart)
            self._changed()

    def give(self, session: Session, messages: Sequence[Held]) -> None:
        """Give these on now. May block."""
        if messages:
            self.put_aside(session, messages)
            self.excuse(session)
            self.give_put_aside(session)

    def stop(self) -> None:
        """Give all on; those that others are at have a little time."""
        # A session that was just closed is found until its end has had a turn.
        gevent.sleep(0)
        for session in list(self._put_aside):
            self.give_put_aside(session)
        with gevent.Timeout(STOP_SECONDS, False):
            self._pending.wait_for_all()

    def _give(self, session: Session, messages: Sequence[Held]) -> None:
        left = deque(messages)
        try:
            while left:
                self._give_one(session, left[0])
                left.popleft().release()
        finally:
            # Where this greenlet is killed: nothing goes without a word.
            for held in left:
                self._host.bounce(held.message, StanzaError("resource-constraint", type="wait"))
                held.release()

    def _give_one(self, session: Session, held: Held) -> None:
        message = held.message
        if any(other is not session and other.is_open for other in held.others):
            return  # they have it, or answer for it
        if self._host.first("stonechat_message_unhandled", session=session, message=message):
            return
        try:
            self._host.redeliver(held.stamped(self._host.name))
        except StanzaError as error:
            self._host.bounce(message, error)
