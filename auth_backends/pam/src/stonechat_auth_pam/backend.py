"""Accounts of the machine: passwords are checked by PAM, in processes of their own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

from stonechat.auth import AuthBackend, AuthUnavailable
from stonechat.errors import ConfigError
from stonechat.host import Host
from stonechat.options import Duration, PluginOptions, option
from stonechat.seen_accounts import SeenAccounts, seen_schema
from stonechat_auth_pam import wire
from stonechat_auth_pam.pool import HelperPool
from stonechat_auth_pam.wire import Kind, Verdict

__all__ = ["Backend", "Options"]

# Where Linux-PAM looks for a service; without one there, `other` decides.
SERVICE_FOLDERS = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"), Path("/usr/local/etc/pam.d"))


class Options(PluginOptions):
    service: str = option(
        "stonechat", "The PAM service that is asked.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
    )
    user: Literal["username", "jid"] = option(
        "username", "What PAM knows a user by: the part before the `@`, or the whole address."
    )
    existence: Literal["passwd", "logins", "none"] = option(
        "passwd",
        "How to find out which accounts exist, which PAM does not tell: `passwd` those in the"
        " machine's user database, `logins` those that have logged in once, `none` not at all.",
    )
    helpers: int = option(
        4, "How many processes ask PAM; so many logins are checked at a time.", ge=1, le=64
    )
    timeout: Duration = option("5 s", "How long a check may take.", ge=0.1, le=60)
    keep_delay: bool = option(
        False, "Let PAM pause after a wrong password; meanwhile that process does nothing else."
    )
    command: tuple[str, ...] = option(
        (), "What starts a process that asks PAM, as `[sudo, -n, /usr/bin/stonechat-pam-helper]`."
    )


class Backend(AuthBackend):
    """The accounts of one host."""

    Options = Options
    options: Options
    schema = seen_schema("auth_pam")

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self._seen = SeenAccounts(host, self.schema)
        # Ours strikes first, and can say more.
        self.deadline = options.timeout + 1.0
        command = options.command or (sys.executable, "-I", "-m", "stonechat_auth_pam.helper")
        delay = ("keep-delay",) if options.keep_delay else ()
        self._pool = HelperPool(
            (*command, options.service, f"{options.timeout:g}", *delay),
            size=options.helpers,
            seconds=options.timeout,
            clock=host.monotonic,
        )

    @property
    def capabilities(self) -> frozenset[str]:
        able = super().capabilities
        if self.options.existence == "none":
            able -= {"user_exists"}
        if self.options.existence != "logins":
            able -= {"users", "count_users"}
        return able

    def start(self) -> None:
        command = self.options.command
        if command and shutil.which(command[0]) is None:
            raise ConfigError(f"auth_options.pam.command: there is no program {command[0]}")
        service = self.options.service
        if not any((folder / service).exists() for folder in SERVICE_FOLDERS):
            self.host.log.warning(
                "PAM has no such service; it asks the service `other` instead", service=service
            )

    def stop(self) -> None:
        self._pool.stop()

    def check_password(self, localpart: str, password: str) -> bool:
        is_right, reason = self._ask(Kind.CHECK, localpart, password)
        if not is_right:
            # An account that has expired, say, which the user is not told.
            self.host.log.info("PAM has refused a login", account=localpart, reason=reason)
        elif self.options.existence == "logins":
            self._seen.note(localpart)
        return is_right

    def user_exists(self, localpart: str) -> bool:
        if self.options.existence == "none":
            self._unsupported("look for an account")
        if self.options.existence == "logins":
            return self._seen.has(localpart)
        return self._ask(Kind.EXISTS, localpart)[0]

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        if self.options.existence != "logins":
            self._unsupported("list its accounts")
        return self._seen.names(after, limit)

    def count_users(self) -> int:
        if self.options.existence != "logins":
            self._unsupported("count its accounts")
        return self._seen.count()

    def _ask(self, kind: Kind, localpart: str, password: str = "") -> tuple[bool, str]:
        name = localpart if self.options.user == "username" else f"{localpart}@{self.host.name}"
        try:
            request = wire.request(kind, name, password)
        except ValueError:
            return False, "no account has such a name, or such a password"
        verdict, reason = self._pool.ask(request)
        if verdict is Verdict.UNAVAILABLE:
            raise AuthUnavailable(f"PAM cannot tell: {reason}")
        return verdict is Verdict.YES, reason
