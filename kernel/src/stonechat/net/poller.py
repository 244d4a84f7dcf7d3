"""All client sockets under one hub watcher, with runners that may block.

The hub's callback polls once and switches to an idle *runner*, a greenlet
that works the ready connections off and comes back with `_DONE`. A handler
that blocks switches to the hub as gevent always does, so the callback's own
switch returns something else: that is how blocking is noticed. The callback
then leaves that runner to its connection, which is taken out of the poll
until the runner is through, and lends the rest of the list to another. So
plugins may block, one sender's stanzas stay in order, and what does not block
pays nothing for it.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import monkey
from greenlet import greenlet

if TYPE_CHECKING:
    from stonechat.net.connection import Connection, Handler

# A patched process has no epoll any more, but gevent keeps the true one.
_epoll: Any = monkey.saved.get("select", {}).get("epoll") or getattr(select, "epoll", None)
HAS_EPOLL = _epoll is not None

READ = 1
WRITE = 4

# A timer of 10 ms is late by 2 ms at saturation with these, and by 200 ms
# with 512 events and no budget of octets.
EVENTS_PER_TURN = 32
OCTETS_PER_TURN = 128 * 1024
MAX_BLOCKED = 1000
MAX_IDLE_RUNNERS = 64

_DONE = object()


class _Runner(greenlet):
    """A greenlet that handles ready connections; `blocked` while it waits inside a handler."""

    blocked = False


class Poller:
    """Polls connections and calls their `handle(events)`; flushes what they wrote.

    `on_error(connection, error)` is told of an exception that a handler let
    out; the connection is aborted.
    """

    def __init__(self, hub: Any, on_error: Callable[[Connection, BaseException], None]) -> None:
        self._hub = hub
        self._on_error = on_error
        self._ready: deque[tuple[Connection, int]] = deque()
        self._dirty: list[Connection] = []
        self._idle: list[_Runner] = []
        self._blocked = 0
        self._ended: dict[Connection, tuple[Handler, str]] = {}
        self._current: Connection | None = None
        self._in_turn = False
        self._flush_scheduled = False
        self._budget = 0
        self.now = time.monotonic()
        """The monotonic time when the current turn began."""
        self._source: _Epoll | _Watchers = (
            _Epoll(hub, self._turn) if HAS_EPOLL else _Watchers(hub, self._turn)
        )

    # For connections

    def register(self, connection: Connection, events: int) -> None:
        """Poll a connection for READ, WRITE or both; 0 stops polling it altogether."""
        before = connection.polled
        if before == events:
            return
        connection.polled = events
        self._source.change(connection, before, events)

    def wants_flush(self, connection: Connection) -> None:
        """A connection has output: it is flushed at the end of this turn, or soon."""
        self._dirty.append(connection)
        if not self._in_turn and not self._flush_scheduled:
            self._flush_scheduled = True
            self._hub.loop.run_callback(self._flush_outside_turn)

    def spend(self, octets: int) -> None:
        """Count octets read or written against this turn."""
        self._budget -= octets

    def when_back(self, connection: Connection, handler: Handler, reason: str) -> None:
        """A busy connection was lost: tell its handler when its runner is through with it."""
        self._ended[connection] = (handler, reason)

    def close(self) -> None:
        """Stop polling."""
        self._source.close()

    # A turn of the hub

    def _turn(self) -> None:
        ready = self._ready
        if not ready:
            self._source.poll(ready)
        self.now = time.monotonic()
        self._budget = OCTETS_PER_TURN
        self._in_turn = True
        try:
            while ready and self._budget > 0 and self._blocked < MAX_BLOCKED:
                runner = self._idle.pop() if self._idle else _Runner(self._run, self._hub)
                if runner.switch() is _DONE or runner.dead:
                    continue
                # It waits inside the handler of the current connection.
                connection = self._current
                assert connection is not None
                self._current = None
                runner.blocked = True
                self._blocked += 1
                connection.busy = True
                self.register(connection, 0)
            self._flush()
        finally:
            self._in_turn = False
        if self._blocked >= MAX_BLOCKED:
            self._source.pause()
        elif ready:
            # What is left comes first in the next turn. It was not read, so
            # its socket alone would wake us; a callback is sure to.
            self._hub.loop.run_callback(self._leftovers)

    def _leftovers(self) -> None:
        if self._ready:
            self._turn()

    def _run(self) -> object:
        me = greenlet.getcurrent()
        assert isinstance(me, _Runner)
        ready = self._ready
        while True:
            while ready and self._budget > 0:
                connection, events = ready.popleft()
                if connection.is_closed or connection.busy:
                    continue
                self._current = connection
                try:
                    connection.handle(events)
                except BaseException as error:  # noqa: BLE001 - the boundary of a connection
                    self._fail(connection, error)
                if me.blocked:
                    me.blocked = False
                    self._came_back(connection)
                    break
            self._current = None
            # Also one that was blocked rests here, in whatever callback woke it.
            if len(self._idle) >= MAX_IDLE_RUNNERS:
                return _DONE
            self._idle.append(me)
            # Past the hub's own switch(), which takes no argument.
            greenlet.switch(self._hub, _DONE)

    def _came_back(self, connection: Connection) -> None:
        """A runner that was blocked is through with its connection."""
        self._blocked -= 1
        connection.busy = False
        connection.resume()
        self._source.resume()
        ended = self._ended.pop(connection, None)
        if ended is not None:
            handler, reason = ended
            handler.connection_lost(reason)

    def _fail(self, connection: Connection, error: BaseException) -> None:
        try:
            self._on_error(connection, error)
        finally:
            connection.abort("internal error")

    # Flushing

    def _flush(self) -> None:
        dirty = self._dirty
        while dirty:
            batch = dirty.copy()
            dirty.clear()
            for connection in batch:
                try:
                    connection.flush()
                except BaseException as error:  # noqa: BLE001 - the boundary of a connection
                    self._fail(connection, error)

    def _flush_outside_turn(self) -> None:
        self._flush_scheduled = False
        self._in_turn = True
        try:
            self._flush()
        finally:
            self._in_turn = False


class _Epoll:
    """One epoll object, watched by the hub as a single descriptor."""

    def __init__(self, hub: Any, turn: Callable[[], None]) -> None:
        self._epoll = _epoll()
        self._connections: dict[int, Connection] = {}
        self._turn = turn
        self._watcher = hub.loop.io(self._epoll.fileno(), 1)
        self._watcher.start(turn)

    def poll(self, ready: deque[tuple[Connection, int]]) -> None:
        connections = self._connections
        for descriptor, events in self._epoll.poll(0, EVENTS_PER_TURN):
            ready.append((connections[descriptor], events))

    def change(self, connection: Connection, before: int, events: int) -> None:
        descriptor = connection.descriptor
        if not events:
            # Masked is not enough: a hang-up would be reported all the same.
            self._epoll.unregister(descriptor)
            del self._connections[descriptor]
        elif before:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
            self._connections[descriptor] = connection

    def pause(self) -> None:
        self._watcher.stop()

    def resume(self) -> None:
        if not self._watcher.active:
            self._watcher.start(self._turn)

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()


class _Watchers:
    """Where there is no epoll: a hub watcher for each connection."""

    def __init__(self, hub: Any, turn: Callable[[], None]) -> None:
        self._hub = hub
        self._turn = turn
        self._watchers: dict[int, Any] = {}
        self._reported: deque[tuple[Connection, int]] = deque()
        self._paused = False

    def poll(self, ready: deque[tuple[Connection, int]]) -> None:
        for _ in range(min(EVENTS_PER_TURN, len(self._reported))):
            connection, events = self._reported.popleft()
            connection.reported = False
            if connection.polled & events:
                ready.append((connection, events))
        if self._reported:
            self._hub.loop.run_callback(self._turn)

    def change(self, connection: Connection, before: int, events: int) -> None:
        descriptor = connection.descriptor
        if before:
            watcher = self._watchers.pop(descriptor)
            watcher.stop()
            watcher.close()
        if events:
            # The hub's bits: 1 is reading, 2 is writing.
            mask = (1 if events & READ else 0) | (2 if events & WRITE else 0)
            watcher = self._hub.loop.io(descriptor, mask)
            watcher.start(self._report, connection, events)
            self._watchers[descriptor] = watcher

    def _report(self, connection: Connection, events: int) -> None:
        # The hub does not say which of the two it was; both are tried.
        if connection.reported or self._paused:
            return
        connection.reported = True
        if not self._reported:
            self._hub.loop.run_callback(self._turn)
        self._reported.append((connection, events))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        for watcher in self._watchers.values():
            watcher.stop()
            watcher.close()
        self._watchers.clear()
