"""Accounts in an SQL database of the administrator's own."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from stonechat.answer_cache import AnswerCache
from stonechat.auth import (
    SALT_BYTES,
    AccountExists,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    Credentials,
    ScramCredentials,
    Unsupported,
    derive_scram,
    prepare_password,
)
from stonechat.errors import ConfigError
from stonechat.host import Host
from stonechat_auth_sql import scram
from stonechat_auth_sql.database import Answer, Database, Refused
from stonechat_auth_sql.options import Options
from stonechat_auth_sql.passwords import UnknownHash, check_hash, is_same, new_hash
from stonechat_auth_sql.statements import QueryStatements, Statements, TableStatements

__all__ = ["Backend", "Options"]

Row = Mapping[str, Any]


class Backend(AuthBackend):
    """The accounts of one host in somebody else's table.

    An account that does not exist takes as much work as another: its password is compared
    with the hash of the last one that was read.
    """

    Options = Options
    options: Options
    cache: AnswerCache

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self.deadline = options.timeout
        self.scram_iterations = options.iterations
        self.cache = options.make_cache(host.monotonic)
        self._database: Database | None = None
        self._statements: Statements
        # Where several hosts share a table, each salt is of one account nevertheless.
        self._salting = host.secret("salts")
        # What an account that is not there is compared with.
        self._decoy = secrets.token_hex(16)
        self._hash_before = ""

    @property
    def capabilities(self) -> frozenset[str]:
        options, queries = self.options, self.options.queries
        able = set(options.can_change)
        if options.format == "scram":
            able |= {"export_credentials", "scram_credentials", "scram_hashes"}
        else:
            able.add("check_password")
        if options.table or queries.find:
            able.add("user_exists")
            if options.format == "plain" and not queries.check:
                able |= {"export_credentials", "scram_credentials", "scram_hashes"}
        able |= {
            deed
            for deed, query in (("users", queries.users), ("count_users", queries.count))
            if options.table or query
        }
        return frozenset(able)

    def start(self) -> None:
        options, url = self.options, self.options.full_url
        # SQLite would make a new one, which is empty.
        if url.get_backend_name() == "sqlite" and not Path(cast(str, url.database)).is_file():
            raise ConfigError(f"auth sql: there is no database {url.database}")
        self._database = Database(url, connections=options.connections, timeout=options.timeout)
        self._statements = (
            TableStatements(options, self._database.dialect)
            if options.table
            else QueryStatements(options)
        )

    def ready(self) -> None:
        self.host.spawn(self._try_out)

    def _try_out(self) -> None:
        """Run the statement that logins need: a wrong name of a column should be told now."""
        try:
            self._find("")
        except AuthUnavailable as error:
            self.host.log.error("the database of accounts cannot be used", reason=str(error))

    def stop(self) -> None:
        if self._database is not None:
            self._database.stop()
            self._database = None

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        if "check_password" not in self.capabilities:
            return super().check_password(localpart, password)
        if self.cache.password_is_right(localpart, password):
            return True
        generation = self.cache.generation
        if self._statements.check is not None:
            answer = self._run("check", user=localpart, password=_sendable(password))
            is_right = bool(answer.rows)
        else:
            is_right = self._compare(localpart, password)
        if is_right:
            self.cache.remember_password(localpart, password, generation)
        return is_right

    def _compare(self, localpart: str, password: str) -> bool:
        row = self._find(localpart)
        stored = "" if row is None else _password_in(row)
        if self.options.format == "plain":
            return is_same(stored or self._decoy, password) and bool(stored)
        if not stored:
            # Nobody, or an account without a password: told neither by an error nor by time.
            row, stored = None, self._decoy_hash()
        try:
            is_right = self.host.run_blocking(check_hash, password, stored)
        except UnknownHash as error:
            self.host.log.warning(
                "a password cannot be checked", account=localpart, reason=str(error)
            )
            raise AuthUnavailable(str(error)) from None
        if row is not None:
            # The kind and the cost of what is in the table, for those who are not.
            self._hash_before = stored
        return is_right and row is not None

    def _decoy_hash(self) -> str:
        if not self._hash_before:
            self._hash_before = self.host.run_blocking(new_hash, self._decoy, self.options.hash)
        return self._hash_before

    def scram_hashes(self) -> tuple[str, ...]:
        if "scram_hashes" not in self.capabilities:
            return super().scram_hashes()
        if self.options.format == "plain":
            return ("SHA-512", "SHA-256", "SHA-1")
        return (self.options.scram_hash,)

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        if "scram_credentials" not in self.capabilities:
            return super().scram_credentials(localpart, hash_name)
        if hash_name not in self.scram_hashes():
            return None
        row = self._find(localpart)
        if self.options.format == "plain":
            return self._derived(localpart, hash_name, row)
        if row is None:
            return None
        found = self._credentials_in(localpart, row)
        if found is not None:
            return found if found.hash_name == hash_name else None
        # Some rows are from before there was SCRAM.
        return self._derived(localpart, hash_name, row)

    def export_credentials(self, localpart: str) -> Credentials:
        if "export_credentials" not in self.capabilities:
            return super().export_credentials(localpart)
        row = self._find(localpart)
        if row is None:
            raise AccountNotFound(f"There is no account {localpart}.")
        if self.options.format == "scram":
            found = self._credentials_in(localpart, row)
            if found is not None:
                return Credentials(scram=(found,))
        return Credentials(_password_in(row))

    def _credentials_in(self, localpart: str, row: Row) -> ScramCredentials | None:
        try:
            return scram.credentials_of(row, self.options.scram_hash, self.options.salt_as)
        except scram.DamagedCredentials as error:
            self.host.log.warning(
                "a password cannot be checked", account=localpart, reason=str(error)
            )
            raise AuthUnavailable(str(error)) from None

    def _derived(self, localpart: str, hash_name: str, row: Row | None) -> ScramCredentials | None:
        """Credentials of a password that is kept as it is; as dear for who is not there."""
        password = "" if row is None else _password_in(row)
        name = f"{self.host.name}\0{localpart}\0{hash_name}".encode()
        salt = hmac.digest(self._salting, name, "sha256")[:SALT_BYTES]
        found = self.host.run_blocking(
            derive_scram, password or self._decoy, hash_name, salt, self.options.iterations
        )
        return found if password else None

    # Accounts

    def user_exists(self, localpart: str) -> bool:
        if "user_exists" not in self.capabilities:
            return super().user_exists(localpart)
        known = self.cache.exists(localpart)
        if known is None:
            generation = self.cache.generation
            known = self._find(localpart) is not None
            self.cache.remember_existence(localpart, known, generation)
        return known

    def set_password(self, localpart: str, password: str) -> None:
        if "set_password" not in self.capabilities:
            super().set_password(localpart, password)
        kept = self._kept(password)
        self._change("set_password", localpart, kept)

    def create_user(self, localpart: str, password: str) -> None:
        if "create_user" not in self.capabilities:
            super().create_user(localpart, password)
        kept = self._kept(password)
        if self._is_there(localpart):
            raise AccountExists(f"There is an account {localpart} already.")
        try:
            self._run("create_user", user=localpart, **kept)
        except Refused as error:
            if self._is_there(localpart):
                raise AccountExists(f"There is an account {localpart} already.") from None
            self.host.log.warning("an account was refused", account=localpart, reason=str(error))
            raise Unsupported("The database does not take this account.") from None
        finally:
            self.cache.forget(localpart)

    def remove_user(self, localpart: str) -> None:
        if "remove_user" not in self.capabilities:
            super().remove_user(localpart)
        self._change("remove_user", localpart, {})

    def _change(self, deed: str, localpart: str, values: Mapping[str, Any]) -> None:
        try:
            # Asked first: a table that folds case would change another's row.
            is_there = "user_exists" not in self.capabilities or self._is_there(localpart)
            if not is_there or not self._run(deed, user=localpart, **values).changed:
                raise AccountNotFound(f"There is no account {localpart}.")
        except Refused as error:
            self.host.log.warning("a change was refused", account=localpart, reason=str(error))
            raise Unsupported("The database does not take this change.") from None
        finally:
            # Also where nobody knows what has become of it.
            self.cache.forget(localpart)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        if "users" not in self.capabilities:
            return super().users(after, limit)
        rows = self._run("users", after=after, limit=limit).rows
        return [scram.as_text(next(iter(row.values()))) for row in rows]

    def count_users(self) -> int:
        if "count_users" not in self.capabilities:
            return super().count_users()
        (row,) = self._run("count").rows
        return int(next(iter(row.values())))

    # Below

    def _kept(self, password: str) -> dict[str, Any]:
        """What is stored of a new password."""
        options = self.options
        prepared = prepare_password(password)
        if options.format == "plain":
            return {"password": prepared}
        if options.format == "hashed":
            return {"password": self.host.run_blocking(new_hash, password, options.hash)}
        salt = secrets.token_hex(SALT_BYTES).encode() if options.salt_as == "text" else b""
        return scram.columns_of(
            self.host.run_blocking(
                derive_scram, password, options.scram_hash, salt, options.iterations
            ),
            options.salt_as,
        )

    def _is_there(self, localpart: str) -> bool:
        return "user_exists" in self.capabilities and self._find(localpart) is not None

    def _find(self, localpart: str) -> Row | None:
        if self._statements.find is None:
            return None
        for row in self._run("find", user=localpart).rows:
            # A table may take one letter for another; we do not.
            if "name" not in row or scram.as_text(row["name"]) == localpart:
                return row
        return None

    def _run(self, name: str, **given: Any) -> Answer:
        database = self._database
        if database is None:
            raise AuthUnavailable("The database is closed.")
        parameters = self._statements.parameters(name, {"host": self.host.name, **given})
        return database.run(getattr(self._statements, name), parameters)


def _password_in(row: Row) -> str:
    value = row.get("password")
    return "" if value is None else scram.as_text(value)


def _sendable(password: str) -> str:
    """What can be sent to a database; a lone surrogate cannot."""
    return password.encode("utf-8", "replace").decode()
