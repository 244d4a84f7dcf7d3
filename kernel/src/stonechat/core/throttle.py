"""The throttle of logins: guessing passwords is slow, and soon comes to an end.

Counted is the pair of an account, whether it exists or not, and an address: who
guesses locks out nobody but those at his own address.

    delay      ->  how long the answer to an attempt that begins now is withheld
    failed     ->  a wrong guess; the twentieth locks the pair
    succeeded  ->  the failures before it are forgotten
    is_locked  ->  nobody is told any more whether he is right

Whoever asks whether a pair is locked before he tells how an attempt ended, and counts it
then, tells of twenty wrong guesses at most, however many were made at once.
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

# The least recently used pair goes first. To have a lock forgotten, a guesser must try
# as many others, which is slower than to wait.
MAX_PAIRS = 10_000


class _Pair:
    """Times of failures, never more than LOCK_AFTER."""

    __slots__ = ("failures", "locked_until")

    def __init__(self) -> None:
        # A tuple: of these pairs there are many, most of them with one time.
        self.failures: tuple[float, ...] = ()
        self.locked_until: float | None = None

    def expire(self, now: float) -> None:
        if self.failures and self.failures[0] <= now - WINDOW_SECONDS:
            self.failures = tuple(time for time in self.failures if time > now - WINDOW_SECONDS)
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
        """For how many seconds the answer to an attempt is withheld."""
        pair = self._find(_key(localpart, address))
        return PAUSES[min(len(pair.failures), len(PAUSES) - 1)] if pair else 0.0

    def failed(self, localpart: str, address: str) -> None:
        """An attempt was a wrong guess; those that a lock refuses do not prolong it."""
        key = _key(localpart, address)
        pair = self._find(key)
        if pair is None:
            pair = self._pairs[key] = _Pair()
            if len(self._pairs) > MAX_PAIRS:
                self._pairs.popitem(last=False)
        if pair.locked_until is not None:
            return
        now = self._clock()
        pair.failures += (now,)
        if len(pair.failures) >= LOCK_AFTER:
            pair.failures = ()
            pair.locked_until = now + LOCK_SECONDS

    def succeeded(self, localpart: str, address: str) -> None:
        """Who is there has shown that the account is his: forget the failures before it."""
        key = _key(localpart, address)
        pair = self._find(key)
        if pair is not None and pair.locked_until is None:
            del self._pairs[key]

    def _find(self, key: bytes) -> _Pair | None:
        pair = self._pairs.get(key)
        if pair is not None:
            self._pairs.move_to_end(key)
            pair.expire(self._clock())
        return pair


# An attempt asks for its pair several times.
@lru_cache(maxsize=16)
def _key(localpart: str, address: str) -> bytes:
    # A digest: a name that a stranger gives has up to 1023 octets. The group is empty, four
    # or eight octets; as the key, it cannot run into the name.
    name = localpart.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(name, key=address_group(address), digest_size=16).digest()
