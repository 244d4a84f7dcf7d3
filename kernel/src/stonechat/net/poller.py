"""All client sockets under one hub watcher, with runners that may block.

The hub's callback polls once and switches to an idle *runner*, a greenlet
that works the ready connections off and comes back with `_DONE`. A handler
that blocks switches to the hub as gevent always does, so the callback's own
switch returns something else: that is how blocking is noticed. The callback
then leaves that runner to its connection, which is not read until the runner
is through, and lends the rest of the list to another. So plugins may block,
one sender's stanzas stay in order, and what does not block pays nothing for it.
"""

from __future__ import annotations

import select
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from greenlet import greenlet

if TYPE_CHECKING:
    from stonechat.net.connection import Connection, Handler

HAS_EPOLL = hasattr(select, "epoll")

READ = 1
WRITE = 4

# A timer of 10 ms is late by 2 ms at saturation with these, and by 200 ms
# with 512 events and no budget of octets.
EVENTS_PER_TURN = 32
OCTETS_PER_TURN = 128 * 1024
# Handlers that may block at once, at some 8 KiB each. Strangers have to wait
# before that: their logins must not keep anybody else from being read.
MAX_BLOCKED = 2000
MAX_BLOCKED_FOR_STRANGERS = 1000
MAX_IDLE_RUNNERS = 64

_DONE = object()


class _Runner(greenlet):
    """A greenlet that handles ready connections; `blocked` while it waits inside a handler."""

    blocked = False


class Poller:
    """Polls connections and calls their `handle(events)`; flushes what they wrote.

    `on_error(connection, error)` is told of an exception that a handler let
    out; the connection is aborted. It must not block.
    """

    def __init__(self, hub: Any, on_error: Callable[[Connection, BaseException], None]) -> None:
        self._hub = hub
        self._on_error = on_error
        self._ready: deque[tuple[Connection, int]] = deque()
        self._dirty: list[Connection] = []
        self._idle: list[_Runner] = []
        self._blocked = 0
        self._put_off: OrderedDict[Connection, None] = OrderedDict()
        self._ended: dict[Connection, tuple[Handler, str]] = {}
        self._current: Connection
        self._in_turn = False
        self._is_closed = False
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
        if before != events and not self._is_closed:
            self._source.change(connection, before, events)
            connection.polled = events

    def wants_flush(self, connection: Connection) -> None:
        """A connection has output: it is flushed at the end of this turn, or soon."""
        self._dirty.append(connection)
        if not self._in_turn and not self._flush_scheduled:
            self._flush_scheduled = True
            self._hub.loop.run_callback(self._flush_outside_turn)

    def spend(self, octets: int) -> None:
        """Count octets read or written against this turn."""
        self._budget -= octets

    def lost(self, connection: Connection, handler: Handler, reason: str) -> None:
        """A connection has ended: tell its handler, once no runner is at work on it."""
        # In a greenlet of its own: the end of a session may block.
        gevent.spawn(self._tell_lost, connection, handler, reason)

    def close(self) -> None:
        """Stop polling, and drop all connections that wait to be read."""
        for connection in (*self._source.connections(), *self._put_off):
            connection.abort("the server has stopped")
        self._is_closed = True
        self._source.close()
        self._idle.clear()  # their frames hold us

    # A turn of the hub

    def _turn(self) -> None:
        ready = self._ready
        try:
            if not ready:
                self._source.poll(ready)
            self.now = time.monotonic()
            self._budget = OCTETS_PER_TURN
            self._in_turn = True
            while ready and self._budget > 0 and self._blocked < MAX_BLOCKED:
                runner = self._idle.pop() if self._idle else _Runner(self._run, self._hub)
                if runner.switch() is _DONE:
                    self._idle.append(runner)
                elif not runner.dead:
                    # It waits inside the handler of the current connection.
                    connection = self._current
                    runner.blocked = connection.busy = True
                    self._blocked += 1
            # What is left comes first in the next turn. Nobody has read it, so
            # the sources report it once more, after all else had its share.
            self._flush()
        except BaseException:  # noqa: BLE001 - or the hub would stop our watcher for good
            self._hub.handle_error(self, *sys.exc_info())
        finally:
            self._in_turn = False
        if self._blocked >= MAX_BLOCKED:
            self._source.pause()
        elif self._put_off:
            self._let_strangers_in()

    def _run(self) -> None:
        me: Any = greenlet.getcurrent()
        ready = self._ready
        while True:
            while ready and self._budget > 0:
                connection, events = ready.popleft()
                if connection.is_closed:
                    continue
                try:
                    if connection.busy:
                        # Only now it is not polled for reading any more: most
                        # peers are silent until they are answered.
                        connection.write_ready()
                        continue
                    if connection.is_stranger and self._blocked >= MAX_BLOCKED_FOR_STRANGERS:
                        # As if its handler blocked, but without a runner.
                        connection.busy = True
                        self._put_off[connection] = None
                        connection.resume()
                        continue
                    self._current = connection
                    connection.handle(events)
                except BaseException as error:  # noqa: BLE001 - the boundary of a connection
                    self._fail(connection, error)
                if me.blocked:
                    me.blocked = False
                    self._came_back(connection)
                    if len(self._idle) >= MAX_IDLE_RUNNERS:
                        return
                    self._idle.append(me)
                    break
            # Past the hub's own switch(), which takes no argument.
            greenlet.switch(self._hub, _DONE)

    def _came_back(self, connection: Connection) -> None:
        """A runner that was blocked is through with its connection."""
        self._blocked -= 1
        self._go_on(connection)
        if not self._is_closed:
            self._source.resume()
        if self._put_off:
            self._let_strangers_in()

    def _let_strangers_in(self) -> None:
        # Each of them may block, and then the room is taken.
        for _ in range(min(MAX_BLOCKED_FOR_STRANGERS - self._blocked, len(self._put_off))):
            self._go_on(self._put_off.popitem(last=False)[0])

    def _go_on(self, connection: Connection) -> None:
        """Poll a connection that was busy, or report its end if that has come meanwhile."""
        connection.busy = False
        ended = self._ended.pop(connection, None)
        if ended is not None:
            self.lost(connection, *ended)
        try:
            connection.resume()
        except OSError as error:  # the system has no memory to poll it
            self._fail(connection, error)

    def _tell_lost(self, connection: Connection, handler: Handler, reason: str) -> None:
        if connection in self._put_off:
            del self._put_off[connection]
        elif connection.busy:
            # Its runner is still at work on what came before the end.
            self._ended[connection] = (handler, reason)
            return
        try:
            handler.connection_lost(reason)
        except Exception as error:  # noqa: BLE001 - the boundary of a connection
            self._fail(connection, error)

    def _fail(self, connection: Connection, error: BaseException) -> None:
        try:
            self._on_error(connection, error)
        except BaseException:  # noqa: BLE001 - the report failed, not the connection
            self._hub.handle_error(connection, *sys.exc_info())
        connection.abort("internal error")

    # Flushing

    def _flush(self) -> None:
        dirty = self._dirty
        while dirty:
            connection = dirty.pop()
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
        self._epoll = select.epoll()
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
            del self._connections[descriptor]
            self._epoll.unregister(descriptor)
        elif before:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
            self._connections[descriptor] = connection

    def connections(self) -> list[Connection]:
        return list(self._connections.values())

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
        self._watchers: dict[Connection, Any] = {}
        self._reported: deque[tuple[Connection, int]] = deque()
        self._paused = False
        # One turn each time that the hub has looked at its descriptors.
        self._after = hub.loop.check()
        self._after.start(self._work)

    def _work(self) -> None:
        if self._reported and not self._paused:
            self._turn()

    def _report(self, events: int, connection: Connection) -> None:
        if not connection.reported:
            connection.reported = True
            # The hub's bits: 1 is reading, 2 is writing.
            ours = (READ if events & 1 else 0) | (WRITE if events & 2 else 0)
            self._reported.append((connection, ours))

    def poll(self, ready: deque[tuple[Connection, int]]) -> None:
        for _ in range(min(EVENTS_PER_TURN, len(self._reported))):
            connection, events = self._reported.popleft()
            connection.reported = False
            events &= connection.polled
            if events:
                ready.append((connection, events))

    def change(self, connection: Connection, before: int, events: int) -> None:
        if before:
            watcher = self._watchers.pop(connection)
            watcher.stop()
            watcher.close()
        if events:
            mask = (1 if events & READ else 0) | (2 if events & WRITE else 0)
            watcher = self._watchers[connection] = self._hub.loop.io(connection.descriptor, mask)
            if not self._paused:
                watcher.start(self._report, connection, pass_events=True)

    def connections(self) -> list[Connection]:
        return list(self._watchers)

    def pause(self) -> None:
        # What nobody reads would be reported for ever.
        self._paused = True
        for watcher in self._watchers.values():
            watcher.stop()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            for connection, watcher in self._watchers.items():
                watcher.start(self._report, connection, pass_events=True)

    def close(self) -> None:
        for watcher in (self._after, *self._watchers.values()):
            watcher.stop()
            watcher.close()
        self._watchers.clear()
