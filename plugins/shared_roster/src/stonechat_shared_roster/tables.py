"""The tables of the shared groups."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    MetaData,
    Table,
    UnicodeText,
    bindparam,
    delete,
    insert,
    select,
)

from stonechat.storage import LocalText, Schema, host_column, upsert
from stonechat_shared_roster.group import Group

METADATA = MetaData()

GROUPS = Table(
    "shared_roster_group",
    METADATA,
    host_column(),
    Column("name", LocalText, primary_key=True),
    Column("label", UnicodeText, nullable=False),
    Column("description", UnicodeText, nullable=False),
)

MEMBERS = Table(
    "shared_roster_member",
    METADATA,
    host_column(),
    Column("group_name", LocalText, primary_key=True),
    Column("member", LocalText, primary_key=True),
)

DISPLAYED = Table(
    "shared_roster_displayed",
    METADATA,
    host_column(),
    Column("group_name", LocalText, primary_key=True),
    Column("displayed", LocalText, primary_key=True),
)

SCHEMA = Schema("shared_roster", 1, METADATA)

_HOST: BindParameter[str] = bindparam("host_")
_NAME: BindParameter[str] = bindparam("name_")
_VALUE: BindParameter[str] = bindparam("value_")

_FIND_GROUPS = (
    select(GROUPS.c.name, GROUPS.c.label, GROUPS.c.description)
    .where(GROUPS.c.host == _HOST)
    .order_by(GROUPS.c.name)
)
_DELETE_GROUP = delete(GROUPS).where(GROUPS.c.host == _HOST, GROUPS.c.name == _NAME)

# What a group has several of: the table, and the column.
_LISTS = {"members": (MEMBERS, MEMBERS.c.member), "displayed": (DISPLAYED, DISPLAYED.c.displayed)}

_FIND = {
    field: select(table.c.group_name, value).where(table.c.host == _HOST)
    for field, (table, value) in _LISTS.items()
}
_DELETE = {
    field: delete(table).where(table.c.host == _HOST, table.c.group_name == _NAME, value == _VALUE)
    for field, (table, value) in _LISTS.items()
}


def load(connection: Connection, host: str) -> list[Group]:
    """All groups of a host, by name."""
    keys = {"host_": host}
    lists: dict[str, dict[str, set[str]]] = {}
    for field, statement in _FIND.items():
        found = lists[field] = {}
        for name, value in connection.execute(statement, keys).all():
            found.setdefault(name, set()).add(value)
    return [
        Group(
            name,
            label,
            description,
            **{field: frozenset(lists[field].get(name, ())) for field in _LISTS},
        )
        for name, label, description in connection.execute(_FIND_GROUPS, keys).all()
    ]


def save(
    connection: Connection, host: str, changes: Iterable[tuple[Group | None, Group | None]]
) -> None:
    """Write what makes of some groups what they are to be: (before, after), None for no group."""
    for before, after in changes:
        group = after or before
        assert group is not None
        keys = {"host_": host, "name_": group.name}
        if after is None:
            connection.execute(_DELETE_GROUP, keys)
        elif before is None or before[:3] != after[:3]:
            values = {
                "host": host,
                "name": after.name,
                "label": after.label,
                "description": after.description,
            }
            upsert(connection, GROUPS, values, ("host", "name"))
        for field, (table, value) in _LISTS.items():
            old: frozenset[str] = getattr(before, field, frozenset())
            new: frozenset[str] = getattr(after, field, frozenset())
            if gone := sorted(old - new):
                connection.execute(_DELETE[field], [{**keys, "value_": text} for text in gone])
            if added := sorted(new - old):
                rows = [
                    {"host": host, "group_name": group.name, value.name: text} for text in added
                ]
                connection.execute(insert(table), rows)
