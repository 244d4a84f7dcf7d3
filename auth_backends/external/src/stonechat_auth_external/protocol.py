"""The port protocol: what a request and an answer look like. No input or output here.

    request   length (2 octets, big-endian), then `operation:user:host[:password]`
    answer    00 02, then 00 01 for yes or 00 00 for no

The password is the last field, so that colons in it do no harm.
"""

from __future__ import annotations

from typing import Final

AUTH: Final = "auth"
IS_USER: Final = "isuser"
SET_PASSWORD: Final = "setpass"  # noqa: S105 - a word of the protocol
TRY_REGISTER: Final = "tryregister"
REMOVE_USER: Final = "removeuser"
REMOVE_USER_KNOWING: Final = "removeuser3"

ANSWERS: Final = {b"\0\2\0\0": False, b"\0\2\0\1": True}
ANSWER_OCTETS: Final = 4

# What two octets can say. Many programs take them for a signed number; nothing that a
# server sends comes near to that.
_LARGEST: Final = 0xFFFF

# A program that reads lines must not see two where we sent one.
_ENDS: Final = ("\r", "\n", "\0")


class Unspeakable(ValueError):
    """There is no way to ask that in this protocol."""


def request(operation: str, user: str, host: str, password: str | None = None) -> bytes:
    """The octets of a request; Unspeakable if a field cannot be in one."""
    for field in (user, host):
        if not field or ":" in field:
            raise Unspeakable("A name is empty or has a colon.")
    fields = [operation, user, host]
    if password is not None:
        fields.append(password)
    text = ":".join(fields)
    if any(end in text for end in _ENDS):
        raise Unspeakable("A field has an end of line or a NUL.")
    try:
        octets = text.encode()
    except UnicodeEncodeError:
        # Not chained: that error quotes the text, and would bring a password to the log.
        raise Unspeakable("A field is no text.") from None
    if len(octets) > _LARGEST:
        raise Unspeakable(f"The request is longer than {_LARGEST} octets.")
    return len(octets).to_bytes(2, "big") + octets
