"""Locks by name, made when somebody wants one and gone when nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gevent.lock import Semaphore

from stonechat.errors import StanzaError


class Locks:
    """A lock for each name; those who wait get it in their order."""

    __slots__ = ("_held", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # The lock of a name, and how many hold it or wait for it.
        self._held: dict[str, tuple[Semaphore, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Be alone with a name; resource-constraint if that takes too long."""
        lock, users = self._held.get(name) or (Semaphore(1), 0)
        self._held[name] = (lock, users + 1)
        try:
            if not lock.acquire(timeout=self._seconds):
                raise StanzaError("resource-constraint", "Too much waits for this account.")
            try:
                yield
            finally:
                lock.release()
        finally:
            lock, users = self._held[name]
            if users == 1:
                del self._held[name]
            else:
                self._held[name] = (lock, users - 1)
