"""Commands for the command line that a distribution brings along, server or no server.

A plugin's `@command` runs inside the server. What has work to do at the shell itself, with
files there above all, is a `ShellCommand` under the entry point group `stonechat.cli`. The
entry point is named like the command, with dashes; what begins with `db-`, `doctor-` or
`plugin-` is typed as two words:

    stonechat.cli =
        db-export = stonechat_migrate.shell:EXPORT

Its function gets a `Shell`, and its parameters by name. It returns an exit status.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from stonechat.errors import StonechatError

__all__ = ["ENTRY_POINTS", "NodeCommands", "Shell", "ShellArgument", "ShellCommand", "ShellError"]

ENTRY_POINTS = "stonechat.cli"
"""The entry point group of these commands."""


class ShellError(StonechatError):
    """Ends a command with a text for its user, and exit status 1."""


class NodeCommands(Protocol):
    """The commands of a node, running or brought up for as long as this is open."""

    @property
    def is_running(self) -> bool:
        """Whether a server is running; without one, nobody but us is at the data."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The domains that it serves."""

    def run(self, command: str, /, **arguments: object) -> Any:
        """The result of a command (`stonechat.commands`); ShellError if it was refused."""


class Shell(Protocol):
    """What a command has of the shell that it is typed in."""

    def node(self) -> AbstractContextManager[NodeCommands]:
        """The server of this configuration, or without one, its hosts in this process.

        Nobody can connect to these. ShellError where neither can be had.
        """

    def show(self, result: object) -> None:
        """Print plain data on standard output: as a table, or as JSON where that was asked for."""

    def say(self, text: str) -> None:
        """Print a line on standard error."""

    def progress(self, text: str) -> None:
        """Show how far it is, in the place of what was shown before; on a terminal only."""


@dataclass(frozen=True, slots=True)
class ShellArgument:
    """A parameter: by its place, or as `--name` where it has a default."""

    name: str
    sentence: str = ""
    default: str | bool | None = None
    option: str = ""
    """How the option is typed, where that is no name in Python: `from`."""


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """The declaration of a command; see above."""

    sentence: str
    function: Callable[..., int]
    arguments: tuple[ShellArgument, ...] = ()
    help: str = ""
    example: str = ""
