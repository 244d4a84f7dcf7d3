"""The kernel's commands about plugins, at run time.

What a plugin can do is not bound to its host, nor what its options name: to change
plugins takes the rights of the node. Nothing is written to the configuration file: a
change holds until the next start, or until a reload that changes the same plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonechat.commands import CommandError, Text, command
from stonechat.core.admin import chosen_hosts, refusals
from stonechat.core.chains import calls_made, seconds_spent

if TYPE_CHECKING:
    from stonechat.core.config_types import PluginSetting
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.options import PluginOptions

# A text, for it is not logged: there may be a password among them.
NO_OPTIONS = Text()

NOTE = "until the next start: the configuration file is not changed"


class PluginCommands:
    """Commands that show plugins, switch them on and off, and take in new code."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command("plugin-list", "List the plugins that are installed, and where they are at work.")
    def list_plugins(self, host: str = "") -> list[dict[str, Any]]:
        from stonechat.core import plugin_loader

        points = plugin_loader.installed("plugin")
        rows = []
        for found in chosen_hosts(self._server, host):
            plugins = found.plugins
            for name in sorted({*points, *plugins.running, *plugins.quarantined}):
                if name in plugins.running:
                    state, reason = "running", ""
                elif name in plugins.quarantined:
                    state, reason = "quarantined", plugins.quarantined[name]
                else:
                    state, reason = "off", ""
                point = points.get(name)
                rows.append(
                    {
                        "plugin": name,
                        "host": found.name,
                        "state": state,
                        "version": _version(point.dist.name if point and point.dist else ""),
                        "reason": reason,
                    }
                )
        return rows

    @command(
        "plugin-enable",
        "Start a plugin on a host, or on all.",
        whole_node=True,
        example="""stonechat plugin enable ping capulet.example '{"interval": "5 min"}'""",
    )
    def enable(self, plugin: str, host: str = "", options: Text = NO_OPTIONS) -> dict[str, Any]:
        """Options are a JSON object; without them it has those of the configuration, if any.

        The configuration file is not changed.
        """
        from stonechat.core.config_types import PluginSetting

        def enable(found: VirtualHost) -> None:
            if options:
                setting = PluginSetting(plugin, self._options(plugin, options))
            else:
                configured = self._server.configuration.hosts[found.name].plugins.get(plugin)
                setting = configured or PluginSetting(plugin, self._options(plugin, "{}"))
            found.plugins.enable(setting)

        return self._on_hosts(plugin, host, enable)

    @command(
        "plugin-disable",
        "Stop a plugin on a host, or on all.",
        whole_node=True,
        example="stonechat plugin disable register",
    )
    def disable(self, plugin: str, host: str = "") -> dict[str, Any]:
        """What others require cannot be stopped. The configuration file is not changed."""
        return self._on_hosts(plugin, host, lambda found: found.plugins.disable(plugin))

    @command(
        "plugin-reload",
        "Start a plugin anew from the code that is installed now, on a host or on all.",
        whole_node=True,
        example="stonechat plugin reload ping",
    )
    def reload(self, plugin: str, host: str = "") -> dict[str, Any]:
        """Its options stay. Those that require it are started anew, too.

        One in quarantine is started with the options that it was to have. Where its code
        could not be loaded, they are read from the configuration file.
        """

        def reload(found: VirtualHost) -> None:
            found.plugins.reload_code(plugin, lambda: self._configured(plugin, found.name))

        return self._on_hosts(plugin, host, reload)

    def _configured(self, plugin: str, host: str) -> PluginSetting:
        """What the file says of a plugin now."""
        from stonechat.core import plugin_loader
        from stonechat.core.config import load_configuration

        file = self._server.configuration.file
        hosts = load_configuration(file, plugin_loader.options_of).hosts
        if host not in hosts or plugin not in hosts[host].plugins:
            raise CommandError(f"{plugin} is not configured for {host}; disable it")
        return hosts[host].plugins[plugin]

    @command("plugin-top", "Show which hooks of which plugins take the most time.")
    def top(self, host: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Calls and seconds of filters are estimates, from samples."""
        rows: list[dict[str, Any]] = [
            {
                "plugin": call.plugin,
                "host": found.name,
                "hook": call.hook.removeprefix("stonechat_"),
                "calls": calls_made(call),
                "errors": call.errors,
                "seconds": round(seconds_spent(call), 6),
            }
            for found in chosen_hosts(self._server, host)
            for call in found.hooks.calls()
        ]
        rows.sort(key=lambda row: row["seconds"], reverse=True)
        return rows[: max(limit, 0)]

    def _on_hosts(
        self, plugin: str, host: str, change: Callable[[VirtualHost], object]
    ) -> dict[str, Any]:
        """Change it where it can be; CommandError if it cannot be anywhere."""
        changed, refused = [], []
        for found in chosen_hosts(self._server, host):
            try:
                with refusals():
                    change(found)
                changed.append(found.name)
            except CommandError as error:
                refused.append(str(error))
        if not changed:
            raise CommandError("\n".join(dict.fromkeys(refused)))
        result: dict[str, Any] = {"plugin": plugin, "hosts": changed, "note": NOTE}
        if refused:
            result["refused"] = refused
        return result

    def _options(self, plugin: str, text: str) -> PluginOptions:
        """Options from JSON, or from the same in YAML; CommandError with the place of faults."""
        from stonechat.core import plugin_loader
        from stonechat.core.config_check import Checker
        from stonechat.core.config_reader import read
        from stonechat.core.config_types import BrokenPlugin, UnknownPlugin

        # Where relative paths start, as in the file.
        directory = Path(self._server.configuration.file).absolute().parent
        with refusals():
            try:
                model = plugin_loader.options_of("plugin", plugin)
            except (UnknownPlugin, BrokenPlugin) as error:
                raise CommandError(f"{plugin}: {error}") from error
            document = read(text, "options")
            checker = Checker(document, directory, plugin_loader.options_of)
            options = checker.validate(model, [((), document.data)])
            document.faults.raise_if_any()
        if options is None:
            raise CommandError("the options cannot be used")
        return options


def _version(distribution: str) -> str:
    try:
        return version(distribution) if distribution else ""
    except PackageNotFoundError:
        return ""
