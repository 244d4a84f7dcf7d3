"""Archive ids: numbers that grow with time, never come twice, and cannot be foretold.

A number is the time in microseconds and eleven bits below: one that says which of the two
archives that share a message the id is for, and ten random ones. So what was archived
between two moments is a range of ids, and needs no index of its own. Where the clock goes
back, ids go on from the last one; a message's own stamp is kept beside its id, and `skew`
says how far the two have ever been apart.
"""

from __future__ import annotations

import re
import secrets
from array import array
from collections.abc import Callable

_SHIFT = 11
_SECOND = 1 << _SHIFT - 1
_CHANCE = _SECOND - 1

# Ids of the same moment run ahead of the clock by so little that the stamp may follow.
_STAMP_FOLLOWS = 1000

LARGEST = 2**63 - 1

_ID = re.compile(r"[1-9][0-9]{0,18}")


class Ids:
    """Gives the ids of one host. `now` must not go back while we run."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._chances: array[int] = array("H")
        self._moment = 0
        self.skew = 0
        """The most microseconds by which an id has been ahead of its stamp."""

    def go_on(self, last: int, skew: int) -> None:
        """Go on from the last id of an earlier run."""
        self._moment = max(self._moment, last >> _SHIFT)
        self.skew = max(self.skew, skew)

    def next(self) -> tuple[int, int]:
        """A new id, and the stamp of what is archived under it."""
        stamp = now = self._now()
        if now <= self._moment:
            stamp = self._moment + 1
        self._moment = stamp
        id_ = stamp << _SHIFT | self._chance()
        if stamp - now >= _STAMP_FOLLOWS:
            self.skew = max(self.skew, stamp - now)
            stamp = now
        return id_, stamp

    def beside(self, id_: int) -> int:
        """The id for the second archive that a message is in: one, of the same stamp.

        Not to be had from the first, which is in the hands of somebody else.
        """
        return id_ >> _SHIFT << _SHIFT | _SECOND | self._chance()

    def _chance(self) -> int:
        if not self._chances:
            self._chances.frombytes(secrets.token_bytes(2048))
        return self._chances.pop() & _CHANCE


def first_at(stamp: int) -> int:
    """The least id that what has this stamp or a later one may have."""
    return min(max(stamp, 0) << _SHIFT, LARGEST)


def last_at(stamp: int) -> int:
    """The greatest id that what has this stamp or an earlier one may have, without skew."""
    return min((max(stamp, -1) + 1 << _SHIFT) - 1, LARGEST)


def read(text: str) -> int | None:
    """The number that an id of ours is; None for what is none."""
    if not _ID.fullmatch(text):
        return None
    number = int(text)
    return number if number <= LARGEST else None
