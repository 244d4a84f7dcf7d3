"""Accounts and passwords: what an auth backend promises, and SCRAM credentials.

A backend is a subclass of `AuthBackend`, found by the entry point group
`stonechat.auth_backends`. It implements what its store can do and nothing else;
the SASL mechanisms that a host offers follow from that.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NoReturn

from stonechat.errors import JIDError, StonechatError, StorageError
from stonechat.jid import prepare_resource
from stonechat.options import PluginOptions, Secret

if TYPE_CHECKING:
    from stonechat.answer_cache import AnswerCache
    from stonechat.host import Host
    from stonechat.sasl import CredentialLookup, Mechanism

__all__ = [
    "CAPABILITIES",
    "DEFAULT_ITERATIONS",
    "MAX_PASSWORD_OCTETS",
    "SALT_BYTES",
    "SCRAM_HASHES",
    "AccountExists",
    "AccountNotFound",
    "AuthBackend",
    "AuthUnavailable",
    "BadPassword",
    "Credentials",
    "ScramCredentials",
    "Secret",
    "Unsupported",
    "check_against_scram",
    "decoy_scram",
    "derive_scram",
    "prepare_password",
    "scram_from_salted",
]

# Name in the SASL mechanism -> name in hashlib; the strongest first.
SCRAM_HASHES = {"SHA-512": "sha512", "SHA-256": "sha256", "SHA-1": "sha1"}

# RFC 7677, section 4 asks for at least 4096. A client pays this at each login, a
# telephone too; the server only when a password is set or comes by PLAIN.
DEFAULT_ITERATIONS = 10_000
SALT_BYTES = 16

# As long as a localpart. Unicode's tables cost time by the character, and who sends a
# password has not logged in yet.
MAX_PASSWORD_OCTETS = 1023


class AccountExists(StonechatError):
    """The account that should be made is there already."""


class AccountNotFound(StonechatError):
    """The account that should be changed is not there."""


class BadPassword(StonechatError, ValueError):
    """A password that cannot be set: empty, or with characters that no client can send."""


class AuthUnavailable(StorageError):
    """The account store cannot answer now: say temporary-auth-failure (RFC 6120, 6.5.11)."""


class Unsupported(StonechatError):
    """This backend's store cannot do what was asked; asking again will not help."""


@dataclass(frozen=True, slots=True)
class ScramCredentials:
    """What a server keeps of a password for SCRAM (RFC 5802, section 3).

    Enough to check a login, not enough to log in elsewhere.
    """

    hash_name: str  # "SHA-1", "SHA-256" or "SHA-512"
    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        size = hashlib.new(_hashlib_name(self.hash_name)).digest_size
        if not self.salt:
            raise ValueError("SCRAM credentials without a salt")
        if self.iterations < 1:
            raise ValueError(f"SCRAM credentials with {self.iterations} iterations")
        if len(self.stored_key) != size or len(self.server_key) != size:
            raise ValueError(f"The keys of {self.hash_name} are {size} octets long")


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that a store keeps of an account's password, for it to be moved to another.

    The password itself where that is kept, or `""`.
    """

    password: str = field(default="", repr=False)
    scram: tuple[ScramCredentials, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.password or self.scram)


def derive_scram(
    password: str, hash_name: str, salt: bytes = b"", iterations: int = DEFAULT_ITERATIONS
) -> ScramCredentials:
    """Make the credentials to store for a password; without a salt, with a fresh one.

    Costs milliseconds of CPU and releases the GIL: call it through
    `host.run_blocking`. Raises BadPassword.
    """
    salt = salt or secrets.token_bytes(SALT_BYTES)
    stored_key, server_key = _derive_keys(prepare_password(password), hash_name, salt, iterations)
    return ScramCredentials(hash_name, salt, iterations, stored_key, server_key)


def scram_from_salted(
    salted: bytes, hash_name: str, salt: bytes, iterations: int
) -> ScramCredentials:
    """Make the credentials from a SaltedPassword, which a client has computed (XEP-0480).

    ValueError where it has another length than the hash gives.
    """
    size = hashlib.new(_hashlib_name(hash_name)).digest_size
    if len(salted) != size:
        raise ValueError(f"A SaltedPassword of {hash_name} is {size} octets long")
    return ScramCredentials(hash_name, salt, iterations, *_keys_of(salted, hash_name))


def check_against_scram(password: str, credentials: ScramCredentials) -> bool:
    """Tell whether a password, as PLAIN brings it, is the one the credentials came from.

    Costs what `derive_scram` costs. A password that could not have been set is
    simply wrong.
    """
    try:
        prepared = prepare_password(password)
    except BadPassword:
        return False
    stored_key, _ = _derive_keys(
        prepared, credentials.hash_name, credentials.salt, credentials.iterations
    )
    return hmac.compare_digest(stored_key, credentials.stored_key)


def decoy_scram(
    secret: bytes, localpart: str, hash_name: str, iterations: int = DEFAULT_ITERATIONS
) -> ScramCredentials:
    """Make credentials that no password opens, for an account that does not exist.

    The salt stays the same for one `secret` and name, as that of an account does:
    asking twice tells a stranger nothing (robustness: unknown and known accounts
    answer alike). `secret` must be the same on every node of a cluster and survive
    restarts; `iterations` must be what the host gives its new accounts.
    """
    digest = _hashlib_name(hash_name)
    size = hashlib.new(digest).digest_size
    name = f"{hash_name}\0{localpart}".encode("utf-8", "surrogatepass")
    salt = hmac.digest(secret, name, "sha256")[:SALT_BYTES]
    return ScramCredentials(
        hash_name, salt, iterations, secrets.token_bytes(size), secrets.token_bytes(size)
    )


def prepare_password(password: str) -> str:
    """Bring a password into the one form that is hashed and compared; raises BadPassword.

    The form is SASLprep (RFC 4013), because RFC 5802 names it and the client hashes
    on its own side: what clients do decides. PRECIS (RFC 8265, OpaqueString) keeps
    characters that SASLprep folds (a superscript two, a ligature), so that a server
    with PRECIS alone refuses those passwords over SCRAM. What SASLprep refuses as a
    whole (Hebrew beside Latin letters, say) is tried as OpaqueString.

    Code points that Unicode 3.2 did not have pass, as in a query of RFC 3454,
    section 7: otherwise no newer emoji could be in a password.
    """
    # Python counts characters, each of one octet at least: no work on what is far too long.
    if len(password) > MAX_PASSWORD_OCTETS or (
        len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_OCTETS
    ):
        raise BadPassword(f"The password is longer than {MAX_PASSWORD_OCTETS} octets.")
    if password.isascii() and password.isprintable():
        prepared = password
    else:
        prepared = _saslprep(password)
    if not prepared:
        raise BadPassword("The password is empty.")
    return prepared


def _saslprep(text: str) -> str:
    # Imported here: only passwords beyond printable ASCII need these tables.
    import stringprep
    import unicodedata

    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    characters = set(prepared)
    if any(is_prohibited(character) for character in characters for is_prohibited in prohibited):
        return _opaque_string(text)
    # RFC 3454, section 6: right-to-left text stands alone, and at both ends.
    if any(map(stringprep.in_table_d1, characters)) and (
        any(map(stringprep.in_table_d2, characters))
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        return _opaque_string(text)
    return prepared


def _opaque_string(text: str) -> str:
    try:
        return prepare_resource(text)  # the same profile, in bounded time
    except JIDError:
        # Not chained: that error quotes the text, and would bring it to the log.
        raise BadPassword("The password has characters that cannot be used.") from None


def _derive_keys(
    prepared: str, hash_name: str, salt: bytes, iterations: int
) -> tuple[bytes, bytes]:
    digest = _hashlib_name(hash_name)
    return _keys_of(hashlib.pbkdf2_hmac(digest, prepared.encode(), salt, iterations), hash_name)


def _keys_of(salted: bytes, hash_name: str) -> tuple[bytes, bytes]:
    digest = _hashlib_name(hash_name)
    client_key = hmac.digest(salted, b"Client Key", digest)
    stored_key = hashlib.new(digest, client_key).digest()
    return stored_key, hmac.digest(salted, b"Server Key", digest)


def _hashlib_name(hash_name: str) -> str:
    try:
        return SCRAM_HASHES[hash_name]
    except KeyError:
        raise ValueError(f"{hash_name!r} is not a hash that SCRAM uses here") from None


class AuthBackend:
    """Where a host's accounts are: the base class of every auth backend.

    One instance per virtual host. Override what your store can do and leave the
    rest: each method here raises `Unsupported`, and the kernel looks at
    `capabilities` before it calls.

    Every `localpart` comes prepared (RFC 7622), so compare octet for octet.
    Passwords come as the user typed them: a store of its own uses `derive_scram`
    and `check_against_scram`, which prepare; a foreign one (LDAP, PAM) gets them
    as they are. An empty password never arrives here.

    Methods run in a greenlet and may block; a C library that blocks the thread
    goes through `host.run_blocking`. Any of them raises `AuthUnavailable` when the
    store is down or too slow, and never answers False or None for that: a wrong
    password is counted against the user, a store that is away is not. A backend
    without `user_exists` has accounts that can log in and get no offline messages.

    Methods that are marked with `@hookimpl` are hooks, as a plugin's are, while the
    backend's accounts are in force. What the kernel collects as a plugin starts (handlers
    of requests and elements, features of streams) is for plugins only.

    The kernel stands in front: each call has `deadline` seconds, and a backend that
    fails five times in a row is asked once a second until it answers again.

    Since 0.1.
    """

    # The model of this backend's section under `auth_options`.
    Options: ClassVar[type[PluginOptions]] = PluginOptions

    # What its credentials usually have: decoys of unknown accounts look alike then.
    scram_iterations: int = DEFAULT_ITERATIONS

    # How long the kernel waits for one answer, in seconds: then gevent.Timeout strikes in
    # the method that is at work, which must leave no broken connection behind.
    deadline: float = 5.0

    # How many calls may be at work or wait in it at once; further ones fail immediately.
    max_waiting: int = 64

    # What it remembers, for the metrics.
    cache: AnswerCache | None = None

    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host
        self.options = options

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of the methods of `CAPABILITIES` that this backend can really do.

        By default those that the class overrides. Override the property when it
        depends on the options (a directory that is read-only, say).
        """
        cls = type(self)
        return frozenset(
            name for name in CAPABILITIES if getattr(cls, name) is not getattr(AuthBackend, name)
        )

    def start(self) -> None:
        """Open what the backend needs, before the first login.

        Raises ConfigError when the options cannot work. A store that is merely down
        is no reason to refuse the start.
        """

    def ready(self) -> None:
        """The host's plugins run, and the accounts of this backend are in force.

        Called once, also where a reload has brought the backend in. May block; what it
        raises is logged.
        """

    def stop(self) -> None:
        """Close what was opened; called once, also if `start` raised."""

    def mechanisms(self) -> Mapping[str, Callable[[CredentialLookup], Mechanism]]:
        """SASL mechanisms that this backend has besides the kernel's, by name.

        Each is made for one attempt, and whom its `Success` names is let in: an account of
        this host. They are offered after the kernel's, whose names are the kernel's own; of
        two backends the first one has a name. Called for each login, so answer from memory.
        """
        return {}

    def check_password(self, localpart: str, password: str) -> bool:
        """Tell whether this is the account's password; False for an unknown account.

        Take as long for an unknown account as for a wrong password (see
        `decoy_scram`), and compare in constant time. Not needed where
        `scram_credentials` is there: the kernel then checks against those.
        """
        self._unsupported("check a password")

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        """The account's credentials for one hash, or None if it has none.

        Unknown account: None. The kernel answers with a decoy in both cases.
        """
        self._unsupported("give SCRAM credentials")

    def scram_hashes(self) -> tuple[str, ...]:
        """The hashes of `SCRAM_HASHES` that every account here has credentials for.

        Called for each login, so answer from memory. A hash that only some accounts
        have would be offered to all and lock the others out: leave it away.
        """
        self._unsupported("name its SCRAM hashes")

    def missing_hashes(self) -> tuple[str, ...]:
        """The hashes that new passwords are kept for and some older accounts lack.

        Called for each login, so answer from memory. Goes with `add_scram`: clients are
        then asked for what their account lacks (XEP-0480).
        """
        self._unsupported("name the hashes that accounts lack")

    def add_scram(self, localpart: str, credentials: ScramCredentials) -> None:
        """Keep credentials for one more hash of an account, computed by its client.

        What it has for that hash already stays. Raises AccountNotFound.
        """
        self._unsupported("add SCRAM credentials")

    def user_exists(self, localpart: str) -> bool:
        """Tell whether there is such an account, disabled or not."""
        self._unsupported("look for an account")

    def set_password(self, localpart: str, password: str) -> None:
        """Change the password, for every hash at once. Raises AccountNotFound, BadPassword."""
        self._unsupported("set a password")

    def create_user(self, localpart: str, password: str) -> None:
        """Make an account; of two at the same time one raises AccountExists. Or BadPassword."""
        self._unsupported("create an account")

    def remove_user(self, localpart: str) -> None:
        """Remove the account and its credentials. Raises AccountNotFound."""
        self._unsupported("remove an account")

    def export_credentials(self, localpart: str) -> Credentials:
        """All that is kept of an account's password. Raises AccountNotFound."""
        self._unsupported("export credentials")

    def import_user(self, localpart: str, credentials: Credentials) -> None:
        """Make an account with credentials from elsewhere. Raises AccountExists, BadPassword.

        Where there is a password, the rest follows from it and is not needed. Raises
        Unsupported where nothing can be done with the hashes that came.
        """
        self._unsupported("import an account")

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        """At most `limit` localparts greater than `after`, in order of their code points.

        A caller walks all accounts by giving the last one back as `after`; an empty
        list is the end.
        """
        self._unsupported("list its accounts")

    def count_users(self) -> int:
        """The number of accounts; an estimate will do where counting is dear."""
        self._unsupported("count its accounts")

    def _unsupported(self, deed: str) -> NoReturn:
        raise Unsupported(f"{type(self).__name__} cannot {deed}.")


CAPABILITIES = frozenset(
    {
        "add_scram",
        "check_password",
        "count_users",
        "create_user",
        "export_credentials",
        "import_user",
        "missing_hashes",
        "remove_user",
        "scram_credentials",
        "scram_hashes",
        "set_password",
        "user_exists",
        "users",
    }
)
