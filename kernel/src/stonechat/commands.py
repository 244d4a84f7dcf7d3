"""Administrative commands, declared once and offered through every face.

    @command("kick", "Close the sessions of an account or of one resource.")
    def kick(self, jid: JID, reason: str = "") -> int:

Parameters are typed: `str`, `Text`, `int`, `bool`, `JID` or `Secret`; a parameter
without a default must be given. The result is plain data (dict, list, str,
number, bool, None), shown as a table or as JSON. A plugin's command exists
once for each host that enables the plugin; a parameter `host: str` picks one,
and a `JID` parameter does so by its domain. The host `*` is all of them, and the
result then a dict by host. A parameter `path` is a file on the server's machine: the
command line makes it absolute, and nobody can give such a command from elsewhere; nor one that is
declared `local`.
Raise `CommandError` for what the caller did wrong.

Whoever comes through a host (`Host.run_command`: an ad-hoc command, a web page) needs
the access rule `permission` of every host that the command acts on, and for one that
acts on the whole node the node's own. Whoever can open the control socket may do all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_type_hints

from stonechat.auth import Secret
from stonechat.errors import JIDError, StonechatError
from stonechat.jid import JID

MISSING: Any = inspect.Parameter.empty
"""The default of a parameter that must be given."""


ALL_HOSTS = "*"
"""In place of a host: all that have the command."""


class CommandError(StonechatError):
    """A command could not be carried out, for a reason its caller can mend.

    `condition` is the stanza error (RFC 6120, 8.3.3) that says the same, where there is
    one: `"conflict"` for an account that is there already.
    """

    def __init__(self, text: str, condition: str = "") -> None:
        super().__init__(text)
        self.condition = condition


class Text(str):
    """A parameter of several lines, written for people. It is not logged."""

    __slots__ = ()


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
_TYPES = (str, Text, int, bool, JID, Secret)


@dataclass(frozen=True, slots=True)
class Command:
    """The declaration of a command. `permission` names the access rule it needs.

    `whole_node`: it acts on more than the hosts that its parameters name. `adhoc_node` is
    its node as an ad-hoc command (XEP-0050), where a protocol has named one; the names of
    its parameters are then those of the protocol's form. `local`: only whoever can open the
    control socket may give it.
    """

    name: str
    sentence: str
    parameters: tuple[Parameter, ...]
    permission: str
    example: str
    help: str
    whole_node: bool = False
    adhoc_node: str = ""
    local: bool = False

    def has(self, parameter: str) -> bool:
        """Whether it has a parameter of that name."""
        return any(found.name == parameter for found in self.parameters)

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


@dataclass(frozen=True, slots=True)
class _Declared:
    """What `@command` leaves at a function."""

    name: str
    sentence: str
    permission: str
    permission_option: str
    example: str
    whole_node: bool
    adhoc_node: str
    local: bool


def command(
    name: str,
    sentence: str,
    *,
    permission: str = "admin",
    permission_option: str = "",
    example: str = "",
    whole_node: bool = False,
    adhoc_node: str = "",
    local: bool = False,
) -> Callable[[_Function], _Function]:
    """Declare a method to be a command; its docstring is the longer help.

    `permission_option` names the option of its plugin (`self.options`) that holds the name
    of the access rule, where operators choose it. The rest is said of `Command`.
    """
    declared = _Declared(
        name, sentence, permission, permission_option, example, whole_node, adhoc_node, local
    )

    def declare(function: _Function) -> _Function:
        function.stonechat_command = declared  # type: ignore[attr-defined]
        return function

    return declare


def declaration(function: Callable[..., Any]) -> Command | None:
    """The command that a function declares, if it does; TypeError for a type we do not know."""
    declared: _Declared | None = getattr(function, "stonechat_command", None)
    if declared is None:
        return None
    hints = get_type_hints(function)
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        kind = hints.get(parameter.name, str)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(
                f"command {declared.name}: {parameter} is no parameter that can be named"
            )
        if kind not in _TYPES:
            raise TypeError(
                f"command {declared.name}: parameter {parameter.name} has the type {kind}"
            )
        parameters.append(Parameter(parameter.name, kind, parameter.default))
    return Command(
        declared.name,
        declared.sentence,
        tuple(parameters),
        declared.permission,
        declared.example,
        inspect.getdoc(function) or "",
        declared.whole_node,
        declared.adhoc_node,
        declared.local,
    )


def commands_of(owner: object) -> list[tuple[Command, Callable[..., Any]]]:
    """The commands among an object's methods, by name."""
    found = []
    for name in dir(type(owner)):
        declared = getattr(getattr(type(owner), name), "stonechat_command", None)
        if declared is not None:
            method = getattr(owner, name)
            command_ = declaration(method)
            assert command_ is not None
            if declared.permission_option:
                rule = getattr(owner.options, declared.permission_option)  # type: ignore[attr-defined]
                command_ = replace(command_, permission=rule)
            found.append((command_, method))
    return sorted(found, key=lambda pair: pair[0].name)
