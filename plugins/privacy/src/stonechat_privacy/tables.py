"""The table of the privacy lists: one row for each account that has any."""

from __future__ import annotations

import json

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    MetaData,
    Table,
    bindparam,
    delete,
    select,
)

from stonechat.storage import LocalText, Schema, StanzaBytes, host_column, upsert
from stonechat_privacy.rules import EMPTY, Item, Lists, PrivacyList

METADATA = MetaData()

# A client writes a list as a whole, and all that applies is wanted at once.
LISTS = Table(
    "privacy_lists",
    METADATA,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("content", StanzaBytes, nullable=False),  # JSON, see `_written`
)

SCHEMA = Schema("privacy", 1, METADATA)

_HOST: BindParameter[str] = bindparam("host_")
_LOCALPART: BindParameter[str] = bindparam("localpart_")
_OF = (LISTS.c.host == _HOST, LISTS.c.localpart == _LOCALPART)
_FIND = select(LISTS.c.content).where(*_OF)
_DELETE = delete(LISTS).where(*_OF)


def load(connection: Connection, host: str, localpart: str) -> Lists:
    """All lists of an account."""
    keys = {"host_": host, "localpart_": localpart}
    content = connection.execute(_FIND, keys).scalar()
    return EMPTY if content is None else _read(content)


def save(connection: Connection, host: str, localpart: str, lists: Lists) -> None:
    """Write all lists of an account."""
    if not lists.by_name:
        erase(connection, host, localpart)
        return
    values = {"host": host, "localpart": localpart, "content": _written(lists)}
    upsert(connection, LISTS, values, ("host", "localpart"))


def erase(connection: Connection, host: str, localpart: str) -> None:
    """Forget an account."""
    connection.execute(_DELETE, {"host_": host, "localpart_": localpart})


def _written(lists: Lists) -> bytes:
    by_name = {name: rules.items for name, rules in lists.by_name.items()}
    content = {"default": lists.default, "lists": by_name}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _read(content: bytes) -> Lists:
    found = json.loads(content)
    by_name = {
        name: PrivacyList(Item(*item) for item in items) for name, items in found["lists"].items()
    }
    return Lists(found["default"], by_name)
