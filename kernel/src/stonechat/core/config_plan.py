"""What a reload will change: shown to the operator, then applied by the server.

A plan is data: `text` is what `stonechat reload` prints, the other fields are what
the server works off. A plan without text changes nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stonechat.core.access import AccessRules
from stonechat.core.config_model import HostFederation
from stonechat.core.config_types import (
    AuthSetting,
    CertificateFiles,
    ClusterSetting,
    Configuration,
    HostConfiguration,
    PluginSetting,
)
from stonechat.options import ListenerOptions, PluginOptions
from stonechat.options.reference import show_value

_LONGEST_VALUE = 60
_MOST_HOSTS_NAMED = 3


class OnHost(NamedTuple):
    """A plugin on a host; `host` is "" for the settings at the top of the file."""

    host: str
    plugin: str


class ListenerChange(NamedTuple):
    """A listener that stays on its port and gets other options."""

    old: ListenerOptions
    new: ListenerOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between two configurations.

    Close listeners before opening others: one of another type may take the port.
    Plugins of a host that comes or goes are not listed. A plugin at the top of the
    file is listed under the host "" and under each host for which it changes: the
    server knows whether it is one per node or one per host.
    """

    hosts_added: tuple[str, ...] = ()
    hosts_removed: tuple[str, ...] = ()
    hosts_changed: tuple[str, ...] = ()  # auth, access, federation, or what is required
    certificates_changed: tuple[str, ...] = ()  # the hosts
    plugins_enabled: tuple[OnHost, ...] = ()
    plugins_disabled: tuple[OnHost, ...] = ()
    plugins_reconfigured: tuple[OnHost, ...] = ()
    listeners_opened: tuple[ListenerOptions, ...] = ()
    listeners_closed: tuple[ListenerOptions, ...] = ()
    listeners_changed: tuple[ListenerChange, ...] = ()
    settings_changed: tuple[str, ...] = ()  # at the top of the file: "limits", "log", ...
    restart_needed: tuple[str, ...] = ()  # "data_dir", "storage", ...: as before until then
    text: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text)


def plan_reload(old: Configuration, new: Configuration) -> Plan:
    """What has to happen for `new` to be in force in place of `old`."""
    differ = _Differ()
    differ.compare_hosts(old.hosts, new.hosts)
    differ.compare_plugins("", old.plugins, new.plugins)
    differ.compare_listeners(old.listeners, new.listeners)
    differ.compare_settings(old, new)
    return differ.plan(kept=[domain for domain in new.hosts if domain in old.hosts])


class _Differ:
    """Collects the fields of a plan, and its lines."""

    def __init__(self) -> None:
        self._fields: dict[str, list[Any]] = {}
        self._lines: list[str] = []
        self._hosts_by_change: dict[str, list[str]] = {}

    def plan(self, kept: list[str]) -> Plan:
        fields = {name: tuple(entries) for name, entries in self._fields.items()}
        lines = [
            f"{_hosts_text(hosts, kept)}: {change}"
            for change, hosts in self._hosts_by_change.items()
        ]
        return Plan(**fields, text=tuple(map(_printable, (*self._lines, *lines))))

    def compare_hosts(
        self, old: Mapping[str, HostConfiguration], new: Mapping[str, HostConfiguration]
    ) -> None:
        for domain in old:
            if domain not in new:
                self._note("hosts_removed", domain)
                self._lines.append(f"host {domain} is removed, its sessions end")
        for domain, host in new.items():
            if domain not in old:
                self._note("hosts_added", domain)
                plugins = ", ".join(host.plugins) or "no plugin"
                self._lines.append(f"host {domain} is added, with {plugins}")
                continue
            before = old[domain]
            for change in _certificate_changes(before.certificate, host.certificate):
                self._note("certificates_changed", domain)
                self._say(domain, change)
            for change in _host_changes(before, host):
                self._note("hosts_changed", domain)
                self._say(domain, change)
            self.compare_plugins(domain, before.plugins, host.plugins)

    def compare_plugins(
        self, host: str, old: Mapping[str, PluginSetting], new: Mapping[str, PluginSetting]
    ) -> None:
        for name in old:
            if name not in new:
                self._note("plugins_disabled", OnHost(host, name))
                self._say(host, f"plugin {name} is switched off")
        for name, setting in new.items():
            if name not in old:
                self._note("plugins_enabled", OnHost(host, name))
                self._say(host, f"plugin {name} is switched on")
                continue
            if old[name].fault != setting.fault:
                changes = [setting.fault or "can be loaded now"]
            else:
                changes = _option_changes(old[name].options, setting.options)
            if changes:
                self._note("plugins_reconfigured", OnHost(host, name))
                self._say(host, f"plugin {name}: {'; '.join(changes)}")

    def compare_listeners(
        self, old: tuple[ListenerOptions, ...], new: tuple[ListenerOptions, ...]
    ) -> None:
        before, after = _by_place(old), _by_place(new)
        for place, listener in before.items():
            if place not in after:
                self._note("listeners_closed", listener)
                self._lines.append(f"{_listener_text(listener)} is closed")
        for place, listener in after.items():
            if place not in before:
                self._note("listeners_opened", listener)
                self._lines.append(f"{_listener_text(listener)} is opened")
            elif changes := _option_changes(before[place], listener):
                self._note("listeners_changed", ListenerChange(before[place], listener))
                self._lines.append(f"{_listener_text(listener)}: {'; '.join(changes)}")

    def compare_settings(self, old: Configuration, new: Configuration) -> None:
        for section in ("limits", "tls", "federation", "dns", "log", "watchdog"):
            # Whom a host speaks to is told with the host.
            leave = HostFederation.model_fields if section == "federation" else ()
            if changes := _option_changes(getattr(old, section), getattr(new, section), leave):
                self._note("settings_changed", section)
                self._lines.append(f"{section}: {'; '.join(changes)}")
        for change in _value_changes(
            "allow_plain_without_tls", old.allow_plain_without_tls, new.allow_plain_without_tls
        ):
            self._note("settings_changed", "allow_plain_without_tls")
            self._lines.append(change)
        for change in _value_changes("language", old.language, new.language):
            self._note("settings_changed", "language")
            self._say("", change)
        for change in _rule_changes(old.access, new.access):
            self._note("settings_changed", "access")
            self._say("", change)
        fixed = {
            "data_dir": _value_changes("data_dir", old.data_dir, new.data_dir),
            "durability": _value_changes("durability", old.durability, new.durability),
            "storage": _option_changes(old.storage, new.storage),
            "cluster": _cluster_changes(old.cluster, new.cluster),
        }
        for name, changes in fixed.items():
            if changes:
                self._note("restart_needed", name)
                section = f"{name}: " if name in ("storage", "cluster") else ""
                self._lines.append(f"{section}{'; '.join(changes)} (not before a restart)")

    def _note(self, field: str, entry: object) -> None:
        entries = self._fields.setdefault(field, [])
        if entry not in entries:
            entries.append(entry)

    def _say(self, host: str, change: str) -> None:
        """Hosts with the same change share a line; the top of the file needs one only alone."""
        hosts = self._hosts_by_change.setdefault(change, [])
        if host or not hosts:
            hosts.append(host)


def _host_changes(old: HostConfiguration, new: HostConfiguration) -> Iterator[str]:
    yield from _auth_changes(old.auth, new.auth)
    yield from _rule_changes(old.access, new.access)
    yield from _value_changes("language", old.language, new.language)
    yield from _value_changes("see_other_host", old.see_other_host, new.see_other_host)
    for change in _option_changes(old.federation, new.federation):
        yield f"federation: {change}"
    for name, setting in new.plugins.items():
        if name in old.plugins and old.plugins[name].required != setting.required:
            yield f"plugin {name} is {'now' if setting.required else 'no longer'} required"


def _auth_changes(old: tuple[AuthSetting, ...], new: tuple[AuthSetting, ...]) -> Iterator[str]:
    before, after = dict(old), dict(new)
    yield from _value_changes("auth", list(before), list(after))
    for name, options in after.items():
        if name in before and (changes := _option_changes(before[name], options)):
            yield f"auth {name}: {'; '.join(changes)}"


def _certificate_changes(
    old: CertificateFiles | None, new: CertificateFiles | None
) -> Iterator[str]:
    if new is None:
        if old is not None:
            yield "there is no certificate any more"
    elif old is None:
        yield f"there is a certificate now, {new.chain}"
    elif old != new:
        yield f"the certificate is read again from {new.chain}"


def _rule_changes(old: AccessRules, new: AccessRules) -> Iterator[str]:
    for name in old.rules:
        if name not in new.rules:
            yield f"access rule {name} is removed, so nobody has it"
    for name, rule in new.rules.items():
        before = old.rules.get(name)
        if before is None:
            yield f"access rule {name} is added"
        elif before != rule:
            yield f"access rule {name}: {'; '.join(_option_changes(before, rule))}"


def _cluster_changes(old: ClusterSetting, new: ClusterSetting) -> list[str]:
    node = _value_changes("node", old.node, new.node)
    if old.engine != new.engine:
        return [*_value_changes("engine", old.engine, new.engine), *node]
    return [*node, *_option_changes(old.options, new.options)]


def _value_changes(name: str, old: object, new: object) -> list[str]:
    return [] if old == new else [f"{name} {_plain(old)} -> {_plain(new)}"]


def _option_changes(
    old: PluginOptions, new: PluginOptions, leave: Container[str] = ()
) -> list[str]:
    """What differs between two sets of options, each as one phrase."""
    if type(old) is not type(new):
        return ["other options, of another version"]
    changes = []
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if before == after or name in leave:
            continue
        texts = _shortened(show_value(field, before)), _shortened(show_value(field, after))
        if not field.repr:
            changes.append(f"{name} changes")
        elif texts[0] == texts[1]:  # a file with another content, or too long to show
            changes.append(f"{name} has other content")
        else:
            changes.append(f"{name} {texts[0]} -> {texts[1]}")
    return changes


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value) or '""'


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _printable(line: str) -> str:
    """With escapes for what nobody can see, such as a soft hyphen, or a terminal obeys."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in line
    )


def _by_place(
    listeners: tuple[ListenerOptions, ...],
) -> dict[tuple[str, str, int, int], ListenerOptions]:
    """By what makes a listener the same one; those on port 0 also by their order."""
    found: dict[tuple[str, str, int, int], ListenerOptions] = {}
    for listener in listeners:
        place = (listener.type, listener.address, listener.port)
        found[(*place, sum(known[:3] == place for known in found))] = listener
    return found


def _listener_text(listener: ListenerOptions) -> str:
    return f"{listener.type} listener on port {listener.port} of {listener.address}"


def _hosts_text(hosts: list[str], kept: list[str]) -> str:
    if hosts == [""]:
        return "node"
    named = [host for host in hosts if host]
    if len(named) > 1 and named == kept:
        return "every host"
    more = len(named) - _MOST_HOSTS_NAMED
    shown = ", ".join(named[:_MOST_HOSTS_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
