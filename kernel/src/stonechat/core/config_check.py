"""Checks options of plugins and auth backends, put together from several places of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from stonechat.core.config_faults import Document, Faults, Path
from stonechat.core.config_types import (
    AuthSetting,
    BrokenPlugin,
    Kind,
    PluginSetting,
    Resolver,
    UnknownPlugin,
)
from stonechat.options import PluginOptions
from stonechat.spelling import did_you_mean

_Model = TypeVar("_Model", bound=PluginOptions)

# Where the options of one thing stand, the general place before the special one; of
# two values for an option, the later counts.
Layers = Sequence[tuple[Path, Mapping[str, Any]]]


def mapping(value: object) -> Mapping[str, Any]:
    """The mapping, or an empty one for what has another shape: that fault is known."""
    return value if isinstance(value, Mapping) else {}


class Checker:
    """Validates models against a document, and asks the resolver once for each name."""

    def __init__(self, document: Document, directory: FilePath, resolver: Resolver) -> None:
        self.faults = document.faults
        self.places = document.faults.places
        self._context = {"directory": directory}
        self._resolver = resolver
        self._resolved: dict[
            tuple[Kind, str], type[PluginOptions] | UnknownPlugin | BrokenPlugin
        ] = {}

    def resolve(self, kind: Kind, name: str) -> type[PluginOptions] | UnknownPlugin | BrokenPlugin:
        """The model of somebody's options, or why there is none."""
        if (kind, name) not in self._resolved:
            try:
                self._resolved[kind, name] = self._resolver(kind, name)
            except (UnknownPlugin, BrokenPlugin) as error:
                self._resolved[kind, name] = error
        return self._resolved[kind, name]

    def validate(
        self,
        model: type[_Model],
        layers: Layers,
        faults: Faults | None = None,
        inherited: Mapping[str, Any] | None = None,
    ) -> _Model | None:
        """The options, or None with the faults noted.

        `inherited` are values that hold where the file has none; they are right.
        """
        faults = self.faults if faults is None else faults

        def origin(path: Path) -> Path:
            for base, given in reversed(layers):
                if path and path[0] in given:
                    return (*base, *path)
            return (*layers[-1][0], *path)

        merged = dict(inherited or {})
        for _base, given in layers:
            merged.update(given)
        try:
            return model.model_validate(merged, context=self._context)
        except ValidationError as error:
            faults.add_validation(error, model, origin)
        except Exception as error:  # noqa: BLE001 - a plugin's code
            # A check that the author of a plugin wrote, and that has a fault itself.
            faults.add(origin(()), f"the check of the options failed: {error!r}")
        return None


class PluginTable:
    """The plugins of the node and of each host."""

    def __init__(self, checker: Checker, given: Mapping[str, Any]) -> None:
        self._checker = checker
        self._given = given
        self._used: set[str] = set()
        # What is missing here may be given by every host that has the plugin, so
        # these faults count only for who uses the setting as it is.
        self._general: dict[str, tuple[PluginSetting | None, Faults]] = {}
        for name, options in given.items():
            faults = Faults(checker.places)
            setting = self._setting(name, [(("plugins", name), mapping(options))], faults)
            self._general[name] = setting, faults

    def of_node(self) -> dict[str, PluginSetting]:
        """The settings that are whole without a host's."""
        return {name: setting for name, (setting, _) in self._general.items() if setting}

    def of_host(self, path: Path, given: Mapping[str, Any]) -> dict[str, PluginSetting]:
        """The plugins of one host; `given` stands at `path`."""
        settings: dict[str, PluginSetting | None] = {}
        for name in {**self._given, **given}:
            if name not in given or given[name] is not None:
                self._used.add(name)
            if name not in given:
                settings[name], faults = self._general[name]
                self._checker.faults.extend(faults)
            elif given[name] is not None:
                own = ((*path, name), mapping(given[name]))
                general = (("plugins", name), mapping(self._given.get(name)))
                layers = [general, own] if name in self._given else [own]
                settings[name] = self._setting(name, layers, self._checker.faults)
            elif name not in self._given:
                hint = did_you_mean(name, self._given)
                self._checker.faults.add(
                    (*path, name), f"is not switched on, so null cannot switch it off{hint}"
                )
        return {name: setting for name, setting in settings.items() if setting is not None}

    def check_unused(self) -> None:
        """Without a host, the general settings are all there is to check."""
        for name, (_setting, faults) in self._general.items():
            if name not in self._used:
                self._checker.faults.extend(faults)

    def _setting(self, name: str, layers: Layers, faults: Faults) -> PluginSetting | None:
        required = False
        for base, given in layers:
            if isinstance(given.get("required", False), bool):
                required = given.get("required", required)
            else:
                faults.add((*base, "required"), "must be true or false")
        layers = [
            (base, {key: value for key, value in given.items() if key != "required"})
            for base, given in layers
        ]
        model = self._checker.resolve("plugin", name)
        if isinstance(model, BrokenPlugin) and not required:
            return PluginSetting(name, PluginOptions(), fault=str(model))
        if isinstance(model, UnknownPlugin | BrokenPlugin):
            faults.add(layers[0][0], str(model))
            return None
        options = self._checker.validate(model, layers, faults)
        return None if options is None else PluginSetting(name, options, required)


class BackendTable:
    """The auth backends of each host."""

    def __init__(self, checker: Checker, names: object, given: Mapping[str, Any]) -> None:
        self._checker = checker
        self._names = names
        self._given = given
        self._used: set[str] = set()

    def of_host(self, path: Path, section: Mapping[str, Any]) -> tuple[AuthSetting, ...]:
        """The backends of the host whose section stands at `path`."""
        own = section.get("auth") is not None
        names = section["auth"] if own else self._names
        names_path: Path = (*path, "auth") if own else ("auth",)
        given = mapping(section.get("auth_options"))
        given_path = (*path, "auth_options")
        settings: dict[str, AuthSetting | None] = {}
        for index, name in enumerate(names if isinstance(names, list | tuple) else ()):
            mention = (*names_path, index)
            if not isinstance(name, str):
                continue
            if name in settings:
                self._checker.faults.add(mention, "is named twice")
            settings[name] = self._setting(name, mention, given_path, given)
        for name in given:
            if name not in settings:
                self._setting(name, (*given_path, name), given_path, given)
        return tuple(setting for setting in settings.values() if setting is not None)

    def check_unused(self) -> None:
        """Options of backends that no host has: still a place for a slip."""
        for name in self._given:
            if name not in self._used:
                self._setting(name, ("auth_options", name), (), {})

    def _setting(
        self, name: str, mention: Path, given_path: Path, given: Mapping[str, Any]
    ) -> AuthSetting | None:
        self._used.add(name)
        model = self._checker.resolve("auth", name)
        if isinstance(model, UnknownPlugin | BrokenPlugin):
            # Not even a broken one is passed over: who asks it for a password would
            # otherwise be asked by another.
            self._checker.faults.add(mention, str(model))
            return None
        general: Path = ("auth_options", name)
        layers = [(general, mapping(self._given.get(name)))]
        if name in given:
            layers.append(((*given_path, name), mapping(given[name])))
        if general not in self._checker.places:
            # What is missing from a section that is missing is best seen where the
            # backend is named.
            self._checker.places.put_key(general, self._checker.places.value(mention))
        options = self._checker.validate(model, layers)
        return None if options is None else AuthSetting(name, options)
