"""What stream management keeps in the store: unacknowledged messages, and sessions at rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    select,
)

from stonechat.storage import (
    KeyBytes,
    LocalText,
    ResourceText,
    Schema,
    StanzaBytes,
    Storage,
    Timestamp,
    host_column,
    upsert,
)

# What is read, and delivered again, at once.
PAGE = 100

_metadata = MetaData()

_stanzas = Table(
    "sm_stanzas",
    _metadata,
    host_column(),
    # The session's, given anew whenever one is managed; no secret.
    Column("token", String(32), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("localpart", LocalText, nullable=False),
    Column("sent_at", Timestamp, nullable=False),
    Column("stanza", StanzaBytes, nullable=False),
    Index("sm_stanzas_by_account", "host", "localpart"),
)

_sessions = Table(
    "sm_sessions",
    _metadata,
    host_column(),
    # Of what the client resumes by: whoever reads the database resumes nothing.
    Column("id_digest", KeyBytes(32), primary_key=True),
    Column("token", String(32), nullable=False),
    Column("localpart", LocalText, nullable=False),
    Column("resource", ResourceText, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    Column("state", StanzaBytes, nullable=False),
    Index("sm_sessions_by_age", "host", "expires_at"),
    Index("sm_sessions_by_account", "host", "localpart"),
)

SCHEMA = Schema("sm", 1, _metadata)

_FORGET = delete(_stanzas).where(
    _stanzas.c.host == bindparam("host"),
    _stanzas.c.token == bindparam("token"),
    _stanzas.c.number <= bindparam("upto"),
)
_OF_SESSION = (
    select(_stanzas.c.number, _stanzas.c.sent_at, _stanzas.c.stanza)
    .where(
        _stanzas.c.host == bindparam("its_host"),
        _stanzas.c.token == bindparam("its_token"),
        _stanzas.c.number > bindparam("after"),
    )
    .order_by(_stanzas.c.number)
    .limit(PAGE)
)
_KEPT_TOKENS = select(_sessions.c.token).where(_sessions.c.host == bindparam("its_host"))
_ORPHANS = (
    select(_stanzas.c.token, _stanzas.c.localpart)
    .distinct()
    .where(
        _stanzas.c.host == bindparam("its_host"),
        _stanzas.c.token > bindparam("after"),
        _stanzas.c.token.not_in(_KEPT_TOKENS),
    )
    .order_by(_stanzas.c.token)
    .limit(PAGE)
)
_ORPHANS_OF = (
    select(_stanzas.c.token)
    .distinct()
    .where(
        _stanzas.c.host == bindparam("its_host"),
        _stanzas.c.localpart == bindparam("its_localpart"),
        _stanzas.c.token.not_in(_KEPT_TOKENS),
    )
    .order_by(_stanzas.c.token)
)
_KEPT = select(
    _sessions.c.token, _sessions.c.localpart, _sessions.c.resource, _sessions.c.state
).where(
    _sessions.c.host == bindparam("its_host"),
    _sessions.c.id_digest == bindparam("its_digest"),
    _sessions.c.localpart == bindparam("its_localpart"),
    _sessions.c.expires_at > bindparam("now"),
)
_LET_GO = delete(_sessions).where(
    _sessions.c.host == bindparam("host"), _sessions.c.id_digest == bindparam("id_digest")
)
_EXPIRED = (
    select(_sessions.c.id_digest, _sessions.c.token, _sessions.c.localpart)
    .where(_sessions.c.host == bindparam("its_host"), _sessions.c.expires_at <= bindparam("now"))
    .order_by(_sessions.c.expires_at)
    .limit(PAGE)
)
_CLEAR = tuple(
    delete(table).where(
        table.c.host == bindparam("its_host"), table.c.localpart == bindparam("its_localpart")
    )
    for table in (_stanzas, _sessions)
)


class Put(NamedTuple):
    """A stanza for the spool. The number makes it sure that it is there once."""

    token: str
    number: int
    localpart: str
    sent_at: int
    stanza: bytes


class Forget(NamedTuple):
    """The stanzas of a session up to a number are done with."""

    token: str
    upto: int


class LetGo(NamedTuple):
    """A session rests no more."""

    id_digest: bytes


class Keep(NamedTuple):
    """A session rests, to go on after a restart."""

    id_digest: bytes
    token: str
    localpart: str
    resource: str
    expires_at: int
    state: bytes


class Kept(NamedTuple):
    """A session that rests."""

    token: str
    localpart: str
    resource: str
    state: bytes


class Orphan(NamedTuple):
    """A session that is gone and has left stanzas."""

    token: str
    localpart: str


class SpooledStanza(NamedTuple):
    """A stanza that a session did not acknowledge."""

    number: int
    sent_at: int
    stanza: bytes


class Tables:
    """The rows of one host."""

    def __init__(self, storage: Storage, host: str) -> None:
        self._storage = storage
        self._host = host

    def write_rows(
        self, connection: Connection, rows: Sequence[Put | Forget | Keep | LetGo]
    ) -> None:
        """Carry a batch out, in order; may be repeated."""
        for kind, some in groupby(rows, type):
            values = [{"host": self._host, **row._asdict()} for row in some]
            if kind is Put:
                upsert(connection, _stanzas, values, ("host", "token", "number"))
            elif kind is Keep:
                upsert(connection, _sessions, values, ("host", "id_digest"))
            else:
                connection.execute(_FORGET if kind is Forget else _LET_GO, values)

    def stanzas(self, token: str, after: int = -1) -> list[SpooledStanza]:
        """The next stanzas of a session, behind a number."""
        values = {"its_host": self._host, "its_token": token, "after": after}
        return self._storage.read(
            lambda connection: [
                SpooledStanza(*row) for row in connection.execute(_OF_SESSION, values).all()
            ]
        )

    def orphans(self, after: str = "") -> list[Orphan]:
        """Sessions that have stanzas here and do not rest, behind a token."""
        values = {"its_host": self._host, "after": after}
        return self._storage.read(
            lambda connection: [Orphan(*row) for row in connection.execute(_ORPHANS, values).all()]
        )

    def orphans_of(self, localpart: str) -> list[str]:
        """The tokens of all of them that are one account's."""
        values = {"its_host": self._host, "its_localpart": localpart}
        return self._storage.read(
            lambda connection: list(connection.execute(_ORPHANS_OF, values).scalars())
        )

    def kept(self, id_digest: bytes, localpart: str, now: int) -> Kept | None:
        """The session that rests under an id, which is its account's alone."""
        values = {
            "its_host": self._host,
            "its_digest": id_digest,
            "its_localpart": localpart,
            "now": now,
        }

        def find_session(connection: Connection) -> Kept | None:
            row = connection.execute(_KEPT, values).one_or_none()
            return None if row is None else Kept(*row)

        return self._storage.read(find_session)

    def expire(self, now: int) -> list[Orphan]:
        """Let some sessions go whose time is over."""
        values = {"its_host": self._host, "now": now}

        def expire_some(connection: Connection) -> list[Orphan]:
            rows = connection.execute(_EXPIRED, values).all()
            if rows:
                connection.execute(
                    _LET_GO,
                    [{"host": self._host, "id_digest": digest} for digest, _, _ in rows],
                )
            return [Orphan(token, localpart) for _, token, localpart in rows]

        return self._storage.write(expire_some)

    def clear(self, localpart: str) -> None:
        """Forget an account."""
        values = {"its_host": self._host, "its_localpart": localpart}

        def clear_account(connection: Connection) -> None:
            for statement in _CLEAR:
                connection.execute(statement, values)

        self._storage.write(clear_account)
