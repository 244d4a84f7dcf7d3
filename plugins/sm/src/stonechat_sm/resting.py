"""Sessions that rest while the server is restarted (XEP-0198, section 5)."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import gevent

from stonechat.errors import StanzaError, StorageError, StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session, UnboundStream
from stonechat.stanza import Stanza
from stonechat_sm.elements import newly_acknowledged
from stonechat_sm.managed import Managed, Sent
from stonechat_sm.resumption import Refusal
from stonechat_sm.tables import Keep, Kept

if TYPE_CHECKING:
    from stonechat_sm import Plugin
    from stonechat_sm.ends import Ends
    from stonechat_sm.spool import Spool

# In the data of a stream that a session is being restored on.
RESTORED = "sm-restored"


class Restored:
    """A session that has rested, on its way back to its client."""

    def __init__(self, id: str, kept: Kept) -> None:
        self.id = id
        self.token = kept.token
        self.resource = kept.resource
        self.state: dict[str, Any] = json.loads(kept.state)
        self.queue: deque[Sent] = deque()
        self.is_whole = True
        """Whether all is there that waited for it."""
        self.managed: Managed | None = None
        """Once it is bound."""

    @property
    def acked(self) -> int:
        return int(self.state["acked"])

    @property
    def received(self) -> int:
        return int(self.state["received"])


class Resting:
    """Writes sessions down when the server stops, and brings them back when it is asked."""

    def __init__(self, keeper: Plugin, host: Host, spool: Spool, ends: Ends) -> None:
        self._keeper = keeper
        self._host = host
        self._spool = spool
        self._ends = ends
        # By their ids; and what is to be written of them besides.
        self._kept: dict[str, tuple[Managed, dict[str, Any]]] = {}
        self._returning: set[JID] = set()
        self._begun = host.now()
        self._begun_at = host.monotonic()

    def __contains__(self, id: object) -> bool:
        return id in self._kept

    def _time(self) -> int:
        """The time as it was at the start, and what has passed since.

        An hour that the clock is set forward is no hour that a client has had (R10).
        """
        passed = self._host.monotonic() - self._begun_at
        return self._begun + int(passed * 1_000_000)

    # Before the restart

    def keep(self, managed: Managed) -> None:
        """Have a session that is over go on after the restart, with all that waits for it.

        StorageError if there is no room for that, and it still has its queue.
        """
        session = managed.session
        state: dict[str, Any] = {}
        for part in self._host.collect("stonechat_session_state", session=session):
            state |= part
        presence = session.presence
        kept = {
            "max_seconds": managed.max_seconds,
            "acked": managed.acked,
            "presence": presence.to_bytes().decode() if presence is not None else "",
            "state": state,
        }
        self._spool.put_all(managed)
        managed.take_queue()
        self._kept[managed.id] = (managed, kept)

    def write(self, seconds: float) -> None:
        """Write the sessions down: last of all, when what they have sent is in the store.

        What is not will be sent again by their clients.
        """
        unsafe = [managed for managed, _ in self._kept.values()]
        with gevent.Timeout(seconds / 2, False):
            while unsafe := [managed for managed in unsafe if not managed.press()]:
                gevent.sleep(0.005)
        rest = dict(self._kept)
        reason = "the store is too slow"
        try:
            with gevent.Timeout(seconds / 2, False):
                for id, (managed, kept) in self._kept.items():
                    self._spool.keep(self._row(managed, kept))
                    del rest[id]
        except StorageError as error:
            reason = str(error)
        if rest:
            # What waits for them is delivered otherwise after the restart.
            self._host.log.error("sessions not kept", sessions=len(rest), reason=reason)

    def _row(self, managed: Managed, kept: dict[str, Any]) -> Keep:
        jid = managed.session.jid
        return Keep(
            _digest(managed.id),
            managed.token,
            jid.localpart,
            jid.resource,
            self._host.now() + int(managed.max_seconds * 1_000_000),
            json.dumps({**kept, "received": managed.safe}).encode(),
        )

    # After it

    def restore(self, stream: UnboundStream, id: str, h: int) -> Restored | None:
        """Bring a session back on a stream; None if none rests under that id.

        Refusal, or StreamError, where it stays where it is.
        """
        if id in self._kept:
            # It cannot be had before the restart, and is not lost.
            raise StreamError("system-shutdown")
        account = stream.account
        assert account is not None
        try:
            kept = self._spool.tables.kept(_digest(id), account.localpart, self._time())
            if kept is None:
                return None
            # From now on its rows are ours, also when it rests no more.
            self._spool.live.add(kept.token)
            try:
                restored = Restored(id, kept)
                self._read_queue(restored)
                managed = self._bind(stream, account.with_resource(kept.resource), restored, h)
            except BaseException:
                self._spool.live.discard(kept.token)
                raise
        except StorageError as error:
            self._host.log.error("session not restored", reason=str(error))
            raise Refusal("internal-server-error") from error
        session = managed.session
        if session.is_open:
            managed.acknowledge(h)
            # A crash must not find it at rest again.
            self._spool.flush()
        if not session.is_open:
            raise StreamError("internal-server-error", "The session has ended meanwhile.")
        managed.resend()
        return restored

    def _read_queue(self, restored: Restored) -> None:
        number = restored.acked
        while rows := self._spool.stanzas(restored.token, number):
            for row in rows:
                number += 1
                if row.number != number:
                    restored.is_whole = False
                    return
                sent = Sent(row.stanza, row.sent_at, None)
                sent.is_spooled = True
                restored.queue.append(sent)

    def _bind(self, stream: UnboundStream, jid: JID, restored: Restored, h: int) -> Managed:
        count = newly_acknowledged(h, restored.acked, len(restored.queue))
        if self._host.session(jid) is not None or not restored.is_whole:
            # The client has begun anew under the same name meanwhile, or would count wrong.
            self._spool.let_go(_digest(restored.id))
            self._spool.forget(restored.token, restored.acked + count)
            self._ends.deliver_spooled(restored.token, jid.localpart)
            raise Refusal("item-not-found", restored.received)
        stream.data[RESTORED] = restored
        self._returning.add(jid)
        try:
            stream.bind(restored.resource)
        except StanzaError as error:
            raise Refusal(error.condition, restored.received) from error
        finally:
            self._returning.discard(jid)
            stream.data.pop(RESTORED, None)
        assert restored.managed is not None
        return restored.managed

    def bound(self, session: Session) -> None:
        """A session is bound; one that comes back is managed before anybody sends it a thing."""
        if session.jid not in self._returning:
            return
        restored: Restored | None = session.data.pop(RESTORED, None)
        if restored is None:
            return
        managed = restored.managed = Managed(self._keeper, session, restored.token)
        managed.id = restored.id
        managed.max_seconds = float(restored.state["max_seconds"])
        managed.acked = restored.acked
        managed.came = managed.safe = restored.received
        managed.restore_queue(restored.queue)
        # What comes meanwhile goes behind what is sent again.
        managed.rest()
        self._keeper.resumption.put_to_work(managed)
        self._spool.let_go(_digest(restored.id))

    def tell(self, restored: Restored) -> Managed:
        """The client has its session: all else goes on, too."""
        managed, state = restored.managed, restored.state
        assert managed is not None
        session = managed.session
        self._host.notify("stonechat_session_restored", session=session, state=state["state"])
        if state["presence"] and session.is_open:
            session.receive(Stanza.from_bytes(state["presence"].encode()))
        return managed

    def expire(self) -> None:
        """Deal with what sessions have left that nobody came back for after a restart."""
        try:
            while expired := self._spool.tables.expire(self._time()):
                for token, localpart in expired:
                    if token in self._spool.live:
                        # Its client has come just now; should it not get it, it is ours.
                        self._ends.is_recovering = True
                    else:
                        self._ends.deliver_spooled(token, localpart)
        except StorageError as error:
            self._host.log.error("sessions not expired", reason=str(error))


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()
