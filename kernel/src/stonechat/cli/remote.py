"""Commands that the running server carries out, made from its own declarations."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from stonechat.cli.options import TIMEOUT, config_option, json_option, timeout_option
from stonechat.cli.output import show
from stonechat.cli.places import find_socket
from stonechat.commands import Command, CommandError, Parameter, declaration
from stonechat.options import Secret

# A plugin's commands are asked for while a help text is made: not for long.
DESCRIBE_SECONDS = 5.0

_LONGEST_PASSWORD = 65536


def kernel_commands() -> dict[str, Command]:
    """The kernel's own commands by name; they are known without a server."""
    from stonechat.core.admin_kinds import COMMAND_CLASSES

    found = {}
    for kind in COMMAND_CLASSES:
        for attribute in vars(kind).values():
            declared = declaration(attribute) if callable(attribute) else None
            if declared is not None:
                found[declared.name] = declared
    return found


def plugin_commands(configuration: str | None) -> dict[str, tuple[Command, list[str]]]:
    """The commands of the running server's plugins, with the hosts that have them."""
    from stonechat.cli.control_client import ControlClient
    from stonechat.core.control_wire import read_description

    with ControlClient(find_socket(configuration), DESCRIBE_SECONDS) as client:
        described = client.describe()
    return {
        data["name"]: (read_description(data), data["hosts"])
        for data in described
        if data["hosts"]
    }


def click_command(name: str, command: Command, hosts: list[str] | None = None) -> click.Command:
    """The command line of a command: words in order, or options for what may be left out."""
    words = [p for p in command.parameters if p.type not in (bool, Secret)]
    parameters: list[click.Parameter] = []
    if words:
        metavar = " ".join(_metavar(parameter) for parameter in words)
        parameters.append(click.Argument(["words"], nargs=-1, metavar=metavar))
    parameters += [_option(p) for p in command.parameters if not p.is_required]
    for parameter in command.parameters:
        if parameter.type is Secret:
            flag = f"--{_dashed(parameter.name)}-stdin"
            parameters.append(
                click.Option(
                    [flag, f"{parameter.name}_stdin"],
                    is_flag=True,
                    help=f"Read the {parameter.name} from standard input.",
                )
            )
    if hosts and all(parameter.name != "host" for parameter in command.parameters):
        parameters.append(
            click.Option(["--host"], help=f"On which host: {', '.join(hosts)}.", metavar="HOST")
        )
    # A command with a parameter of such a name keeps it.
    taken = {flag for parameter in parameters for flag in parameter.opts}
    usual = [
        option
        for option in (timeout_option(), config_option(), json_option())
        if taken.isdisjoint(option.opts)
    ]
    example = command.example or f"stonechat {name}"

    def run(**given: Any) -> None:
        _run(command, given)

    return click.Command(
        name.rpartition(" ")[2],
        params=[*parameters, *usual],
        callback=run,
        help="\n\n".join(filter(None, [command.sentence, command.help])),
        short_help=command.sentence,
        epilog=f"Example: {example}",
    )


def _metavar(parameter: Parameter) -> str:
    name = _dashed(parameter.name).upper()
    return name if parameter.is_required else f"[{name}]"


def _option(parameter: Parameter) -> click.Option:
    name = _dashed(parameter.name)
    if parameter.type is bool:
        flags = f"--{name}/--no-{name}" if parameter.default else f"--{name}"
        return click.Option([flags, parameter.name], is_flag=True, default=None)
    shown = str(parameter.default) if parameter.default else ""
    return click.Option(
        [f"--{name}", parameter.name],
        metavar=parameter.type.__name__.upper() if parameter.type is int else name.upper(),
        help=f"Default: {shown}." if shown else None,
    )


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _run(command: Command, given: dict[str, Any]) -> None:
    from stonechat.cli.control_client import ControlClient

    as_json = given.pop("cli_json", False)
    timeout, configuration = given.pop("cli_timeout", TIMEOUT), given.pop("cli_config", None)
    arguments = _arguments(command, given)
    with ControlClient(find_socket(configuration), timeout) as client:
        # Asked for only now: nobody types a password twice to hear that no server is there.
        arguments |= _secrets(command, given)
        result = client.run(command.name, arguments)
        if command.name == "stop" and not arguments.get("delay"):
            client.wait_for_end()
            result = "the server has stopped"
    show(result, as_json=as_json)


def _arguments(command: Command, given: dict[str, Any]) -> dict[str, Any]:
    """What was given, by name: options as they are, words in the order of the declaration."""
    arguments = {
        name: value
        for name, value in given.items()
        if value is not None and name != "words" and not name.endswith("_stdin")
    }
    words = list(given.get("words", ()))
    for parameter in command.parameters:
        if parameter.type in (bool, Secret) or parameter.name in arguments:
            continue
        if words:
            arguments[parameter.name] = words.pop(0)
        elif parameter.is_required:
            raise click.UsageError(f"Missing {_metavar(parameter)}.")
    if words:
        raise click.UsageError(f"Unexpected: {' '.join(words)}")
    for parameter in command.parameters:
        if parameter.name not in arguments:
            continue
        try:
            parameter.read(arguments[parameter.name])
        except CommandError as error:
            raise click.UsageError(str(error)) from None
        if parameter.name == "path":
            # The server stands in another directory.
            arguments["path"] = os.path.abspath(arguments["path"])
    return arguments


def _secrets(command: Command, given: dict[str, Any]) -> dict[str, str]:
    return {
        parameter.name: _secret(parameter, from_stdin=given[f"{parameter.name}_stdin"])
        for parameter in command.parameters
        if parameter.type is Secret
    }


def _secret(parameter: Parameter, *, from_stdin: bool) -> str:
    if from_stdin:
        line = sys.stdin.buffer.readline(_LONGEST_PASSWORD)
        try:
            return line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError(f"The {parameter.name} is not UTF-8 text.") from None
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"There is no terminal to ask for the {parameter.name} on:"
            f" give it with --{_dashed(parameter.name)}-stdin."
        )
    answer: str = click.prompt(
        parameter.name.capitalize(), hide_input=True, confirmation_prompt=True, err=True
    )
    return answer


def run_command(name: str, arguments: dict[str, Any], configuration: str | None) -> Any:
    """Run one of the server's commands, for another command; NO_SERVER if there is none."""
    from stonechat.cli.control_client import ControlClient

    with ControlClient(find_socket(configuration), TIMEOUT) as client:
        return client.run(name, arguments)
