"""The addresses in a term of Erlang, as ejabberd writes lists of them into a column."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TEXT = rb"<<(?:\"((?:[^\"\\]|\\.)*)\"(?:/utf8)?|([0-9, \n]*))>>"
_JID = re.compile(rb"\{\s*" + rb"\s*,\s*".join([_TEXT] * 3) + rb"\s*\}", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x\{([0-9a-fA-F]+)\}|([0-7]{1,3})|(.))", re.DOTALL)


def jids_in(term: str | None) -> Iterator[str]:
    """The addresses, of `[{<<"juliet">>,<<"capulet.example">>,<<>>}]` one."""
    for found in _JID.finditer((term or "").encode()):
        groups = found.groups()
        user, server, resource = (
            _text(groups[number], groups[number + 1]) for number in range(0, 6, 2)
        )
        yield "".join((user and f"{user}@", server, resource and f"/{resource}"))


def _text(quoted: bytes | None, numbers: bytes | None) -> str:
    if quoted is None:
        octets = bytes(
            int(number) & 255 for number in (numbers or b"").split(b",") if number.strip()
        )
    else:
        octets = _ESCAPE.sub(_unescaped, quoted)
    return octets.decode("utf-8", "replace")


def _unescaped(found: re.Match[bytes]) -> bytes:
    hexadecimal, octal, other = found.groups()
    if hexadecimal:
        return bytes([int(hexadecimal, 16) & 255])
    if octal:
        return bytes([int(octal, 8) & 255])
    return other
