"""What a plugin has acquired on a host, so that all of it can be taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent

from stonechat.core.chains import FAULTS
from stonechat.core.component_stream import Acceptance, end_all
from stonechat.errors import JIDError, StanzaError
from stonechat.host import Timer
from stonechat.iq import Component, Discipline, IqHandler
from stonechat.jid import prepare_domain
from stonechat.stanza import Message, Stanza
from stonechat.streams import Stream, StreamHandler

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost

STOP_SECONDS = 5.0


class Ledger:
    """The acquisitions of one plugin on one host."""

    def __init__(self, host: VirtualHost, plugin: str) -> None:
        self._host = host
        self._plugin = plugin
        self._routes: set[str] = set()
        self._handlers: set[tuple[Component, str]] = set()
        self._timers: set[PluginTimer] = set()
        self._greenlets: set[gevent.Greenlet] = set()
        self._services: set[str] = set()
        self._acceptances: set[str] = set()
        self._gates: set[PluginGate] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many things the plugin holds."""
        held = (
            self._routes,
            self._handlers,
            self._timers,
            self._greenlets,
            self._services,
            self._acceptances,
            self._gates,
        )
        return sum(len(things) for things in held)

    def register_route(self, domain: str, handler: Callable[[Stanza], None]) -> None:
        self._must_be_open()
        domain = _prepared(domain)

        def receive(stanza: Stanza) -> None:
            try:
                handler(stanza)
            except (StanzaError, JIDError):
                raise
            except FAULTS as error:
                self._failed(handler, error, stanza)
                raise StanzaError("internal-server-error") from error

        self._host.router.add_route(domain, receive, self._plugin, self._host)
        self._routes.add(domain)

    def unregister_route(self, domain: str) -> None:
        domain = _prepared(domain)
        self._routes.remove(domain)
        self._host.router.remove_route(domain)

    def add_iq_handler(
        self,
        component: Component,
        namespace: str,
        function: IqHandler,
        discipline: Discipline | None,
    ) -> None:
        self._must_be_open()
        table = self._host.iq_table(component)
        table.add(("get", namespace), function, self._plugin, discipline)
        try:
            table.add(("set", namespace), function, self._plugin, discipline)
        except ValueError:
            table.remove(("get", namespace))
            raise
        self._handlers.add((component, namespace))

    def remove_iq_handler(self, component: Component, namespace: str) -> None:
        self._handlers.remove((component, namespace))
        table = self._host.iq_table(component)
        for key in (("get", namespace), ("set", namespace)):
            # Those of a plugin that is being stopped are gone already.
            if table.owner(key) == self._plugin:
                table.remove(key)

    def spawn(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> gevent.Greenlet:
        self._must_be_open()
        greenlet = gevent.spawn(self._guarded, function, arguments)
        self._greenlets.add(greenlet)
        greenlet.link(self._greenlets.discard)
        return greenlet

    def call_later(
        self, seconds: float, function: Callable[..., Any], arguments: tuple[Any, ...], every: bool
    ) -> Timer:
        self._must_be_open()
        timer = PluginTimer(self, seconds, function, arguments, every)
        timer.start()
        return timer

    def provide(self, name: str, service: Any) -> None:
        self._must_be_open()
        if name in self._host.services:
            raise ValueError(f"the service {name!r} is provided already")
        self._host.services[name] = service
        self._services.add(name)

    def accept_streams(self, domain: str, accept: Callable[[Stream], StreamHandler]) -> None:
        self._must_be_open()
        domain = prepare_domain(domain)
        for host in (self._host, *self._host.hosts.values()):
            other = host.stream_acceptances.get(domain)
            if other is not None:
                raise ValueError(f"streams to {domain} are taken by {other.plugin} already")
        self._host.stream_acceptances[domain] = Acceptance(
            self._host, self._plugin, domain, accept
        )
        self._acceptances.add(domain)

    def message_gate(self, wait: Callable[[Message], None]) -> PluginGate:
        self._must_be_open()

        def guarded(message: Message) -> None:
            try:
                wait(message)
            except (StanzaError, JIDError):
                raise
            except FAULTS as error:
                self._failed(wait, error, message)
                raise StanzaError("internal-server-error") from error

        gate = PluginGate(self._host, guarded)
        self._gates.add(gate)
        return gate

    def end_streams(self) -> None:
        """End the streams that the plugin takes, while it still handles what comes. Blocks."""
        acceptances = [self._host.stream_acceptances[domain] for domain in self._acceptances]
        # The server ends them all at once, before it comes to plugins.
        end_all([each for each in acceptances if not each.is_stopping])

    def close(self) -> None:
        """Take everything back. Greenlets that do not end in time are reported."""
        self._closed = True
        for gate in self._gates:
            gate.open()
        self._gates.clear()
        for timer in list(self._timers):
            timer.cancel()
        for domain in list(self._routes):
            self.unregister_route(domain)
        for component, namespace in list(self._handlers):
            self.remove_iq_handler(component, namespace)
        for name in self._services:
            del self._host.services[name]
        self._services.clear()
        for domain in self._acceptances:
            self._host.stream_acceptances.pop(domain).close()
        self._acceptances.clear()
        # A plugin that stops itself does so in one of its own greenlets.
        others = [g for g in self._greenlets if g is not gevent.getcurrent()]
        with gevent.Timeout(STOP_SECONDS, False):
            gevent.killall(others)
        alive = sum(not greenlet.dead for greenlet in others)
        if alive:
            self._host.log.error(
                "greenlets outlive their plugin", plugin=self._plugin, greenlets=alive
            )

    def _must_be_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"the plugin {self._plugin} has stopped")

    def _guarded(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            return function(*arguments)
        except FAULTS as error:
            self._failed(function, error, None)
            return None

    def _failed(
        self, function: Callable[..., Any], error: BaseException, stanza: Stanza | None
    ) -> None:
        self._host.plugin_failed(self._plugin, getattr(function, "__name__", "?"), error, stanza)


def _prepared(domain: str) -> str:
    """A domain as addresses spell it; one with `*.` before it stands for its subdomains."""
    if domain.startswith("*."):
        return f"*.{prepare_domain(domain[2:])}"
    return prepare_domain(domain)


class PluginGate:
    """A `stonechat.host.Gate`."""

    def __init__(self, host: VirtualHost, wait: Callable[[Message], None]) -> None:
        self._host = host
        self._wait = wait

    def close(self) -> None:
        manager = self._host.session_manager
        if self._wait not in manager.gates:
            manager.gates = (*manager.gates, self._wait)

    def open(self) -> None:
        manager = self._host.session_manager
        manager.gates = tuple(wait for wait in manager.gates if wait is not self._wait)


class PluginTimer:
    """A timer that runs its function in a greenlet of the plugin."""

    __slots__ = ("_arguments", "_every", "_function", "_ledger", "_seconds", "_timer")

    def __init__(
        self,
        ledger: Ledger,
        seconds: float,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        every: bool,
    ) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._function = function
        self._arguments = arguments
        self._every = every
        self._timer: Timer | None = None

    def start(self) -> None:
        self._ledger._timers.add(self)
        self._timer = self._ledger._host.timers.add(self._seconds, self._due)

    def cancel(self) -> None:
        self._every = False
        if self._timer is not None:
            self._timer.cancel()
        self._ledger._timers.discard(self)

    def _due(self) -> None:
        if not self._every:
            self._ledger._timers.discard(self)
            self._ledger.spawn(self._function, self._arguments)
            return
        self._ledger.spawn(self._run_and_again, ())

    def _run_and_again(self) -> None:
        try:
            self._ledger._guarded(self._function, self._arguments)
        finally:
            if self._every and not self._ledger._closed:
                self.start()
