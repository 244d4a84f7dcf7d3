"""Tokens in the store: two for each client, as XEP-0484 advises ("Implementation Notes")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Row,
    RowMapping,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from stonechat.sasl import UserAgent
from stonechat.storage import (
    LocalText,
    ResourceText,
    Schema,
    Storage,
    Timestamp,
    host_column,
)

# Expired clients that are deleted in one transaction.
_EXPIRED_AT_ONCE = 500

_metadata = MetaData()


def _slot(name: str) -> list[Column[Any]]:
    """A token: what it is made from together with a secret that is kept elsewhere."""
    return [
        Column(f"{name}_salt", LargeBinary(16)),
        Column(f"{name}_mechanism", String(32)),
        Column(f"{name}_issued_at", Timestamp),
        Column(f"{name}_expires_at", Timestamp),
    ]


# `new` is what was given out last, and `current` what the client used last. `last_count`
# is of the latter.
_clients = Table(
    "fast_clients",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("agent", String(36), primary_key=True),
    Column("software", ResourceText, nullable=False),
    Column("device", ResourceText, nullable=False),
    Column("used_at", Timestamp, nullable=False),
    Column("last_count", BigInteger, nullable=False),
    # When the later of its tokens does.
    Column("expires_at", Timestamp, nullable=False),
    *_slot("current"),
    *_slot("new"),
    Index("fast_clients_by_age", "host", "expires_at"),
)

SCHEMA = Schema("fast", 1, _metadata)

_FIELDS = ("salt", "mechanism", "issued_at", "expires_at")
_OF_ACCOUNT = (
    _clients.c.host == bindparam("its_host"),
    _clients.c.localpart == bindparam("its_localpart"),
)
_IS_IT = (*_OF_ACCOUNT, _clients.c.agent == bindparam("its_agent"))
_FIND = select(_clients).where(*_IS_IT)
_LIST = select(_clients).where(*_OF_ACCOUNT).order_by(_clients.c.used_at.desc())
_INSERT = insert(_clients)
_RENEW = (
    update(_clients)
    .where(*_IS_IT)
    .values(
        {
            "software": bindparam("its_software"),
            "device": bindparam("its_device"),
            "used_at": bindparam("its_used_at"),
            "expires_at": bindparam("its_expires_at"),
            **{f"new_{field}": bindparam(f"its_{field}") for field in _FIELDS},
        }
    )
)
_PROMOTE = (
    update(_clients)
    .where(*_IS_IT, _clients.c.new_salt == bindparam("its_salt"))
    .values(
        {
            "used_at": bindparam("its_used_at"),
            "last_count": bindparam("its_count"),
            **{f"current_{field}": _clients.c[f"new_{field}"] for field in _FIELDS},
            **{f"new_{field}": None for field in _FIELDS},
        }
    )
)
_USE = (
    update(_clients)
    .where(*_IS_IT, _clients.c.current_salt == bindparam("its_salt"))
    .values(used_at=bindparam("its_used_at"))
)
# Of two who come with the same count one comes too late.
_USE_COUNTED = _USE.where(_clients.c.last_count < bindparam("its_count")).values(
    last_count=bindparam("its_count")
)
_DELETE = delete(_clients).where(*_IS_IT)
_DELETE_ALL = delete(_clients).where(*_OF_ACCOUNT)
_COUNT = select(func.count()).where(*_OF_ACCOUNT)
_EXPIRED = (
    select(_clients.c.localpart, _clients.c.agent)
    .where(
        _clients.c.host == bindparam("its_host"),
        _clients.c.expires_at <= bindparam("now"),
    )
    .limit(_EXPIRED_AT_ONCE)
)


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of one token."""

    salt: bytes
    mechanism: str
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Client:
    """One installation of an account's software, and its tokens."""

    agent: UserAgent
    used_at: int
    expires_at: int
    last_count: int
    """The highest count that came with `current`; -1 for none."""
    current: Token | None
    new: Token | None


class Tokens:
    """All tokens of one host."""

    def __init__(self, storage: Storage, host: str) -> None:
        self._storage = storage
        self._host = host

    def find(self, localpart: str, agent: str) -> Client | None:
        key = self._key(localpart, agent)

        def find_client(connection: Connection) -> Client | None:
            row = connection.execute(_FIND, key).one_or_none()
            return None if row is None else _client(row)

        return self._storage.read(find_client)

    def accept(
        self, localpart: str, agent: str, token: Token, *, count: int | None, now: int
    ) -> bool:
        """Note that a token was used; False if it is gone, or the count was there before.

        The first use of a new token ends the one before it.
        """
        values = self._key(localpart, agent) | {
            "its_salt": token.salt,
            "its_used_at": now,
            "its_count": -1 if count is None else count,
        }
        use = _USE if count is None else _USE_COUNTED

        def accept_token(connection: Connection) -> bool:
            return bool(
                connection.execute(_PROMOTE, values).rowcount
                or connection.execute(use, values).rowcount
            )

        return self._storage.write(accept_token)

    def issue(
        self, localpart: str, agent: UserAgent, token: Token, *, most: int, now: int
    ) -> None:
        """Give a client a new token; of more than `most` clients those last used stay."""
        key = self._key(localpart, agent.id)
        values = key | {
            "its_software": agent.software,
            "its_device": agent.device,
            "its_used_at": now,
            **{f"its_{field}": getattr(token, field) for field in _FIELDS},
        }
        row = {
            "host": self._host,
            "localpart": localpart,
            "agent": agent.id,
            "software": agent.software,
            "device": agent.device,
            "used_at": now,
            "last_count": -1,
            "expires_at": token.expires_at,
            **{f"current_{field}": None for field in _FIELDS},
            **{f"new_{field}": getattr(token, field) for field in _FIELDS},
        }

        def issue_token(connection: Connection) -> None:
            if connection.execute(_RENEW, values).rowcount:
                return
            connection.execute(_INSERT, row)
            beyond = connection.execute(_COUNT, key).scalar_one() - most
            if beyond > 0:
                others = [
                    found.agent
                    for found in connection.execute(_LIST, key)
                    if found.agent != agent.id
                ]
                for other in others[-beyond:]:
                    connection.execute(_DELETE, self._key(localpart, other))

        self._storage.write(issue_token)

    def drop(self, localpart: str, agent: str = "") -> int:
        """Forget the tokens of one client, or of all; how many clients had some."""
        statement = _DELETE if agent else _DELETE_ALL
        key = self._key(localpart, agent)

        def drop_clients(connection: Connection) -> int:
            return connection.execute(statement, key).rowcount

        return self._storage.write(drop_clients)

    def clients(self, localpart: str) -> list[Client]:
        """All clients of an account that have tokens, the last used first."""
        key = self._key(localpart, "")

        def list_clients(connection: Connection) -> list[Client]:
            return [_client(row) for row in connection.execute(_LIST, key)]

        return self._storage.read(list_clients)

    def expire(self, now: int) -> bool:
        """Forget some clients whose tokens have all expired; whether there were any."""
        values = {"its_host": self._host, "now": now}

        def expire_clients(connection: Connection) -> bool:
            expired = connection.execute(_EXPIRED, values).all()
            for row in expired:
                connection.execute(_DELETE, self._key(row.localpart, row.agent))
            return bool(expired)

        return self._storage.write(expire_clients)

    def _key(self, localpart: str, agent: str) -> dict[str, Any]:
        return {"its_host": self._host, "its_localpart": localpart, "its_agent": agent}


def _client(row: Row[Any]) -> Client:
    values = row._mapping
    return Client(
        UserAgent(row.agent, row.software, row.device),
        row.used_at,
        row.expires_at,
        row.last_count,
        _token(values, "current"),
        _token(values, "new"),
    )


def _token(values: RowMapping, slot: str) -> Token | None:
    if values[f"{slot}_salt"] is None:
        return None
    return Token(*(values[f"{slot}_{field}"] for field in _FIELDS))
