"""Administrative commands, declared once and offered through every face.

    @command("kick", "Close the sessions of an account or of one resource.")
    def kick(self, jid: JID, reason: str = "") -> int:

Parameters are typed: `str`, `int`, `bool`, `JID` or `Secret`; a parameter
without a default must be given. The result is plain data (dict, list, str,
number, bool, None), shown as a table or as JSON. A plugin's command exists
once for each host that enables the plugin; a parameter `host: str` picks one,
and a `JID` parameter does so by its domain. A parameter `path` is a file on
the server's machine; the command line makes it absolute. Raise `CommandError`
for what the caller did wrong.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from stonechat.auth import Secret
from stonechat.errors import JIDError, StonechatError
from stonechat.jid import JID

MISSING: Any = inspect.Parameter.empty
"""The default of a parameter that must be given."""


class CommandError(StonechatError):
    """A command could not be carried out, for a reason its caller can mend."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a command."""

    name: str
    type: type
    default: Any = MISSING

    @property
    def is_required(self) -> bool:
        return self.default is MISSING

    def read(self, value: Any) -> Any:
        """The value in its own type, from JSON or from a command line; CommandError."""
        if isinstance(value, self.type) and not (self.type is int and value in (True, False)):
            return value
        # JSON has null, lists and objects too: their text is nobody's name or password.
        if not isinstance(value, str | int | float):
            raise CommandError(f"{self.name}: a single value is wanted")
        text = str(value)
        try:
            if self.type is bool:
                return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
            if self.type is JID:
                return JID.parse(text)
            return self.type(text)
        except JIDError as error:
            raise CommandError(f"{self.name}: {error}") from None
        except (ValueError, KeyError):
            raise CommandError(f"{self.name}: {text!r} is not {_TYPE_WORDS[self.type]}") from None


_TYPE_WORDS = {int: "a whole number", bool: "true or false", str: "text", JID: "a JID"}
_TYPES = (str, int, bool, JID, Secret)


@dataclass(frozen=True, slots=True)
class Command:
    """The declaration of a command. `permission` names the access rule it needs."""

    name: str
    sentence: str
    parameters: tuple[Parameter, ...]
    permission: str
    example: str
    help: str

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Typed arguments from plain ones; CommandError names what is wrong."""
        known = {parameter.name for parameter in self.parameters}
        for name in arguments:
            if name not in known:
                raise CommandError(f"{self.name} has no parameter {name!r}")
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in arguments:
                values[parameter.name] = parameter.read(arguments[parameter.name])
            elif parameter.is_required:
                raise CommandError(f"{self.name} needs {parameter.name!r}")
        return values


_Function = TypeVar("_Function", bound=Callable[..., Any])


def command(
    name: str, sentence: str, *, permission: str = "admin", example: str = ""
) -> Callable[[_Function], _Function]:
    """Declare a method to be a command; its docstring is the longer help."""

    def declare(function: _Function) -> _Function:
        function.stonechat_command = (name, sentence, permission, example)  # type: ignore[attr-defined]
        return function

    return declare


def declaration(function: Callable[..., Any]) -> Command | None:
    """The command that a function declares, if it does; TypeError for a type we do not know."""
    declared = getattr(function, "stonechat_command", None)
    if declared is None:
        return None
    name, sentence, permission, example = declared
    hints = get_type_hints(function)
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        kind = hints.get(parameter.name, str)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"command {name}: {parameter} is no parameter that can be named")
        if kind not in _TYPES:
            raise TypeError(f"command {name}: parameter {parameter.name} has the type {kind}")
        parameters.append(Parameter(parameter.name, kind, parameter.default))
    return Command(
        name, sentence, tuple(parameters), permission, example, inspect.getdoc(function) or ""
    )


def commands_of(owner: object) -> list[tuple[Command, Callable[..., Any]]]:
    """The commands among an object's methods, by name."""
    found = []
    for name in dir(type(owner)):
        if getattr(getattr(type(owner), name), "stonechat_command", None) is not None:
            method = getattr(owner, name)
            command_ = declaration(method)
            assert command_ is not None
            found.append((command_, method))
    return sorted(found, key=lambda pair: pair[0].name)
