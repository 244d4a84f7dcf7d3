"""The data of Prosody as it lies on a disk or in an SQL database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from stonechat.shell import ShellError
from stonechat_migrate.lua_data import Table, Value, read_items, read_value

# Accounts that are listed together, and items that come from the database together.
PAGE = 500


class Store(Protocol):
    """What both kinds of storage give. ShellError where something cannot be read."""

    def hosts(self) -> list[str]: ...
    def users(self, host: str) -> Iterator[str]:
        """Those with an account."""

    def stores(self, host: str, user: str) -> set[str]:
        """The names of what is kept for an account."""

    def table(self, host: str, user: str, store: str) -> Table:
        """A table, empty where there is none."""

    def items(self, host: str, user: str, store: str) -> Iterator[Table]:
        """The items of an archive, with `key`, `when` and `with` among what they hold."""


class Files(Store):
    """A data directory: a directory for each host, in it one for each store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._hosts = {
            unquote(path.name): path
            for path in sorted(directory.iterdir())
            if (path.is_dir() and "%2e" in path.name.lower()) or (path / "accounts").is_dir()
        }
        if not self._hosts:
            raise ShellError(f"{directory}: this is no data directory of Prosody")

    def hosts(self) -> list[str]:
        return list(self._hosts)

    def users(self, host: str) -> Iterator[str]:
        accounts = self._hosts[host] / "accounts"
        if accounts.is_dir():
            # The names of files take less than what is in them.
            for path in sorted(accounts.glob("*.dat")):
                yield unquote(path.stem)

    def stores(self, host: str, user: str) -> set[str]:
        name = _encoded(user)
        return {
            unquote(path.name)
            for path in self._hosts[host].iterdir()
            if path.is_dir()
            and ((path / f"{name}.dat").exists() or (path / f"{name}.list").exists())
        }

    def table(self, host: str, user: str, store: str) -> Table:
        found = read_value(self._path(host, user, store, "dat"))
        return found if isinstance(found, dict) else {}

    def items(self, host: str, user: str, store: str) -> Iterator[Table]:
        for item in read_items(self._path(host, user, store, "list")):
            if isinstance(item, dict):
                yield item

    def _path(self, host: str, user: str, store: str, ending: str) -> Path:
        # Of stores, other versions leave the underscore as it is.
        names = (_encoded(store), _encoded(store).replace("%5f", "_"))
        paths = [self._hosts[host] / name / f"{_encoded(user)}.{ending}" for name in names]
        return next((path for path in paths if path.exists()), paths[0])


def _encoded(name: str) -> str:
    return "".join(
        chr(octet) if chr(octet).isalnum() and octet < 128 else f"%{octet:02x}"
        for octet in name.encode()
    )


_HOSTS = text('SELECT DISTINCT "host" FROM "prosody" ORDER BY "host"')
_USERS = text(
    'SELECT DISTINCT "user" FROM "prosody" WHERE "host" = :host AND "store" = \'accounts\''
    ' AND "user" > :after ORDER BY "user" LIMIT :most'
)
_STORES = text(
    'SELECT DISTINCT "store" FROM "prosody" WHERE "host" = :host AND "user" = :user'
    ' UNION SELECT DISTINCT "store" FROM "prosodyarchive" WHERE "host" = :host AND "user" = :user'
)
_TABLE = text(
    'SELECT "key", "type", "value" FROM "prosody"'
    ' WHERE "host" = :host AND "user" = :user AND "store" = :store'
)
_ITEMS = text(
    'SELECT "sort_id", "key", "when", "with", "type", "value" FROM "prosodyarchive"'
    ' WHERE "host" = :host AND "user" = :user AND "store" = :store AND "sort_id" > :after'
    ' ORDER BY "sort_id" LIMIT :most'
)


class Database(Store):
    """The tables `prosody` and `prosodyarchive`."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = open_engine(url)

    def hosts(self) -> list[str]:
        return [row[0] for row in self._all(_HOSTS)]

    def users(self, host: str) -> Iterator[str]:
        after = ""
        while page := self._all(_USERS, host=host, after=after, most=PAGE):
            yield from (row[0] for row in page)
            after = page[-1][0]

    def stores(self, host: str, user: str) -> set[str]:
        return {row[0] for row in self._all(_STORES, host=host, user=user)}

    def table(self, host: str, user: str, store: str) -> Table:
        table: Table = {}
        for key, kind, value in self._all(_TABLE, host=host, user=user, store=store):
            found = _deserialized(kind, value)
            if key:
                table[key] = found
            elif isinstance(found, dict):
                # What has other keys than texts lies together.
                table |= found
        return table

    def items(self, host: str, user: str, store: str) -> Iterator[Table]:
        after = 0
        names = {"host": host, "user": user, "store": store, "most": PAGE}
        while page := self._all(_ITEMS, **names, after=after):
            for after, key, when, with_, kind, value in page:  # noqa: B007 - goes on from there
                found: Value = {"xml": value} if kind == "xml" else _deserialized(kind, value)
                if isinstance(found, dict):
                    yield {**found, "key": key, "when": when, "with": with_}

    def _all(self, statement: Any, **values: object) -> list[Any]:
        try:
            with self._engine.connect() as connection:
                if connection.dialect.name in ("mysql", "mariadb"):
                    connection.execute(text("SET SESSION sql_mode = 'ANSI_QUOTES'"))
                return list(connection.execute(statement, values).all())
        except SQLAlchemyError as error:
            raise ShellError(f"the database: {getattr(error, 'orig', None) or error}") from error


def open_engine(url: str) -> Engine:
    """An engine for a URL as the configuration has it; ShellError."""
    try:
        return create_engine(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise ShellError(f"the URL of the database cannot be used: {error}") from error


def _deserialized(kind: str, value: str) -> Value:
    if kind == "string":
        return value
    if kind == "boolean":
        return value == "true"
    try:
        if kind == "number":
            return float(value)
        if kind == "json":
            return _lua_value(json.loads(value))
    except (ValueError, RecursionError):
        raise ShellError(f"the database: {kind} that is none") from None
    return None


def _lua_value(value: Any) -> Value:
    """What Prosody has written as JSON, as it was: keys that are no texts are in `__hash`."""
    if isinstance(value, list):
        return {number: _lua_value(item) for number, item in enumerate(value, 1)}
    if not isinstance(value, dict):
        found: Value = value
        return found
    array, pairs = value.pop("__array", []), value.pop("__hash", [])
    table: Table = {key: _lua_value(item) for key, item in value.items()}
    for number, item in enumerate(array, 1):
        table[number] = _lua_value(item)
    for key, item in zip(pairs[::2], pairs[1::2], strict=False):
        if not isinstance(key, list | dict):
            table[key] = _lua_value(item)
    return table
