"""The throttle of logins: guessing passwords is slow, and soon comes to an end.

Counted is the pair of an account, whether it exists or not, and an address: who
guesses locks out nobody but those at his own address. An attempt counts from its
beginning, or a guesser would make a hundred at once and learn of the limit after them.

    begin      ->  under way
    failed     ->  one under way is a failure; the twentieth locks the pair
    succeeded  ->  one under way is done, and the failures before it are forgotten
    withdrawn  ->  one under way was none: the account store was away

What was not begun cannot fail, so that attempts which the lock refuses do not
prolong it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

from stonechat.net.limits import address_group

# Seconds to wait after no failure, after one, two, and so on; then always the last.
PAUSES = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)

LOCK_AFTER = 20
WINDOW_SECONDS = 600.0
LOCK_SECONDS = 600.0

# What nobody reported on by then was abandoned. Streams give a login 30 s.
ATTEMPT_SECONDS = 120.0

# The least recently used pair goes first. To have a lock forgotten, a guesser must try
# as many others, which is slower than to wait.
MAX_PAIRS = 10_000


class _Pair:
    """Times of failures and of attempts under way, together never more than LOCK_AFTER."""

    __slots__ = ("failures", "locked_until", "under_way")

    def __init__(self) -> None:
        # Tuples: of these pairs there are many, most of them with one time or none.
        self.failures: tuple[float, ...] = ()
        self.under_way: tuple[float, ...] = ()
        self.locked_until: float | None = None

    def expire(self, now: float) -> None:
        if self.failures and self.failures[0] <= now - WINDOW_SECONDS:
            self.failures = _since(now - WINDOW_SECONDS, self.failures)
        if self.under_way and self.under_way[0] <= now - ATTEMPT_SECONDS:
            self.under_way = _since(now - ATTEMPT_SECONDS, self.under_way)
        if self.locked_until is not None and self.locked_until <= now:
            self.locked_until = None


class LoginThrottle:
    """The failed logins of one host on this node. `clock` is a monotonic one, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pairs: OrderedDict[bytes, _Pair] = OrderedDict()

    def __len__(self) -> int:
        """How many pairs are remembered."""
        return len(self._pairs)

    def is_locked(self, localpart: str, address: str) -> bool:
        """Whether every attempt is refused now, with the right password too."""
        pair = self._find(_key(localpart, address))
        return pair is not None and pair.locked_until is not None

    def delay(self, localpart: str, address: str) -> float:
        """How many seconds to wait before the next attempt begins."""
        pair = self._find(_key(localpart, address))
        return PAUSES[min(len(pair.failures), len(PAUSES) - 1)] if pair else 0.0

    def begin(self, localpart: str, address: str) -> bool:
        """Count an attempt as under way; its outcome is to be reported.

        False if the pair is locked, or would be if all that is under way failed: then
        the attempt must not be made.
        """
        key = _key(localpart, address)
        pair = self._find(key)
        if pair is None:
            pair = self._pairs[key] = _Pair()
            if len(self._pairs) > MAX_PAIRS:
                self._pairs.popitem(last=False)
        else:
            self._pairs.move_to_end(key)
        if pair.locked_until is not None:
            return False
        if len(pair.failures) + len(pair.under_way) >= LOCK_AFTER:
            return False
        pair.under_way += (self._clock(),)
        return True

    def failed(self, localpart: str, address: str) -> None:
        """An attempt was a wrong guess."""
        pair = self._find(_key(localpart, address))
        if pair is None or not pair.under_way:
            return
        now = self._clock()
        pair.under_way = pair.under_way[1:]
        pair.failures += (now,)
        if len(pair.failures) >= LOCK_AFTER:
            pair.failures = ()
            pair.locked_until = now + LOCK_SECONDS

    def succeeded(self, localpart: str, address: str) -> None:
        """Who is there has shown that the account is his: forget the failures before it."""
        key = _key(localpart, address)
        pair = self._find(key)
        if pair is not None:
            pair.failures = ()
            self._end(key, pair)

    def withdraw(self, localpart: str, address: str) -> None:
        """An attempt came to no answer, neither right nor wrong."""
        key = _key(localpart, address)
        pair = self._find(key)
        if pair is not None:
            self._end(key, pair)

    def _end(self, key: bytes, pair: _Pair) -> None:
        pair.under_way = pair.under_way[1:]
        if not pair.under_way and not pair.failures and pair.locked_until is None:
            del self._pairs[key]

    def _find(self, key: bytes) -> _Pair | None:
        pair = self._pairs.get(key)
        if pair is not None:
            pair.expire(self._clock())
        return pair


def _since(then: float, times: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(time for time in times if time > then)


# An attempt asks for its pair several times.
@lru_cache(maxsize=16)
def _key(localpart: str, address: str) -> bytes:
    # A digest: a name that a stranger gives has up to 1023 octets. The group is empty, four
    # or eight octets; as the key, it cannot run into the name.
    name = localpart.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, key=address_group(address), digest_size=16).digest()
