"""What becomes of what a session has not acknowledged when it ends (XEP-0198, section 4)."""

from __future__ import annotations

from collections import deque

import gevent
from gevent.event import Event

from stonechat import timestamps
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.locks import Locks
from stonechat.namespaces import NS_DELAY
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Stanza
from stonechat_sm.managed import Managed, Sent
from stonechat_sm.spool import Spool
from stonechat_sm.tables import PAGE

# Nobody waits longer for a session's messages to be dealt with.
WAIT_SECONDS = 5.0


class Left:
    """What one session has left, with the numbers that it has in the spool."""

    __slots__ = ("session", "stanzas", "token")

    def __init__(self, session: Session, token: str, stanzas: deque[tuple[int, Sent]]) -> None:
        self.session = session
        self.token = token
        self.stanzas = stanzas

    @property
    def localpart(self) -> str:
        return self.session.jid.localpart


class Ends:
    """Delivers again what ended sessions have left."""

    def __init__(self, host: Host, spool: Spool) -> None:
        self._host = host
        self._spool = spool
        # What comes now must not overtake what an ended session has left.
        self._gate = host.message_gate(self._let_pass)
        # By localpart: set once nothing of the account is under way.
        self._under_way: dict[str, tuple[int, Event]] = {}
        self._left: set[Left] = set()
        # What an account has in the spool is delivered by one greenlet at a time.
        self._locks = Locks(WAIT_SECONDS)
        self.is_recovering = True
        """Whether there may be something in the spool that nobody sees to."""
        self._is_at_it = False
        self._has_failed = False
        self._is_stopping = False

    def _let_pass(self, message: Message) -> None:
        if message.to is not None:
            self.wait(message.to.localpart)

    def wait(self, localpart: str) -> None:
        """Wait until what the account's ended sessions have left is dealt with."""
        under_way = self._under_way.get(localpart)
        if under_way is not None:
            under_way[1].wait(WAIT_SECONDS)

    def finish(self, seconds: float) -> None:
        """Wait for all; what takes longer goes to the spool, for the next start."""
        self._is_stopping = True
        with gevent.Timeout(seconds, False):
            for _, event in list(self._under_way.values()):
                event.wait()
        for left in self._left:
            try:
                self._write_down(left)
            except StorageError as error:
                lost = len(left.stanzas)
                self._host.log.error("stanzas lost", stanzas=lost, reason=str(error))

    def _write_down(self, left: Left) -> None:
        while left.stanzas:
            number, sent = left.stanzas[0]
            if not sent.is_spooled and _is_needed(sent):
                self._spool.put(left.token, number, left.localpart, sent)
            left.stanzas.popleft()

    def _begin(self, localpart: str) -> None:
        """From now on what comes for the account waits."""
        count, event = self._under_way.get(localpart, (0, Event()))
        self._under_way[localpart] = (count + 1, event)
        self._gate.close()

    def _end(self, localpart: str) -> None:
        count, event = self._under_way[localpart]
        if count > 1:
            self._under_way[localpart] = (count - 1, event)
        else:
            del self._under_way[localpart]
            if not self._under_way:
                self._gate.open()
            event.set()

    # Sessions that end

    def left(self, managed: Managed) -> None:
        """A session is over for good: somebody else gets what it has not acknowledged."""
        first = managed.acked + 1
        queue = managed.take_queue()
        for sent in queue:
            if sent.custody is not None:
                sent.custody.bearers -= 1
        if not queue:
            self._spool.live.discard(managed.token)
            return
        left = Left(managed.session, managed.token, deque(enumerate(queue, first)))
        self._left.add(left)
        self._begin(left.localpart)
        self._host.spawn(self._deliver_left, left)

    def came_late(self, managed: Managed) -> None:
        """Something came to a session that was over already."""
        if managed.queue:
            self.left(managed)

    def _deliver_left(self, left: Left) -> None:
        try:
            self._deal_with(left)
        finally:
            self._left.discard(left)
            self._spool.live.discard(left.token)
            self._end(left.localpart)

    def _deal_with(self, left: Left) -> None:
        stanzas = left.stanzas
        done = told = stanzas[0][0] - 1
        is_stuck = False
        while stanzas:
            number, sent = stanzas[0]
            if not self._is_dealt_with(left.session, sent, is_stuck):
                is_stuck = True
            elif sent.is_spooled and not is_stuck:
                done = number
                if done - told >= PAGE:
                    self._spool.forget(left.token, done)
                    told = done
            if stanzas:  # else they were taken from us
                stanzas.popleft()
        if done > told:
            self._spool.forget(left.token, done)

    def _is_dealt_with(self, session: Session, sent: Sent, is_stuck: bool) -> bool:
        """Deliver a stanza if need be; False if it has to stay in the spool, and its successors.

        Nothing overtakes what is stuck there.
        """
        custody = sent.custody
        if custody is not None and not _is_needed(sent):
            if custody.is_kept and sent.is_awaited:
                # Should it get to the spool yet, it is nobody's there.
                sent.is_awaited = False
                custody.lose()
            else:
                sent.settle()
            return True
        if sent.is_spooled and is_stuck:
            return False
        is_spooled = bool(sent.is_spooled)
        if not self._deliver(session, sent.octets, sent.at, is_spooled=is_spooled):
            return False
        sent.arrive()
        return True

    # Delivery

    def _deliver(
        self, session: Session | None, octets: bytes, sent_at: int, *, is_spooled: bool
    ) -> bool:
        """Deliver a stanza again, or answer it; False if it cannot be now, and is in the spool.

        Its sender was told that it is safe there, and is not told otherwise.
        """
        try:
            stanza = Stanza.from_bytes(octets)
            refusal = self._refusal(session, stanza, sent_at)
            if refusal is None:
                return True
            if is_spooled and refusal.type == "wait":
                self._put_off(refusal)
                return False
            self._host.bounce(stanza, refusal)
        except Exception as error:
            # The boundary of a stanza: those behind it do not suffer for it.
            self._host.log.error("stanza not delivered again", exc_info=error)
        return True

    def _refusal(
        self, session: Session | None, stanza: Stanza, sent_at: int
    ) -> StanzaError | None:
        """Deliver a stanza; what to answer to it where that cannot be."""
        try:
            if isinstance(stanza, Message):
                self._deliver_message(session, stanza, sent_at)
            elif isinstance(stanza, Iq):
                # Its answer is not to be had any more. Presence has had its time.
                raise StanzaError("service-unavailable")
        except StanzaError as error:
            return error
        except StorageError as error:
            # Nobody can say whether there is such an account, for one.
            self._spool.complain("message not delivered again", error)
            return StanzaError("internal-server-error", type="wait")
        return None

    def _deliver_message(self, session: Session | None, message: Message, sent_at: int) -> None:
        if self._host.first("stonechat_message_unhandled", session=session, message=message):
            return
        if message.type in ("headline", "groupchat"):
            # They have had their time; a room knows by the presence that nobody is there.
            return
        if message.find(NS_DELAY, "delay", {"from": self._host.name}) is None:
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

    # What is in the spool, of sessions that are gone

    def _put_off(self, reason: object) -> None:
        self.is_recovering = self._has_failed = True
        self._spool.complain("spool not delivered yet", reason)

    def recover(self) -> None:
        """Deliver what is in the spool after a crash, or because it could not be before."""
        if self._is_at_it or not self.is_recovering or not self._spool.flush():
            return
        self._is_at_it = True
        self._has_failed = False
        token = ""
        try:
            while orphans := self._spool.tables.orphans(token):
                for token, localpart in orphans:
                    if token not in self._spool.live:
                        self.deliver_spooled(token, localpart)
            self.is_recovering = self._has_failed
        except StorageError as error:
            self._put_off(error)
        finally:
            self._is_at_it = False

    def recover_account(self, localpart: str) -> None:
        """The same for one account, whose client cannot wait."""
        try:
            for token in self._spool.tables.orphans_of(localpart):
                if token not in self._spool.live:
                    self.deliver_spooled(token, localpart)
        except StorageError as error:
            self._put_off(error)

    def deliver_spooled(self, token: str, localpart: str) -> None:
        """Deliver what the spool has of a session that is no more, now or later."""
        self._begin(localpart)
        try:
            with self._locks.hold(localpart):
                self._deliver_rows(token)
        except (StanzaError, StorageError) as error:
            self._put_off(error)
        finally:
            self._end(localpart)

    def _deliver_rows(self, token: str) -> None:
        done = -1
        while not self._is_stopping and (rows := self._spool.stanzas(token, done)):
            before = done
            for row in rows:
                if self._is_stopping or not self._deliver(
                    None, row.stanza, row.sent_at, is_spooled=True
                ):
                    break
                done = row.number
            if done > before:
                self._spool.forget(token, done)
            if done < rows[-1].number:
                return


def _is_needed(sent: Sent) -> bool:
    """Whether nobody else has a stanza, or answers for it."""
    custody = sent.custody
    if custody is None:
        return True
    # Of several sessions that were given it the last one speaks; and whoever has sent it
    # may have it still.
    is_kept = custody.is_kept and sent.is_awaited
    return not (custody.has_arrived or custody.bearers or is_kept)
