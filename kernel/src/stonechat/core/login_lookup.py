"""What the mechanisms of one stream ask about accounts, and how the throttle takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stonechat.auth import ScramCredentials
from stonechat.core.auth_chain import BackendChain, WrongPassword
from stonechat.core.throttle import LoginThrottle
from stonechat.errors import SaslFailure, StorageError
from stonechat.jid import JID

if TYPE_CHECKING:
    from stonechat.core.accounts import HostAccounts

TOO_MANY_ATTEMPTS = "There were too many attempts to log in; try again later."


class LoginLookup:
    """A `CredentialLookup` behind the throttle, for the client at one address.

    Nobody waits here. What an attempt led to is shown to `judge`, and what that returns
    is how long the client has to wait for the answer.
    """

    __slots__ = (
        "_accounts",
        "_address",
        "_certificate_accounts",
        "_chain",
        "_guess",
        "_pause",
        "_throttle",
    )

    def __init__(
        self,
        accounts: HostAccounts,
        chain: BackendChain,
        throttle: LoginThrottle,
        address: str,
        certificate_accounts: tuple[JID, ...],
    ) -> None:
        self._accounts = accounts
        self._chain = chain
        self._throttle = throttle
        self._address = address
        self._certificate_accounts = certificate_accounts
        self._guess: str | None = None  # whose secret the attempt at hand is about
        self._pause = 0.0  # that it has to make

    # For mechanisms

    def check_password(self, localpart: str, password: str) -> bool:
        with self.attempt(localpart):
            return self._accounts.check_password(localpart, password)

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        with self.attempt(localpart):
            return self._chain.credentials(localpart, hash_name)

    def decoy_credentials(self, localpart: str, hash_name: str) -> ScramCredentials:
        return self._chain.decoy(localpart, hash_name)

    @contextmanager
    def attempt(self, localpart: str) -> Iterator[None]:
        self._refuse_locked(localpart)
        self._guess = localpart
        self._pause = self._throttle.delay(localpart, self._address)
        try:
            yield
        except WrongPassword:
            # Counted, or there would be no end to guesses while another backend is away.
            raise
        except StorageError:
            self._guess = None
            raise

    def certificate_accounts(self) -> tuple[JID, ...]:
        # A certificate outlives the account that it was made for.
        domain = self._accounts.domain
        return tuple(
            account
            for account in self._certificate_accounts
            if account.localpart
            and account.domain == domain
            and self._accounts.exists(account.localpart)
        )

    # For whoever answers the client

    def judge(self, *, is_right: bool) -> float:
        """Count what the attempt led to; the seconds for which the answer is withheld.

        SaslFailure instead of that answer where others at the same address have used up
        the guesses meanwhile. What opened the account and is refused after all is shown
        once more.
        """
        guess, self._guess = self._guess, None
        pause, self._pause = self._pause, 0.0
        if guess is not None:
            self._refuse_locked(guess)
            if is_right:
                self._guess = guess
            else:
                self._throttle.failed(guess, self._address)
        return pause

    def _refuse_locked(self, localpart: str) -> None:
        if self._throttle.is_locked(localpart, self._address):
            raise SaslFailure("temporary-auth-failure", TOO_MANY_ATTEMPTS)
