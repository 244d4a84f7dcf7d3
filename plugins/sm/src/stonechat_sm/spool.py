"""The spool: messages whose senders wait to hear that they are safe, on their way to disk.

Most never come here: the receiving client acknowledges them first (promise R1).
"""

from __future__ import annotations

from stonechat.batcher import Batcher
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat_sm.managed import WRAP, Managed, Sent
from stonechat_sm.tables import Forget, Keep, Put, Tables

# How long the receiving client has to acknowledge before its messages are written down.
SPOOL_SECONDS = 0.1


class Spool:
    """Writes stanzas of managed sessions down, and strikes them off again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.tables = Tables(host.storage, host.name)
        self._batcher: Batcher[Put | Forget | Keep] = Batcher(
            host, self.tables.write_rows, gather=0.0
        )
        self._waiting: set[Managed] = set()

    def soon(self, managed: Managed) -> None:
        """Write down what a session has not acknowledged and somebody wants to know safe."""
        if not self._waiting:
            self._host.call_later(SPOOL_SECONDS, self._write_waiting)
        self._waiting.add(managed)

    def discard(self, managed: Managed) -> None:
        """Nothing more of a session: it is over."""
        self._waiting.discard(managed)

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, set()
        old = self._host.now() - int(SPOOL_SECONDS * 1_000_000)
        for managed in waiting:
            number = managed.acked
            for sent in managed.queue or ():
                number = (number + 1) % WRAP
                if not sent.is_awaited or sent.is_kept or sent.is_spooled:
                    continue
                if sent.at > old:
                    # It is on its way; the next time will do, if it is needed then.
                    self.soon(managed)
                    break
                self._write(managed, number, sent)

    def _write(self, managed: Managed, number: int, sent: Sent) -> None:
        row = Put(managed.token, number, managed.session.jid.localpart, sent.at, sent.octets)
        try:
            self._batcher.add(row, sent.settle)
        except StorageError as error:
            # Its sender is not told that it is safe; the client may still acknowledge it.
            self._host.log.error("message not spooled", reason=str(error))
            return
        sent.is_spooled = True
        managed.spooled += 1

    def forget(self, token: str, upto: int) -> None:
        """The client has handled these, or somebody else has them."""
        try:
            self._batcher.add(Forget(token, upto))
        except StorageError as error:
            self._host.log.error("spool not cleared", reason=str(error))

    def keep(self, session: Keep, stanzas: list[tuple[Put, Sent]]) -> None:
        """Write a session down that rests, with all it has not acknowledged; StorageError."""
        for row, sent in stanzas:
            self._batcher.add(row, sent.settle)
        self._batcher.add(session)

    def clear(self, localpart: str) -> None:
        """Forget an account."""
        self.flush()
        self.tables.clear(localpart)

    def flush(self) -> None:
        """Wait until all that was written is committed."""
        if not self._batcher.flush():
            self._host.log.error("spool not written", rows=len(self._batcher))
