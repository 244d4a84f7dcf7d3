"""The server: puts all the parts together, and takes them apart again in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from stonechat import __version__
from stonechat.auth import AuthBackend
from stonechat.cluster import Cluster, SingleNode
from stonechat.core import backend_hooks, plugin_loader, systemd
from stonechat.core.accounts import HostAccounts
from stonechat.core.admin_kinds import COMMAND_CLASSES
from stonechat.core.certificate_watch import CertificateWatch
from stonechat.core.client_port import ClientPort
from stonechat.core.client_session import ClientSession
from stonechat.core.command_registry import CommandRegistry
from stonechat.core.component_port import ComponentPort
from stonechat.core.component_stream import end_all
from stonechat.core.config_model import (
    ClientListener,
    ComponentListener,
    Limits,
    ServerListener,
)
from stonechat.core.config_model import Watchdog as WatchdogOptions
from stonechat.core.config_types import Configuration, HostConfiguration
from stonechat.core.control import ControlSocket
from stonechat.core.control_wire import socket_path
from stonechat.core.examiner import Examiner
from stonechat.core.host_commands import HostCommands
from stonechat.core.ledger import Ledger
from stonechat.core.listening_port import ListeningPort
from stonechat.core.log import get_logger
from stonechat.core.plugin_manager import HostPlugins
from stonechat.core.router import Router
from stonechat.core.s2s_manager import S2SManager
from stonechat.core.secrets_file import load_or_create_secret
from stonechat.core.store import NodeStore, open_store
from stonechat.core.throttle import LoginThrottle
from stonechat.core.tls_setup import make_contexts
from stonechat.core.virtual_host import VirtualHost
from stonechat.core.watchdog import Watchdog
from stonechat.errors import ConfigError, StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.net.connection import Connection
from stonechat.net.limits import AddressLimits
from stonechat.net.poller import Poller
from stonechat.net.timers import TimerWheel
from stonechat.net.tls import TlsContexts
from stonechat.net.tls_contexts import ContextSet
from stonechat.options import ListenerOptions

T = TypeVar("T")

THREADS = 10
SWEEP_SECONDS = 10.0
SESSIONS_PER_SLICE = 500


class Server:
    """One node. `start` brings it up, `stop` drains it; both block their greenlet.

    With `control` it listens on the control socket in its `data_dir`.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], int] = time.time_ns,
        control: bool = False,
    ) -> None:
        self.configuration = configuration
        self.log = get_logger()
        self.hub = gevent.get_hub()
        self.poller = Poller(self.hub, self._connection_failed)
        self.timers = TimerWheel(clock, on_error=self._timer_failed)
        self.commands = CommandRegistry()
        self.cluster: Cluster = SingleNode()
        self.s2s = S2SManager(self)
        self.router = Router(self.cluster, self.s2s, self.log)
        self.router.max_hops = configuration.limits.max_hops
        self.hosts: dict[str, VirtualHost] = {}
        self.ports: list[ListeningPort] = []
        self.contexts: TlsContexts | None = None
        self.certificate_watch = CertificateWatch(self, self._context_sets)
        self.examiner = Examiner(self)
        self.books: AddressLimits[Connection] = AddressLimits()
        self.set_bounds(configuration.limits)
        self.started_at = 0
        self.stopped = Event()
        self.is_stopping = False
        self.is_reloading = False
        self.is_restarting = False
        """Whether the process starts anew once it has stopped."""
        self._drain_until = 0.0
        self._clock = clock
        self._ready_at = clock()
        self._wall_clock = wall_clock
        self._latest = 0
        self._threads = ThreadPool(THREADS)
        self._store: NodeStore | None = None
        self._watchdog: Watchdog | None = None
        self._throttles: dict[str, LoginThrottle] = {}  # by host; they outlive a reload
        self._secret = b""
        self._control: ControlSocket | None = None
        if control:
            path = socket_path(configuration.data_dir)
            self._control = ControlSocket(path, self.commands, self.log)
        for kind in COMMAND_CLASSES:
            self.commands.add_owner(kind(self))
        self._backends: dict[HostAccounts, list[tuple[AuthBackend, Ledger]]] = {}

    @property
    def store(self) -> NodeStore:
        assert self._store is not None, "the server has not started"
        return self._store

    @property
    def watchdog(self) -> Watchdog | None:
        return self._watchdog

    def now(self) -> int:
        """Microseconds since the epoch, always later than the last time (promise R10)."""
        now = self._wall_clock() // 1000
        self._latest = now if now > self._latest else self._latest + 1
        return self._latest

    # Start

    def start(self) -> None:
        """Bring everything up; ConfigError or StorageError, and nothing is left running."""
        try:
            self._start()
        except BaseException:
            self._tear_down()
            raise

    def _start(self) -> None:
        configuration = self.configuration
        try:
            configuration.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"data_dir: {configuration.data_dir} cannot be made: {error.strerror}"
            ) from error
        self._secret = load_or_create_secret(configuration.data_dir / "server.secret")
        self._store = open_store(
            configuration.storage, configuration.data_dir, durability=configuration.durability
        )
        self.timers.start(self.hub)
        self.s2s.start()
        self.watch(configuration.watchdog)
        self.contexts = make_contexts(configuration)
        # The ports first: a port that is taken stops the start before any
        # plugin has done a thing.
        for listener in configuration.listeners:
            self.ports.append(self.make_port(listener))
        for port in self.ports:
            port.open(accept=False)
        for host in configuration.hosts.values():
            self.add_host(host)
        for port in self.ports:
            port.accept()
        for warning in configuration.warnings:
            self.log.warning("configuration", warning=warning)
        self.started_at = self.now()
        self._ready_at = self._clock()
        if self._control is not None:
            self._control.open()
        self.timers.add(SWEEP_SECONDS, self._sweep)
        self.certificate_watch.start()
        systemd.notify("READY=1")
        self.log.info("ready", version=__version__, hosts=list(self.hosts))

    def watch(self, options: WatchdogOptions) -> None:
        """Set a watchdog on the hub, in the place of the one before."""
        blocks = 0
        if self._watchdog is not None:
            blocks = self._watchdog.blocks
            self._watchdog.stop()
        self._watchdog = Watchdog(
            self.hub, options.block_warning, options.block_abort, self._blocked
        )
        self._watchdog.blocks = blocks

    def set_bounds(self, limits: Limits) -> None:
        """Set how many may connect, and how fast, from now on."""
        self.books.change(
            connections_per_address=limits.connections_per_address,
            strangers_per_address=limits.unauthenticated_per_address,
            strangers=limits.unauthenticated_total,
            rate_per_second=limits.connections_per_second_per_address,
            exempt=limits.exempt_networks,
        )

    def make_port(self, listener: ListenerOptions) -> ListeningPort:
        """A port as a listener's options want it, not open yet."""
        if isinstance(listener, ClientListener):
            return ClientPort(listener, server=self)
        if isinstance(listener, ComponentListener):
            return ComponentPort(listener, server=self)
        if isinstance(listener, ServerListener):
            # Not for a server that speaks to no other.
            from stonechat.core.server_port import ServerPort

            return ServerPort(listener, server=self, owner=self.s2s)
        raise ConfigError(f"there is nothing that listens as {listener.type}")

    def add_host(self, configuration: HostConfiguration) -> VirtualHost:
        """Bring a virtual host up, and let clients in."""
        host = self.make_host(configuration)
        self.hosts[host.name] = host
        return host

    def make_host(self, configuration: HostConfiguration) -> VirtualHost:
        """Bring a virtual host up, with its backends and plugins, but without clients yet."""
        name = configuration.domain
        host = VirtualHost(
            name,
            router=self.router,
            s2s=self.s2s,
            cluster=self.cluster,
            storage=self.store,
            timers=self.timers,
            data_dir=self.configuration.data_dir / "hosts" / name.replace(":", "_"),
            access=configuration.access,
            language=configuration.language,
            now=self.now,
            monotonic=self._clock,
            run_blocking=self.run_blocking,
            secret=self._secret,
            log=self.log.bind(host=name),
            hosts=self.hosts,
            uptime=lambda: self._clock() - self._ready_at,
        )
        host.accounts = self.make_accounts(host, configuration)
        host.host_commands = HostCommands(host, self.commands, lambda: self.configuration.access)
        host.examiner = self.examiner
        host.plugins = HostPlugins(
            host, self.commands, self.configuration.limits.plugin_errors_per_minute
        )
        try:
            backend_hooks.connect(host, self.backends_of(host.accounts))
            host.plugins.start_all(configuration.plugins)
            backend_hooks.tell_ready(host, self.backends_of(host.accounts))
            try:
                self.router.add_route(name, host.local_router.receive, f"host {name}", host)
            except ValueError as error:
                raise ConfigError(f"the host {name} cannot be served: {error}") from error
        except BaseException:
            self.take_down(host)
            raise
        return host

    def take_down(self, host: VirtualHost) -> None:
        """Stop all that belongs to a host; its sessions have ended before."""
        host.plugins.stop_all()
        backend_hooks.disconnect(host, self.backends_of(host.accounts))
        self.stop_accounts(host.accounts)
        if self.router.owner(host.name) == f"host {host.name}":
            self.router.remove_route(host.name)

    def make_accounts(self, host: VirtualHost, configuration: HostConfiguration) -> HostAccounts:
        """The accounts of a host over its backends, which are started."""
        backends: list[tuple[AuthBackend, Ledger]] = []
        try:
            for setting in configuration.auth:
                cls = plugin_loader.load("auth", setting.name)
                label = backend_hooks.label_of(setting.name)
                ledger = Ledger(host, label)
                face = Host(host, ledger, label, host.log.bind(auth=setting.name))
                backend = cls(face, setting.options)
                # Before it starts: one that raises has to be stopped, too.
                backends.append((backend, ledger))
                backend_hooks.check(setting.name, backend)
                schema = getattr(cls, "schema", None)
                if schema is not None:
                    self.store.ensure(schema)
                backend.start()
        except BaseException:
            self._stop_backends(backends)
            raise

        def removed(account: JID) -> list[str]:
            if not host.session_manager.close_account(
                account.localpart, StreamError("not-authorized", "The account was removed.")
            ):
                host.log.warning("sessions of a removed account linger", account=account.text)
            return host.hooks.notify("stonechat_account_removed", {"account": account})

        names = (setting.name for setting in configuration.auth)
        accounts = HostAccounts(
            host.name,
            [(name, backend) for name, (backend, _) in zip(names, backends, strict=True)],
            secret=self._secret,
            run_blocking=self.run_blocking,
            on_created=lambda account: host.notify(
                "stonechat_account_created", {"account": account}
            ),
            on_removed=removed,
            on_password_changed=lambda account: host.notify(
                "stonechat_password_changed", {"account": account}
            ),
            throttle=self._throttles.setdefault(host.name, LoginThrottle(self._clock)),
            clock=self._clock,
        )
        self._backends[accounts] = backends
        return accounts

    def backends_of(self, accounts: HostAccounts) -> list[AuthBackend]:
        return [backend for backend, _ in self._backends[accounts]]

    def exchange_accounts(self, host: VirtualHost, accounts: HostAccounts) -> HostAccounts:
        """Put other accounts of a host in force; returns those before. Does not block."""
        old, host.accounts = host.accounts, accounts
        backend_hooks.disconnect(host, self.backends_of(old))
        backend_hooks.connect(host, self.backends_of(accounts))
        return old

    def stop_accounts(self, accounts: HostAccounts) -> None:
        """Stop the backends that `make_accounts` started."""
        self._stop_backends(self._backends.pop(accounts))

    def _stop_backends(self, backends: list[tuple[AuthBackend, Ledger]]) -> None:
        for backend, ledger in reversed(backends):
            try:
                backend.stop()
            except Exception as error:
                self.log.error(
                    "auth backend failed to stop", backend=repr(backend), exc_info=error
                )
            ledger.close()

    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call in the thread pool and wait for it."""
        result, error = self._threads.apply(_attempt, (call, arguments))
        if error is not None:
            raise error
        return cast(T, result)

    # At work

    def _sweep(self) -> None:
        """Now and then: white space to those who were silent for long."""
        self.timers.add(SWEEP_SECONDS, self._sweep)
        gevent.spawn(self._space_out)

    def _space_out(self) -> None:
        for host in list(self.hosts.values()):
            for number, session in enumerate(host.session_manager):
                session.keep_alive(SWEEP_SECONDS)
                if number % SESSIONS_PER_SLICE == 0:
                    gevent.sleep(0)

    def _context_sets(self) -> Iterator[ContextSet]:
        """What has been made of certificate files."""
        if self.contexts is not None:
            yield self.contexts
        yield from self.s2s.ways.made

    def _blocked(self, plugin: str, seconds: float, stack: str) -> None:
        # In the watchdog's thread; nothing here touches the hub.
        self.log.error(
            "the server is blocked", plugin=plugin, seconds=round(seconds, 3), stack=stack
        )

    def _connection_failed(self, connection: Connection, error: BaseException) -> None:
        self.log.error("connection failed", address=connection.address, exc_info=error)

    def _timer_failed(self, callback: Callable[..., object], error: BaseException) -> None:
        self.log.error("timer failed", callback=repr(callback), exc_info=error)

    # Stop

    def stop(self, timeout: float | None = None) -> None:
        """Stop accepting, tell every session, flush, and take all down (promise R11).

        Called again meanwhile, it only makes haste: sessions have `timeout` from now.
        """
        limit = self.configuration.limits.shutdown_timeout if timeout is None else timeout
        if self.is_stopping:
            self._drain_until = min(self._drain_until, time.monotonic() + limit)
            return
        self.is_stopping = True
        self._drain_until = time.monotonic() + limit
        # systemd ends a process that says it is stopping and does not.
        systemd.notify("STOPPING=1" if not self.is_restarting else systemd.reloading())
        self.log.info("stopping")
        for port in self.ports:
            port.close()
        with gevent.Timeout(limit, False):
            self._drain(limit / 2)
            hosts = self.hosts.values()
            end_all([taken for host in hosts for taken in host.stream_acceptances.values()])
            # Behind the sessions: their contacts elsewhere are to hear that they are gone.
            self.s2s.drain(lambda: self._drain_until - time.monotonic())
        self._tear_down()
        self.log.info("stopped")
        self.stopped.set()

    def _drain(self, patience: float) -> None:
        error = StreamError("system-shutdown")
        sessions: list[ClientSession] = []
        for host in self.hosts.values():
            sessions += host.session_manager.ending
            for number, session in enumerate(host.session_manager):
                session.close(error)
                sessions.append(session)
                if number % SESSIONS_PER_SLICE == 0:
                    gevent.sleep(0)
        for session in sessions:
            while not session.is_gone:
                left = self._drain_until - time.monotonic()
                if left <= 0:
                    return
                if left <= patience:
                    # What a client has sent is waited for no longer; its end is told yet.
                    for other in sessions:
                        other.hurry()
                    patience = 0
                gevent.sleep(0.02)

    def _tear_down(self) -> None:
        for port in self.ports:
            port.close()
        self.s2s.stop()
        self.certificate_watch.stop()
        for host in list(self.hosts.values()):
            self.take_down(host)
        self.timers.stop()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._store is not None:
            self._store.close()
            self._store = None
        self.poller.close()
        self._threads.kill()
        if self._control is not None:
            # Last: whoever asked for the stop sees by it that all is over.
            self._control.close()


def _attempt(
    call: Callable[..., T], arguments: tuple[Any, ...]
) -> tuple[T | None, Exception | None]:
    """What a call returns or raises; gevent would print what is raised in a thread."""
    try:
        return call(*arguments), None
    except Exception as error:  # noqa: BLE001 - it is raised again where the caller waits
        return None, error
