"""Streams on which other servers are asked something; nothing is proven on them.

Such as whether a dialback key is right: for that a stranger, who says whose key it is, makes
us look for a server. So there is one such stream to a domain at a time, for all who ask,
and it ends with the last of them. It takes no place from streams that stanzas wait for, and
what comes of it says nothing about those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import gevent
from gevent.event import AsyncResult

from stonechat.core.s2s_rests import anew
from stonechat.core.s2s_setup import failure_of, open_first
from stonechat.core.s2s_targets import Targets
from stonechat.errors import StanzaError

if TYPE_CHECKING:
    from stonechat.core.s2s_links import Links
    from stonechat.core.server_outgoing import OutgoingStream
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.federation import Pair

# Of all hosts together.
MOST_INQUIRIES = 100

# Who asks on a stream: a host's plugins, by the policy of the host that a local domain
# belongs to, for one remote domain.
Key = tuple["VirtualHost", "VirtualHost", str]


class Inquiry:
    """A stream to one domain's server, or the way to one, and how many use it."""

    __slots__ = (
        "deadline",
        "error",
        "greenlet",
        "host",
        "is_opened",
        "key",
        "pair",
        "stream",
        "targets",
        "users",
        "waiters",
    )

    def __init__(self, key: Key, pair: Pair, deadline: float) -> None:
        self.key = key
        self.host = key[0]
        self.pair = pair
        self.deadline = deadline
        """When the stream ends, whoever uses it; on the clock of the timers."""
        self.targets = Targets()
        self.greenlet: gevent.Greenlet | None = None
        self.stream: ServerStreamBase | None = None
        self.is_opened = False
        """Whether the peer has said what it offers."""
        self.error: StanzaError | None = None
        """What is wrong with the stream."""
        self.users = 0
        self.waiters: list[AsyncResult[ServerStreamBase]] = []


class Inquiries:
    """All that are under way, of all hosts."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._all: set[Inquiry] = set()
        # Those that more may join.
        self._by_key: dict[Key, Inquiry] = {}

    def __len__(self) -> int:
        return len(self._all)

    @contextmanager
    def stream(self, host: VirtualHost, pair: Pair, seconds: float) -> Iterator[ServerStreamBase]:
        """A stream for a while, its peer's features known; StanzaError if there is none.

        Blocks, for so long at most.
        """
        inquiry = self._join(host, pair)
        inquiry.users += 1
        try:
            yield self._wait(inquiry, seconds)
        finally:
            inquiry.users -= 1
            if not inquiry.users:
                self._end(inquiry)

    def end_all(self) -> None:
        for inquiry in list(self._all):
            self._fail(inquiry, StanzaError("remote-server-timeout", "The server is stopping."))

    # What streams tell

    def opened(self, stream: ServerStreamBase) -> None:
        inquiry = self._of(stream)
        if inquiry is not None:
            inquiry.is_opened = True
            inquiry.targets.settle()
            for waiter in inquiry.waiters:
                waiter.set(stream)

    def refused(self, stream: ServerStreamBase, error: StanzaError) -> None:
        """It does not satisfy the policy. Its end follows."""
        inquiry = self._of(stream)
        if inquiry is not None:
            inquiry.error = error

    def lost(self, stream: ServerStreamBase) -> None:
        inquiry = self._of(stream)
        if inquiry is None:
            return
        inquiry.stream = None
        remote = inquiry.pair.remote
        error, inquiry.error = inquiry.error, None
        inquiry.targets.tried(cast("OutgoingStream", stream))
        if not inquiry.is_opened and inquiry.targets.next():
            # As if it had not been connected to (RFC 6120, 3.2.1, steps 6 and 7).
            self._begin(inquiry)
        elif error is not None:
            self._fail(inquiry, error)
        elif stream.peer_error == "host-unknown":
            text = f"The server of {remote} does not serve it."
            self._fail(inquiry, StanzaError("remote-server-not-found", text))
        else:
            text = f"{remote} agrees to no stream."
            self._fail(inquiry, StanzaError("remote-server-timeout", text))

    def _of(self, stream: ServerStreamBase) -> Inquiry | None:
        return next((inquiry for inquiry in self._all if inquiry.stream is stream), None)

    # Who uses it

    def _join(self, host: VirtualHost, pair: Pair) -> Inquiry:
        links = self._links
        owner = links.host_of(pair.local)
        if owner is None:
            raise StanzaError("item-not-found", f"{pair.local} is not served here.")
        key = (host, owner, pair.remote)
        now, life = links.timers.now, links.options.timeout
        inquiry = self._by_key.get(key)
        # It should hold for as long as the last who joins it needs it.
        if inquiry is not None and now <= inquiry.deadline - life / 2:
            return inquiry
        if len(self._all) >= MOST_INQUIRIES:
            raise StanzaError("resource-constraint", "Too many servers are being asked.")
        inquiry = self._by_key[key] = Inquiry(key, pair, now + life)
        self._all.add(inquiry)
        self._begin(inquiry)
        return inquiry

    def _wait(self, inquiry: Inquiry, seconds: float) -> ServerStreamBase:
        if inquiry.is_opened and inquiry.stream is not None:
            return inquiry.stream
        waiter: AsyncResult[ServerStreamBase] = AsyncResult()
        late = StanzaError(
            "remote-server-timeout", f"The server of {inquiry.pair.remote} does not answer."
        )
        timer = self._links.timers.add(seconds, waiter.set_exception, late)
        inquiry.waiters.append(waiter)
        try:
            stream: ServerStreamBase = waiter.get()
        finally:
            inquiry.waiters.remove(waiter)
            timer.cancel()
        return stream

    def _fail(self, inquiry: Inquiry, error: StanzaError) -> None:
        self._end(inquiry)
        for waiter in inquiry.waiters:
            waiter.set_exception(anew(error))

    def _end(self, inquiry: Inquiry) -> None:
        self._all.discard(inquiry)
        if self._by_key.get(inquiry.key) is inquiry:
            del self._by_key[inquiry.key]
        greenlet, inquiry.greenlet = inquiry.greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=False)
        stream, inquiry.stream = inquiry.stream, None
        if stream is not None:
            stream.close()

    # In an inquiry's greenlet

    def _begin(self, inquiry: Inquiry) -> None:
        inquiry.greenlet = gevent.spawn(self._work, inquiry)

    def _work(self, inquiry: Inquiry) -> None:
        try:
            self._open(inquiry)
        except Exception as error:  # noqa: BLE001 - the boundary of an inquiry
            inquiry.targets.places = []
            if inquiry.targets.next():
                self._begin(inquiry)
            else:
                failure = failure_of(error, inquiry.pair, self._links.log)
                self._fail(inquiry, failure.error)
        finally:
            if inquiry.greenlet is gevent.getcurrent():
                inquiry.greenlet = None

    def _open(self, inquiry: Inquiry) -> None:
        links, pair = self._links, inquiry.pair
        targets = inquiry.targets
        if targets.places is None:
            targets.places = links.ways.targets(pair.remote)
        stream = open_first(links, inquiry.host, pair, targets, inquiry.deadline)
        stream.is_for_questions = True
        inquiry.stream = stream
        links.connected(stream)
        stream.start()
