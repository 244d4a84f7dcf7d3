"""What the server and a helper process say to each other, over the helper's standard streams.

    helper   HELLO                                    once, as soon as it can work
    server   kind, two lengths, name, password        a request
    helper   verdict, length, reason                  its answer, exactly one

A helper answers one request after the other. Numbers are in network order.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

HELLO = b"stonechat-pam 1\n"

REQUEST = struct.Struct("!BHH")
ANSWER = struct.Struct("!BH")

# A localpart in UTF-8 and a domain; a password as it comes by SASL.
MAX_NAME = 3071
MAX_PASSWORD = 8192
MAX_REASON = 300

Read = Callable[[int], bytes]


class Kind(IntEnum):
    CHECK = 1
    EXISTS = 2


class Verdict(IntEnum):
    NO = 0
    YES = 1
    UNAVAILABLE = 2


def request(kind: Kind, name: str, password: str = "") -> bytes:
    """A request; ValueError for what no account can have."""
    octets = name.encode(), password.encode()
    if len(octets[0]) > MAX_NAME or len(octets[1]) > MAX_PASSWORD or b"\0" in b"".join(octets):
        raise ValueError("This is no name, or no password.")
    return REQUEST.pack(kind, *map(len, octets)) + b"".join(octets)


def read_request(read: Read) -> tuple[Kind, bytes, bytes]:
    """The next request; EOFError at the end, ValueError for what is none."""
    kind, name, password = REQUEST.unpack(read_exactly(read, REQUEST.size))
    if name > MAX_NAME or password > MAX_PASSWORD:
        raise ValueError("The request is too long.")
    return Kind(kind), read_exactly(read, name), read_exactly(read, password)


def answer(verdict: Verdict, reason: str) -> bytes:
    octets = reason.encode("utf-8", "replace")[:MAX_REASON]
    return ANSWER.pack(verdict, len(octets)) + octets


def read_answer(read: Read) -> tuple[Verdict, str]:
    """An answer; EOFError, or ValueError for what is none."""
    verdict, length = ANSWER.unpack(read_exactly(read, ANSWER.size))
    if length > MAX_REASON:
        raise ValueError("The answer is too long.")
    return Verdict(verdict), read_exactly(read, length).decode("utf-8", "replace")


def read_exactly(read: Read, size: int) -> bytes:
    """As many octets, however they come; EOFError if they do not."""
    octets = b""
    while len(octets) < size:
        more = read(size - len(octets))
        if not more:
            raise EOFError("The other side is gone.")
        octets += more
    return octets
