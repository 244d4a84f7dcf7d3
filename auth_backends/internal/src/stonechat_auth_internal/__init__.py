"""Accounts in the node's own store, as SCRAM credentials (RFC 5802): the usual auth backend."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from stonechat.auth import (
    DEFAULT_ITERATIONS,
    SCRAM_HASHES,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    Credentials,
    ScramCredentials,
    Unsupported,
    check_against_scram,
    decoy_scram,
    derive_scram,
    prepare_password,
)
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.options import PluginOptions, option
from stonechat.storage import StorageUncertain
from stonechat_auth_internal.accounts import (
    QUICKEST_FIRST,
    SCHEMA,
    Account,
    Accounts,
    Record,
    derive_record,
    plain_record,
    scram_record,
)
from stonechat_auth_internal.cache import MISSING, AccountCache

__all__ = ["Backend", "Options"]


class Options(PluginOptions):
    hashes: tuple[Literal["SHA-1", "SHA-256", "SHA-512"], ...] = option(
        ("SHA-1", "SHA-256", "SHA-512"),
        "The hashes that SCRAM credentials are made for when a password is set.",
        min_length=1,
    )
    iterations: int = option(
        DEFAULT_ITERATIONS,
        "How often a password is hashed; each client repeats that at every login.",
        ge=4096,
        le=10_000_000,
    )
    store: Literal["scram", "plain"] = option(
        "scram",
        "What is kept of a password: `scram` nothing that logs in elsewhere, `plain` also itself.",
    )


class Backend(AuthBackend):
    """The accounts of one host.

    Who logs in often costs neither a look into the database nor, with PLAIN, the
    hashing of the password. Accounts that do not exist cost as much as others.
    """

    Options = Options
    options: Options
    schema = SCHEMA
    # The store sets its own bounds. What takes long besides is hashing, and that only
    # where many log in at once: they are in a queue then, and not lost.
    deadline = 20.0
    max_waiting = 10_000

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self._accounts = Accounts(host.storage, host.name)
        self._cache = AccountCache(host.now)
        # What the kernel gives the decoy that stands for an account that does not exist.
        self.scram_iterations = options.iterations
        # Strongest first, as SCRAM_HASHES is.
        self._hashes = tuple(name for name in SCRAM_HASHES if name in options.hashes)
        self._quickest = next(name for name in QUICKEST_FIRST if name in options.hashes)
        self._hashes_of_all: tuple[str, ...] | None = None
        # What is remembered of a right password opens nothing without this key, which
        # is never written down.
        self._key = secrets.token_bytes(32)
        # What an account that does not exist is compared with: where passwords are
        # kept, the existing ones cost no hashing either.
        self._decoy_password = secrets.token_hex(16) if options.store == "plain" else None

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        account = self._load(localpart)
        digest = self._fast_digest(localpart, password)
        if account is not None and hmac.compare_digest(account.proof, digest):
            return True
        kept = account.password if account is not None else self._decoy_password
        if kept is not None:
            is_right = _is_password(kept, password) and account is not None
        else:
            is_right = self._hashes_to_the_same(localpart, account, password)
        if account is not None and is_right:
            # If the password was changed meanwhile, nobody finds this account object again.
            account.proof = digest
        return is_right

    def _hashes_to_the_same(self, localpart: str, account: Account | None, password: str) -> bool:
        if account is None:
            credentials = decoy_scram(
                self._key, localpart, self._quickest, self.options.iterations
            )
        else:
            credentials = account.quickest()
        is_right = self.host.run_blocking(check_against_scram, password, credentials)
        return is_right and account is not None

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        account = self._load(localpart)
        if account is None:
            return None
        credentials = account.scram(hash_name)
        if credentials is None and account.password is not None and hash_name in self._hashes:
            credentials = self._add_hash(localpart, account, hash_name)
        return credentials

    def scram_hashes(self) -> tuple[str, ...]:
        if self._hashes_of_all is None:
            with _store_errors():
                common = self._accounts.common_hashes()
            self._hashes_of_all = tuple(name for name in self._hashes if name in common)
        return self._hashes_of_all

    def missing_hashes(self) -> tuple[str, ...]:
        common = self.scram_hashes()
        return tuple(name for name in self._hashes if name not in common)

    def add_scram(self, localpart: str, credentials: ScramCredentials) -> None:
        account = self._load(localpart)
        if account is None:
            raise AccountNotFound(f"There is no account {localpart}.")
        # Where the password is kept, there are credentials as soon as somebody asks.
        if account.password is None and account.scram(credentials.hash_name) is None:
            with self._changing(localpart):
                self._accounts.add_hash(localpart, account, credentials)

    # Accounts

    def user_exists(self, localpart: str) -> bool:
        return self._load(localpart) is not None

    def create_user(self, localpart: str, password: str) -> None:
        record = self._derive(password)
        with self._changing(localpart):
            self._accounts.create(localpart, record)

    def set_password(self, localpart: str, password: str) -> None:
        record = self._derive(password)
        with self._changing(localpart):
            self._accounts.update(localpart, record)

    def remove_user(self, localpart: str) -> None:
        with self._changing(localpart):
            self._accounts.remove(localpart)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        with _store_errors():
            return self._accounts.names(after, limit)

    def count_users(self) -> int:
        with _store_errors():
            return self._accounts.count()

    # Moving

    def export_credentials(self, localpart: str) -> Credentials:
        account = self._load(localpart)
        if account is None:
            raise AccountNotFound(f"There is no account {localpart}.")
        return Credentials(account.password or "", account.all_scram())

    def import_user(self, localpart: str, credentials: Credentials) -> None:
        if credentials.password or not credentials.scram:
            record = self._derive(credentials.password)
        else:
            # Also for hashes that new passwords are not kept for: without them nobody gets in.
            known = [c for c in credentials.scram if c.hash_name in SCRAM_HASHES]
            if not known:
                raise Unsupported("None of the hashes is one that SCRAM uses here.")
            record = scram_record(known)
        with self._changing(localpart):
            self._accounts.create(localpart, record)

    # Below

    def _load(self, localpart: str) -> Account | None:
        account = self._cache.get(localpart)
        if account is MISSING:
            generation = self._cache.generation
            with _store_errors():
                account = self._accounts.load(localpart)
            self._cache.keep(localpart, account, generation)
        return account

    def _fast_digest(self, localpart: str, password: str) -> bytes:
        text = f"{localpart}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, "sha256")

    def _derive(self, password: str) -> Record:
        # Refused here, because gevent prints what is raised in a thread as a fault.
        prepared = prepare_password(password)
        if self.options.store == "plain":
            return plain_record(prepared)
        return self.host.run_blocking(
            derive_record,
            password,
            self._hashes,
            self.options.iterations,
        )

    def _add_hash(self, localpart: str, account: Account, hash_name: str) -> ScramCredentials:
        """Make credentials that were not asked for when the plain password was set."""
        credentials = self.host.run_blocking(
            derive_scram, account.password, hash_name, b"", self.options.iterations
        )
        with self._changing(localpart):
            self._accounts.add_hash(localpart, account, credentials)
        return credentials

    @contextmanager
    def _changing(self, localpart: str) -> Iterator[None]:
        """Around each write: whatever comes of it, what was remembered is out of date."""
        try:
            with _store_errors():
                yield
        except AuthUnavailable as error:
            if isinstance(error.__cause__, StorageUncertain):
                self._cache.pause()
            raise
        finally:
            self._cache.drop(localpart)
            # An account that lacked a hash may have got it, or gone.
            if self._hashes_of_all != self._hashes:
                self._hashes_of_all = None


def _is_password(kept: str, given: str) -> bool:
    try:
        prepared = prepare_password(given)
    except BadPassword:
        return False
    return hmac.compare_digest(kept.encode(), prepared.encode())


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise AuthUnavailable(f"The account store does not answer: {error}") from error
