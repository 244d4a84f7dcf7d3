"""IQ tables: which handler answers which request, and how it is queued."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import gevent
from gevent.pool import Pool

from stonechat.core.chains import FAULTS
from stonechat.errors import JIDError, StanzaError
from stonechat.iq import IGNORE, Component, Discipline, IqHandler, discipline_of
from stonechat.stanza import Element, Iq

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost

QUEUE_LIMIT = 1000
PARALLEL_LIMIT = 100


class _Entry(NamedTuple):
    function: IqHandler
    plugin: str
    dispatch: Callable[[_Entry, Iq], None] | None  # None: in the greenlet at hand


class IqTable:
    """The handlers of one component (the host, or its accounts) of a host."""

    def __init__(self, host: VirtualHost, component: Component) -> None:
        self._host = host
        self.component = component
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._queues: dict[IqHandler, _OneQueue] = {}

    def add(
        self,
        key: tuple[str, str],
        function: IqHandler,
        plugin: str,
        discipline: Discipline | None = None,
    ) -> None:
        """Register a handler for (type, namespace); ValueError if it is taken."""
        if key in self._entries:
            owner = self._entries[key].plugin
            raise ValueError(f"{key[0]} {key[1]} is handled by the plugin {owner} already")
        if key[0] not in ("get", "set"):
            raise ValueError(f"a request is of type get or set, not {key[0]!r}")
        queued = discipline or discipline_of(function)
        dispatch: Callable[[_Entry, Iq], None] | None = None
        if queued == "one_queue":
            queue = self._queues.get(function)
            if queue is None:
                queue = self._queues[function] = _OneQueue(self)
            dispatch = queue.put
        elif queued == "parallel":
            dispatch = _Parallel(self).put
        elif queued != "no_queue":
            raise ValueError(f"there is no queueing discipline {queued!r}")
        self._entries[key] = _Entry(function, plugin, dispatch)

    def owner(self, key: tuple[str, str]) -> str:
        """The plugin that handles this pair, or `""`."""
        entry = self._entries.get(key)
        return "" if entry is None else entry.plugin

    def remove(self, key: tuple[str, str]) -> None:
        """Unregister; KeyError if there is none."""
        entry = self._entries.pop(key)
        if all(other.function != entry.function for other in self._entries.values()):
            self._queues.pop(entry.function, None)

    def remove_plugin(self, plugin: str) -> None:
        """Unregister all handlers of a plugin."""
        for key in [key for key, entry in self._entries.items() if entry.plugin == plugin]:
            self.remove(key)

    def namespaces(self) -> set[str]:
        """What is answered here."""
        return {namespace for _, namespace in self._entries}

    def answer(self, iq: Iq) -> None:
        """Answer a request: exactly once, whatever its handler does."""
        if self._host.hooks.iq_to_server.run(iq):
            return
        entry = self._entries.get((iq.attributes.get("type", ""), iq.namespace))
        if entry is None:
            raise StanzaError("service-unavailable")
        if entry.dispatch is None:
            self.run(entry, iq)
            return
        # Until it is answered, its sender is not told that it was handled (XEP-0198).
        custody = iq.custody
        if custody is not None:
            custody.hold()
        try:
            entry.dispatch(entry, iq)
        except StanzaError:
            if custody is not None:
                custody.release()
            raise

    def run(self, entry: _Entry, iq: Iq) -> None:
        """Call the handler and send what it answers."""
        host = self._host
        try:
            payload = entry.function(iq)
            if payload is IGNORE:
                return
            if payload is not None and not isinstance(payload, Element):
                raise TypeError(f"a handler answers with an Element, not with {payload!r}")
            result = iq.result(payload)
        except StanzaError as error:
            host.router.bounce(iq, error)
        except JIDError as error:
            host.router.bounce(iq, StanzaError("jid-malformed", str(error)))
        except FAULTS as error:
            name = getattr(entry.function, "__name__", "iq handler")
            host.plugin_failed(entry.plugin, name, error, iq)
            host.router.bounce(iq, StanzaError("internal-server-error"))
        except BaseException:
            # The greenlet is killed; its request is answered all the same.
            host.router.bounce(iq, StanzaError("internal-server-error"))
            raise
        else:
            host.router.route(result)

    def run_late(self, entry: _Entry, iq: Iq) -> None:
        """Run what had to wait, if its handler is still there."""
        try:
            if self._entries.get((iq.type, iq.namespace)) is entry:
                self.run(entry, iq)
            else:
                self._host.router.bounce(iq, StanzaError("service-unavailable"))
        finally:
            if iq.custody is not None:
                iq.custody.release()


class _OneQueue:
    """Requests one after the other; the worker lives while there is work."""

    def __init__(self, table: IqTable) -> None:
        self._table = table
        self._waiting: deque[tuple[_Entry, Iq]] = deque()
        self._working = False

    def put(self, entry: _Entry, iq: Iq) -> None:
        if len(self._waiting) >= QUEUE_LIMIT:
            raise StanzaError("resource-constraint", "Too many requests are waiting.")
        self._waiting.append((entry, iq))
        if not self._working:
            self._working = True
            gevent.spawn(self._work)

    def _work(self) -> None:
        try:
            while self._waiting:
                self._table.run_late(*self._waiting.popleft())
        finally:
            # Whatever ends this worker, those who wait are not left behind.
            self._working = bool(self._waiting)
            if self._working:
                gevent.spawn(self._work)


class _Parallel:
    """Each request in a greenlet, up to a bound; beyond it, in line."""

    def __init__(self, table: IqTable) -> None:
        self._table = table
        self._pool = Pool(PARALLEL_LIMIT)
        self._waiting: deque[tuple[_Entry, Iq]] = deque()

    def put(self, entry: _Entry, iq: Iq) -> None:
        if not self._pool.full():
            self._pool.spawn(self._work, entry, iq)
        elif len(self._waiting) < QUEUE_LIMIT:
            self._waiting.append((entry, iq))
        else:
            raise StanzaError("resource-constraint", "Too many requests are waiting.")

    def _work(self, entry: _Entry, iq: Iq) -> None:
        self._table.run_late(entry, iq)
        while self._waiting:
            self._table.run_late(*self._waiting.popleft())
