"""Sessions that can be resumed over a new connection (XEP-0198, section 5)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import gevent

from stonechat.errors import StanzaError, StonechatError, StorageError, StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.locks import Locks
from stonechat.session import Session, UnboundStream
from stonechat_sm.managed import Managed

if TYPE_CHECKING:
    from stonechat_sm import Plugin
    from stonechat_sm.ends import Ends
    from stonechat_sm.spool import Spool

# Who resumes is told what is handled; what is just being made safe gets so long for it.
SAFE_SECONDS = 5.0

# Of two who resume one session at once the later waits for the earlier: for the stanza
# that its old connection is at, and for what it is about to be told.
TURN_SECONDS = 20.0

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
        # Names the sessions of this very run in the spool.
        self._run = secrets.token_hex(8)
        self._tokens = 0
        self.managed: set[Managed] = set()
        self._by_id: dict[str, Managed] = {}
        self._over: OrderedDict[str, tuple[JID, int]] = OrderedDict()
        self._turns = Locks(TURN_SECONDS)

    def manage(self, session: Session) -> Managed:
        """Begin to manage a session."""
        self._tokens += 1
        managed = Managed(self._keeper, session, f"{self._run}.{self._tokens}")
        self.put_to_work(managed)
        return managed

    def put_to_work(self, managed: Managed) -> None:
        session = managed.session
        session.data["sm"] = managed
        session.add_outlet(managed, nearest=True)
        session.inlet = managed
        self.managed.add(managed)
        self._spool.live.add(managed.token)
        if managed.id:
            self._by_id[managed.id] = managed

    def release_all(self) -> None:
        """The plugin stops while sessions go on: they are managed no longer."""
        reachable = [m for m in self.managed if m.flows and m.session.is_open]
        # All of them before any: nobody is to hear that something is safe only for this.
        for managed in self.managed:
            managed.stop()
        for managed in self.managed.difference(reachable):
            # Without us nobody gives it a connection. It can be found no more when what it
            # has left is delivered: its end was begun before.
            managed.session.close()
            self._ends.left(managed)
        for managed in reachable:
            session = managed.session
            session.remove_outlet(managed)
            session.inlet = None
            session.data.pop("sm", None)
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
        self._stop_timer(managed)
        managed.timer = self._host.call_later(managed.max_seconds, self._time_is_over, managed)

    def _stop_timer(self, managed: Managed) -> None:
        if managed.timer is not None:
            managed.timer.cancel()
            managed.timer = None

    def _time_is_over(self, managed: Managed) -> None:
        # It may have been resumed at this very moment.
        if managed.timer is not None:
            managed.session.close()

    def ended(self, managed: Managed) -> None:
        """A session is over: keep it for after the restart, or deal with what is left."""
        self.managed.discard(managed)
        if managed.id:
            self._by_id.pop(managed.id, None)
            keeps = self._keeper.options.keep_over_restart
            if keeps and managed.session.ended_by == SHUTDOWN:
                try:
                    self._keeper.resting.keep(managed)
                    return
                except StorageError as error:
                    self._spool.complain("session not kept", error)
            self._over[managed.id] = (managed.session.jid.bare, managed.came)
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
        try:
            with self._turns.hold(id):
                managed = self._by_id.get(id)
                if managed is not None:
                    self._take_over(stream, account, managed, h)
                    restored = None
                else:
                    restored = self._keeper.resting.restore(stream, id, h)
        except StanzaError as error:
            raise Refusal(error.condition) from error
        if managed is not None:
            self._host.notify("stonechat_session_resumed", session=managed.session)
            return managed
        if restored is not None:
            return self._keeper.resting.tell(restored)
        raise self._unknown(account, id)

    def _unknown(self, account: JID, id: str) -> Refusal:
        if not self._keeper.options.resume_for:
            return Refusal("feature-not-implemented")
        over = self._over.get(id)
        return Refusal("item-not-found", over[1] if over and over[0] == account else None)

    def _take_over(self, stream: UnboundStream, account: JID, managed: Managed, h: int) -> None:
        session = managed.session
        if session.jid.bare != account:
            raise Refusal("item-not-found")
        if not session.is_open:
            raise Refusal("item-not-found", managed.came)
        # What the client has nobody else needs to get, whatever becomes of this.
        managed.acknowledge(h)
        self._stop_timer(managed)
        # What comes meanwhile goes behind what is sent again.
        managed.rest()
        try:
            stream.resume(session)
        except (StanzaError, StreamError):
            if session.is_connected:
                managed.flows = True
            elif session.is_open:
                self.wait(managed)
            raise
        self._wait_until_safe(managed)
        if not session.is_open:
            raise StreamError("internal-server-error", "The session has ended meanwhile.")
        managed.resend()

    def _wait_until_safe(self, managed: Managed) -> None:
        with gevent.Timeout(SAFE_SECONDS, False):
            while not managed.press():
                gevent.sleep(0.005)
        if not managed.press():
            # What is handled, but not safe yet, comes again and is handled twice: better
            # than not at all.
            managed.go_back()
