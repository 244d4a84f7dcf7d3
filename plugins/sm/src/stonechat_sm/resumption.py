"""Sessions that can be resumed, over a new connection or a restart (XEP-0198, section 5)."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import gevent

from stonechat.errors import StanzaError, StonechatError, StorageError, StreamError
from stonechat.host import Host, Session, UnboundStream
from stonechat.jid import JID
from stonechat.stanza import Stanza
from stonechat_sm.managed import WRAP, Managed, Sent
from stonechat_sm.tables import Keep, Kept, Put

if TYPE_CHECKING:
    from stonechat_sm import Plugin
    from stonechat_sm.ends import Ends
    from stonechat_sm.spool import Spool

# Who resumes is told what is handled; what is just being made safe gets so long for it.
SAFE_SECONDS = 5.0

# Sessions that are over, for whose clients we remember what was handled (section 5).
MAX_OVER = 1000

SHUTDOWN = "system-shutdown"


class Refusal(StonechatError):
    """A session is not resumed; `h` is what was handled of it, if that is known."""

    def __init__(self, condition: str, h: int | None = None) -> None:
        super().__init__(condition)
        self.condition = condition
        self.h = h


class Resumption:
    """All managed sessions of a host, those to be resumed by their ids."""

    def __init__(self, keeper: Plugin, host: Host, spool: Spool, ends: Ends) -> None:
        self._keeper = keeper
        self._host = host
        self._spool = spool
        self._ends = ends
        # Rows in the spool that begin so belong to sessions of this very run.
        self._run = secrets.token_hex(8)
        self._tokens = 0
        self.managed: set[Managed] = set()
        self._by_id: dict[str, Managed] = {}
        self._over: OrderedDict[str, tuple[JID, int]] = OrderedDict()

    def is_of_this_run(self, token: str) -> bool:
        return token.startswith(self._run)

    def manage(self, session: Session) -> Managed:
        """Begin to manage a session."""
        self._tokens += 1
        managed = Managed(self._keeper, session, f"{self._run}.{self._tokens}")
        self._put_to_work(managed)
        return managed

    def _put_to_work(self, managed: Managed) -> None:
        session = managed.session
        session.data["sm"] = managed
        session.add_outlet(managed, nearest=True)
        session.inlet = managed
        self.managed.add(managed)

    def release_all(self) -> None:
        """The plugin stops while sessions go on: they are managed no longer."""
        for managed in list(self.managed):
            session = managed.session
            session.remove_outlet(managed)
            session.inlet = None
            session.data.pop("sm", None)
            managed.stop()
            for sent in managed.take_queue():
                sent.settle()
        self.managed.clear()
        self._by_id.clear()

    def offer(self, managed: Managed, seconds: float) -> None:
        """Let a session be resumed for so long after its connection is lost."""
        managed.id = secrets.token_urlsafe(24)
        managed.max_seconds = seconds
        self._by_id[managed.id] = managed

    def wait(self, managed: Managed) -> None:
        """The connection was lost: wait for the client to come back."""
        managed.rest()
        managed.timer = self._host.call_later(managed.max_seconds, managed.session.close)

    def ended(self, managed: Managed) -> None:
        """A session is over: keep it for after the restart, or deal with what is left."""
        self.managed.discard(managed)
        if not managed.id:
            self._ends.left(managed)
            return
        del self._by_id[managed.id]
        if managed.session.ended_by == SHUTDOWN and self._keeper.options.keep_over_restart:
            try:
                self._keep(managed)
                return
            except StorageError as error:
                self._host.log.error("session not kept", reason=str(error))
        self._over[managed.id] = (managed.session.jid.bare, managed.received)
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)
        self._ends.left(managed)

    # Resuming

    def resume(self, stream: UnboundStream, id: str, h: int) -> Managed:
        """Hand a stream to the session that an id names; Refusal if there is none.

        StreamError where `h` is beyond what was sent. May block.
        """
        account = stream.account
        assert account is not None
        managed = self._by_id.get(id)
        if managed is None:
            managed = self._restore(stream, account, id, h)
            if managed is None:
                over = self._over.get(id)
                raise Refusal("item-not-found", over[1] if over and over[0] == account else None)
            return managed
        session = managed.session
        if session.jid.bare != account or not session.is_open:
            raise Refusal("item-not-found")
        managed.check(h)
        if managed.timer is not None:
            managed.timer.cancel()
            managed.timer = None
        managed.takeovers += 1
        mine = managed.takeovers
        # What comes meanwhile goes behind what is sent again.
        managed.rest()
        try:
            stream.resume(session)
        except StreamError:
            if managed.takeovers == mine:
                self.wait(managed)
            raise
        self._wait_until_safe(managed)
        if managed.takeovers != mine:
            # Somebody was quicker, while we waited.
            raise StreamError("conflict", "The session was resumed by another connection.")
        managed.acknowledge(h)
        managed.resend()
        self._host.notify("stonechat_session_resumed", session=session)
        return managed

    def _wait_until_safe(self, managed: Managed) -> None:
        # What is handled, but not safe yet, would come again and be handled twice.
        with gevent.Timeout(SAFE_SECONDS, False):
            while not managed.press():
                gevent.sleep(0.005)

    # Over a restart

    def _keep(self, managed: Managed) -> None:
        session = managed.session
        state: dict[str, Any] = {}
        for part in self._host.collect("stonechat_session_state", session=session):
            state |= part
        presence = session.presence
        kept = {
            "max_seconds": managed.max_seconds,
            "received": managed.received,
            "acked": managed.acked,
            "presence": presence.to_bytes().decode() if presence is not None else "",
            "state": state,
        }
        localpart, resource = session.jid.localpart, session.jid.resource
        number = managed.acked
        rows = []
        for sent in managed.take_queue():
            number = (number + 1) % WRAP
            if not sent.is_spooled:
                rows.append((Put(managed.token, number, localpart, sent.at, sent.octets), sent))
        self._spool.keep(
            Keep(
                _digest(managed.id),
                managed.token,
                localpart,
                resource,
                self._host.now() + int(managed.max_seconds * 1_000_000),
                json.dumps(kept).encode(),
            ),
            rows,
        )

    def _restore(self, stream: UnboundStream, account: JID, id: str, h: int) -> Managed | None:
        """A session from before the restart, on this stream; None if there is none."""
        try:
            self._spool.flush()
            kept = self._spool.tables.take(_digest(id), account.localpart, self._host.now())
            if kept is None:
                return None
            return self._bring_back(stream, account.with_resource(kept.resource), kept, id, h)
        except StorageError as error:
            self._host.log.error("session not restored", reason=str(error))
            raise Refusal("internal-server-error") from error

    def _bring_back(
        self, stream: UnboundStream, jid: JID, kept: Kept, id: str, h: int
    ) -> Managed | None:
        state = json.loads(kept.state)
        if self._host.session(jid) is not None:
            # The client has begun anew under the same name meanwhile.
            self._ends.deliver_spooled(kept.token)
            return None
        queue: deque[Sent] = deque()
        number = -1
        while rows := self._spool.tables.stanzas(kept.token, number):
            for row in rows:
                sent = Sent(row.stanza, row.sent_at, None)
                sent.is_spooled = True
                queue.append(sent)
            number = rows[-1].number
        try:
            session = stream.bind(kept.resource)
        except StanzaError as error:
            self._ends.deliver_spooled(kept.token)
            raise Refusal(error.condition, state["received"]) from error
        managed = Managed(self._keeper, session, kept.token)
        managed.acked = state["acked"]
        managed.received = managed.safe = state["received"]
        managed.restore_queue(queue)
        self._put_to_work(managed)
        managed.id = id
        managed.max_seconds = state["max_seconds"]
        self._by_id[managed.id] = managed
        managed.acknowledge(h)
        managed.resend()
        self._host.notify("stonechat_session_restored", session=session, state=state["state"])
        if state["presence"]:
            session.receive(Stanza.from_bytes(state["presence"].encode()))
        return managed

    def expire(self) -> None:
        """Deal with what sessions have left that nobody came back for after a restart."""
        try:
            while tokens := self._spool.tables.expire(self._host.now()):
                for token in tokens:
                    self._ends.deliver_spooled(token)
        except StorageError as error:
            self._host.log.error("sessions not expired", reason=str(error))


def _digest(id: str) -> bytes:
    return hashlib.sha256(id.encode()).digest()
