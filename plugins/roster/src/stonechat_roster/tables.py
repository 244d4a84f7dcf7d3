"""The tables of the rosters, and their statements."""

from __future__ import annotations

import json

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    MetaData,
    SmallInteger,
    Table,
    UnicodeText,
    bindparam,
    delete,
    select,
)

from stonechat.errors import JIDError
from stonechat.jid import JID
from stonechat.storage import JidText, LocalText, Schema, StanzaBytes, host_column, upsert
from stonechat_roster.items import BLANK, Item, Roster

METADATA = MetaData()

# One row for each account that ever had anything: without it there is nothing to load.
VERSIONS = Table(
    "roster_version",
    METADATA,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
)

ITEMS = Table(
    "roster_item",
    METADATA,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("jid", JidText, primary_key=True),
    Column("name", UnicodeText, nullable=False),
    Column("group_names", UnicodeText, nullable=False),  # JSON; "" for none
    Column("state", SmallInteger, nullable=False),  # the bits of states.py
    Column("changed", BigInteger, nullable=False),
)

REQUESTS = Table(
    "roster_pending_in",
    METADATA,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("jid", JidText, primary_key=True),
    Column("stanza", StanzaBytes, nullable=False),
)

SCHEMA = Schema("roster", 1, METADATA)

_HOST: BindParameter[str] = bindparam("host_")
_LOCALPART: BindParameter[str] = bindparam("localpart_")
_JID: BindParameter[str] = bindparam("jid_")

_FIND_VERSION = select(VERSIONS.c.version, VERSIONS.c.floor).where(
    VERSIONS.c.host == _HOST, VERSIONS.c.localpart == _LOCALPART
)
_FIND_ITEMS = (
    select(ITEMS.c.jid, ITEMS.c.name, ITEMS.c.group_names, ITEMS.c.state, ITEMS.c.changed)
    .where(ITEMS.c.host == _HOST, ITEMS.c.localpart == _LOCALPART)
    .order_by(ITEMS.c.jid)
)
_FIND_REQUESTS = (
    select(REQUESTS.c.jid)
    .where(REQUESTS.c.host == _HOST, REQUESTS.c.localpart == _LOCALPART)
    .order_by(REQUESTS.c.jid)
)
_FIND_STANZAS = (
    select(REQUESTS.c.stanza)
    .where(REQUESTS.c.host == _HOST, REQUESTS.c.localpart == _LOCALPART)
    .order_by(REQUESTS.c.jid)
)
_DELETE_ITEM = delete(ITEMS).where(
    ITEMS.c.host == _HOST, ITEMS.c.localpart == _LOCALPART, ITEMS.c.jid == _JID
)
_DELETE_REQUEST = delete(REQUESTS).where(
    REQUESTS.c.host == _HOST, REQUESTS.c.localpart == _LOCALPART, REQUESTS.c.jid == _JID
)
_DELETE_ALL = [
    delete(table).where(table.c.host == _HOST, table.c.localpart == _LOCALPART)
    for table in (ITEMS, REQUESTS, VERSIONS)
]


def load(connection: Connection, host: str, localpart: str) -> Roster:
    """An account's roster; one look by primary key if it never had anything."""
    keys = {"host_": host, "localpart_": localpart}
    found = connection.execute(_FIND_VERSION, keys).one_or_none()
    if found is None:
        return BLANK
    version, floor = found
    groups: dict[str, tuple[str, ...]] = {"": ()}
    items = {}
    for text, name, group_names, state, changed in connection.execute(_FIND_ITEMS, keys).all():
        jid = _parse(text)
        if jid is not None:
            shared = groups.get(group_names)
            if shared is None:
                shared = groups[group_names] = tuple(json.loads(group_names))
            items[jid] = Item(jid, name, shared, state, changed)
    texts = connection.execute(_FIND_REQUESTS, keys).scalars().all()
    requests = frozenset(jid for jid in map(_parse, texts) if jid is not None)
    return Roster(items, requests, version, floor)


def _parse(text: str) -> JID | None:
    # An address may outlive the Unicode version that allowed it. Nothing can be sent to
    # it any more, and it must not keep the rest of the roster from its owner.
    try:
        return JID.parse(text)
    except JIDError:
        return None


def load_requests(connection: Connection, host: str, localpart: str) -> list[bytes]:
    """The subscription requests that wait for an account's answer, as they came."""
    keys = {"host_": host, "localpart_": localpart}
    return list(connection.execute(_FIND_STANZAS, keys).scalars().all())


def write_version(
    connection: Connection, host: str, localpart: str, version: int, floor: int
) -> None:
    """Note the version; every change does, so that the row exists."""
    values = {"host": host, "localpart": localpart, "version": version, "floor": floor}
    upsert(connection, VERSIONS, values, ("host", "localpart"))


def write_item(connection: Connection, host: str, localpart: str, item: Item) -> None:
    """Add an item or overwrite it."""
    values = {
        "host": host,
        "localpart": localpart,
        "jid": item.jid.text,
        "name": item.name,
        "group_names": json.dumps(item.groups, ensure_ascii=False) if item.groups else "",
        "state": item.state,
        "changed": item.changed,
    }
    upsert(connection, ITEMS, values, ("host", "localpart", "jid"))


def delete_item(connection: Connection, host: str, localpart: str, jid: JID) -> None:
    """Take an item out."""
    keys = {"host_": host, "localpart_": localpart, "jid_": jid.text}
    connection.execute(_DELETE_ITEM, keys)


def write_request(
    connection: Connection, host: str, localpart: str, jid: JID, stanza: bytes
) -> None:
    """Keep a request until it is answered."""
    values = {"host": host, "localpart": localpart, "jid": jid.text, "stanza": stanza}
    upsert(connection, REQUESTS, values, ("host", "localpart", "jid"))


def delete_request(connection: Connection, host: str, localpart: str, jid: JID) -> None:
    """Forget a request: it is answered or withdrawn."""
    keys = {"host_": host, "localpart_": localpart, "jid_": jid.text}
    connection.execute(_DELETE_REQUEST, keys)


def delete_all(connection: Connection, host: str, localpart: str) -> None:
    """Forget an account."""
    for statement in _DELETE_ALL:
        connection.execute(statement, {"host_": host, "localpart_": localpart})
