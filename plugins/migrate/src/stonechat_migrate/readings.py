"""What is being read, between one command and the next that goes on with it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Generic, TypeVar

from stonechat.commands import CommandError
from stonechat.host import Host

T = TypeVar("T")

# One `stonechat db export` has one at a time; what nobody goes on with is given up.
MAX_OPEN = 8
IDLE_SECONDS = 600.0


class Readings(Generic[T]):
    """Iterators by tokens, each good for once."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._open: dict[str, tuple[float, Iterator[T]]] = {}

    def put_by(self, reading: Iterator[T]) -> str:
        """Keep it for a while; returns its token."""
        now = self._host.monotonic()
        stale = [token for token, (at, _) in self._open.items() if now - at > IDLE_SECONDS]
        for token in stale:
            del self._open[token]
        while len(self._open) >= MAX_OPEN:
            del self._open[next(iter(self._open))]
        token = secrets.token_hex(16)
        self._open[token] = now, reading
        return token

    def go_on(self, token: str) -> Iterator[T]:
        """Take it again; CommandError where it was given up."""
        found = self._open.pop(token, None)
        if found is None:
            raise CommandError("this was begun too long ago: begin anew", "item-not-found")
        return found[1]
