"""Signed tokens as passwords (JSON Web Tokens, RFC 7519): who has one of the account is let in."""

from __future__ import annotations

import re
from typing import Any, Literal

import jwt

from stonechat.auth import AuthBackend
from stonechat.errors import ConfigError, JIDError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import REQUIRED, Duration, LocalPath, PluginOptions, option
from stonechat.seen_accounts import SeenAccounts, seen_schema
from stonechat_auth_jwt.keys import BadKeys, Key, KeyFile

__all__ = ["Backend", "Options"]

# Of a SASL message there is room for less.
MAX_TOKEN = 8192

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "HS256",
    "HS384",
    "HS512",
]


class Options(PluginOptions):
    key: LocalPath = option(
        REQUIRED,
        "The file of the key: a public key or a certificate in PEM, a JWK set, or for `HS256` and"
        " its like the secret. It is read again when it changes.",
    )
    algorithms: tuple[Algorithm, ...] = option(
        ("RS256", "ES256", "EdDSA"),
        "The algorithms that tokens are signed by. Those of the `HS` kind have no others beside"
        " them.",
        min_length=1,
    )
    claim: str = option("jid", "The claim that says whose the token is.", min_length=1)
    user: Literal["jid", "username"] = option(
        "jid", "What the claim holds: an address, or only the part before its `@`."
    )
    pattern: str = option(
        "",
        "A regular expression for the whole of the claim; what its group `user` matches is"
        " taken for the user, as in `auth0\\|(?P<user>.+)`.",
    )
    audience: tuple[str, ...] = option(
        (), "Whom tokens are for: each names one of these. Without, none may name anybody."
    )
    issuer: str = option("", "Who has made the tokens, as they say; empty for anybody.")
    leeway: Duration = option(
        "10 s", "By how much the clock of whoever makes tokens may differ.", ge=0, le=600
    )
    existence: Literal["logins", "none"] = option(
        "logins",
        "How to find out which accounts exist, which no token tells: `logins` those that have"
        " logged in once, `none` not at all.",
    )


class Backend(AuthBackend):
    """The accounts of one host, known by what somebody else has signed."""

    Options = Options
    options: Options
    schema = seen_schema("auth_jwt")

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self._seen = SeenAccounts(host, self.schema)
        self._keys = KeyFile(options.key, options.algorithms)
        self._pattern: re.Pattern[str] | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        able = super().capabilities
        if self.options.existence == "none":
            able -= {"user_exists", "users", "count_users"}
        return able

    def start(self) -> None:
        if len({name.startswith("HS") for name in self.options.algorithms}) > 1:
            # A public key is no secret: nobody must be able to sign by it.
            raise ConfigError(
                "auth_options.jwt.algorithms: those of the HS kind go with no others"
            )
        if self.options.pattern:
            try:
                self._pattern = re.compile(self.options.pattern)
            except re.error as error:
                raise ConfigError(f"auth_options.jwt.pattern: {error}") from error
            if "user" not in self._pattern.groupindex:
                raise ConfigError("auth_options.jwt.pattern: there is no group (?P<user>...)")
        try:
            self._keys.refresh()
        except (OSError, BadKeys) as error:
            raise ConfigError(f"auth_options.jwt.key: {self.options.key}: {error}") from error

    def check_password(self, localpart: str, password: str) -> bool:
        self._look_for_new_keys()
        try:
            claims = self._claims(password)
            owner = self._owner(claims.get(self.options.claim))
        except Exception as error:  # noqa: BLE001
            # What a stranger's text makes a library raise says that it is no token. Were it
            # a fault of ours, he could make the kernel give this backend up.
            self.host.log.info("token refused", account=localpart, reason=_reason(error))
            return False
        if owner != localpart:
            self.host.log.info("token refused", account=localpart, reason="it is another's")
            return False
        if self.options.existence == "logins":
            self._seen.note(localpart)
        return True

    def user_exists(self, localpart: str) -> bool:
        if self.options.existence == "none":
            self._unsupported("look for an account")
        return self._seen.has(localpart)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        if self.options.existence == "none":
            self._unsupported("list its accounts")
        return self._seen.names(after, limit)

    def count_users(self) -> int:
        if self.options.existence == "none":
            self._unsupported("count its accounts")
        return self._seen.count()

    # Below

    def _look_for_new_keys(self) -> None:
        try:
            if self._keys.refresh():
                self.host.log.info("other keys for tokens", file=str(self.options.key))
        except (OSError, BadKeys) as error:
            self.host.log.error(
                "no new keys for tokens", file=str(self.options.key), reason=str(error)
            )

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says that is signed, in force, and for us."""
        if len(token) > MAX_TOKEN:
            raise jwt.InvalidTokenError("It is too long.")
        header = jwt.get_unverified_header(token)
        wanted = header.get("kid", "")
        named = [key for key in self._keys.keys if key.id and key.id == wanted]
        # A token may do without the name of its key, and a file without the names of its keys.
        candidates = named or [key for key in self._keys.keys if not (wanted and key.id)]
        fault: jwt.PyJWTError = jwt.InvalidKeyError("No key of ours fits.")
        for key in candidates:
            try:
                return self._decode(token, key)
            except jwt.PyJWTError as error:
                fault = error
        raise fault

    def _decode(self, token: str, key: Key) -> dict[str, Any]:
        options = self.options
        required = ["exp", *(["aud"] if options.audience else [])]
        claims: dict[str, Any] = jwt.decode(
            token,
            key.material,
            algorithms=list(key.algorithms),
            audience=list(options.audience) or None,
            issuer=options.issuer or None,
            leeway=options.leeway,
            options={"require": required},
        )
        return claims

    def _owner(self, claim: object) -> str:
        """The localpart that a claim names; ValueError for one that names no account here."""
        if not isinstance(claim, str):
            raise ValueError(f"The claim {self.options.claim} is not there, or no text.")
        if self._pattern is not None:
            match = self._pattern.fullmatch(claim)
            if match is None:
                raise ValueError(f"The claim {self.options.claim} does not fit the pattern.")
            claim = match["user"]
        try:
            if self.options.user == "username":
                return JID.make(claim, self.host.name).localpart
            owner = JID.parse(claim)
        except JIDError as error:
            raise ValueError(f"The claim {self.options.claim} is not a name.") from error
        if owner.domain != self.host.name or not owner.localpart:
            raise ValueError(f"The claim {self.options.claim} names no account here.")
        return owner.localpart


def _reason(error: Exception) -> str:
    # Errors of PyJWT say what is wrong, without what the token says.
    return str(error) if isinstance(error, jwt.PyJWTError | ValueError) else type(error).__name__
