"""The reference of the `stonechat` command: from the declarations that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

from stonechat.cli import app, exit_codes, installed
from stonechat.cli.remote import click_command, kernel_commands
from stonechat.commands import declaration
from stonechat_reference.distributions import all_plugins
from stonechat_reference.markdown import Pages, code, escaped, one_line, prose, table

# Every command has these; the page says so once.
USUAL = {"--timeout", "--config", "--json"}


class Shown(NamedTuple):
    """One command as it is typed, and where it comes from."""

    words: str
    command: click.Command
    help: str
    plugin: str = ""


def pages() -> Pages:
    found = {
        "commands-local.md": _section(_local()),
        "commands-kernel.md": _section(_kernel()),
        "exit-codes.md": _exit_codes(),
    }
    plugins: dict[str, list[Shown]] = {}
    for shown in _of_plugins():
        plugins.setdefault(shown.plugin, []).append(shown)
    found["commands-plugins.md"] = "\n\n".join(
        f"## Of the plugin {name}\n\n{_section(commands)}" for name, commands in plugins.items()
    )
    return found


def every_command() -> list[str]:
    """All commands as they are typed, without `stonechat` before them."""
    return [shown.words for shown in (*_local(), *_kernel(), *_of_plugins())]


def options_of(words: str) -> set[str]:
    """The options of a command, such as `--json`."""
    for shown in (*_local(), *_kernel(), *_of_plugins()):
        if shown.words == words:
            return {
                flag
                for parameter in shown.command.params
                if isinstance(parameter, click.Option)
                for flag in (*parameter.opts, *parameter.secondary_opts)
            }
    raise KeyError(words)


def _local() -> list[Shown]:
    """What the command does by itself, whether a server is running or not."""
    found = []
    for name, command in sorted(app._application().commands.items()):
        inner = command.commands.items() if isinstance(command, click.Group) else ()
        for below, subcommand in sorted(inner):
            found.append(Shown(f"{name} {below}", subcommand, subcommand.help or ""))
        if not isinstance(command, click.Group):
            found.append(Shown(name, command, command.help or ""))
    return found


def _kernel() -> list[Shown]:
    found = []
    for name, command in sorted(kernel_commands().items()):
        words = _as_typed(name)
        found.append(Shown(words, click_command(words, command), command.help))
    return found


def _of_plugins() -> Iterator[Shown]:
    for plugin in all_plugins():
        for function in vars(plugin.cls).values():
            command = declaration(function) if callable(function) else None
            if command is not None:
                words = _as_typed(command.name)
                made = click_command(words, command, ["one that has the plugin"])
                yield Shown(words, made, command.help, plugin.name)
        for name, brought in plugin.shell_commands.items():
            made = installed.click_command(name, brought)
            yield Shown(_as_typed(name), made, made.help or "", plugin.name)


def _as_typed(name: str) -> str:
    """A command in a group is two words: `stonechat plugin list`."""
    group = next((group for group in app.GROUPS if name.startswith(group)), "")
    return f"{group[:-1]} {name.removeprefix(group)}" if group else name


def _section(commands: list[Shown]) -> str:
    return "\n\n".join(_entry(shown) for shown in sorted(commands)) + "\n"


def _entry(shown: Shown) -> str:
    command = shown.command
    sentence = command.short_help or command.help or ""
    context = click.Context(command, info_name=f"stonechat {shown.words}")
    usage = " ".join((f"stonechat {shown.words}", *command.collect_usage_pieces(context)))
    parts = [f"### stonechat {shown.words}", escaped(sentence), f"```text\n{usage}\n```"]
    options = [each for each in command.params if isinstance(each, click.Option)]
    rows = [_row(option) for option in options if USUAL.isdisjoint(option.opts)]
    if rows:
        parts.append(table(("Option", "What it does"), rows))
    if shown.help and shown.help != sentence:
        parts.append(prose(shown.help))
    if command.epilog:
        example = one_line(command.epilog.removeprefix("Example: "))
        if not example.startswith("stonechat "):
            example = f"stonechat {example}"
        parts.append(f"```console\n$ {example}\n```")
    return "\n\n".join(parts)


def _row(option: click.Option) -> tuple[str, str]:
    flags = " / ".join((*option.opts, *option.secondary_opts))
    shown = flags if option.is_flag else f"{flags} {option.metavar or ''}".rstrip()
    return code(shown), escaped(option.help or "")


def _exit_codes() -> str:
    sentences = {
        "OK": "All is well.",
        "REFUSED": "The configuration is wrong, or the server refused the command; the text says"
        " why.",
        "USAGE": "The command line itself is wrong.",
        "NO_SERVER": "No server is running for this configuration.",
        "INCOMPLETE": "Done, but something was left out; the report says what.",
        "INTERNAL": "A fault in Stonechat, or a server that did not stop in order. The watchdog"
        " ends a process with it, too.",
        "INTERRUPTED": "Ended by Ctrl-C.",
    }
    rows = sorted((getattr(exit_codes, name), sentence) for name, sentence in sentences.items())
    return table(("Status", "Meaning"), ((str(number), text) for number, text in rows)) + "\n"
