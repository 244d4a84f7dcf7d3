"""The auth backends of a host as one: asked in their order, none feels another's faults.

Where one cannot answer, another's yes still counts; without a yes the answer is
AuthUnavailable, and not no. A breaker stands before each, and each call has a deadline.
"""

from __future__ import annotations

import heapq
import hmac
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from gevent import Timeout

from stonechat.answer_cache import CacheFigures
from stonechat.auth import (
    DEFAULT_ITERATIONS,
    SCRAM_HASHES,
    AccountExists,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    ScramCredentials,
    Unsupported,
    check_against_scram,
    decoy_scram,
)
from stonechat.core.breaker import Breaker, BreakerFigures
from stonechat.errors import StorageError
from stonechat.sasl import CredentialLookup, Mechanism

T = TypeVar("T")

log = logging.getLogger("stonechat.accounts")

PAGE = 1000

# Errors by which a backend answers a change.
_REFUSALS = (AccountExists, AccountNotFound, BadPassword, Unsupported)


class WrongPassword(AuthUnavailable):
    """One backend has the account, with another password; a second one cannot answer."""


class Backend:
    """A backend and its name, asked for no more than it can do."""

    __slots__ = ("breaker", "capabilities", "instance", "name")

    def __init__(
        self, name: str, instance: AuthBackend, domain: str, clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.instance = instance
        self.breaker = Breaker(
            f"the auth backend {name} of {domain}",
            max_waiting=instance.max_waiting,
            answers=_REFUSALS,
            clock=clock,
            log=log,
        )
        # They follow from the class and its options, which do not change.
        self.capabilities = instance.capabilities

    def can(self, deed: str) -> bool:
        return deed in self.capabilities

    def hashes(self) -> tuple[str, ...]:
        """What SCRAM can be done with, the strongest first."""
        if not (self.can("scram_credentials") and self.can("scram_hashes")):
            return ()
        names = self.instance.scram_hashes()
        return tuple(name for name in SCRAM_HASHES if name in names)

    @property
    def iterations(self) -> int:
        """Those of its new accounts, where it says so."""
        return getattr(self.instance, "scram_iterations", DEFAULT_ITERATIONS)

    def has(self, localpart: str) -> bool:
        if self.can("user_exists"):
            return self.instance.user_exists(localpart)
        # Every account has each of these hashes.
        return any(self.credentials(localpart, name) for name in self.hashes()[:1])

    def may_have(self, localpart: str) -> bool:
        """Like `has`, but yes where it cannot tell."""
        return not (self.can("user_exists") or self.hashes()) or self.has(localpart)

    def remembers(self, localpart: str) -> bool | None:
        """What it knows of an account by heart."""
        cache = self.instance.cache
        return None if cache is None else cache.exists(localpart)

    def remembers_password(self, localpart: str, password: str) -> bool | None:
        """The same of a password; never that it is wrong."""
        cache = self.instance.cache
        return True if cache and cache.password_is_right(localpart, password) else None

    def credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        if not self.can("scram_credentials"):
            return None
        return self.instance.scram_credentials(localpart, hash_name)


class BackendFigures(NamedTuple):
    """How a backend does; `cache` is None where it has none."""

    name: str
    calls: BreakerFigures
    cache: CacheFigures | None


class BackendChain:
    """All backends of one host. `secret` is what decoys come from."""

    def __init__(
        self,
        domain: str,
        backends: Sequence[tuple[str, AuthBackend]],
        secret: bytes,
        run_blocking: Callable[..., Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._domain = domain
        self._backends = tuple(
            Backend(name, instance, domain, clock) for name, instance in backends
        )
        # A name that is unknown on two hosts must not have the same salt on both.
        self._secret = hmac.digest(secret, domain.encode(), "sha256")
        self._run_blocking = run_blocking

    def stop(self) -> None:
        """Close what the backends have open; one that fails keeps no other from it."""
        for backend in self._backends:
            try:
                backend.instance.stop()
            except Exception:  # a backend is a plugin: its fault keeps none from being stopped
                log.exception("the auth backend %s failed to stop", backend.name)

    # Accounts

    def holder(self, localpart: str) -> Backend | None:
        """The first backend that has the account: there it is changed."""
        for backend, has_it in self._ask(
            lambda backend: backend.has(localpart),
            lambda backend: backend.remembers(localpart),
        ):
            if has_it:
                return backend
        return None

    def holder_that_can(self, deed: str, localpart: str) -> Callable[..., Any]:
        """The deed of the backend with the account; raises AccountNotFound, or Unsupported."""
        holder = self.holder(localpart)
        if holder is None:
            raise AccountNotFound(f"There is no account {localpart}@{self._domain}.")
        if not holder.can(deed):
            raise Unsupported(f"The auth backend {holder.name} cannot do that ({deed}).")
        return partial(self._change, holder, deed)

    def may_exist(self, localpart: str) -> bool:
        """Whether some backend has the account, or cannot tell."""
        return any(yes for _, yes in self._ask(lambda backend: backend.may_have(localpart)))

    def maker(self, deed: str = "create_user") -> Callable[..., Any]:
        """What makes new accounts; raises Unsupported."""
        for backend in self._backends:
            if backend.can(deed):
                return partial(self._change, backend, deed)
        raise Unsupported(f"No auth backend of {self._domain} creates accounts ({deed}).")

    def names(self) -> Iterator[str]:
        """Each name once, sorted; at the end AuthUnavailable, if a backend's are missing."""
        faults: list[AuthUnavailable] = []
        latest = ""
        for name in heapq.merge(*(self._names(backend, faults) for backend in self._backends)):
            if name != latest:
                latest = name
                yield name
        if faults:
            raise faults[0]

    def count(self) -> int:
        """The sum over the backends: an account that is in two counts twice."""
        return sum(self._count(backend) for backend in self._backends)

    def figures(self) -> list[BackendFigures]:
        """How each backend does."""
        return [
            BackendFigures(
                backend.name,
                backend.breaker.figures,
                None if backend.instance.cache is None else backend.instance.cache.figures,
            )
            for backend in self._backends
        ]

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        """Whether any backend takes it; at the same cost for an unknown account."""
        refused = []
        try:
            for backend, is_right in self._ask(
                lambda backend: self._verify(backend, localpart, password),
                lambda backend: backend.remembers_password(localpart, password),
            ):
                if is_right:
                    return True
                refused.append(backend)
        except AuthUnavailable as error:
            if any(self._call(backend, backend.may_have, localpart) for backend in refused):
                raise WrongPassword(str(error)) from error
            raise
        return False

    def credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        """Those of the first backend that has any for the account."""
        for _, found in self._ask(lambda backend: backend.credentials(localpart, hash_name)):
            if found is not None:
                return found
        return None

    def decoy(self, localpart: str, hash_name: str) -> ScramCredentials:
        """What an account that does not exist is answered with."""
        iterations = (
            backend.iterations for backend in self._backends if backend.can("scram_credentials")
        )
        return decoy_scram(
            self._secret, localpart, hash_name, next(iterations, DEFAULT_ITERATIONS)
        )

    def mechanisms(self) -> dict[str, Callable[[CredentialLookup], Mechanism]]:
        """Those that the backends bring; each is the first one's that has it."""
        found: dict[str, Callable[[CredentialLookup], Mechanism]] = {}
        for backend in self._backends:
            try:
                with self._boundary(backend):
                    brought = backend.instance.mechanisms()
            except AuthUnavailable:
                # The stream gets its features all the same.
                continue
            for name, make in brought.items():
                found.setdefault(name, make)
        return found

    def upgradable_hashes(self) -> tuple[str, ...]:
        """The hashes that accounts of some backend lack and can be given."""
        found = {name for backend in self._backends for name in self._missing(backend)}
        return tuple(name for name in SCRAM_HASHES if name in found)

    def missing_hashes(self, localpart: str) -> dict[str, int]:
        """Those that one account lacks, and the iterations for them."""
        holder = self.holder(localpart)
        if holder is None:
            return {}
        return {
            name: holder.iterations
            for name in self._missing(holder)
            if self._call(holder, holder.credentials, localpart, name) is None
        }

    def _missing(self, backend: Backend) -> tuple[str, ...]:
        if not (backend.can("missing_hashes") and backend.can("add_scram")):
            return ()
        try:
            with self._boundary(backend):
                return backend.instance.missing_hashes()
        except AuthUnavailable:
            # Nothing depends on it; a login will say what is wrong.
            return ()

    def common_means(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """The capabilities and hashes that all share who can authenticate at all.

        With what one of them lacks, its users would be locked out.
        """
        means = [self._means(backend) for backend in self._backends]
        means = [(able, hashes) for able, hashes in means if "check_password" in able]
        if not means:
            return frozenset(), ()
        return (
            frozenset.intersection(*(able for able, _ in means)),
            tuple(name for name in SCRAM_HASHES if all(name in hashes for _, hashes in means)),
        )

    def _means(self, backend: Backend) -> tuple[frozenset[str], tuple[str, ...]]:
        """What it can do, and with which hashes."""
        try:
            with self._boundary(backend):
                hashes = backend.hashes()
        except AuthUnavailable:
            # The stream gets its features all the same; a login will say what is wrong.
            hashes = ()
        able = backend.capabilities
        if not hashes:
            return able - {"scram_credentials", "scram_hashes"}, ()
        # Its credentials tell whether a password is right.
        return able | {"check_password"}, hashes

    def _verify(self, backend: Backend, localpart: str, password: str) -> bool:
        """Tell whether the password is right, at the same cost for an unknown account."""
        if backend.can("check_password"):
            return backend.instance.check_password(localpart, password)
        hashes = backend.hashes()
        if not hashes:
            return False
        found = backend.credentials(localpart, hashes[0])
        decoy = decoy_scram(self._secret, localpart, hashes[0], backend.iterations)
        is_right: bool = self._run_blocking(check_against_scram, password, found or decoy)
        return is_right and found is not None

    # Asking

    def _names(self, backend: Backend, faults: list[AuthUnavailable]) -> Iterator[str]:
        try:
            for page in self._pages(backend):
                yield from page
        except AuthUnavailable as error:
            faults.append(error)

    def _pages(self, backend: Backend) -> Iterator[list[str]]:
        if not backend.can("users"):
            return
        after = ""
        while page := self._call(backend, backend.instance.users, after, PAGE):
            if page[-1] <= after:
                raise AuthUnavailable(f"The auth backend {backend.name} lists in circles.")
            yield page
            after = page[-1]

    def _count(self, backend: Backend) -> int:
        if backend.can("count_users"):
            return self._call(backend, backend.instance.count_users)
        return sum(len(page) for page in self._pages(backend))

    def _ask(
        self,
        question: Callable[[Backend], T],
        remembered: Callable[[Backend], T | None] = lambda backend: None,
    ) -> Iterator[tuple[Backend, T]]:
        """The backends' answers, in order; who has the one he wants asks no further.

        Of one that is away, what is `remembered` counts. After all others AuthUnavailable,
        if one could not answer.
        """
        fault: AuthUnavailable | None = None
        for backend in self._backends:
            try:
                answer = self._call(backend, question, backend)
            except AuthUnavailable as error:
                known = remembered(backend)
                if known is None:
                    fault = fault or error
                    continue
                answer = known
            yield backend, answer
        if fault is not None:
            raise fault

    def _call(self, backend: Backend, function: Callable[..., T], *arguments: Any) -> T:
        """A question to a backend, within its deadline."""
        with self._boundary(backend), backend.breaker.attempt(), _deadline(backend):
            return function(*arguments)

    def _change(self, backend: Backend, deed: str, *arguments: Any) -> Any:
        """The same for a change, which may be refused, too."""
        # Who changes accounts tells what was refused from what may have been done.
        passed = (StorageError, *_REFUSALS)
        with self._boundary(backend, passed), backend.breaker.attempt(), _deadline(backend):
            return getattr(backend.instance, deed)(*arguments)

    @contextmanager
    def _boundary(
        self, backend: Backend, passed: tuple[type[Exception], ...] = (AuthUnavailable,)
    ) -> Iterator[None]:
        """The fault boundary of a backend; alone where it answers from memory.

        Such an answer tells the breaker nothing, and none is needed for it.
        """
        try:
            yield
        except passed:
            raise
        except StorageError as error:
            raise AuthUnavailable(str(error)) from error
        except Exception as error:
            log.exception("the auth backend %s of %s failed", backend.name, self._domain)
            raise AuthUnavailable(f"The auth backend {backend.name} failed.") from error


@contextmanager
def _deadline(backend: Backend) -> Iterator[None]:
    seconds = backend.instance.deadline
    timeout = Timeout.start_new(seconds)
    try:
        yield
    except Timeout as error:
        if error is not timeout:
            raise
        raise AuthUnavailable(
            f"The auth backend {backend.name} did not answer in {seconds:g} s."
        ) from None
    finally:
        timeout.close()
