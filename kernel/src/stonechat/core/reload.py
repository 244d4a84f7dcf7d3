"""Brings a changed configuration into force, whole or not at all (promise R12).

All that can fail is built first: TLS contexts, listeners, new hosts, auth backends,
plugins. If any of it fails, what was built is taken down again in reverse, and the
server is as it was. Only then comes the part that cannot fail, without a switch to
another greenlet in it; what is not wanted any more ends after that.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gevent

from stonechat.core import backend_hooks, log, plugin_loader, systemd
from stonechat.core.config import load_configuration
from stonechat.core.config_plan import Plan, plan_reload
from stonechat.core.tls_setup import make_contexts
from stonechat.errors import ConfigError, StonechatError, StreamError

if TYPE_CHECKING:
    from stonechat.core.accounts import HostAccounts
    from stonechat.core.config_types import Configuration
    from stonechat.core.listening_port import ListeningPort
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.tls import TlsContexts
    from stonechat.options import ListenerOptions

NOTHING = "nothing has changed"

# Set by those who have to wait: how often to look whether sessions are cleared up.
_LOOK_SECONDS = 0.02


def preview(server: Server) -> list[str]:
    """What a reload would change, one line each; ConfigError for a bad file."""
    plan, _ = _read(server)
    return list(plan.text) or [NOTHING]


def reload(server: Server) -> list[str]:
    """Read the configuration file again and apply it; returns what has changed.

    ConfigError, or another StonechatError, says why nothing has.
    """
    if server.is_reloading or server.is_stopping:
        reason = "the server stops" if server.is_stopping else "a reload is under way"
        server.log.warning("reload refused", problems=reason)
        raise ConfigError(reason)
    server.is_reloading = True
    # The time is for systemd's Type=notify-reload.
    systemd.notify(systemd.reloading())
    try:
        changes = _reload(server)
    except StonechatError as error:
        server.log.error("reload refused", problems=str(error))
        raise
    except BaseException as error:
        server.log.error("reload failed", exc_info=error)
        raise
    finally:
        server.is_reloading = False
        systemd.notify("READY=1")
    for change in changes:
        server.log.info("reloaded", change=change)
    return changes


def _read(server: Server) -> tuple[Plan, Configuration]:
    old = server.configuration
    new = load_configuration(old.file, plugin_loader.options_of)
    return plan_reload(old, new), new


def _reload(server: Server) -> list[str]:
    plan, new = _read(server)
    if not plan:
        # The log file is opened anew all the same: it may have been moved away.
        _configure_log(server.configuration)
        return [NOTHING]
    known = {host.name: set(host.plugins.quarantined) for host in server.hosts.values()}
    change = _Change(server, plan, new)
    with ExitStack() as undo:
        change.build(undo)
        if server.is_stopping:
            raise ConfigError("the server stops")
        undo.pop_all()
    change.put_in_force()
    change.end_the_old()
    return [
        *plan.text,
        *(f"warning: {warning}" for warning in new.warnings),
        *(
            f"{host.name}: plugin {name} does not start: {reason}"
            for host in server.hosts.values()
            for name, reason in host.plugins.quarantined.items()
            if name not in known.get(host.name, ())
        ),
    ]


def _configure_log(configuration: Configuration) -> None:
    options = configuration.log
    if not log.is_configured():
        return  # somebody else's process: a test, a script
    try:
        log.configure(options.level, options.format, options.file)
    except OSError as error:
        raise ConfigError(f"log.file: {options.file}: {error.strerror}") from error


@dataclass
class _Change:
    """One reload on its way."""

    server: Server
    plan: Plan
    new: Configuration
    contexts: TlsContexts | None = None
    ports: list[ListeningPort] = field(default_factory=list)  # opened ones
    closing: list[ListeningPort] = field(default_factory=list)
    hosts: dict[str, VirtualHost] = field(default_factory=dict)  # added ones
    accounts: dict[str, HostAccounts] = field(default_factory=dict)
    retired: list[HostAccounts] = field(default_factory=list)

    # What can fail

    def build(self, undo: ExitStack) -> None:
        """Make everything that is new; `undo` gets what takes it back."""
        self.contexts = make_contexts(self.new)
        for listener in self.plan.listeners_closed:
            self.closing.append(self._port_of(listener, but=self.closing))
        late = [o for o in self.plan.listeners_opened if any(_collide(o, p) for p in self.closing)]
        self._open_ports(undo, [o for o in self.plan.listeners_opened if o not in late])
        for name in self.plan.hosts_added:
            self.hosts[name] = host = self.server.make_host(self.new.hosts[name])
            undo.callback(self.server.take_down, host)
        self._make_accounts(undo)
        self._change_plugins(undo)
        # Last, for between the two nobody listens there.
        for port in self.closing:
            if any(_collide(listener, port) for listener in late):
                port.close()
                undo.callback(port.open)
        self._open_ports(undo, late)
        _configure_log(self.new)

    def _port_of(self, listener: ListenerOptions, but: list[ListeningPort]) -> ListeningPort:
        return next(p for p in self.server.ports if p.options == listener and p not in but)

    def _open_ports(self, undo: ExitStack, listeners: list[ListenerOptions]) -> None:
        for listener in listeners:
            port = self.server.make_port(listener)
            port.open()
            undo.callback(port.close)
            self.ports.append(port)

    def _make_accounts(self, undo: ExitStack) -> None:
        for name in self.plan.hosts_changed:
            if self.new.hosts[name].auth != self.server.configuration.hosts[name].auth:
                host = self.server.hosts[name]
                accounts = self.server.make_accounts(host, self.new.hosts[name])
                undo.callback(self.server.stop_accounts, accounts)
                self.accounts[name] = accounts

    def _change_plugins(self, undo: ExitStack) -> None:
        names: defaultdict[str, set[str]] = defaultdict(set)
        for host, plugin in (
            *self.plan.plugins_disabled,
            *self.plan.plugins_enabled,
            *self.plan.plugins_reconfigured,
        ):
            if host:
                names[host].add(plugin)
        for host, changed in names.items():
            plugins = self.server.hosts[host].plugins
            undo.callback(plugins.restore, plugins.snapshot())
            plugins.change(self.new.hosts[host].plugins, changed)

    # What cannot

    def put_in_force(self) -> None:
        """Swap the old for the new; nothing in here blocks."""
        server, new, old = self.server, self.new, self.server.configuration
        # As before until the next start.
        fixed: dict[str, Any] = {name: getattr(old, name) for name in self.plan.restart_needed}
        server.configuration = replace(new, **fixed)
        server.router.max_hops = new.limits.max_hops
        server.contexts = self.contexts
        for change in self.plan.listeners_changed:
            self._port_of(change.old, but=self.closing).options = change.new
        server.ports[:] = [p for p in server.ports if p not in self.closing] + self.ports
        for port in self.closing:
            port.close()
        self._swap_hosts()
        server.set_bounds(new.limits)
        server.s2s.reload(old)
        server.certificate_watch.start()
        if "watchdog" in self.plan.settings_changed:
            server.watch(new.watchdog)

    def _swap_hosts(self) -> None:
        server, new = self.server, self.new
        hosts = {**server.hosts, **self.hosts}
        self.hosts = {name: hosts[name] for name in self.plan.hosts_removed}
        # In the order of the file: the first one answers where a client names none.
        server.hosts.clear()
        server.hosts.update((name, hosts[name]) for name in new.hosts)
        for name, accounts in self.accounts.items():
            self.retired.append(server.exchange_accounts(hosts[name], accounts))
        for name, host in server.hosts.items():
            setting = new.hosts[name]
            host.access = setting.access
            host.language = setting.language
            host.plugins.errors_per_minute = new.limits.plugin_errors_per_minute
            host.plugins.require(setting.plugins)

    # Afterwards

    def end_the_old(self) -> None:
        """End the sessions of removed hosts, and all that is not in use any more."""
        for accounts in self.retired:
            self.server.stop_accounts(accounts)
        for name, accounts in self.accounts.items():
            backend_hooks.tell_ready(self.server.hosts[name], self.server.backends_of(accounts))
        # RFC 6120, 4.9.3.5: "the domain ... is no longer serviced by the receiving entity".
        error = StreamError("host-gone", "This domain is not served here any more.")
        limit = self.new.limits.shutdown_timeout
        hurry_at = time.monotonic() + limit / 2
        with gevent.Timeout(limit, False):
            for host in self.hosts.values():
                sessions = [*host.session_manager.ending, *host.session_manager]
                for session in sessions:
                    session.close(error)
                while any(not session.is_gone for session in sessions):
                    if time.monotonic() >= hurry_at:
                        # What a client has sent is waited for no longer; its end is told yet.
                        for session in sessions:
                            session.hurry()
                    gevent.sleep(_LOOK_SECONDS)
        for host in self.hosts.values():
            self.server.take_down(host)
        self.server.s2s.hosts_gone()


def _collide(listener: ListenerOptions, port: ListeningPort) -> bool:
    """Whether a port may have to close before the listener can open."""
    return listener.port != 0 and listener.port == port.port
