"""The spool: messages whose senders wait to hear that they are safe, on their way to disk.

Most never come here: the receiving client acknowledges them first (promise R1).
"""

from __future__ import annotations

from functools import partial

from stonechat.batcher import Batcher
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat_sm.managed import Managed, Sent
from stonechat_sm.tables import Forget, Keep, LetGo, Put, SpooledStanza, Tables

# How long the receiving client has to acknowledge before its messages are written down.
SPOOL_SECONDS = 0.1

# What sums of large numbers lose.
_ROUNDING = 0.001

# Until what the store did not take is tried again, and until it is told of again.
RETRY_SECONDS = 1.0
COMPLAINT_SECONDS = 60.0

# How long a session that is to rest waits until the store has room.
ROOM_SECONDS = 1.0


class Spool:
    """Writes stanzas of managed sessions down, and strikes them off again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.tables = Tables(host.storage, host.name)
        self._batcher: Batcher[Put | Forget | Keep | LetGo] = Batcher(
            host, self.tables.write_rows, gather=0.0
        )
        self.live: set[str] = set()
        """Tokens of sessions that are here, or whose ends are being dealt with.

        Their rows are nobody else's business.
        """
        # Sessions with something to be written down: since when, and up to which stanza.
        # By the monotonic clock: the other one may be set back (promise R10).
        self._waiting: dict[Managed, tuple[float, int]] = {}
        self._will_look = False
        # Up to where the rows of a session are done with, while they may still be there.
        self._forgotten: dict[str, int] = {}
        # Those of them that the store is not told of yet.
        self._untold: set[str] = set()
        self._quiet_until = 0.0

    # Writing down

    def soon(self, managed: Managed) -> None:
        """Write down what a session has not acknowledged and somebody wants to know safe."""
        if managed not in self._waiting:
            self._waiting[managed] = (self._host.monotonic(), managed.acked + managed.waiting)
        self._look_after(SPOOL_SECONDS)

    def discard(self, managed: Managed) -> None:
        """Nothing more of a session: it is over."""
        self._waiting.pop(managed, None)

    def _look_after(self, seconds: float) -> None:
        if not self._will_look:
            self._will_look = True
            self._host.call_later(seconds, self._look)

    def _look(self) -> None:
        self._will_look = False
        try:
            self._tell()
            self._write_old()
        except StorageError as error:
            # Their senders are not told that they are safe; the clients may still
            # acknowledge them. All that could not be written is tried again.
            self.complain("messages not spooled yet", error)
            self._look_after(RETRY_SECONDS)
            return
        if self._waiting:
            self._look_after(SPOOL_SECONDS)

    def _write_old(self) -> None:
        """Write down what has waited long enough; StorageError leaves the rest for later."""
        now = self._host.monotonic()
        for managed, (since, last) in list(self._waiting.items()):
            if now - since < SPOOL_SECONDS - _ROUNDING:
                continue
            has_newer = self._write(managed, last)
            del self._waiting[managed]
            if has_newer:
                self.soon(managed)

    def _write(self, managed: Managed, last: int) -> bool:
        """Write down what is awaited up to a stanza; whether something behind it is."""
        localpart = managed.session.jid.localpart
        for number, sent in enumerate(managed.queue or (), managed.acked + 1):
            if not sent.is_awaited or sent.is_kept or sent.is_spooled is not False:
                continue
            if number > last:
                # It is on its way; the next time will do, if it is needed then.
                return True
            self.put(managed.token, number, localpart, sent)
        return False

    def put(self, token: str, number: int, localpart: str, sent: Sent) -> None:
        """Write one stanza down; StorageError if too much waits to be written already."""
        row = Put(token, number, localpart, sent.at, sent.octets)
        self._batcher.add(row, sent.settle, sent.stay)
        sent.is_spooled = True

    def put_all(self, managed: Managed) -> None:
        """Write down all that a session has not acknowledged; StorageError as above."""
        localpart = managed.session.jid.localpart
        for number, sent in enumerate(managed.queue or (), managed.acked + 1):
            if not sent.is_spooled:
                self.put(managed.token, number, localpart, sent)

    # Striking off

    def forget(self, token: str, upto: int) -> None:
        """The client has handled these, or somebody else has them."""
        self._forgotten[token] = upto
        try:
            self._tell_of(token)
        except StorageError as error:
            self._untold.add(token)
            self.complain("spool not cleared yet", error)
            self._look_after(RETRY_SECONDS)

    def _tell(self) -> None:
        for token in list(self._untold):
            self._tell_of(token)

    def _tell_of(self, token: str) -> None:
        upto = self._forgotten[token]
        self._batcher.add(Forget(token, upto), partial(self._are_gone, token, upto))
        self._untold.discard(token)

    def _are_gone(self, token: str, upto: int) -> None:
        if self._forgotten.get(token) == upto:
            del self._forgotten[token]

    def stanzas(self, token: str, after: int = -1) -> list[SpooledStanza]:
        """The next stanzas of a session, behind a number, that are not done with."""
        return self.tables.stanzas(token, max(after, self._forgotten.get(token, -1)))

    # Sessions that rest

    def keep(self, session: Keep) -> None:
        """Write a session down that rests; StorageError if too much waits to be written.

        Blocks while so much waits that there would soon be no room.
        """
        self._batcher.wait_for_room(ROOM_SECONDS)
        self._batcher.add(session)

    def let_go(self, id_digest: bytes) -> None:
        """A session rests no more."""
        try:
            self._batcher.add(LetGo(id_digest))
        except StorageError as error:
            # It is found again when its time is over, and is at work then, or has ended.
            self.complain("session not struck off", error)

    # All

    def clear(self, localpart: str) -> None:
        """Forget an account."""
        self.flush()
        self.tables.clear(localpart)

    def flush(self) -> bool:
        """Wait until all that was written is committed; False if that takes too long."""
        is_committed = self._batcher.flush()
        if not is_committed:
            self.complain("spool not written yet", "the store is too slow")
        return is_committed

    def stop(self, seconds: float) -> None:
        """Have written what can be, and say how much that is not."""
        try:
            self._tell()
        except StorageError as error:
            self._host.log.error("spool not cleared", reason=str(error))
        if not self._batcher.flush(seconds):
            self._host.log.error("spool not written", rows=len(self._batcher))

    def complain(self, event: str, reason: object) -> None:
        """Say that the store fails; once a minute, however often it does."""
        now = self._host.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + COMPLAINT_SECONDS
            self._host.log.error(event, reason=str(reason))
