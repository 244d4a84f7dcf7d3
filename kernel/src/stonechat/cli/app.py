"""All subcommands: those that work here, and those of the running server."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from stonechat import __version__
from stonechat.cli.exit_codes import HELP, INTERNAL, OK, USAGE, Failure
from stonechat.cli.options import config_option, json_option
from stonechat.cli.output import show_error

# Commands of the running server whose names begin so are typed as two words.
GROUPS = ("plugin-", "doctor-", "db-")


def run(arguments: list[str]) -> int:
    """Carry out a command line; returns the exit status."""
    try:
        result = _application().main(
            arguments, prog_name="stonechat", standalone_mode=False, obj=arguments
        )
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        show_error("nothing was done")
        return USAGE
    except Failure as failure:
        if "--json" in arguments:
            error_ = {"kind": failure.kind, "text": str(failure)}
            print(json.dumps({"error": error_}, indent=2))  # noqa: T201
        else:
            show_error(str(failure))
        return failure.code
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not write the rest at its end.
        sys.stdout = None
        return OK
    except Exception:  # noqa: BLE001 - the end of the line: its user gets a status for it
        show_error("a fault in Stonechat; please report it with what follows")
        traceback.print_exc()
        return INTERNAL
    return result if isinstance(result, int) else OK


class _Commands(click.Group):
    """A group that also has commands of the running server, whose names begin with `prefix`."""

    def __init__(self, name: str, prefix: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            plugins = set(self._of_plugins(ctx))
        except Failure:
            plugins = set()  # no server, and so no commands but the kernel's
        names = {*self.commands, *self._of_installed(), *self._of_kernel(), *plugins}
        return sorted(name for name in names if self._is_ours(name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        local = self.commands.get(cmd_name)
        if local is not None:
            return local
        from stonechat.cli.remote import click_command

        shown = f"{self._prefix[:-1]} {cmd_name}" if self._prefix else cmd_name
        kernel = self._of_kernel()
        if cmd_name in kernel:
            return click_command(shown, kernel[cmd_name])
        # To look for these takes as long as all the rest.
        brought = self._of_installed().get(cmd_name)
        if brought is not None:
            return brought
        try:
            plugins = self._of_plugins(ctx)
        except Failure as failure:
            raise click.UsageError(
                f"There is no command {cmd_name!r}{self._hint(cmd_name)}"
                f" A running server's plugins may have more, but {failure}."
            ) from None
        if cmd_name in plugins:
            command, hosts = plugins[cmd_name]
            return click_command(shown, command, hosts)
        more = " The plugins at work have none of this name." if self._prefix else ""
        raise click.UsageError(f"There is no command {cmd_name!r}{self._hint(cmd_name)}{more}")

    def _hint(self, name: str) -> str:
        from stonechat.spelling import nearest

        right = nearest(name, [*self.commands, *self._of_installed(), *self._of_kernel()])
        return f"; did you mean {right!r}?" if right else "."

    def _is_ours(self, name: str) -> bool:
        # What is in a group of its own is not shown twice.
        return bool(self._prefix) or not name.startswith(GROUPS)

    def _of_installed(self) -> dict[str, click.Command]:
        from stonechat.cli.installed import installed_commands

        return self._under_prefix(installed_commands())

    def _of_kernel(self) -> dict[str, Any]:
        from stonechat.cli.remote import kernel_commands

        return self._under_prefix(kernel_commands())

    def _of_plugins(self, ctx: click.Context) -> dict[str, Any]:
        from stonechat.cli.remote import plugin_commands

        return self._under_prefix(plugin_commands(_configuration_in(ctx.find_root().obj)))

    def _under_prefix(self, commands: dict[str, Any]) -> dict[str, Any]:
        return {
            name.removeprefix(self._prefix): command
            for name, command in commands.items()
            if name.startswith(self._prefix)
        }


def _configuration_in(arguments: list[str] | None) -> str | None:
    """What `--config` says, before it is known which command the line is for."""
    arguments = arguments or []
    for number, argument in enumerate(arguments):
        if argument == "--config":
            return next(iter(arguments[number + 1 :]), None)
        if argument.startswith("--config="):
            return argument.partition("=")[2]
    return None


def _application() -> click.Group:
    application = _Commands(
        "stonechat",
        "",
        help="Stonechat, an XMPP server.",
        epilog=HELP,
        no_args_is_help=True,
    )
    click.version_option(__version__, message="stonechat %(version)s")(application)
    for name, sentence, function, parameters in _LOCAL:
        application.add_command(_local(name, sentence, function, parameters))
    plugin = _Commands("plugin", "plugin-", help="Plugins: what runs, and how to make one.")
    plugin.add_command(
        _local(
            "new",
            "Write a plugin to start from: a distribution that installs and passes its tests.",
            _plugin_new,
            [
                click.Argument(["name"]),
                click.Option(
                    ["--directory"], metavar="DIR", help="Where to (default: ./stonechat-NAME)."
                ),
            ],
        )
    )
    application.add_command(plugin)
    application.add_command(
        _Commands("doctor", "doctor-", help="Find out what is wrong, and what to do about it.")
    )
    database = _Commands("db", "db-", help="The database, also while no server is running.")
    for name, sentence, function, parameters in _DATABASE:
        database.add_command(_local(name, sentence, function, parameters))
    application.add_command(database)
    return application


def _local(
    name: str,
    sentence: str,
    function: Callable[..., int | None],
    parameters: list[click.Parameter],
) -> click.Command:
    usual = [json_option()] if name != "serve" else []
    return click.Command(name, params=[*parameters, *usual], callback=function, help=sentence)


# Each imports what it needs when it is called, and nothing before.


def _serve(cli_config: str | None) -> int:
    from stonechat.cli.serve import serve

    return serve(cli_config)


def _init(host: str, directory: str, cli_json: bool) -> None:
    from stonechat.cli.init import init

    init(host, directory, as_json=cli_json)


def _check_config(cli_config: str | None, cli_json: bool) -> int:
    from stonechat.cli.check_config import check_config

    return check_config(cli_config, as_json=cli_json)


def _plugin_new(name: str, directory: str | None, cli_json: bool) -> None:
    from stonechat.cli.plugin_new import plugin_new

    plugin_new(name, directory, as_json=cli_json)


def _db_upgrade(cli_config: str | None, cli_json: bool) -> None:
    from stonechat.cli.database import upgrade

    upgrade(cli_config, as_json=cli_json)


def _db_check(cli_config: str | None, cli_json: bool) -> None:
    from stonechat.cli.database import check

    check(cli_config, as_json=cli_json)


def _db_backup(path: str, cli_config: str | None, cli_json: bool) -> None:
    from stonechat.cli.database import backup

    backup(path, cli_config, as_json=cli_json)


def _db_migrate(
    from_url: str | None,
    to_url: str,
    from_password_file: str | None,
    to_password_file: str | None,
    cli_config: str | None,
    cli_json: bool,
) -> None:
    from stonechat.cli.moving import migrate

    migrate(from_url, to_url, from_password_file, to_password_file, cli_config, as_json=cli_json)


_Local = tuple[str, str, Callable[..., int | None], list[click.Parameter]]

_LOCAL: list[_Local] = [
    (
        "serve",
        "Run the server in the foreground; SIGTERM stops it, SIGHUP reloads its configuration.",
        _serve,
        [config_option()],
    ),
    (
        "init",
        "Write a first configuration, a certificate, and an administrator's account.",
        _init,
        [
            click.Option(
                ["--host"], default="localhost", metavar="NAME", help="The domain to serve."
            ),
            click.Option(
                ["--directory"], default=".", metavar="DIR", help="Where to (default: here)."
            ),
        ],
    ),
    (
        "check-config",
        "Tell whether a configuration file is right, and what is wrong with it.",
        _check_config,
        [config_option()],
    ),
]

_DATABASE: list[_Local] = [
    (
        "upgrade",
        "Bring all tables to the versions that are installed; the server does so at its start.",
        _db_upgrade,
        [config_option()],
    ),
    (
        "check",
        "Read the whole database, and say whether it is damaged.",
        _db_check,
        [config_option()],
    ),
    (
        "backup",
        "Write a copy of the database to a new file.",
        _db_backup,
        [click.Argument(["path"]), config_option()],
    ),
    (
        "migrate",
        "Copy everything to another database, of whatever kind; what was interrupted goes on.",
        _db_migrate,
        [
            click.Option(
                ["--from", "from_url"], metavar="URL", help="Default: the configured database."
            ),
            click.Option(["--to", "to_url"], metavar="URL", required=True, help="An empty one."),
            click.Option(
                ["--from-password-file"], metavar="FILE", help="What --from need not contain."
            ),
            click.Option(
                ["--to-password-file"], metavar="FILE", help="What --to need not contain."
            ),
            config_option(),
        ],
    ),
]
