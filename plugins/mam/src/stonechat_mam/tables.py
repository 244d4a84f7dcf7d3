"""The tables of the archive: a log of messages, and a catalogue of it (`catalogue`).

Messages name their account by a number and the people by hashes: with addresses spelled
out in both indexes, writing a message cost twice as much processor time, and half of what
is on disk would not be messages.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UnicodeText,
    UniqueConstraint,
    column,
    insert,
    select,
    table,
    update,
)

from stonechat.storage import (
    AutoKey,
    HostText,
    LocalText,
    Schema,
    StanzaBytes,
    Timestamp,
    host_column,
)

if TYPE_CHECKING:
    from alembic.operations import Operations

__all__ = ["ACCOUNTS", "CATALOGUE", "HOSTS", "MESSAGES", "SCHEMA", "STATE", "hash_of"]

# As long as a stanza may be, and compared octet by octet: what is searched is folded before.
_LongText = (
    UnicodeText()
    .with_variant(UnicodeText(collation="C"), "postgresql")
    # Without a length it would be 64 KiB there, with this one it is a LONGTEXT.
    .with_variant(UnicodeText(2**24, collation="utf8mb4_bin"), "mysql", "mariadb")
    .with_variant(UnicodeText(collation="Latin1_General_100_BIN2"), "mssql")
)

# A number as in `AutoKey`, but one that SQLite may give again once the last row is gone:
# nobody outside hears of it, and keeping count costs a write for each row.
_Number = BigInteger().with_variant(Integer(), "sqlite")

_metadata = MetaData()

HOSTS = Table(
    "mam_hosts",
    _metadata,
    host_column(),
    # The last archive id that was given, and how far ids have been ahead of the clock.
    Column("last_id", BigInteger, nullable=False, default=0),
    Column("skew", BigInteger, nullable=False, default=0),
    # Messages up to this number are not in the full-text index yet; null without one.
    Column("unindexed", BigInteger),
)

ACCOUNTS = Table(
    "mam_accounts",
    _metadata,
    Column("number", AutoKey, primary_key=True),
    Column("host", HostText, nullable=False),
    Column("localpart", LocalText, nullable=False),
    # Preferences (XEP-0441); null where the account has said nothing. Addresses by lines.
    Column("preference", String(10)),
    Column("always", _LongText),
    Column("never", _LongText),
    UniqueConstraint("host", "localpart"),
)


def _columns_of_the_log() -> tuple[Column[Any], ...]:
    return (
        Column("number", _Number, primary_key=True),
        Column("account", BigInteger, nullable=False),
        Column("id", BigInteger, nullable=False),
        Column("stamp", Timestamp, nullable=False),
        # Whom the account talks with: of the bare address, and of the full one, 0 without.
        Column("peer", BigInteger, nullable=False),
        Column("full_peer", BigInteger, nullable=False),
        # Who sent it under which id; 0 without one.
        Column("origin", BigInteger, nullable=False),
        # What can be searched; null where there is nothing, or it is not wanted.
        Column("text", _LongText),
        Column("stanza", StanzaBytes, nullable=False),
    )


# The log: messages in the order they came. One that went from an account of a host to
# another there is in the archives of both, and here once.
MESSAGES = Table(
    "mam_messages",
    _metadata,
    *_columns_of_the_log(),
    # The other account that has it, if one does: with an id of its own, and whom that one
    # talks with.
    Column("other", BigInteger),
    Column("other_id", BigInteger),
    Column("other_peer", BigInteger),
    Column("other_full_peer", BigInteger),
)

# The catalogue: where in the log an account's messages lie. Columns are those of the log.
CATALOGUE = Table(
    "mam_catalogue",
    _metadata,
    Column("account", BigInteger, primary_key=True, autoincrement=False),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("peer", BigInteger, nullable=False),
    Column("origin", BigInteger, nullable=False),
    # All columns: the way to a message is one step shorter, and the message that a retraction
    # means is found without reading those it does not mean.
    Index("mam_catalogue_by_peer", "account", "peer", "id", "origin", "number"),
    sqlite_with_rowid=False,
)

# `catalogued`: the number of the last message that is in the catalogue.
STATE = Table(
    "mam_state",
    _metadata,
    Column("name", String(20), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


def _lay_out_as_a_log(op: Operations) -> None:
    """Version 2: messages had their indexes beside them."""
    connection = op.get_bind()
    CATALOGUE.create(connection)
    STATE.create(connection)
    op.drop_index("mam_messages_by_peer", "mam_messages")
    op.rename_table("mam_messages", "mam_messages_1")
    messages = Table("mam_messages", MetaData(), *_columns_of_the_log())
    messages.create(connection)
    columns = [column.name for column in messages.columns]
    old = table("mam_messages_1", *map(column, columns))
    op.execute(insert(messages).from_select(columns, select(old)))
    op.drop_table("mam_messages_1")


def _share_between_two(op: Operations) -> None:
    """Version 3: a message between two accounts was in the log twice."""
    for name in ("other", "other_id", "other_peer", "other_full_peer"):
        op.add_column("mam_messages", Column(name, BigInteger))
    # The full-text index is made anew by whoever uses one: it has to know both.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS mam_fulltext_deleted")
        op.execute("DROP TRIGGER IF EXISTS mam_fulltext_retracted")
        op.execute("DROP TABLE IF EXISTS mam_fulltext")
    op.execute(update(HOSTS).values(unindexed=None))


SCHEMA = Schema("mam", 3, _metadata, {2: _lay_out_as_a_log, 3: _share_between_two})

# Longer texts are hashed each time, so that the cache has a bound in bytes too.
_MAX_CACHED_TEXT = 256


def hash_of(text: str) -> int:
    """63 bits that stand for an address or the like; never 0."""
    return _cached_hash(text) if len(text) <= _MAX_CACHED_TEXT else _hash(text)


def _hash(text: str) -> int:
    digest = blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 1) or 1


_cached_hash = lru_cache(maxsize=8192)(_hash)
