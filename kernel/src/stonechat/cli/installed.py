"""Commands that other distributions bring to the command line (`stonechat.shell`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click

from stonechat.cli.exit_codes import NO_SERVER, Failure
from stonechat.cli.options import TIMEOUT, config_option, json_option
from stonechat.cli.output import plain, show, show_error
from stonechat.commands import CommandError
from stonechat.errors import StonechatError
from stonechat.shell import ENTRY_POINTS, NodeCommands, ShellArgument, ShellCommand, ShellError

if TYPE_CHECKING:
    from stonechat.cli.control_client import ControlClient
    from stonechat.core.server import Server


@cache
def installed_commands() -> dict[str, click.Command]:
    """What is installed, by name; one that cannot be loaded is named, and left out."""
    found = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            found[point.name] = click_command(point.name, point.load())
        except Exception as error:  # noqa: BLE001 - somebody else's code, and not what was asked for
            show_error(f"the command {point.name} of {point.value} cannot be loaded: {error!r}")
    return found


def click_command(name: str, command: ShellCommand) -> click.Command:
    """The command line of such a command."""

    def run(cli_config: str | None, cli_json: bool, **given: Any) -> int:
        shell = CommandLineShell(cli_config, as_json=cli_json)
        try:
            return command.function(shell, **given)
        except ShellError as error:
            raise Failure(str(error)) from error
        finally:
            shell.progress("")

    return click.Command(
        name.partition("-")[2] if name.startswith(("db-", "doctor-", "plugin-")) else name,
        params=[*map(_parameter, command.arguments), config_option(), json_option()],
        callback=run,
        help="\n\n".join(filter(None, [command.sentence, command.help])),
        short_help=command.sentence,
        epilog=f"Example: {command.example}" if command.example else None,
    )


def _parameter(argument: ShellArgument) -> click.Parameter:
    if argument.default is None:
        return click.Argument([argument.name])
    flag = f"--{argument.option or argument.name.replace('_', '-')}"
    if argument.default is False:
        return click.Option([flag, argument.name], is_flag=True, help=argument.sentence)
    metavar = (argument.option or argument.name).upper()
    return click.Option(
        [flag, argument.name], default=argument.default, metavar=metavar, help=argument.sentence
    )


class CommandLineShell:
    """The shell that the `stonechat` command was typed in."""

    def __init__(self, configuration: str | None, *, as_json: bool) -> None:
        self._configuration = configuration
        self._as_json = as_json
        self._shown = 0

    @contextmanager
    def node(self) -> Iterator[NodeCommands]:
        from stonechat.cli.control_client import ControlClient
        from stonechat.cli.offline import load, offline_server
        from stonechat.cli.places import find_configuration, find_socket

        try:
            client = ControlClient(find_socket(self._configuration), TIMEOUT)
        except Failure as failure:
            if failure.code != NO_SERVER:
                raise
        else:
            with client:
                yield _RunningNode(client)
            return
        with offline_server(load(find_configuration(self._configuration))) as server:
            yield _NodeHere(server)

    def show(self, result: object) -> None:
        self.progress("")
        show(result, as_json=self._as_json)

    def say(self, text: str) -> None:
        self.progress("")
        show_error(text)

    def progress(self, text: str) -> None:
        if not sys.stderr.isatty():
            return
        line = plain(text)[:120]
        sys.stderr.write("\r" + line.ljust(self._shown) + ("" if line else "\r"))
        sys.stderr.flush()
        self._shown = len(line)


class _RunningNode:
    is_running = True

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self.hosts = tuple(host["host"] for host in self.run("status")["hosts"])

    def run(self, command: str, /, **arguments: object) -> Any:
        try:
            return self._client.run(command, arguments)
        except Failure as failure:
            if failure.kind != "command":
                raise
            raise ShellError(str(failure)) from failure


class _NodeHere:
    is_running = False

    def __init__(self, server: Server) -> None:
        self._server = server
        self.hosts = tuple(server.hosts)

    def run(self, command: str, /, **arguments: object) -> Any:
        try:
            return self._server.commands.run(command, arguments)
        except (CommandError, StonechatError) as error:
            raise ShellError(str(error)) from error
