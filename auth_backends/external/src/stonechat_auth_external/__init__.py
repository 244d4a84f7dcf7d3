"""Accounts that a program of the administrator's own keeps: the external auth protocol."""

from __future__ import annotations

from typing import Literal

from stonechat.answer_cache import AnswerCache, CacheOptions
from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    AuthBackend,
    BadPassword,
    Unsupported,
)
from stonechat.host import Host
from stonechat.options import REQUIRED, Duration, option
from stonechat_auth_external.command import Program
from stonechat_auth_external.pool import Pool
from stonechat_auth_external.protocol import (
    AUTH,
    IS_USER,
    REMOVE_USER,
    REMOVE_USER_KNOWING,
    SET_PASSWORD,
    TRY_REGISTER,
    Unspeakable,
    request,
)

__all__ = ["Backend", "Options"]


class Options(CacheOptions):
    command: Program = option(
        REQUIRED,
        "The program, started without a shell. Relative paths begin at the folder of the"
        " configuration file, which is where the program runs, too.",
    )
    instances: int = option(
        2, "How many processes of it run; each answers one request at a time.", ge=1, le=100
    )
    timeout: Duration = option(
        "5 s", "A process that has not answered by then is killed and replaced.", ge=0.1, le=60
    )
    user_exists: bool = option(
        True,
        "Ask the program whether accounts exist. Without that, messages for those who are not"
        " online are refused.",
    )
    changes: tuple[Literal["set_password", "create_user", "remove_user"], ...] = option(
        ("set_password", "create_user", "remove_user"),
        "What the program can change: `setpass`, `tryregister`, `removeuser`.",
    )


class Backend(AuthBackend):
    """Asks one of several processes, which all run the same program."""

    Options = Options
    options: Options
    cache: AnswerCache

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self.deadline = options.timeout
        self.cache = options.make_cache(host.monotonic)
        self._pool = Pool(
            host, options.command, instances=options.instances, timeout=options.timeout
        )

    @property
    def capabilities(self) -> frozenset[str]:
        able = {"check_password", *self.options.changes}
        if self.options.user_exists:
            able.add("user_exists")
        return frozenset(able)

    def start(self) -> None:
        self._pool.start()

    def stop(self) -> None:
        self._pool.stop()

    def check_password(self, localpart: str, password: str) -> bool:
        if self.cache.password_is_right(localpart, password):
            return True
        generation = self.cache.generation
        try:
            is_right = self._ask(AUTH, localpart, password)
        except Unspeakable:
            return False
        if is_right:
            self.cache.remember_password(localpart, password, generation)
        return is_right

    def user_exists(self, localpart: str) -> bool:
        if not self.options.user_exists:
            return super().user_exists(localpart)
        known = self.cache.exists(localpart)
        if known is None:
            generation = self.cache.generation
            try:
                known = self._ask(IS_USER, localpart)
            except Unspeakable:
                return False
            self.cache.remember_existence(localpart, known, generation)
        return known

    def set_password(self, localpart: str, password: str) -> None:
        if "set_password" not in self.options.changes:
            super().set_password(localpart, password)
        if not self._change(SET_PASSWORD, localpart, password):
            raise self._refusal(localpart, "The program did not change the password.")

    def create_user(self, localpart: str, password: str) -> None:
        if "create_user" not in self.options.changes:
            super().create_user(localpart, password)
        if not self._change(TRY_REGISTER, localpart, password):
            if self._is_there(localpart):
                raise AccountExists(f"There is an account {localpart} already.")
            raise Unsupported("The program did not create the account.")

    def remove_user(self, localpart: str) -> None:
        if "remove_user" not in self.options.changes:
            super().remove_user(localpart)
        if not self._change(REMOVE_USER, localpart):
            raise self._refusal(localpart, "The program did not remove the account.")

    def remove_user_knowing(self, localpart: str, password: str) -> bool:
        """Remove an account if this is its password; tells whether it was."""
        if "remove_user" not in self.options.changes:
            super().remove_user(localpart)
        return self._change(REMOVE_USER_KNOWING, localpart, password)

    # Below

    def _ask(self, operation: str, localpart: str, password: str | None = None) -> bool:
        return self._pool.ask(request(operation, localpart, self.host.name, password))

    def _change(self, operation: str, localpart: str, password: str | None = None) -> bool:
        try:
            return self._ask(operation, localpart, password)
        except Unspeakable as error:
            raise BadPassword(str(error)) from error
        finally:
            # Also when nobody knows what has become of it.
            self.cache.forget(localpart)

    def _refusal(self, localpart: str, text: str) -> AccountNotFound | Unsupported:
        if self._is_there(localpart):
            return Unsupported(text)
        return AccountNotFound(f"There is no account {localpart}.")

    def _is_there(self, localpart: str) -> bool:
        """Asked anew; what cannot be asked may be there."""
        return not self.options.user_exists or self._ask(IS_USER, localpart)
