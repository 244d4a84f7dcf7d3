"""Accounts in an LDAP directory: OpenLDAP, 389 Directory Server, Active Directory."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from pydantic import model_validator

from stonechat.answer_cache import AnswerCache, CacheOptions
from stonechat.auth import (
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    Unsupported,
)
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.options import option
from stonechat.seen_accounts import SeenAccounts, seen_schema
from stonechat_auth_ldap.listing import Listing
from stonechat_ldap import Directory, DirectoryOptions, Entry, Link, Refused, share
from stonechat_ldap.filters import escape_in_dn

__all__ = ["Backend", "Options"]

# What a directory says where its rules for passwords are broken (RFC 4511, appendix A.2).
_BAD_PASSWORD = {"constraintViolation", "invalidAttributeSyntax", "unwillingToPerform"}


class Options(CacheOptions, DirectoryOptions):
    """A directory, and how people log in to it."""

    user_dn: str = option(
        "",
        "What somebody logs in as who is not looked up before, such as"
        " `uid=%u,ou=people,dc=example,dc=org` or `%u@corp.example.org`; if empty, the entry is"
        " looked for.",
    )
    password_change: bool = option(
        False, "Let passwords be changed: by `bind_dn`, with the operation of RFC 3062."
    )

    @model_validator(mode="after")
    def _check_user_dn(self) -> Self:
        if self.user_dn and self.user_dn.count("%u") != 1:
            raise ValueError("user_dn must have %u in it, once")
        if self.password_change and not self.bind_dn:
            raise ValueError("password_change needs bind_dn, who changes them")
        return self


class Backend(AuthBackend):
    """The accounts of a host that are entries of a directory."""

    Options = Options
    options: Options
    schema = seen_schema("auth_ldap")

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self.directory = Directory(host, options)
        self.cache: AnswerCache = options.make_cache(host.monotonic)
        self._listing = Listing(self.directory)
        self._link: Link | None = None
        # Where everybody has to come with a name of his own, nobody else is told who is there.
        self._seen: SeenAccounts | None = None
        if options.user_dn and not options.bind_dn:
            self._seen = SeenAccounts(host, self.schema)

    @property
    def capabilities(self) -> frozenset[str]:
        found = super().capabilities
        return found if self.options.password_change else found - {"set_password"}

    def start(self) -> None:
        self.directory.start()
        self._link = share(self.directory)

    def stop(self) -> None:
        self.directory.stop()
        if self._link is not None:
            self._link.remove(self.directory)

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        # Without a password a bind is nobody's, and succeeds (RFC 4513, 5.1.2); and there are
        # servers for which a password ends at a NUL.
        if not password or "\0" in password or not _is_text(password):
            return False
        if self.cache.password_is_right(localpart, password):
            return True
        asked_at = self.cache.generation
        with _directory_errors():
            if self.options.user_dn:
                is_right = self._log_in(localpart, password) is not None
                if is_right and self._seen is not None:
                    self._seen.note(localpart)
            else:
                is_right = self._look_up_and_log_in(localpart, password)
        if is_right:
            self.cache.remember_password(localpart, password, asked_at)
        return is_right

    def _look_up_and_log_in(self, localpart: str, password: str) -> bool:
        entry = self.directory.find(localpart)
        # Somebody who is not there takes as many questions as somebody who is.
        dn = entry.dn if entry is not None else self._nobody()
        return self.directory.accepts(dn, password) and entry is not None

    def _nobody(self) -> str:
        return f"cn={secrets.token_hex(8)},{self.options.base}"

    def _log_in(self, localpart: str, password: str) -> Entry | None:
        pattern = self.options.user_dn
        is_dn = "=" in pattern
        name = escape_in_dn(localpart)
        if not is_dn and name != localpart:
            # What is no distinguished name has no way to escape what looks like one.
            return None
        written = pattern.replace("%d", self.host.name).replace("%u", name)
        return self.directory.log_in(written, localpart, password, is_dn=is_dn)

    # Accounts

    def user_exists(self, localpart: str) -> bool:
        if self._seen is not None:
            with _directory_errors():
                return self._seen.has(localpart)
        known = self.cache.exists(localpart)
        if known is not None:
            return known
        asked_at = self.cache.generation
        with _directory_errors():
            exists = self.directory.find(localpart) is not None
        self.cache.remember_existence(localpart, exists, asked_at)
        return exists

    def set_password(self, localpart: str, password: str) -> None:
        if not self.options.password_change:
            self._unsupported("set a password")
        if not password or "\0" in password or not _is_text(password):
            raise BadPassword("The password has characters that cannot be used, or none.")
        self.cache.forget(localpart)
        try:
            with _directory_errors():
                entry = self.directory.find(localpart)
                if entry is None:
                    raise AccountNotFound(f"There is no account {localpart}.")
                self.directory.set_password(entry.dn, password)
        except Refused as error:
            if error.result in _BAD_PASSWORD:
                raise BadPassword("The directory does not take this password.") from error
            if error.result == "noSuchObject":
                raise AccountNotFound(f"There is no account {localpart}.") from error
            self.host.log.error("the directory lets no password be set", reason=str(error))
            raise Unsupported("The directory does not let passwords be changed.") from error
        finally:
            # Whatever came of it: it may have been changed all the same.
            self.cache.forget(localpart)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        with _directory_errors():
            if self._seen is not None:
                return self._seen.names(after, limit)
            return self._listing.names(after, limit)

    def count_users(self) -> int:
        with _directory_errors():
            if self._seen is not None:
                return self._seen.count()
            return self._listing.count()


def _is_text(password: str) -> bool:
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def _directory_errors() -> Iterator[None]:
    try:
        yield
    except AuthUnavailable:
        raise
    except StorageError as error:
        raise AuthUnavailable(f"Accounts cannot be asked for: {error}") from error
