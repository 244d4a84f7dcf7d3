"""Accounts of a web application: asked over HTTP, by a contract that takes an hour to fulfil."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from stonechat.answer_cache import AnswerCache
from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
)
from stonechat.errors import ConfigError, JIDError
from stonechat.host import Host
from stonechat.jid import prepare_localpart
from stonechat.options import (
    REQUIRED,
    Duration,
    PluginOptions,
    ReadableFile,
    SecretFile,
    option,
)
from stonechat_auth_http.client import HttpFault, JsonClient

__all__ = ["Backend", "Options"]

Operation = Literal[
    "check_password",
    "user_exists",
    "set_password",
    "create_user",
    "remove_user",
    "users",
    "count_users",
]


class Options(PluginOptions):
    url: str = option(
        REQUIRED,
        "The address below which the application answers, as `https://www.example.org/xmpp`."
        " Without TLS (`http`) it must be on this machine.",
    )
    secret_file: SecretFile | None = option(
        None, "A file with the secret by which the application knows us: a bearer token."
    )
    operations: tuple[Operation, ...] = option(
        ("check_password", "user_exists"), "What the application can do."
    )
    ca_file: ReadableFile | None = option(
        None, "Certificates of the authorities to trust, in place of the machine's."
    )
    connections: int = option(8, "How many questions are asked at a time.", ge=1, le=64)
    timeout: Duration = option("5 s", "How long an answer may take.", ge=0.1, le=60)
    cache_existence: Duration = option(
        "1 min", "How long it is remembered that an account exists; 0 is not at all.", ge=0
    )
    cache_absence: Duration = option(
        "10 s", "How long it is remembered that an account does not exist; 0 is not at all.", ge=0
    )
    cache_password: Duration = option(
        "0 s", "How long a right password is remembered, as a digest; 0 is not at all.", ge=0
    )


class Backend(AuthBackend):
    """The accounts of one host.

    Every answer of the application is a JSON object with status 200; all else is none. So a
    proxy's page, or a secret that has changed, never passes for a wrong password.
    """

    Options = Options
    options: Options

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        # Ours strikes first, and can say more.
        self.deadline = options.timeout + 1.0
        self.cache = AnswerCache(
            host.monotonic,
            existence=options.cache_existence,
            absence=options.cache_absence,
            password=options.cache_password,
        )
        self._client: JsonClient | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset(self.options.operations)

    def start(self) -> None:
        options = self.options
        _check_url(options.url)
        try:
            self._client = JsonClient(
                options.url,
                size=options.connections,
                seconds=options.timeout,
                clock=self.host.monotonic,
                secret=options.secret_file.read().reveal() if options.secret_file else "",
                ca_file=str(options.ca_file) if options.ca_file else None,
            )
        except OSError as error:
            raise ConfigError(f"auth_options.http.ca_file: {error}") from error

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()

    # Logging in

    def check_password(self, localpart: str, password: str) -> bool:
        self._needs("check_password")
        if not _is_text(password):
            return False
        if self._cache.password_is_right(localpart, password):
            return True
        asked_at = self._cache.generation
        answer = self._ask("check_password", user=localpart, password=password)
        is_right = self._truth(answer)
        if is_right:
            self._cache.remember_password(localpart, password, asked_at)
        return is_right

    # Accounts

    def user_exists(self, localpart: str) -> bool:
        self._needs("user_exists")
        known = self._cache.exists(localpart)
        if known is None:
            asked_at = self._cache.generation
            known = self._truth(self._ask("user_exists", user=localpart))
            self._cache.remember_existence(localpart, known, asked_at)
        return known

    def set_password(self, localpart: str, password: str) -> None:
        self._change("set_password", localpart, password)

    def create_user(self, localpart: str, password: str) -> None:
        self._change("create_user", localpart, password)

    def remove_user(self, localpart: str) -> None:
        self._change("remove_user", localpart)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        self._needs("users")
        found = self._ask("users", after=after, limit=limit).get("users")
        if not isinstance(found, list) or len(found) > limit:
            self._refuse("users", "no list of users, or too long a one")
        previous = after
        for name in found:
            if not _is_localpart(name) or name <= previous:
                self._refuse("users", "a list with what is no user name, or out of order")
            previous = name
        return found

    def count_users(self) -> int:
        self._needs("count_users")
        count = self._ask("count_users").get("count")
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            self._refuse("count_users", "no number")
        return count

    # Below

    @property
    def _cache(self) -> AnswerCache:
        assert self.cache is not None
        return self.cache

    def _needs(self, operation: Operation) -> None:
        if operation not in self.options.operations:
            self._unsupported(f"do that ({operation})")

    def _change(self, operation: Operation, localpart: str, password: str | None = None) -> None:
        self._needs(operation)
        more = {}
        if password is not None:
            if not _is_text(password):
                raise BadPassword("The password has characters that cannot be used.")
            more["password"] = password
        self._cache.forget(localpart)
        try:
            answer = self._ask(operation, user=localpart, **more)
        finally:
            # It may have been carried out, whatever the answer.
            self._cache.forget(localpart)
        if self._truth(answer):
            return
        match answer.get("reason"):
            case "not-found" if operation != "create_user":
                raise AccountNotFound(f"There is no account {localpart}.")
            case "exists" if operation == "create_user":
                raise AccountExists(f"There is an account {localpart} already.")
            case "bad-password" if operation != "remove_user":
                raise BadPassword("The application does not take this password.")
            case _:
                self._refuse(operation, "a refusal without a reason that we know")

    def _ask(self, operation: Operation, **question: Any) -> dict[str, Any]:
        assert self._client is not None, "the backend was not started"
        try:
            return self._client.post(
                operation,
                {"host": self.host.name, **question},
                # Carried out twice, these would tell of what the first time has done.
                again=operation not in ("create_user", "remove_user"),
            )
        except HttpFault as error:
            raise AuthUnavailable(f"The application at {self._place}: {error}.") from error

    def _truth(self, answer: dict[str, Any]) -> bool:
        result = answer.get("result")
        if not isinstance(result, bool):
            raise AuthUnavailable(f"The application at {self._place}: no result.")
        return result

    def _refuse(self, operation: Operation, what: str) -> NoReturn:
        raise AuthUnavailable(f"The application at {self._place} answers {operation} by {what}.")

    @property
    def _place(self) -> str:
        return urlsplit(self.options.url).netloc


def _is_text(password: str) -> bool:
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_localpart(name: object) -> bool:
    try:
        return isinstance(name, str) and prepare_localpart(name) == name
    except JIDError:
        return False


def _check_url(text: str) -> None:
    """ConfigError for where passwords had better not go."""
    where = "auth_options.http.url"
    try:
        url = urlsplit(text)
        port_is_given = url.port is not None
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(f"{where}: it begins with https://, and names a server")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ConfigError(f"{where}: there is something in it besides server, port and path")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{where}: there are characters in it that no URL has")
    if port_is_given and url.port == 0:
        raise ConfigError(f"{where}: 0 is no port")
    if url.scheme == "http" and not _is_here(url.hostname):
        raise ConfigError(f"{where}: without TLS, passwords do not leave this machine")


def _is_here(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
