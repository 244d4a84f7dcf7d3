"""What both ends of the control socket agree on: where it is, and how a line looks.

A request is one line of JSON, an answer is one line of JSON:

    {"command": "kick", "arguments": {"jid": "juliet@capulet.example"}}
    {"describe": true}

    {"result": 1}
    {"error": {"kind": "command", "text": "juliet@capulet.example is not connected"}}

The kinds of error: "request" for a line that is no request, "command" for what the
caller can mend, "internal" for a fault of the server, which its log explains.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stonechat.auth import Secret
from stonechat.commands import MISSING, Command, Parameter, Text
from stonechat.jid import JID

SOCKET_NAME = "stonechat.sock"
MAX_REQUEST = 1024 * 1024

# What the address of a socket can hold on every system, with its closing zero.
_LONGEST_PATH = 103

_TYPES: dict[str, type] = {kind.__name__: kind for kind in (str, Text, int, bool, JID, Secret)}


def socket_path(data_dir: Path) -> Path:
    return data_dir / SOCKET_NAME


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """A name of the socket that fits into an address, however deep its directory lies."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def describe_command(command: Command, hosts: list[str]) -> dict[str, Any]:
    """A declaration as plain data; `hosts` are those whose plugin offers the command."""
    return {
        "name": command.name,
        "sentence": command.sentence,
        "permission": command.permission,
        "example": command.example,
        "help": command.help,
        "hosts": hosts,
        "parameters": [
            {
                "name": parameter.name,
                "type": parameter.type.__name__,
                "default": None if parameter.is_required else _plain(parameter.default),
                "required": parameter.is_required,
            }
            for parameter in command.parameters
        ],
    }


def _plain(default: object) -> object:
    if isinstance(default, Secret):
        return ""
    return str(default) if isinstance(default, JID) else default


def read_description(data: dict[str, Any]) -> Command:
    """The declaration again; KeyError for data that is none."""
    parameters = tuple(
        Parameter(
            parameter["name"],
            _TYPES[parameter["type"]],
            MISSING if parameter["required"] else parameter["default"],
        )
        for parameter in data["parameters"]
    )
    return Command(
        data["name"],
        data["sentence"],
        parameters,
        data["permission"],
        data["example"],
        data["help"],
    )
