"""ejabberd's accounts, out of its SQL database, in the form of XEP-0227.

There are two shapes of its tables: with a column `server_host`, for all hosts together, and
without, for one. What another version lacks or has beside is no fault.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    MetaData,
    Select,
    Table,
    func,
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from stonechat import timestamps
from stonechat.auth import Credentials, ScramCredentials
from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_DATA_FORM, NS_DELAY, NS_FORWARD, NS_ROSTER
from stonechat.portable import NS_PIE, NS_PIE_ARCHIVE, parts_of
from stonechat.shell import ShellError
from stonechat.stanza import Element
from stonechat.xml import parse
from stonechat_migrate.erlang_terms import jids_in
from stonechat_migrate.pie import (
    MAX_ITERATIONS,
    NS_MAM,
    NS_PRIVACY,
    NS_PRIVATE,
    Begun,
    Losses,
    Lost,
    Part,
)
from stonechat_migrate.prosody import NS_PUBSUB, NS_PUBSUB_OWNER
from stonechat_migrate.prosody_store import open_engine

# Rows that are read together.
PAGE = 500

_USED = (
    "users",
    "last",
    "rosterusers",
    "rostergroups",
    "spool",
    "archive",
    "archive_prefs",
    "vcard",
    "privacy_default_list",
    "privacy_list",
    "privacy_list_data",
    "private_storage",
    "pubsub_node",
    "pubsub_node_option",
    "pubsub_item",
)

# What is told where there is any of it: of hosts and services, not of accounts.
_NOT_TAKEN = {
    "sr_group": "shared roster groups",
    "muc_room": "rooms",
    "motd": "messages of the day",
    "mix_channel": "channels (XEP-0369)",
    "push_session": "registrations for push (clients make them anew)",
    "oauth_token": "OAuth tokens",
    "mqtt_pub": "messages of MQTT",
}

_HASHES = {"": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}
_SUBSCRIPTIONS = {"B": "both", "T": "to", "F": "from", "N": "none"}
_TYPES = {"j": "jid", "g": "group", "s": "subscription"}
_KINDS = {
    "match_message": "message",
    "match_iq": "iq",
    "match_presence_in": "presence-in",
    "match_presence_out": "presence-out",
}

Row: TypeAlias = Any


def read_ejabberd(url: str, host: str) -> Iterator[Part]:
    """All accounts of a database; `host` is whose it is where its tables do not say that."""
    if "://" not in url:
        raise ShellError(f"{url}: the URL of ejabberd's SQL database is wanted")
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            tables = _Tables(connection, host)
            yield from tables.parts()
    except SQLAlchemyError as error:
        raise ShellError(f"the database: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()


class _Tables:
    def __init__(self, connection: Connection, host: str) -> None:
        self._connection = connection
        names = set(inspect(connection).get_table_names())
        if "users" not in names or "rosterusers" not in names:
            raise ShellError("the database has no tables of ejabberd")
        metadata = MetaData()
        self._names = names
        self._tables = {
            name: Table(name, metadata, autoload_with=connection, resolve_fks=False)
            for name in _USED
            if name in names
        }
        self._has_hosts = "server_host" in self._tables["users"].c
        self._host = host
        if not self._has_hosts and not host:
            raise ShellError("the database is that of one host: say of which, by --host")

    def parts(self) -> Iterator[Part]:
        for host in self._hosts():
            for user, rows in self._users(host):
                yield from self._account(host, user, rows)
        for name, what in _NOT_TAKEN.items():
            if name in self._names:
                found = Table(name, MetaData(), autoload_with=self._connection, resolve_fks=False)
                number = self._connection.execute(select(func.count()).select_from(found))
                if number.scalar_one():
                    yield Lost(what, "the server")

    def _hosts(self) -> list[str]:
        if not self._has_hosts:
            return [self._host]
        users = self._tables["users"]
        return list(
            self._connection.execute(
                select(users.c.server_host).distinct().order_by(users.c.server_host)
            ).scalars()
        )

    def _users(self, host: str) -> Iterator[tuple[str, list[Row]]]:
        """Accounts with their rows: newer versions have one for each hash."""
        users = self._tables["users"]
        after = ""
        while True:
            names = self._all(
                self._of(select(users.c.username), users, host)
                .where(users.c.username > after)
                .distinct()
                .order_by(users.c.username)
                .limit(PAGE)
            )
            if not names:
                return
            for found in names:
                yield found.username, self._rows("users", host, found.username)
            after = names[-1].username

    def _of(self, statement: Select[Any], table: Table, host: str) -> Select[Any]:
        return statement.where(table.c.server_host == host) if self._has_hosts else statement

    def _all(self, statement: Select[Any]) -> list[Row]:
        # A row of SQLAlchemy's has names of its own, `t` and `count` among them.
        rows = self._connection.execute(statement).mappings().all()
        return [SimpleNamespace(**row) for row in rows]

    def _rows(self, name: str, host: str, user: str, order: str = "") -> list[Row]:
        """What a table, which may not be there, has of an account."""
        table = self._tables.get(name)
        if table is None:
            return []
        statement = self._of(select(table), table, host).where(table.c.username == user)
        return self._all(statement.order_by(table.c[order]) if order else statement)

    def _pages(self, name: str, host: str, user: str, order: str) -> Iterator[Row]:
        """The same of a table with any number of rows, in the order of a column that is unique."""
        table = self._tables.get(name)
        if table is None:
            return
        after = -1
        while True:
            statement = (
                self._of(select(table), table, host)
                .where(table.c.username == user, table.c[order] > after)
                .order_by(table.c[order])
                .limit(PAGE)
            )
            rows = self._all(statement)
            if not rows:
                return
            yield from rows
            after = getattr(rows[-1], order)

    # One account

    def _account(self, host: str, user: str, rows: list[Row]) -> Iterator[Part]:
        credentials, lost = _credentials(rows)
        yield Begun(host, user, credentials)
        yield from lost
        yield from self._roster(host, user)
        yield from self._privacy(host, user)
        for row in self._rows("vcard", host, user):
            yield from _parsed(row.vcard, "a vCard that is malformed")
        yield from self._private(host, user)
        for row in self._rows("last", host, user):
            if not str(row.seconds).isdigit():
                yield Lost("an activity without a time")
            else:
                query = Element("jabber:iq:last", "query", None, row.state or "")
                query.add(
                    "delay",
                    namespace=NS_DELAY,
                    stamp=timestamps.written(int(row.seconds) * 1_000_000),
                )
                yield query
        for row in self._rows("archive_prefs", host, user):
            prefs = Element(NS_MAM, "prefs", {"default": vars(row)["def"]})
            for name in ("always", "never"):
                listed = prefs.add(name)
                for jid in jids_in(getattr(row, name)):
                    listed.add("jid", jid)
            yield prefs
        yield from self._messages(host, user)
        yield from self._archive(host, user)
        yield from self._pubsub(host, user)

    def _roster(self, host: str, user: str) -> Iterator[Part]:
        groups: dict[str, list[str]] = {}
        for row in self._rows("rostergroups", host, user):
            groups.setdefault(row.jid, []).append(row.grp)
        items, requests = [], []
        for row in self._rows("rosterusers", host, user, "jid"):
            subscription = _SUBSCRIPTIONS.get(row.subscription.strip(), "none")
            ask = row.ask.strip()
            if ask in ("I", "B"):
                request = Element(NS_CLIENT, "presence", {"type": "subscribe", "from": row.jid})
                request.set("to", f"{user}@{host}")
                if row.askmessage:
                    request.add("status", row.askmessage)
                requests.append(request)
            if ask == "I" and subscription == "none":
                continue  # in no roster yet
            item = Element(NS_ROSTER, "item", {"jid": row.jid, "subscription": subscription})
            if row.nick:
                item.set("name", row.nick)
            if ask in ("O", "B", "S"):
                item.set("ask", "subscribe")
            for group in groups.get(row.jid, ()):
                item.add("group", group)
            items.append(item)
        yield from parts_of(Element(NS_ROSTER, "query"), items)
        yield from requests

    def _privacy(self, host: str, user: str) -> Iterator[Part]:
        query = Element(NS_PRIVACY, "query")
        for row in self._rows("privacy_default_list", host, user):
            query.add("default", name=row.name)
        data = self._tables.get("privacy_list_data")
        for row in self._rows("privacy_list", host, user, "name"):
            listed = query.add("list", name=row.name)
            if data is None:
                continue
            for found in self._all(select(data).where(data.c.id == row.id).order_by(data.c.ord)):
                listed.append(_privacy_item(found))
        if query.children:
            yield query

    def _private(self, host: str, user: str) -> Iterator[Part]:
        elements = []
        for row in self._rows("private_storage", host, user, "namespace"):
            for part in _parsed(row.data, "private data that is malformed"):
                if isinstance(part, Element):
                    elements.append(part)
                else:
                    yield part
        yield from parts_of(Element(NS_PRIVATE, "query"), elements)

    def _messages(self, host: str, user: str) -> Iterator[Part]:
        lost = Losses()

        def messages() -> Iterator[Element]:
            for row in self._pages("spool", host, user, "seq"):
                for part in _parsed(row.xml, "an offline message that is malformed"):
                    if isinstance(part, Element):
                        yield part
                    else:
                        lost.add(part.text)

        yield from parts_of(Element(NS_PIE, "offline-messages"), messages())
        yield from lost

    def _archive(self, host: str, user: str) -> Iterator[Part]:
        lost = Losses()

        def results() -> Iterator[Element]:
            for row in self._pages("archive", host, user, "id"):
                if row.kind not in (None, "", "chat"):
                    lost.add("an archived message of a room")
                    continue
                fault = "an archived message that is malformed, or compressed"
                for part in _parsed(row.xml, fault):
                    if isinstance(part, Lost):
                        lost.add(part.text)
                        continue
                    result = Element(NS_MAM, "result", {"id": str(row.timestamp)})
                    forwarded = result.add("forwarded", namespace=NS_FORWARD)
                    stamp = timestamps.written(int(row.timestamp))
                    forwarded.add("delay", namespace=NS_DELAY, stamp=stamp)
                    forwarded.append(part)
                    yield result

        yield from parts_of(Element(NS_PIE_ARCHIVE, "archive"), results())
        yield from lost

    def _pubsub(self, host: str, user: str) -> Iterator[Part]:
        nodes, options, items = (
            self._tables.get(name) for name in ("pubsub_node", "pubsub_node_option", "pubsub_item")
        )
        if nodes is None or options is None or items is None:
            return
        for node in self._all(select(nodes).where(nodes.c.host == f"{user}@{host}")):
            owner = Element(NS_PUBSUB_OWNER, "pubsub")
            form = owner.add("configure", node=node.node).add(
                "x", namespace=NS_DATA_FORM, type="form"
            )
            form.add("field", var="FORM_TYPE", type="hidden").add(
                "value", f"{NS_PUBSUB}#node_config"
            )
            for option in self._all(select(options).where(options.c.nodeid == node.nodeid)):
                value = {"true": "1", "false": "0"}.get(option.val, option.val)
                form.add("field", var=f"pubsub#{option.name}").add("value", value)
            yield owner
            published = Element(NS_PUBSUB, "items", {"node": node.node})
            for item in self._all(select(items).where(items.c.nodeid == node.nodeid)):
                element = published.add("item", id=item.itemid)
                for part in _parsed(item.payload, "a published item that is malformed"):
                    if isinstance(part, Element):
                        element.append(part)
                    else:
                        yield part
            if published.children:
                yield Element(NS_PUBSUB, "pubsub", None, published)


def _credentials(rows: list[Row]) -> tuple[Credentials, Losses]:
    password = ""
    scram: list[ScramCredentials] = []
    lost = Losses()
    for row in rows:
        if not row.salt and not row.iterationcount:
            password = row.password
            continue
        kind, _, stored_key = row.password.rpartition(":")
        try:
            if not 0 < row.iterationcount <= MAX_ITERATIONS:
                raise ValueError(row.iterationcount)
            scram.append(
                ScramCredentials(
                    _HASHES[kind],
                    b64decode(row.salt),
                    row.iterationcount,
                    b64decode(stored_key),
                    b64decode(row.serverkey),
                )
            )
        except (KeyError, ValueError):
            lost.add("credentials that are malformed")
    return Credentials(password, tuple(scram)), lost


def _privacy_item(row: Row) -> Element:
    element = Element(NS_PRIVACY, "item")
    kind = _TYPES.get(row.t.strip())
    if kind is not None:
        element.set("type", kind)
        element.set("value", row.value)
    element.set("action", "allow" if row.action.strip() == "a" else "deny")
    element.set("order", str(int(row.ord)))
    if not _is_true(row.match_all):
        for column, name in _KINDS.items():
            if _is_true(getattr(row, column)):
                element.add(name)
    return element


def _is_true(value: object) -> bool:
    """What databases without booleans write for them."""
    return value in (True, 1, "1", "t", "true", b"\x01")


def _parsed(text: str | bytes, fault: str) -> Iterator[Element | Lost]:
    """The element in a column; stanzas stand without the namespace in force around them."""
    octets = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    try:
        yield parse(octets, f"<x xmlns='{NS_CLIENT}'>".encode()).copy()
    except XMLError:
        yield Lost(fault)
