"""The accounts of a host: what plugins see of them, and what a login asks."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gevent.lock import RLock

from stonechat.auth import (
    AccountExists,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    Credentials,
    ScramCredentials,
    Unsupported,
)
from stonechat.core.auth_chain import BackendChain, BackendFigures
from stonechat.core.login_lookup import LoginLookup
from stonechat.core.throttle import LoginThrottle
from stonechat.errors import StorageError
from stonechat.jid import JID
from stonechat.protocol.sasl import KERNEL_MECHANISMS, mechanisms_offered
from stonechat.sasl import CredentialLookup, Mechanism

log = logging.getLogger("stonechat.accounts")

# `exists` is asked for every message to an account that has no session. Other nodes and
# a directory's administrators remove accounts too, so what was true is not true for long.
MAX_KNOWN = 4096
KNOWN_SECONDS = 60.0

# Changes of one account wait for each other; so do those of names that share a lock.
LOCKS = 64
CHANGE_SECONDS = 30.0


class HostAccounts:
    """The `stonechat.accounts.Accounts` of a virtual host, and the way in for its clients.

    `on_removed` ends an account's sessions and tells the plugins to forget its data; it
    returns which of them failed, and is called before a creation too.
    `on_password_changed` tells them to forget what spared its user the old password.
    `secret` is what decoys come from: it stays the same over restarts, and on all nodes.
    """

    def __init__(
        self,
        domain: str,
        backends: Sequence[tuple[str, AuthBackend]],
        *,
        secret: bytes,
        run_blocking: Callable[..., Any],
        on_created: Callable[[JID], None],
        on_removed: Callable[[JID], Sequence[str]],
        on_password_changed: Callable[[JID], None],
        throttle: LoginThrottle,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.domain = domain
        self._chain = BackendChain(domain, backends, secret, run_blocking, clock)
        self._on_created = on_created
        self._on_removed = on_removed
        self._on_password_changed = on_password_changed
        self._throttle = throttle
        self._clock = clock
        self._known: OrderedDict[str, float] = OrderedDict()  # localpart -> until when
        self._removals = 0
        self._locks = tuple(RLock() for _ in range(LOCKS))

    # For plugins

    def exists(self, localpart: str) -> bool:
        until = self._known.get(localpart)
        if until is not None and self._clock() < until:
            self._known.move_to_end(localpart)
            return True
        removals = self._removals
        if self._chain.holder(localpart) is None:
            return False
        # What was removed while we asked would be remembered as being there.
        if removals == self._removals:
            self._known[localpart] = self._clock() + KNOWN_SECONDS
            self._known.move_to_end(localpart)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return True

    def may_exist(self, localpart: str) -> bool:
        return self._chain.may_exist(localpart)

    def check_password(self, localpart: str, password: str) -> bool:
        """Not throttled: who lets strangers guess by this counts their guesses himself."""
        # No backend sees what can be no password. To a directory an empty one is an
        # anonymous bind, which "succeeds" (RFC 4513, 5.1.2), and a C library takes one
        # that begins with NUL for empty.
        if not password or "\0" in password:
            return False
        return self._chain.check_password(localpart, password)

    def create(self, localpart: str, password: str) -> None:
        _check_settable(password)
        self._make(localpart, self._chain.maker(), password)

    def import_account(self, localpart: str, credentials: Credentials) -> None:
        password = credentials.password
        if password or not credentials.scram:
            _check_settable(password)
        try:
            import_user = self._chain.maker("import_user")
        except Unsupported:
            if not password:
                raise
            self._make(localpart, self._chain.maker(), password)
        else:
            self._make(localpart, import_user, credentials)

    def credentials(self, localpart: str) -> Credentials:
        export = self._chain.holder_that_can("export_credentials", localpart)
        found: Credentials = export(localpart)
        return found

    def _make(self, localpart: str, make: Callable[..., Any], given: object) -> None:
        account = JID.make(localpart, self.domain)
        with self._changing(localpart):
            if self._chain.holder(localpart) is not None:
                raise AccountExists(f"There is an account {account} already.")
            # Before it is there, so that nobody can log in and find an earlier one's data.
            self._clear_remains(account)
            make(localpart, given)
            self._on_created(account)

    def remove(self, localpart: str, *, told: Callable[[], object] = lambda: None) -> None:
        account = JID.make(localpart, self.domain)
        with self._changing(localpart):
            remove_user = self._chain.holder_that_can("remove_user", localpart)
            try:
                remove_user(localpart)
            finally:
                self._removals += 1
                self._known.pop(localpart, None)
            try:
                told()
            finally:
                # After the backend, for until then a new session could be bound.
                self._on_removed(account)

    def set_password(self, localpart: str, password: str) -> None:
        _check_settable(password)
        account = JID.make(localpart, self.domain)
        change = self._chain.holder_that_can("set_password", localpart)
        try:
            change(localpart, password)
        except StorageError:
            # It may have been written all the same.
            self._on_password_changed(account)
            raise
        self._on_password_changed(account)

    def upgradable_hashes(self) -> tuple[str, ...]:
        return self._chain.upgradable_hashes()

    def missing_hashes(self, localpart: str) -> Mapping[str, int]:
        return self._chain.missing_hashes(localpart)

    def add_scram(self, localpart: str, credentials: ScramCredentials) -> None:
        self._chain.holder_that_can("add_scram", localpart)(localpart, credentials)

    def __iter__(self) -> Iterator[str]:
        return self._chain.names()

    def count(self) -> int:
        return self._chain.count()

    @property
    def removals(self) -> int:
        """How many accounts were removed; who logged in before looks again if it has grown."""
        return self._removals

    def backend_figures(self) -> list[BackendFigures]:
        """How each auth backend does."""
        return self._chain.figures()

    def stop(self) -> None:
        """Close what the backends have open."""
        self._chain.stop()

    # For streams

    @property
    def capabilities(self) -> frozenset[str]:
        """What all backends have in common that can authenticate at all."""
        return self._chain.common_means()[0]

    def scram_hashes(self) -> tuple[str, ...]:
        """The hashes that all those backends have credentials for, the strongest first."""
        return self._chain.common_means()[1]

    def mechanisms(
        self,
        *,
        tls: bool,
        allow_plain_without_tls: bool,
        bindings: Mapping[str, bytes],
        certificate_accounts: bool,
    ) -> tuple[str, ...]:
        """The SASL mechanisms to offer on a stream, the strongest first."""
        capabilities, hashes = self._chain.common_means()
        offered = mechanisms_offered(
            capabilities,
            hashes,
            tls=tls,
            allow_plain_without_tls=allow_plain_without_tls,
            bindings=bindings,
            certificate_accounts=certificate_accounts,
        )
        return offered + tuple(self.brought_mechanisms())

    def brought_mechanisms(self) -> dict[str, Callable[[CredentialLookup], Mechanism]]:
        """Those that the backends have besides the kernel's."""
        brought = self._chain.mechanisms()
        return {name: make for name, make in brought.items() if name not in KERNEL_MECHANISMS}

    def lookup(self, address: str, certificate_accounts: tuple[JID, ...]) -> LoginLookup:
        """What the mechanisms of one stream ask, attempt by attempt."""
        return LoginLookup(self, self._chain, self._throttle, address, certificate_accounts)

    def login_succeeded(self, localpart: str, address: str) -> None:
        """A success is in force, whatever the mechanism."""
        self._throttle.succeeded(localpart, address)

    # Below

    def _clear_remains(self, account: JID) -> None:
        """Have the plugins forget an earlier account; AuthUnavailable where one cannot."""
        failed = ", ".join(self._on_removed(account))
        if failed:
            reason = f"The data of an earlier account cannot be cleared by: {failed}."
            log.error("%s is not created. %s", account, reason)
            raise AuthUnavailable(reason)

    @contextmanager
    def _changing(self, localpart: str) -> Iterator[None]:
        """One at a time: of two who create an account, the second must not clear its data."""
        lock = self._locks[hash(localpart) % LOCKS]
        if not lock.acquire(timeout=CHANGE_SECONDS):
            raise AuthUnavailable("Another change of accounts takes too long.")
        try:
            yield
        finally:
            lock.release()


def _check_settable(password: str) -> None:
    if not password:
        raise BadPassword("The password is empty.")
    if "\0" in password:
        raise BadPassword("The password has characters that cannot be used.")
