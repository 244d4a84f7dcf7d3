"""What one stream of a component is told by and by, no faster than the component reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import gevent

from stonechat.errors import StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Stanza
from stonechat.streams import Stream
from stonechat_privilege.permissions import Permissions

# What waits for a component that reads slowly. One that is so far behind begins anew.
MAX_WAITING_BYTES = 8 * 1024 * 1024

# After so many stanzas the others get a turn (robustness promise R21).
TURN = 64

# How often to look whether a component reads again; the kernel gives up one that does not.
LOOK_SECONDS = 0.1


class Feed:
    """Sends stanzas in order. Of several about the same thing, the last one counts."""

    def __init__(self, host: Host, stream: Stream, permissions: Permissions) -> None:
        self._host = host
        self._stream = stream
        self.permissions = permissions
        self.jid = JID.make("", stream.domain)
        # By what they are about.
        self._waiting: OrderedDict[str, Stanza] = OrderedDict()
        self._waiting_bytes = 0
        self._is_behind = False

    def begin(self, first: Iterator[Stanza]) -> None:
        """Send all these, and what `send` is given meanwhile behind them."""
        self._is_behind = True
        self._host.spawn(self._catch_up, first)

    def send(self, about: str, stanza: Stanza) -> None:
        """Send a stanza, or queue it in the place of what is queued about the same thing."""
        if not self._is_behind and self._stream.takes_stanzas:
            self._stream.send(stanza)
            return
        self._take_out(about)
        self._waiting[about] = stanza
        self._waiting_bytes += len(stanza.to_bytes())
        if self._waiting_bytes > MAX_WAITING_BYTES:
            # It would never hear of what is dropped; who connects hears it all.
            self._waiting.clear()
            self._waiting_bytes = 0
            self._stream.close(StreamError("resource-constraint", "This is read too slowly."))
        elif not self._is_behind:
            self.begin(iter(()))

    def _take_out(self, about: str) -> Stanza | None:
        stanza = self._waiting.pop(about, None)
        if stanza is not None:
            self._waiting_bytes -= len(stanza.to_bytes())
        return stanza

    def _catch_up(self, first: Iterator[Stanza]) -> None:
        try:
            count = 0
            while self._is_read():
                stanza = next(first, None) or self._take_first()
                if stanza is None:
                    return
                self._stream.send(stanza)
                count += 1
                if count % TURN == 0:
                    gevent.sleep(0)
        finally:
            self._is_behind = False

    def _is_read(self) -> bool:
        """Wait until the component takes stanzas; False if it is gone."""
        while self._stream.is_open and not self._stream.takes_stanzas:
            gevent.sleep(LOOK_SECONDS)
        return self._stream.is_open

    def _take_first(self) -> Stanza | None:
        return self._take_out(next(iter(self._waiting))) if self._waiting else None
