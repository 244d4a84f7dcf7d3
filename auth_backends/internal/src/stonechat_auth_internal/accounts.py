"""The table of accounts, and what a row of it says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from stonechat.auth import (
    SCRAM_HASHES,
    AccountExists,
    AccountNotFound,
    ScramCredentials,
    derive_scram,
)
from stonechat.storage import LocalText, Schema, StanzaBytes, Storage, host_column

_metadata = MetaData()

# `credentials` holds one value for each hash, in the form of RFC 5803, with spaces between:
# SCRAM-SHA-256$10000:<salt>$<StoredKey>:<ServerKey>. `hashes` says which, as bits, so that
# an index tells at once what all accounts have.
_accounts = Table(
    "auth_internal_accounts",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("credentials", String(1000), nullable=False),
    Column("hashes", Integer, nullable=False),
    Column("password", StanzaBytes),
    Index("auth_internal_hashes", "host", "hashes"),
)

SCHEMA = Schema("auth_internal", 1, _metadata)

_BITS = {"SHA-1": 1, "SHA-256": 2, "SHA-512": 4}
_ALL = sum(_BITS.values())

_IS_IT = (
    _accounts.c.host == bindparam("its_host"),
    _accounts.c.localpart == bindparam("its_localpart"),
)
_LOAD = select(_accounts.c.credentials, _accounts.c.password).where(*_IS_IT)
_INSERT = insert(_accounts)
_UPDATE = (
    update(_accounts)
    .where(*_IS_IT)
    .values(
        credentials=bindparam("credentials"),
        hashes=bindparam("hashes"),
        password=bindparam("password"),
    )
)
_ADD = (
    update(_accounts)
    .where(*_IS_IT, _accounts.c.credentials == bindparam("old"))
    .values(credentials=bindparam("credentials"), hashes=bindparam("hashes"))
)
_DELETE = delete(_accounts).where(*_IS_IT)
_NAMES = (
    select(_accounts.c.localpart)
    .where(
        _accounts.c.host == bindparam("its_host"),
        _accounts.c.localpart > bindparam("after"),
    )
    .order_by(_accounts.c.localpart)
    .limit(bindparam("most"))
)
_COUNT = select(func.count()).where(_accounts.c.host == bindparam("its_host"))
_NEXT_HASHES = select(func.min(_accounts.c.hashes)).where(
    _accounts.c.host == bindparam("its_host"), _accounts.c.hashes > bindparam("above")
)


@dataclass(slots=True)
class Account:
    """One account as it was read.

    `proof` is a keyed digest of the password that was right last, empty until there
    was one. The credentials stay in their written form, which takes less memory.
    """

    credentials: str = field(repr=False)
    password: str | None = field(repr=False)
    proof: bytes = field(default=b"", repr=False)

    def scram(self, hash_name: str) -> ScramCredentials | None:
        """The credentials for a hash, if the account has them."""
        for value in self.credentials.split():
            if value.startswith(f"SCRAM-{hash_name}$"):
                return _read(value)
        return None

    def all_scram(self) -> tuple[ScramCredentials, ...]:
        """The credentials for all hashes that the account has any for."""
        return tuple(map(_read, self.credentials.split()))

    def quickest(self) -> ScramCredentials:
        """Those that a password is soonest checked by; there are some where it is not kept.

        They lie beside the others, so to check by these gives nothing away.
        """
        found = {value.partition("$")[0][6:]: value for value in self.credentials.split()}
        return _read(next(found[name] for name in QUICKEST_FIRST if name in found))


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be written of a password."""

    credentials: str = field(repr=False)
    hashes: int
    password: bytes | None = field(repr=False)


def derive_record(password: str, hashes: Sequence[str], iterations: int) -> Record:
    """Hash a password for each of `hashes`, the strongest first; raises BadPassword.

    Costs many milliseconds: call it through `host.run_blocking`.
    """
    values = [_write(derive_scram(password, name, iterations=iterations)) for name in hashes]
    return Record(" ".join(values), sum(_BITS[name] for name in hashes), None)


def plain_record(prepared: str) -> Record:
    """A password that is kept itself; hashes are made of it when a client asks for one."""
    return Record("", _ALL, prepared.encode())


def scram_record(credentials: Sequence[ScramCredentials]) -> Record:
    """Credentials that were made elsewhere; the first of those with the same hash count."""
    by_hash = {found.hash_name: found for found in reversed(credentials)}
    values = [_write(by_hash[name]) for name in SCRAM_HASHES if name in by_hash]
    return Record(" ".join(values), _bits(values), None)


# By what one iteration costs on a processor of today.
QUICKEST_FIRST = ("SHA-256", "SHA-1", "SHA-512")


class Accounts:
    """The accounts of one host in the store."""

    def __init__(self, storage: Storage, host: str) -> None:
        self._storage = storage
        self._host = host

    def load(self, localpart: str) -> Account | None:
        key = self._key(localpart)

        def load_account(connection: Connection) -> Account | None:
            row = connection.execute(_LOAD, key).one_or_none()
            if row is None:
                return None
            return Account(row[0], None if row[1] is None else row[1].decode())

        return self._storage.read(load_account)

    def create(self, localpart: str, record: Record) -> None:
        """Raises AccountExists."""
        values = {"host": self._host, "localpart": localpart, **_columns(record)}

        def create_account(connection: Connection) -> None:
            connection.execute(_INSERT, values)

        try:
            self._storage.write(create_account)
        except IntegrityError:
            raise AccountExists(f"There is an account {localpart} already.") from None

    def update(self, localpart: str, record: Record) -> None:
        """Raises AccountNotFound."""
        values = {**self._key(localpart), **_columns(record)}

        def update_account(connection: Connection) -> int:
            return connection.execute(_UPDATE, values).rowcount

        _check_found(self._storage.write(update_account), localpart)

    def add_hash(self, localpart: str, account: Account, credentials: ScramCredentials) -> None:
        """Add credentials to an account, unless its password was changed meanwhile."""
        values = [*account.credentials.split(), _write(credentials)]
        values.sort(key=lambda value: list(SCRAM_HASHES).index(_hash_name(value)))
        written = self._key(localpart) | {
            "old": account.credentials,
            "credentials": " ".join(values),
            "hashes": _ALL if account.password is not None else _bits(values),
        }

        def add_credentials(connection: Connection) -> None:
            connection.execute(_ADD, written)

        self._storage.write(add_credentials)

    def remove(self, localpart: str) -> None:
        """Raises AccountNotFound."""
        key = self._key(localpart)

        def remove_account(connection: Connection) -> int:
            return connection.execute(_DELETE, key).rowcount

        _check_found(self._storage.write(remove_account), localpart)

    def names(self, after: str, limit: int) -> list[str]:
        values = {"its_host": self._host, "after": after, "most": limit}

        def list_accounts(connection: Connection) -> list[str]:
            return list(connection.execute(_NAMES, values).scalars())

        return self._storage.read(list_accounts)

    def count(self) -> int:
        def count_accounts(connection: Connection) -> int:
            return connection.execute(_COUNT, {"its_host": self._host}).scalar_one()

        return self._storage.read(count_accounts)

    def common_hashes(self) -> set[str]:
        """The hashes that each account has; all of them where there is no account."""

        def intersect_hashes(connection: Connection) -> int:
            common = _ALL
            above = -1
            # Few combinations exist: hop from one to the next in the index.
            while True:
                found = connection.execute(
                    _NEXT_HASHES, {"its_host": self._host, "above": above}
                ).scalar_one()
                if found is None:
                    return common
                common &= found
                above = found

        common = self._storage.read(intersect_hashes)
        return {name for name, bit in _BITS.items() if common & bit}

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host, "its_localpart": localpart}


def _columns(record: Record) -> dict[str, object]:
    return {
        "credentials": record.credentials,
        "hashes": record.hashes,
        "password": record.password,
    }


def _bits(values: Sequence[str]) -> int:
    return sum(_BITS[_hash_name(value)] for value in values)


def _check_found(rows: int, localpart: str) -> None:
    if not rows:
        raise AccountNotFound(f"There is no account {localpart}.")


def _write(credentials: ScramCredentials) -> str:
    salt, stored, server = (
        binascii.b2a_base64(octets, newline=False).decode()
        for octets in (credentials.salt, credentials.stored_key, credentials.server_key)
    )
    return f"SCRAM-{credentials.hash_name}${credentials.iterations}:{salt}${stored}:{server}"


def _read(value: str) -> ScramCredentials:
    _, parameters, keys = value.split("$")
    iterations, _, salt = parameters.partition(":")
    stored, _, server = keys.partition(":")
    return ScramCredentials(
        _hash_name(value),
        base64.b64decode(salt),
        int(iterations),
        base64.b64decode(stored),
        base64.b64decode(server),
    )


def _hash_name(value: str) -> str:
    return value.partition("$")[0].removeprefix("SCRAM-")
