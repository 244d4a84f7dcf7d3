"""Finds plugins and authentication backends among what is installed."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from stonechat.core.config_types import BrokenPlugin, Kind, UnknownPlugin
from stonechat.options import PluginOptions

GROUPS: dict[Kind, str] = {
    "plugin": "stonechat.plugins",
    "auth": "stonechat.auth_backends",
}

# Where what is not installed comes from, for the advice to install it.
_OURS: dict[Kind, dict[str, str]] = {
    "plugin": {
        name: "stonechat-" + name.replace("_", "-")
        for name in (
            "adhoc",
            "announce",
            "block_strangers",
            "blocking",
            "carbons",
            "component",
            "compression",
            "cputime",
            "csi",
            "delegation",
            "dialback",
            "disco",
            "echo",
            "extdisco",
            "fast",
            "last",
            "mam",
            "migrate",
            "multicast",
            "offline",
            "ping",
            "pres_counter",
            "privacy",
            "private",
            "privilege",
            "push",
            "register",
            "roster",
            "s2s_bidi",
            "s2s_doctor",
            "sasl2",
            "service_log",
            "shared_roster",
            "shared_roster_ldap",
            "sm",
            "stats",
            "time",
            "vcard",
            "vcard_ldap",
            "version",
        )
    },
    "auth": {
        name: f"stonechat-auth-{name}"
        for name in ("anonymous", "external", "http", "internal", "jwt", "ldap", "pam", "sql")
    },
}


# Classes that come before what is installed; the test kit puts them here.
given: dict[tuple[Kind, str], type[Any]] = {}

# Of what was loaded: which plugin the code of a top-level package belongs to.
packages: dict[str, str] = {}


class NoOptions(PluginOptions):
    """For a plugin that has none."""


# What was installed when the places where it lies looked as they do in `_seen`.
_points: dict[Kind, dict[str, EntryPoint]] = {}
_seen: list[tuple[str, int, int]] = []


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """The entry points of a kind by name; what pip installed meanwhile is among them.

    All distributions are read again only where pip was at work since: each plugin is
    looked for several times while the server starts, and a reading takes milliseconds.
    """
    places = _places()
    if places != _seen:
        importlib.invalidate_caches()
        for each, group in GROUPS.items():
            _points[each] = {point.name: point for point in entry_points(group=group)}
        _seen[:] = places
    return dict(_points[kind])


def _places() -> list[tuple[str, int, int]]:
    """Where distributions lie: a directory changes when one comes to it, or goes."""
    places = []
    for path in sys.path:
        try:
            status = os.stat(path or os.curdir)
        except OSError:
            continue  # as the import system does
        # Two changes within one tick of the clock differ in the number of directories.
        places.append((path, status.st_mtime_ns, status.st_nlink))
    return places


def load(kind: Kind, name: str) -> type[Any]:
    """The class of a plugin or a backend; UnknownPlugin or BrokenPlugin."""
    if (kind, name) in given:
        return given[kind, name]
    points = installed(kind)
    if name not in points:
        # It may have been only half there when its place was looked at.
        _seen.clear()
        points = installed(kind)
    point = points.get(name)
    if point is None:
        raise UnknownPlugin(kind, name, sorted({*points, *_OURS[kind]}), _OURS[kind].get(name, ""))
    try:
        found = point.load()
    except Exception as error:
        raise BrokenPlugin(f"{point.value} cannot be loaded: {error!r}") from error
    if not isinstance(found, type):
        raise BrokenPlugin(f"{point.value} is not a class")
    packages[point.module.partition(".")[0]] = name if kind == "plugin" else f"{kind}-{name}"
    return found


def options_of(kind: Kind, name: str) -> type[PluginOptions]:
    """The options model of a plugin or a backend: the configuration's resolver."""
    model = getattr(load(kind, name), "Options", NoOptions)
    if not (isinstance(model, type) and issubclass(model, PluginOptions)):
        raise BrokenPlugin(f"the Options of {name} are no PluginOptions")
    return model


def forget_code(kind: Kind, name: str) -> dict[str, ModuleType]:
    """Import a plugin anew when it is loaded the next time: its code may have changed.

    Returns the modules that are forgotten, to be put back into `sys.modules` if the
    new ones are no good.
    """
    point = installed(kind).get(name)
    if point is None:
        return {}
    package = point.module.partition(".")[0]
    modules = [m for m in sys.modules if m == package or m.startswith(f"{package}.")]
    return {module: sys.modules.pop(module) for module in modules}
