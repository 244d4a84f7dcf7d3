"""The plugins of one host: started in order, kept apart, stopped without a trace."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
from gevent.lock import RLock
from pluggy import PluginValidationError
from pydantic import ValidationError

from stonechat.commands import CommandError
from stonechat.core import plugin_loader
from stonechat.core.chains import FAULTS
from stonechat.core.config_types import PluginSetting
from stonechat.core.ledger import STOP_SECONDS, Ledger
from stonechat.errors import ConfigError, StonechatError
from stonechat.host import Host
from stonechat.options import PluginOptions
from stonechat.storage import Schema

if TYPE_CHECKING:
    from stonechat.core.command_registry import CommandRegistry
    from stonechat.core.virtual_host import VirtualHost

BUDGET_SECONDS = 60.0


@dataclass(slots=True)
class Running:
    """A plugin at work."""

    name: str
    instance: Any
    options: PluginOptions
    ledger: Ledger
    required: bool
    is_failing: bool = False
    """Whether it is going to be suspended."""

    @property
    def setting(self) -> PluginSetting:
        """What would start it again."""
        return PluginSetting(self.name, self.options, self.required)


class Snapshot(NamedTuple):
    """The plugins of a host at one moment."""

    running: Mapping[str, Running]
    quarantined: Mapping[str, str]
    waiting: Mapping[str, PluginSetting]


class HostPlugins:
    """Starts and stops the plugins of a host, and suspends one that keeps failing.

    A plugin that cannot start is quarantined: the reason is kept, the host
    goes on without it, unless the plugin is required. Where a required one has been at
    work before, its guards stay closed until it is again, or is not wanted any more.
    """

    def __init__(
        self, host: VirtualHost, commands: CommandRegistry, errors_per_minute: int
    ) -> None:
        self._host = host
        self._commands = commands
        self.errors_per_minute = errors_per_minute
        self._lock = RLock()
        self._failures: dict[str, tuple[float, int]] = {}
        self._are_started = False
        self.running: dict[str, Running] = {}
        self.quarantined: dict[str, str] = {}
        # What would start those in quarantine again.
        self._waiting: dict[str, PluginSetting] = {}

    # Many at once

    def start_all(self, settings: Mapping[str, PluginSetting]) -> None:
        """Start each plugin after those it requires; ConfigError for a required one."""
        with self._lock:
            for setting in _ordered(settings, self._requirements):
                self._start_or_quarantine(setting)
            self._are_started = True
            for name in list(self.running):
                self._tell_ready(name)

    def _tell_ready(self, name: str) -> None:
        instance = self.running[name].instance
        try:
            if hasattr(instance, "ready"):
                instance.ready()
        except FAULTS as error:
            self._host.plugin_failed(name, "ready", error, None)

    def stop_all(self) -> None:
        """Stop everything, the last one first."""
        with self._lock:
            for name in reversed(list(self.running)):
                self._stop(name)

    # One

    def enable(self, setting: PluginSetting) -> None:
        """Start one plugin; CommandError says why it does not start."""
        with self._lock:
            if setting.name in self.running:
                raise CommandError(f"{setting.name} is enabled on {self._host.name} already")
            try:
                self._start(setting)
            except FAULTS as error:
                self._quarantine(setting, error)
                raise CommandError(f"{setting.name} does not start: {error}") from error

    def disable(self, name: str) -> PluginSetting:
        """Stop one plugin; returns what would start it again."""
        with self._lock:
            if self.quarantined.pop(name, None) is not None:
                self._host.hooks.open_guards(name)
                return self._waiting.pop(name)
            if name not in self.running:
                raise CommandError(f"{name} is not enabled on {self._host.name}")
            dependants = [other for other in self.running if name in self._requirements(other)]
            if dependants:
                raise CommandError(f"{name} is required by {', '.join(sorted(dependants))}")
            running = self.running[name]
            self._stop(name)
            return PluginSetting(name, running.options, running.required)

    def reconfigure(self, setting: PluginSetting) -> None:
        """Start a plugin anew with other options, and those that require it after it."""
        with self._lock:
            stopped = [setting]
            for name in self._dependants(setting.name):
                running = self.running[name]
                stopped.append(PluginSetting(name, running.options, running.required))
            for old in reversed(stopped):
                if old.name in self.running:
                    self._stop(old.name, comes_back=True)
            self.quarantined.pop(setting.name, None)
            fault: ConfigError | None = None
            for new in stopped:
                try:
                    self._start_or_quarantine(new)
                except ConfigError as error:
                    # Those behind it were stopped, too, and must not be forgotten.
                    fault = fault or error
            if fault is not None:
                raise fault

    def change(self, settings: Mapping[str, PluginSetting], names: Collection[str]) -> None:
        """Bring the plugins of these names to their settings; one that has none is stopped.

        Those that require one of them are started anew after it, and so is what
        was waiting for it. ConfigError if a required plugin does not start;
        `restore` then brings back what there was.
        """
        with self._lock:
            wanted = {name: settings[name] for name in settings if name in names}
            for name, setting in settings.items():
                if name in self.quarantined and not set(self._requirements(name)).isdisjoint(
                    names
                ):
                    wanted.setdefault(name, setting)
            affected = {*names, *(other for name in names for other in self._dependants(name))}
            for name in reversed(list(self.running)):
                if name not in affected:
                    continue
                if name not in names:
                    wanted[name] = self.running[name].setting
                self._stop(name, comes_back=name in wanted)
            for name in names:
                self.quarantined.pop(name, None)
            for setting in _ordered(wanted, self._requirements):
                self._start_or_quarantine(setting)

    def require(self, settings: Mapping[str, PluginSetting]) -> None:
        """Take over which plugins are required now. Does not block."""
        for name, running in self.running.items():
            if name in settings:
                running.required = settings[name].required
        for name, waiting in self._waiting.items():
            if name in settings:
                self._waiting[name] = replace(waiting, required=settings[name].required)
        for name in self.quarantined:
            if name not in settings or not settings[name].required:
                self._host.hooks.open_guards(name)

    def snapshot(self) -> Snapshot:
        """What is at work now, for `restore`."""
        return Snapshot(dict(self.running), dict(self.quarantined), dict(self._waiting))

    def restore(self, snapshot: Snapshot) -> None:
        """Undo every change since the snapshot."""
        with self._lock:
            for name in reversed(list(self.running)):
                if snapshot.running.get(name) is not self.running[name]:
                    before = name in snapshot.running or name in snapshot.quarantined
                    self._stop(name, comes_back=before)
            for name in [name for name in self.quarantined if name in snapshot.running]:
                del self.quarantined[name]
            for name, old in snapshot.running.items():
                if name not in self.running:
                    try:
                        self._start(old.setting)
                    except FAULTS as error:
                        self._quarantine(old.setting, error)
            for name in [name for name in self.quarantined if name not in snapshot.running]:
                del self.quarantined[name]
            self.quarantined.update(snapshot.quarantined)
            self._waiting.update(snapshot.waiting)

    def reload_code(self, name: str, configured: Callable[[], PluginSetting]) -> None:
        """Start a plugin anew from the code that is installed now, also one in quarantine.

        `configured` reads its setting again: the options of one whose code could not be
        loaded have never been looked at.
        """
        with self._lock:
            if name in self.running:
                setting = self.running[name].setting
            elif name in self.quarantined:
                setting = self._waiting[name]
            else:
                raise CommandError(f"{name} is not enabled on {self._host.name}")
            forgotten = plugin_loader.forget_code("plugin", name)
            try:
                model = plugin_loader.options_of("plugin", name)
                if setting.fault:
                    setting = configured()
                else:
                    given = setting.options.model_dump(exclude_unset=True)
                    setting = PluginSetting(name, _remade(model, given), setting.required)
            except BaseException:
                # The old code goes on, and may import parts of itself yet.
                sys.modules.update(forgotten)
                raise
            self.reconfigure(setting)
            if name in self.quarantined:
                raise CommandError(f"{name} does not start: {self.quarantined[name]}")

    def _dependants(self, name: str) -> list[str]:
        """The running plugins that require this one, directly or not, as they were started."""
        found = {name}
        for other in self.running:
            if found.intersection(self._requirements(other)):
                found.add(other)
        return [other for other in self.running if other in found and other != name]

    def _requirements(self, name: str) -> tuple[str, ...]:
        running = self.running.get(name)
        if running is not None:
            return tuple(getattr(running.instance, "requires", ()))
        try:
            return tuple(getattr(plugin_loader.load("plugin", name), "requires", ()))
        except StonechatError:
            return ()

    def _start_or_quarantine(self, setting: PluginSetting) -> None:
        try:
            self._start(setting)
        except FAULTS as error:
            self._quarantine(setting, error)
            if setting.required:
                raise ConfigError(
                    f"{self._host.name}: the required plugin {setting.name}"
                    f" does not start: {error}"
                ) from error

    def _quarantine(self, setting: PluginSetting, error: BaseException) -> None:
        self._host.log.error("plugin does not start", plugin=setting.name, exc_info=error)
        self._set_aside(setting, str(error) or repr(error))

    def _set_aside(self, setting: PluginSetting, reason: str) -> None:
        name = setting.name
        if self._host.hooks.is_closed(name):
            # Better nothing passes than what nobody has looked at.
            reason = f"{reason}; what it guards is refused until it is at work again"
            self._host.log.error("guards closed", plugin=name)
        self.quarantined[name] = reason
        self._waiting[name] = setting

    def _start(self, setting: PluginSetting) -> None:
        if setting.fault:
            raise StonechatError(setting.fault)
        name = setting.name
        cls = plugin_loader.load("plugin", name)
        missing = [other for other in getattr(cls, "requires", ()) if other not in self.running]
        if missing:
            raise StonechatError(f"it requires {', '.join(missing)}, not enabled here")
        host = self._host
        schema = getattr(cls, "schema", None)
        if isinstance(schema, Schema):
            host.storage.ensure(schema)
        ledger = Ledger(host, name)
        face = Host(host, ledger, name, host.log.bind(plugin=name))
        instance: Any = None
        has_started = False
        try:
            instance = cls(face, setting.options)
            if hasattr(instance, "start"):
                instance.start()
            has_started = True
            self._connect(name, instance)
        except BaseException:
            self._disconnect(name, instance)
            if has_started:
                self._end(name, instance)
            ledger.close()
            raise
        self.running[name] = Running(name, instance, setting.options, ledger, setting.required)
        self.quarantined.pop(name, None)
        self._waiting.pop(name, None)
        self._failures.pop(name, None)
        host.hooks.open_guards(name)
        host.log.info("plugin started", plugin=name)
        if self._are_started:
            self._tell_ready(name)

    def _connect(self, name: str, instance: Any) -> None:
        """Put the plugin's hooks, handlers and commands to work."""
        host = self._host
        try:
            host.hooks.add(name, instance)
        except PluginValidationError as error:
            raise StonechatError(str(error)) from error
        for hook, table in (
            ("stonechat_iq_handlers", host.local_iq),
            ("stonechat_account_iq_handlers", host.account_iq),
        ):
            for handlers in host.hooks.answers(hook, name):
                for key, function in handlers.items():
                    table.add(key, function, name)
        for handlers in host.hooks.answers("stonechat_unauthenticated_iq_handlers", name):
            for key, function in handlers.items():
                if key in host.unauthenticated_iq:
                    raise StonechatError(
                        f"{' '.join(key)} before authentication is handled by the plugin"
                        f" {host.unauthenticated_iq[key][0]} already"
                    )
                host.unauthenticated_iq[key] = (name, function)
        tables: tuple[tuple[str, dict[tuple[str, str], tuple[str, Any]]], ...] = (
            ("stonechat_unbound_stream_elements", host.unbound_elements),
            ("stonechat_stream_elements", host.session_elements),
            ("stonechat_server_stream_elements", host.server_elements),
        )
        for hook, elements in tables:
            for handlers in host.hooks.answers(hook, name):
                for key, function in handlers.items():
                    if key in elements:
                        raise StonechatError(
                            f"<{key[1]} xmlns='{key[0]}'/> is handled by the plugin"
                            f" {elements[key][0]} already"
                        )
                    elements[key] = (name, function)
        for mechanisms in host.hooks.answers("stonechat_sasl_mechanisms", name):
            for mechanism, make in mechanisms.items():
                if mechanism in host.sasl_mechanisms:
                    raise StonechatError(
                        f"the mechanism {mechanism} is the plugin"
                        f" {host.sasl_mechanisms[mechanism][0]}'s already"
                    )
                host.sasl_mechanisms[mechanism] = (name, make)
        for makers in host.hooks.answers("stonechat_stream_features", name):
            host.feature_makers += tuple((name, make) for make in makers)
        for makers in host.hooks.answers("stonechat_server_stream_features", name):
            host.server_feature_makers += tuple((name, make) for make in makers)
        self._commands.add_owner(instance, host=host.name, plugin=name)

    def _disconnect(self, name: str, instance: Any, *, guarded: bool = False) -> None:
        host = self._host
        if host.hooks.manager.is_registered(instance):
            host.hooks.remove(instance, guarded=guarded)
        tables: tuple[dict[Any, tuple[str, Any]], ...] = (
            host.unauthenticated_iq,
            host.unbound_elements,
            host.session_elements,
            host.server_elements,
            host.sasl_mechanisms,
        )
        for table in tables:
            for key in [key for key, (owner, _) in table.items() if owner == name]:
                del table[key]
        host.local_iq.remove_plugin(name)
        host.account_iq.remove_plugin(name)
        host.feature_makers = tuple(m for m in host.feature_makers if m[0] != name)
        host.server_feature_makers = tuple(m for m in host.server_feature_makers if m[0] != name)
        self._commands.remove_owner(instance)

    def _stop(self, name: str, *, comes_back: bool = False) -> None:
        """Stop a plugin; the guards of a required one that is to come back stay closed."""
        running = self.running[name]
        running.ledger.end_streams()
        del self.running[name]
        self._disconnect(name, running.instance, guarded=running.required and comes_back)
        self._end(name, running.instance)
        running.ledger.close()
        self._host.log.info("plugin stopped", plugin=name)

    def _end(self, name: str, instance: Any) -> None:
        """Call a plugin's `stop`; it keeps nobody waiting for long."""
        try:
            if hasattr(instance, "stop"):
                with gevent.Timeout(STOP_SECONDS):
                    instance.stop()
        except FAULTS as error:
            self._host.log.error("plugin failed to stop", plugin=name, exc_info=error)

    # The error budget

    def count_failure(self, name: str) -> None:
        """A plugin has failed; too often within a minute, and it is suspended."""
        running = self.running.get(name)
        if running is None or running.is_failing:
            return
        now = time.monotonic()
        begun, count = self._failures.get(name, (now, 0))
        if now - begun > BUDGET_SECONDS:
            begun, count = now, 0
        self._failures[name] = (begun, count + 1)
        # More than the limit where a reload has lowered it meanwhile.
        if count + 1 >= self.errors_per_minute:
            running.is_failing = True
            # Not here: the failure may have come out of a hook under way.
            gevent.spawn(self._suspend, running)

    def _suspend(self, running: Running) -> None:
        name = running.name
        with self._lock:
            if self.running.get(name) is not running:
                return  # it was stopped or started anew meanwhile
            for other in reversed(self._dependants(name)):
                setting = self.running[other].setting
                self._stop(other, comes_back=True)
                self._set_aside(setting, f"stopped, for it requires {name}")
            self._stop(name, comes_back=True)
            self._host.log.error("plugin suspended", plugin=name)
            self._set_aside(running.setting, "suspended: it failed too often")


def _remade(model: type[PluginOptions], given: dict[str, Any]) -> PluginOptions:
    """The same options for new code; CommandError where it does not take them."""
    try:
        return model(**given)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False)
        ]
        raise CommandError(
            f"the new code does not take its options: {'; '.join(faults)}"
        ) from None


def _ordered(
    settings: Mapping[str, PluginSetting], requirements: Callable[[str], Iterable[str]]
) -> list[PluginSetting]:
    """Each setting after those it requires; a circle is broken where it begins."""
    order: list[PluginSetting] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in settings:
            return
        seen.add(name)
        for other in requirements(name):
            visit(other)
        order.append(settings[name])

    for name in settings:
        visit(name)
    return order
