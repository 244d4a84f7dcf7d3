"""The auth backends of a host as one: asked in their order, none feels another's faults.

Where one cannot answer, another's yes still counts; without a yes the answer is
AuthUnavailable, and not no.
"""

from __future__ import annotations

import heapq
import hmac
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from stonechat.auth import (
    DEFAULT_ITERATIONS,
    SCRAM_HASHES,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    ScramCredentials,
    Unsupported,
    check_against_scram,
    decoy_scram,
)
from stonechat.errors import StorageError

T = TypeVar("T")

log = logging.getLogger("stonechat.accounts")

PAGE = 1000


class WrongPassword(AuthUnavailable):
    """One backend has the account, with another password; a second one cannot answer."""


class Backend:
    """A backend and its name, asked for no more than it can do."""

    __slots__ = ("capabilities", "instance", "name")

    def __init__(self, name: str, instance: AuthBackend) -> None:
        self.name = name
        self.instance = instance
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

    def credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        if not self.can("scram_credentials"):
            return None
        return self.instance.scram_credentials(localpart, hash_name)


class BackendChain:
    """All backends of one host. `secret` is what decoys come from."""

    def __init__(
        self,
        domain: str,
        backends: Sequence[tuple[str, AuthBackend]],
        secret: bytes,
        run_blocking: Callable[..., Any],
    ) -> None:
        self._domain = domain
        self._backends = tuple(Backend(name, instance) for name, instance in backends)
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
        for backend, has_it in self._ask(lambda backend: backend.has(localpart)):
            if has_it:
                return backend
        return None

    def holder_that_can(self, deed: str, localpart: str) -> AuthBackend:
        """Raises AccountNotFound, or Unsupported."""
        holder = self.holder(localpart)
        if holder is None:
            raise AccountNotFound(f"There is no account {localpart}@{self._domain}.")
        if not holder.can(deed):
            raise Unsupported(f"The auth backend {holder.name} cannot do that ({deed}).")
        return holder.instance

    def maker(self) -> AuthBackend:
        """The backend for new accounts; raises Unsupported."""
        for backend in self._backends:
            if backend.can("create_user"):
                return backend.instance
        raise Unsupported(f"No auth backend of {self._domain} creates accounts.")

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
        return sum(number for _, number in self._ask(self._count))

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        """Whether any backend takes it; at the same cost for an unknown account."""
        refused = []
        try:
            for backend, is_right in self._ask(
                lambda backend: self._verify(backend, localpart, password)
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
            return self._call(backend, backend.instance.missing_hashes)
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
            hashes = self._call(backend, backend.hashes)
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
            return backend.instance.count_users()
        return sum(len(page) for page in self._pages(backend))

    def _ask(self, question: Callable[[Backend], T]) -> Iterator[tuple[Backend, T]]:
        """The backends' answers, in order; who has the one he wants asks no further.

        After all others AuthUnavailable, if one could not answer.
        """
        fault: AuthUnavailable | None = None
        for backend in self._backends:
            try:
                answer = self._call(backend, question, backend)
            except AuthUnavailable as error:
                fault = fault or error
            else:
                yield backend, answer
        if fault is not None:
            raise fault

    def _call(self, backend: Backend, function: Callable[..., T], *arguments: Any) -> T:
        """The fault boundary of a backend."""
        try:
            return function(*arguments)
        except AuthUnavailable:
            raise
        except StorageError as error:
            raise AuthUnavailable(str(error)) from error
        except Exception as error:
            log.exception("the auth backend %s of %s failed", backend.name, self._domain)
            raise AuthUnavailable(f"The auth backend {backend.name} failed.") from error
