"""Deliveries: what waits in the spool goes to the sessions that come for it (XEP-0160)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import gevent
from gevent.event import Event

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.namespaces import NS_STANZA_ID
from stonechat.sasl import BOUND_INLINE
from stonechat.session import Session
from stonechat.stanza import Message, Stanza
from stonechat_offline.backlog import Backlog, Backlogs, is_receiver
from stonechat_offline.parcel import LOOK_SECONDS, Parcel
from stonechat_offline.pending import Pending
from stonechat_offline.returns import WAIT_SECONDS, Returns
from stonechat_offline.spool import Kept, Spool
from stonechat_offline.stamps import stamp

# In the data of a session whose presence has come to us, and of one that has not got all
# when the plugin stopped.
SEEN = "offline"
UNFINISHED = "offline-unfinished"

# After a failure of the store, until it is tried again, and until it is told of again.
RETRY_SECONDS = 2.0
COMPLAINT_SECONDS = 60.0

# When the plugin stops, so long for clients to take what they were sent last.
STOP_SECONDS = 2.0


class Deliveries:
    """Gives the spool's messages to the sessions of one host.

    They are deleted when the session has them: after a crash they come again. Of two
    sessions one gets them, in the order they came, and before anything newer.
    """

    def __init__(self, host: Host, spool: Spool, oldest: Callable[[], int]) -> None:
        self._host = host
        self._spool = spool
        self._oldest = oldest
        # What comes now must not overtake what was held for a session that is over.
        self._gate = host.message_gate(self._wait)
        self.returns = Returns(host, self._mind_the_gate)
        # Of sessions that are to get old messages before new ones.
        self._backlogs = Backlogs(host, self._mind_the_gate)
        # Accounts whose messages are on their way now, and to whom.
        self._under_way: dict[str, Backlog] = {}
        # Those of them for which more has come.
        self._more: set[str] = set()
        # Messages that are being written now.
        self._writing = Pending()
        # Sessions that end, and accounts of which one does.
        self._ending: set[Session] = set()
        self._endings = Pending()
        # Messages that the clients have, and the store did not delete so far: a page for
        # each account at most, for no more is sent before they are deleted.
        self._delivered: dict[str, set[int]] = {}
        # Accounts to try again, because the store failed; no more than are logged in.
        self._put_off: set[str] = set()
        self._will_try_again = False
        self._quiet_until = 0.0
        self._is_stopping = False
        self._rested = Event()

    # When the plugin starts and stops

    def start(self) -> None:
        """Go on where we were stopped: clients that are there will not ask for it again."""
        for session in self._host.all_sessions():
            session.data[SEEN] = True
            if session.data.pop(UNFINISHED, False) and is_receiver(session):
                self.begin(session)

    def stop(self) -> None:
        """Hold nothing back any more; what is in the spool stays there."""
        self._is_stopping = True
        unfinished = {backlog.session for backlog in self._backlogs}
        unfinished.update(filter(None, map(self.receiver, self._put_off)))
        # What was sent last need not come again, if it arrives soon.
        with gevent.Timeout(STOP_SECONDS, False):
            while self._under_way:
                self._rested.clear()
                self._rested.wait()
        unfinished -= {backlog.session for backlog in self._under_way.values()}
        for backlog in self._backlogs:
            self._end_now(backlog)
        self.returns.stop()
        for session in unfinished:
            if session.is_open:
                session.data[UNFINISHED] = True

    # Who comes and goes

    def begin(self, session: Session) -> None:
        """Give a session what waits; all that comes from this very moment on is newer."""
        self._hold_back(session)
        # Not here: a client that does not read must not keep its connection busy.
        self._spawn(session)

    def ending(self, session: Session) -> None:
        """A session ends, in this greenlet; what is held for it goes on in `closed`."""
        self._ending.add(session)
        self._endings.begin(session.jid.localpart)
        self._put_aside(session)
        self.returns.excuse(session)

    def closed(self, session: Session) -> None:
        """A session has ended, and what it has left otherwise was dealt with. May block."""
        localpart = session.jid.localpart
        try:
            if self.returns.has_put_aside(session):
                # Who gets them now has to have the older ones before.
                if other := self.receiver(localpart):
                    self.begin(other)
                self.returns.give_put_aside(session)
        finally:
            if session in self._ending:
                self._ending.remove(session)
                self._endings.end(localpart)

    def _mind_the_gate(self) -> None:
        if self._backlogs or self.returns:
            self._gate.close()
        else:
            self._gate.open()

    def _wait(self, message: Message) -> None:
        """Have a message wait until what was held for sessions that are over has gone on."""
        to, sender = message.to, message.from_
        assert to is not None
        if sender is not None and sender.bare == to.bare:
            return  # a session's end may wait until it is handled
        for backlog in self._backlogs.of(to.localpart):
            if backlog.holds and not backlog.session.is_open:
                self._put_aside(backlog.session)  # its end is yet to be told
        self.returns.wait(to.localpart)

    def given(self, message: Message, sessions: Sequence[Session]) -> None:
        """Several sessions were given a message."""
        for session in sessions:
            if backlog := self._backlogs.get(session):
                backlog.was_given(message, sessions)

    def receiver(self, localpart: str) -> Session | None:
        """The session that gets messages to the bare JID, if any does.

        Not one whose first presence is still with other plugins: they may have something
        older for it.
        """
        receivers = [
            session
            for session in self._host.sessions(localpart)
            if is_receiver(session) and SEEN in session.data
        ]
        return max(receivers, key=lambda session: session.priority, default=None)

    # What comes into the spool

    @contextmanager
    def writing(self, localpart: str) -> Iterator[None]:
        """While a message is written that goes behind all that an account has."""
        # A session that is there reads too slowly. When it has caught up, nothing newer
        # may reach it before this message.
        if session := self.receiver(localpart):
            self._hold_back(session)
        for backlog in self._backlogs.of(localpart):
            backlog.expect_newer()
        self._writing.begin(localpart)
        try:
            yield
        finally:
            self._writing.end(localpart)
            # Somebody may have become available while we wrote, too.
            self._call(localpart, anybody=True)

    # Holding back

    def _hold_back(self, session: Session) -> None:
        """Have new messages wait until the session has the old ones."""
        if session.is_open and not self._is_stopping:
            self._backlogs.add(session)

    def _put_aside(self, session: Session) -> None:
        self.returns.put_aside(session, self._backlogs.remove(session))

    def _spawn(self, session: Session) -> None:
        if not self._is_stopping:
            self._host.spawn(self._run, session)

    def _call(self, localpart: str, *, anybody: bool = False) -> None:
        """Have those look into the spool who wait for it; or, if nobody does, anybody."""
        at_work = self._under_way.get(localpart)
        if at_work is not None:
            self._more.add(localpart)
        waiting = [backlog for backlog in self._backlogs.of(localpart) if backlog.session.is_open]
        if not waiting and anybody and (session := self.receiver(localpart)):
            self.begin(session)
        for backlog in waiting:
            if backlog is not at_work:
                self._spawn(backlog.session)

    def _end(self, backlog: Backlog) -> None:
        """Hold nothing back any more. May block."""
        # Of a session that is over, its end takes it.
        if backlog.session.is_open and self._backlogs.get(backlog.session) is backlog:
            self._end_now(backlog)

    def _end_now(self, backlog: Backlog) -> None:
        session = backlog.session
        if session.is_open:
            self.returns.give(session, self._backlogs.remove(session))
        else:
            self._put_aside(session)

    # Giving

    def _run(self, session: Session) -> None:
        """Give a session all messages of its account."""
        localpart = session.jid.localpart
        backlog = self._backlogs.get(session)
        if backlog is None:
            return  # it has ended meanwhile
        other = self._under_way.get(localpart)
        if other is not None:
            self._more.add(localpart)
            if other is not backlog and not other.is_idle and other.session.is_open:
                # It may take long, and is none of this one's business.
                self._end(backlog)
            return
        self._under_way[localpart] = backlog
        try:
            self._give(backlog)
        except StorageError as error:
            self._put_off.add(localpart)
            self._try_later(error)
        finally:
            del self._under_way[localpart]
            self._more.discard(localpart)
            self._rested.set()
            self._end(backlog)
        # What this session has not got may be another's.
        self._call(localpart, anybody=not is_receiver(session))

    def _goes_on(self, backlog: Backlog) -> bool:
        """Whether a session is still to get messages."""
        session = backlog.session
        return (
            not self._is_stopping
            and self._backlogs.get(session) is backlog
            and is_receiver(session)
        )

    def _give(self, backlog: Backlog) -> None:
        localpart = backlog.session.jid.localpart
        # What a session that ends has not acknowledged comes into the spool, or here.
        self._endings.wait(localpart, WAIT_SECONDS)
        while self._goes_on(backlog):
            if not backlog.client_reads:
                if self._another_reads(backlog):
                    return
                backlog.is_idle = True
                gevent.sleep(LOOK_SECONDS)
                continue
            if backlog.is_idle:
                backlog.is_idle = False
                # Others have waited to see whether the messages would be theirs.
                self._call(localpart)
            # What was held for another session may be older than what is in the spool.
            self.returns.wait(localpart)
            self._more.discard(localpart)
            self._strike_off(localpart)
            messages = self._spool.first(localpart)
            if not self._goes_on(backlog):
                return
            older = [kept for kept in messages if backlog.is_older(kept.stored_at)]
            if older:
                self._send_page(backlog, older)
            elif messages:
                # All the rest is newer than some of what is held.
                backlog.let_go(messages[0].stored_at)
            elif localpart in self._writing:
                self._writing.wait(localpart, LOOK_SECONDS)
            elif localpart not in self._more:
                if not backlog.has_newer:
                    return
                backlog.let_go()

    def _another_reads(self, backlog: Backlog) -> bool:
        """Whether another session of the account waits for the messages, and reads."""
        return any(
            other is not backlog and self._goes_on(other) and other.client_reads
            for other in self._backlogs.of(backlog.session.jid.localpart)
        )

    def _send_page(self, backlog: Backlog, messages: Sequence[Kept]) -> None:
        """Send some, as many as the client takes, and wait until it has them."""
        parcel = Parcel()
        oldest = self._oldest()
        for kept in messages:
            if kept.stored_at < oldest:
                parcel.arrived(kept.id)
            elif backlog.client_reads:
                self._send(backlog, kept, parcel)
            else:
                break
        localpart = backlog.session.jid.localpart
        try:
            parcel.wait(backlog)
            self._delivered.setdefault(localpart, set()).update(parcel.there)
            self._strike_off(localpart)
        except gevent.GreenletExit:
            parcel.abandon(self._spool.delete_soon)
            raise

    def _send(self, backlog: Backlog, kept: Kept, parcel: Parcel) -> None:
        try:
            message = Stanza.from_bytes(kept.stanza)
            if not isinstance(message, Message):
                raise ValueError("it is no message")
        except ValueError as error:
            self._host.log.error("kept message is damaged", id=kept.id, reason=str(error))
            parcel.arrived(kept.id)
            return
        session = backlog.session
        if BOUND_INLINE in session.data and is_archived(message, session.jid.bare.text):
            # XEP-0386: it gets that from the archive.
            parcel.arrived(kept.id)
            return
        stamp(message, self._host.name, kept.stored_at, "Offline Storage")
        parcel.send(backlog.next, kept.id, message)

    def _strike_off(self, localpart: str) -> None:
        """Delete what the account's clients have; StorageError leaves it for the next time."""
        delivered = self._delivered.get(localpart)
        if delivered:
            ids = list(delivered)
            self._spool.delete(ids)
            delivered.difference_update(ids)
        if not delivered:
            self._delivered.pop(localpart, None)

    # When the store fails

    def _try_later(self, reason: StorageError) -> None:
        now = self._host.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAINT_SECONDS
            self._host.log.error("messages not delivered yet", reason=str(reason))
        if not self._will_try_again and not self._is_stopping:
            self._will_try_again = True
            self._host.call_later(RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        """One look at the store for all: so many would only keep it from coming back."""
        self._will_try_again = False
        try:
            for localpart in list(self._delivered):
                if localpart not in self._under_way:
                    self._strike_off(localpart)
            if self._put_off:
                self._spool.count(next(iter(self._put_off)))
        except StorageError as error:
            self._try_later(error)
            return
        put_off, self._put_off = self._put_off, set()
        for localpart in put_off:
            if session := self.receiver(localpart):
                self.begin(session)


def is_archived(message: Message, account: str) -> bool:
    """Whether the account's archive has it (XEP-0359)."""
    return message.find(NS_STANZA_ID, "stanza-id", {"by": account}) is not None
