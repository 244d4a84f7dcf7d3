"""What becomes of what a session has not acknowledged when it ends (XEP-0198, section 4)."""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event
from gevent.lock import RLock

from stonechat import timestamps
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host, Session
from stonechat.namespaces import NS_DELAY
from stonechat.stanza import Element, Iq, Message, Stanza
from stonechat_sm.managed import Managed, Sent
from stonechat_sm.spool import Spool

# Nobody waits longer for a session's messages to be dealt with.
WAIT_SECONDS = 5.0


class Ends:
    """Delivers again what ended sessions have left; true while it is at that."""

    def __init__(self, host: Host, spool: Spool) -> None:
        self._host = host
        self._spool = spool
        # By localpart: set once nothing of the account is under way.
        self._under_way: dict[str, tuple[int, Event]] = {}
        # One session's rows are delivered at a time, and by one greenlet.
        self._turn = RLock()
        self.is_recovering = True
        """Whether there may be something left from before a crash."""

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def wait(self, localpart: str) -> None:
        """Wait until what the account's ended sessions have left is dealt with."""
        under_way = self._under_way.get(localpart)
        if under_way is not None:
            under_way[1].wait(WAIT_SECONDS)

    def finish(self) -> None:
        """Wait for all."""
        for localpart in list(self._under_way):
            self.wait(localpart)

    def left(self, managed: Managed) -> None:
        """A session is over for good: somebody else gets what it has not acknowledged."""
        spooled = managed.spooled
        last = managed.acked + managed.waiting
        queue = managed.take_queue()
        for sent in queue:
            if sent.custody is not None:
                sent.custody.bearers -= 1
        if not queue:
            return
        localpart = managed.session.jid.localpart
        count, event = self._under_way.get(localpart, (0, Event()))
        self._under_way[localpart] = (count + 1, event)
        self._host.spawn(self._deliver_left, managed.session, queue, spooled, managed.token, last)

    def _deliver_left(
        self, session: Session, queue: list[Sent], spooled: int, token: str, last: int
    ) -> None:
        localpart = session.jid.localpart
        try:
            for sent in queue:
                custody = sent.custody
                if custody is not None and custody.is_kept:
                    custody.lose()
                    continue
                # Of several sessions that were given it the last one speaks.
                if custody is None or not (custody.has_arrived or custody.bearers):
                    self._deliver(session, sent.octets, sent.at)
                    sent.arrive()
                else:
                    sent.settle()
            if spooled:
                self._spool.forget(token, last)
        finally:
            count, event = self._under_way[localpart]
            if count > 1:
                self._under_way[localpart] = (count - 1, event)
            else:
                del self._under_way[localpart]
                event.set()

    def _deliver(self, session: Session | None, octets: bytes, sent_at: int) -> None:
        stanza = Stanza.from_bytes(octets)
        try:
            if isinstance(stanza, Message):
                self._deliver_message(session, stanza, sent_at)
            elif isinstance(stanza, Iq):
                # Its answer is not to be had any more. Presence has had its time.
                raise StanzaError("service-unavailable")
        except StanzaError as error:
            self._host.bounce(stanza, error)

    def _deliver_message(self, session: Session | None, message: Message, sent_at: int) -> None:
        if self._host.first("stonechat_message_unhandled", session=session, message=message):
            return
        if message.type in ("headline", "groupchat"):
            # They have had their time; a room knows by the presence that nobody is there.
            return
        if not self._has_stamp(message):
            stamp = timestamps.written(sent_at)
            message.append(Element(NS_DELAY, "delay", {"from": self._host.name, "stamp": stamp}))
        # What is left from before a crash goes behind what was kept then, not past it to a
        # client that has just come.
        if (
            session is None
            and message.type in ("normal", "chat")
            and self._host.first("stonechat_message_undelivered", message=message)
        ):
            return
        self._host.redeliver(message)

    def _has_stamp(self, message: Message) -> bool:
        """Whether we have said already when it was sent."""
        return message.has(NS_DELAY, "delay") and any(
            delay.get("from") == self._host.name
            for delay in message.element.find_all("delay", NS_DELAY)
        )

    # After a crash

    def recover(self, is_live: Callable[[str], bool]) -> None:
        """Deliver what was in the spool when the server last ended, of sessions that are gone."""
        token = ""
        try:
            while tokens := self._spool.tables.orphans(token):
                for token in tokens:
                    if not is_live(token):
                        self.deliver_spooled(token)
            self.is_recovering = False
        except StorageError as error:
            self._host.log.error("spool not delivered", reason=str(error))

    def recover_account(self, localpart: str, is_live: Callable[[str], bool]) -> None:
        """The same for one account, whose client cannot wait; StorageError."""
        for token in self._spool.tables.orphans_of(localpart):
            if not is_live(token):
                self.deliver_spooled(token)

    def deliver_spooled(self, token: str) -> None:
        """Deliver what the spool has of a session that is no more; StorageError."""
        with self._turn:
            while rows := self._spool.tables.stanzas(token):
                for row in rows:
                    self._deliver(None, row.stanza, row.sent_at)
                self._spool.forget(token, rows[-1].number)
                self._spool.flush()
