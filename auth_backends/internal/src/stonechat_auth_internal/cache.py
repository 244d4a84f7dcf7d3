"""Accounts as they were last read, so that a known user's login asks no database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final, Literal

from stonechat_auth_internal.accounts import Account

MAX_KNOWN = 10_000
# Names that have no account are remembered too, or a stranger could tell them by the
# time it takes to look. In a book of their own, so that guessing does not turn out
# those who have one.
MAX_UNKNOWN = 1_000

# How long a write whose end nobody saw may still come true, with much to spare.
_PAUSE_MICROSECONDS = 600_000_000


class _Missing(Enum):
    MISSING = 0


MISSING: Final = _Missing.MISSING


class AccountCache:
    """A bounded number of accounts by localpart, least recently used first.

    Every change is followed by `drop`, which also ends a generation: what was read
    in an earlier one may be old, and is not kept.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._known: OrderedDict[str, Account] = OrderedDict()
        self._unknown: OrderedDict[str, None] = OrderedDict()
        self._paused_until = 0
        self.generation = 0

    def get(self, localpart: str) -> Account | Literal[_Missing.MISSING] | None:
        """The account, None for one that does not exist, MISSING if we cannot say."""
        account = self._known.get(localpart)
        if account is not None:
            self._known.move_to_end(localpart)
            return account
        if localpart in self._unknown:
            self._unknown.move_to_end(localpart)
            return None
        return MISSING

    def keep(self, localpart: str, account: Account | None, generation: int) -> None:
        """Remember what was read, if nothing was changed since `generation`."""
        if generation != self.generation or self._now() < self._paused_until:
            return
        if account is None:
            self._unknown[localpart] = None
            if len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)
        else:
            self._known[localpart] = account
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def drop(self, localpart: str) -> None:
        """An account was changed, or may have been."""
        self.generation += 1
        self._known.pop(localpart, None)
        self._unknown.pop(localpart, None)

    def pause(self) -> None:
        """Remember nothing for a while: a write may be carried out later, unnoticed."""
        self._paused_until = self._now() + _PAUSE_MICROSECONDS

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)
