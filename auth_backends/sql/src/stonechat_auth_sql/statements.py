"""The statements: made from a table and its columns, or as the administrator wrote them.

Names come from the configuration, and SQLAlchemy quotes them; values are always bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    LargeBinary,
    String,
    and_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy import table as bare_table

from stonechat_auth_sql.options import Columns, Options, parameters_of

_FOLDING = ("mysql", "mariadb")

_SCRAM_KEYS = ("salt", "iterations", "stored_key", "server_key")


class Statements:
    """Each with parameters by name; None is what there is not."""

    find: Executable | None = None
    check: Executable | None = None
    users: Executable | None = None
    count: Executable | None = None
    set_password: Executable | None = None
    create_user: Executable | None = None
    remove_user: Executable | None = None

    def parameters(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a statement, of what there is."""
        raise NotImplementedError


class QueryStatements(Statements):
    """As they are written in the configuration."""

    def __init__(self, options: Options) -> None:
        self._names: dict[str, set[str]] = {}
        for name in type(options.queries).model_fields:
            written = getattr(options.queries, name)
            if written:
                self._names[name] = set(parameters_of(written))
                setattr(self, name, text(written))

    def parameters(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {key: given[key] for key in self._names[name] if key in given}


class TableStatements(Statements):
    """For a table of which we know the columns."""

    def __init__(self, options: Options, dialect: str) -> None:
        self._columns = columns = options.columns
        # In ejabberd's table the StoredKey has the column of the password.
        self._written = _SCRAM_KEYS if columns.stored_key else ("password",)
        self._dialect = dialect
        names = dict.fromkeys(name for name in _all_of(columns) if name)
        *schema, name = options.table.rsplit(".", 1)
        table = bare_table(name, *map(column, names), schema=schema[0] if schema else None)
        mine = table.c[columns.host] == bindparam("host") if columns.host else None
        this = _and(self._is_exactly(table.c[columns.user], "user"), mine)
        wanted = {
            "name": columns.user,
            "password": columns.password,
            "salt": columns.salt,
            "iterations": columns.iterations,
            "stored_key": columns.stored_key,
            "server_key": columns.server_key,
        }
        self.find = (
            select(*(table.c[of].label(key) for key, of in wanted.items() if of))
            .where(this)
            .limit(2)
        )
        order = self._in_octets(table.c[columns.user])
        self.users = (
            select(table.c[columns.user])
            .where(_and(order > self._in_octets(bindparam("after", type_=String())), mine))
            .order_by(order)
            .limit(bindparam("limit"))
        )
        self.count = select(func.count()).select_from(table)
        if mine is not None:
            self.count = self.count.where(mine)
        changed: dict[str, Any] = {
            of: bindparam(f"new_{key}")
            for key, of in wanted.items()
            if of and key in self._written
        }
        self.set_password = update(table).where(this).values(changed)
        made = {columns.user: bindparam("user"), **changed}
        if columns.host:
            made[columns.host] = bindparam("host")
        self.create_user = insert(table).values(made)
        self.remove_user = delete(table).where(this)

    def parameters(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        values = {key: given[key] for key in ("after", "limit", "user") if key in given}
        if self._columns.host:
            values["host"] = given["host"]
        if name in ("set_password", "create_user"):
            values |= {f"new_{key}": given[key] for key in self._written}
        return values

    def _is_exactly(self, user: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Equal octet for octet; collations of MySQL take `juliét` for `juliet`."""
        parameter = bindparam(name, type_=String())
        if self._dialect not in _FOLDING:
            return user == parameter
        return and_(user == parameter, self._in_octets(user) == self._in_octets(parameter))

    def _in_octets(self, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """Something whose order is that of code points."""
        if self._dialect == "postgresql":
            return value.collate("C")
        if self._dialect in _FOLDING:
            return cast(value, LargeBinary)
        return value


def _all_of(columns: Columns) -> tuple[str, ...]:
    return (columns.user, columns.host, columns.password, *columns.scram)


def _and(one: ColumnElement[bool], other: ColumnElement[bool] | None) -> ColumnElement[bool]:
    return one if other is None else and_(one, other)
