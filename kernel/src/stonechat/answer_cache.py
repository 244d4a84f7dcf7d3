"""What a foreign account store has answered, kept for a while: for backends that ask one.

    class Options(CacheOptions):
        url: str = option(REQUIRED, "Where the accounts are.")

    def __init__(self, host: Host, options: Options) -> None:
        self.cache = options.make_cache(host.monotonic)

    def user_exists(self, localpart: str) -> bool:
        known = self.cache.exists(localpart)
        if known is None:
            asked_at = self.cache.generation
            known = self._ask(localpart)
            self.cache.remember_existence(localpart, known, asked_at)
        return known

Who changes or removes an account through us calls `forget`, before and after. What others
do to it in the store is seen as late as the options say.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from stonechat.options import DurationOrOff, PluginOptions, option

__all__ = ["AnswerCache", "CacheFigures", "CacheOptions"]

T = TypeVar("T")


class CacheFigures(NamedTuple):
    """How often the cache could answer, how often not, and how much it holds."""

    hits: int
    misses: int
    entries: int


class AnswerCache:
    """A bounded number of answers of each kind, the least recently used go first.

    `now` gives seconds. `existence` is for how many of them it is remembered that an
    account exists, `absence` that one does not, `password` that a password was right; with
    0 it is not. That a password was wrong is never remembered.

    Absences have a book of their own, so that guessing names does not turn out those who
    have accounts. Of a password only a digest is kept, with a key that exists in the memory
    of this process only.

    Since 0.1.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        size: int = 10_000,
        existence: float,
        absence: float,
        password: float,
    ) -> None:
        self._present: _Book[None] = _Book(now, existence, size)
        self._absent: _Book[None] = _Book(now, absence, size)
        self._proofs: _Book[bytes] = _Book(now, password, size)
        self._key = secrets.token_bytes(32)
        self._hits = 0
        self._misses = 0
        self.generation = 0
        """Grows with each `forget`. An answer to a question of before may be out of date: give
        what this was when you asked to `remember_...`, and such an answer is left out."""

    def password_is_right(self, localpart: str, password: str) -> bool:
        """Whether this very password was right a short while ago; False says nothing."""
        if not self._proofs.seconds:
            return False
        proof = self._proofs.get(localpart)
        digest = self._digest(localpart, password)
        is_right = hmac.compare_digest(digest, proof or bytes(len(digest)))
        self._count(is_right)
        return is_right

    def remember_password(
        self, localpart: str, password: str, generation: int | None = None
    ) -> None:
        """The store has just said that this is the account's password."""
        if generation in (None, self.generation):
            self._proofs.put(localpart, self._digest(localpart, password))

    def exists(self, localpart: str) -> bool | None:
        """Whether there is such an account; None if that is not known."""
        if not (self._present.seconds or self._absent.seconds):
            return None
        known = None
        if localpart in self._present:
            known = True
        elif localpart in self._absent:
            known = False
        self._count(known is not None)
        return known

    def remember_existence(
        self, localpart: str, exists: bool, generation: int | None = None
    ) -> None:
        """The store has just said whether there is such an account."""
        if generation not in (None, self.generation):
            return
        if exists:
            self._absent.drop(localpart)
            self._present.put(localpart, None)
        else:
            self._present.drop(localpart)
            self._proofs.drop(localpart)
            self._absent.put(localpart, None)

    def forget(self, localpart: str) -> None:
        """The account was made, changed or removed, or may have been."""
        self.generation += 1
        for book in (self._present, self._absent, self._proofs):
            book.drop(localpart)

    @property
    def figures(self) -> CacheFigures:
        entries = len(self._present) + len(self._absent) + len(self._proofs)
        return CacheFigures(self._hits, self._misses, entries)

    def _count(self, is_hit: bool) -> None:
        if is_hit:
            self._hits += 1
        else:
            self._misses += 1

    def _digest(self, localpart: str, password: str) -> bytes:
        # A localpart holds no NUL, so no two pairs give the same text.
        text = f"{localpart}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256")


class CacheOptions(PluginOptions):
    """The options of a backend with such a cache, to be inherited: called the same in each.

    Since 0.1.
    """

    cache_existence: DurationOrOff = option(
        "60 s", "How long it is remembered that an account exists.", le=86400
    )
    cache_absence: DurationOrOff = option(
        "10 s", "How long it is remembered that an account does not exist.", le=86400
    )
    cache_password: DurationOrOff = option(
        "off",
        "How long a password that was right is taken without asking again; until then it is"
        " right even if it was changed elsewhere.",
        le=86400,
    )
    cache_size: int = option(
        10_000, "Of how many accounts this is remembered at most.", ge=1, le=1_000_000
    )

    def make_cache(self, now: Callable[[], float]) -> AnswerCache:
        """A cache as these options want it; `now` gives seconds, as `host.monotonic` does."""
        return AnswerCache(
            now,
            size=self.cache_size,
            existence=self.cache_existence,
            absence=self.cache_absence,
            password=self.cache_password,
        )


class _Book(Generic[T]):
    """Answers of one kind by localpart, for so many seconds each."""

    def __init__(self, now: Callable[[], float], seconds: float, size: int) -> None:
        self._now = now
        self._size = size
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, localpart: str) -> bool:
        return self._entry(localpart) is not None

    def get(self, localpart: str) -> T | None:
        entry = self._entry(localpart)
        return None if entry is None else entry[1]

    def put(self, localpart: str, answer: T) -> None:
        if not self.seconds:
            return
        self._entries[localpart] = (self._now() + self.seconds, answer)
        self._entries.move_to_end(localpart)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, localpart: str) -> None:
        self._entries.pop(localpart, None)

    def _entry(self, localpart: str) -> tuple[float, T] | None:
        entry = self._entries.get(localpart)
        if entry is None:
            return None
        if self._now() >= entry[0]:
            del self._entries[localpart]
            return None
        self._entries.move_to_end(localpart)
        return entry
