"""What is under way for accounts, and who waits until it is not."""

from __future__ import annotations

from gevent.event import Event


class _Count:
    def __init__(self) -> None:
        self.number = 0
        self.is_over = Event()


class Pending:
    """How much of one kind is under way for each account; true while anything is."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Count] = {}

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def __contains__(self, localpart: str) -> bool:
        return localpart in self._accounts

    def begin(self, localpart: str) -> None:
        """One more."""
        self._accounts.setdefault(localpart, _Count()).number += 1

    def end(self, localpart: str) -> None:
        """One fewer; who waits for an account goes on when it was the last."""
        count = self._accounts[localpart]
        count.number -= 1
        if not count.number:
            del self._accounts[localpart]
            count.is_over.set()

    def wait(self, localpart: str, seconds: float) -> None:
        """Wait until nothing is under way for an account, or that takes too long."""
        count = self._accounts.get(localpart)
        if count is not None:
            count.is_over.wait(seconds)

    def wait_for_all(self) -> None:
        """Wait until all is over that is under way now; the caller sets the deadline."""
        for count in list(self._accounts.values()):
            count.is_over.wait()
