"""What the administrator says about the database: where it is, and what its tables look like."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from stonechat.answer_cache import CacheOptions
from stonechat.auth import DEFAULT_ITERATIONS
from stonechat.options import REQUIRED, Duration, PluginOptions, SecretFile, Written, option

Change = Literal["set_password", "create_user", "remove_user"]

# What is meant where a URL does not say by which driver.
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mssql": "mssql+pyodbc",
}
_INSTALL = {
    "psycopg": "pip install 'stonechat-auth-sql[postgresql]'",
    "pymysql": "pip install 'stonechat-auth-sql[mysql]'",
    "pyodbc": "pip install 'stonechat-auth-sql[odbc]'",
}

# More is allowed in SQL, if it is quoted; here, nothing that could end a quotation.
_NAME = re.compile(r"\w[\w$]*(\.\w[\w$]*){0,2}")
_COLUMN = re.compile(r"\w[\w$]*")
_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def _parse_url(value: object, info: ValidationInfo) -> URL:
    if isinstance(value, URL):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a URL such as postgresql://reader@db.example/accounts")
    try:
        url = make_url(value)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        dialect = url.get_dialect()
    except NoSuchModuleError:
        raise ValueError(f"names {url.drivername}, which is not known") from None
    except (ArgumentError, ValueError):
        # Not chained: a password may stand in the text.
        raise ValueError(
            "is no URL of a database, such as postgresql://reader@db.example/accounts"
        ) from None
    if not info.context or info.context.get("drivers", True):
        try:
            dialect.import_dbapi()
        except ImportError:
            driver = url.get_driver_name()
            hint = _INSTALL.get(driver, f"pip install {driver}")
            raise ValueError(f"needs {driver}, which is not installed: {hint}") from None
    if url.get_backend_name() == "sqlite":
        directory = (info.context or {}).get("directory", "")
        if not url.database or url.database == ":memory:":
            raise ValueError("must name the file of the database: sqlite:///accounts.db")
        url = url.set(database=str(Path(directory, url.database).absolute()))
    return url


DatabaseUrl = Annotated[
    URL,
    PlainValidator(_parse_url),
    WithJsonSchema({"type": "string"}),
    Written("URL of a database", lambda url: url.render_as_string(hide_password=True)),
]


def _table(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise ValueError("must be the name of a table, with that of its schema if need be")
    return value


def _column(value: str) -> str:
    if value and not _COLUMN.fullmatch(value):
        raise ValueError("must be the name of a column")
    return value


Table = Annotated[str, AfterValidator(_table)]
Column = Annotated[str, AfterValidator(_column)]


class Columns(PluginOptions):
    """Names in the table."""

    user: Column = option("username", "The localpart, in lower case as XMPP has it.", min_length=1)
    host: Column = option("", "The domain, where the table is for several.")
    password: Column = option("password", "The password, its hash, or SCRAM credentials as text.")
    salt: Column = option("", "SCRAM: the salt. Where it is empty, `password` is the password.")
    iterations: Column = option("", "SCRAM: the number of iterations.")
    stored_key: Column = option("", "SCRAM: the StoredKey, in base64 or hexadecimal.")
    server_key: Column = option("", "SCRAM: the ServerKey, likewise.")

    @property
    def scram(self) -> tuple[str, str, str, str]:
        return self.salt, self.iterations, self.stored_key, self.server_key


class Queries(PluginOptions):
    """Statements in place of a table."""

    find: str = option(
        "",
        "Returns the row of `:user` (at `:host`), with columns named `password`, or `salt`,"
        " `iterations`, `stored_key` and `server_key`; no row for an unknown one.",
    )
    check: str = option(
        "", "Returns a row if `:password` is right for `:user`: the database compares."
    )
    users: str = option(
        "", "Returns at most `:limit` names greater than `:after`, in order of their code points."
    )
    count: str = option("", "Returns the number of accounts.")
    set_password: str = option("", "Sets `:password`, or the SCRAM parameters, of `:user`.")
    create_user: str = option("", "Makes the account `:user`; fails if there is one.")
    remove_user: str = option("", "Removes the account `:user`.")


_SCRAM_PARAMETERS = {"salt", "iterations", "stored_key", "server_key"}
_PARAMETERS: dict[str, set[str]] = {
    "find": {"user", "host"},
    "check": {"user", "host", "password"},
    "users": {"host", "after", "limit"},
    "count": {"host"},
    "set_password": {"user", "host", "password"} | _SCRAM_PARAMETERS,
    "create_user": {"user", "host", "password"} | _SCRAM_PARAMETERS,
    "remove_user": {"user", "host"},
}


class Options(CacheOptions):
    url: DatabaseUrl = option(
        REQUIRED, "Where the database is: postgresql, mysql, sqlite or another.", hidden=True
    )
    password_file: SecretFile | None = option(None, "The password of the URL's user.")
    format: Literal["hashed", "plain", "scram"] = option(
        "hashed", "What is kept of a password: a hash, itself, or SCRAM credentials."
    )
    scram_hash: Literal["SHA-1", "SHA-256", "SHA-512"] = option(
        "SHA-1", "The hash of the SCRAM credentials; ejabberd and Prosody use SHA-1."
    )
    salt_as: Literal["base64", "hex", "text"] = option(
        "base64", "How a salt is written: ejabberd has `base64`, Prosody `text`."
    )
    hash: Literal["argon2id", "bcrypt", "sha512-crypt"] = option(
        "argon2id", "How new passwords are hashed."
    )
    iterations: int = option(
        DEFAULT_ITERATIONS, "Iterations of new SCRAM credentials.", ge=4096, le=10_000_000
    )
    table: Table = option("", "The table of accounts; without one there are `queries`.")
    columns: Columns = option(Columns(), "The columns of that table.")
    queries: Queries = option(Queries(), "Statements, where a table and columns do not do.")
    changes: tuple[Change, ...] = option(
        (), "What may be changed in the table; with `queries`, what there is a statement for."
    )
    connections: int = option(4, "Connections to the database.", ge=1, le=100)
    timeout: Duration = option("5 s", "Who has no answer by then is refused.", ge=1, le=60)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        queries = self.queries
        if bool(self.table) == bool(queries.find or queries.check):
            raise ValueError("needs either `table` or one of `queries.find` and `queries.check`")
        if self.table:
            self._check_table()
        if queries.check and self.format == "scram":
            raise ValueError("`queries.check` is of no use with `format: scram`")
        for name, known in _PARAMETERS.items():
            text = getattr(queries, name)
            unknown = sorted(set(parameters_of(text)) - known)
            if unknown:
                raise ValueError(f"queries.{name} has :{unknown[0]}; it may have {_list(known)}")
            if text and "user" in known and "user" not in parameters_of(text):
                raise ValueError(f"queries.{name} is without :user")
        return self

    def _check_table(self) -> None:
        if any(getattr(self.queries, name) for name in _PARAMETERS):
            raise ValueError("there are `queries` beside a `table`")
        if any(self.columns.scram) and not all(self.columns.scram):
            raise ValueError("of the columns for SCRAM either all are named or none is")
        if self.format != "scram" and any(self.columns.scram):
            raise ValueError("columns for SCRAM are for `format: scram`")
        if not self.columns.password and not any(self.columns.scram):
            raise ValueError("there is no column with the password")

    @property
    def full_url(self) -> URL:
        """With the password in it."""
        if self.password_file is None:
            return self.url
        return self.url.set(password=self.password_file.read().reveal())

    @property
    def can_change(self) -> frozenset[str]:
        if self.table:
            return frozenset(self.changes)
        return frozenset(
            name
            for name in ("set_password", "create_user", "remove_user")
            if getattr(self.queries, name)
        )


def parameters_of(text: str) -> list[str]:
    """The names after a colon in a statement, as SQLAlchemy's `text` finds them."""
    return _PARAMETER.findall(text)


def _list(names: set[str]) -> str:
    return ", ".join(f":{name}" for name in sorted(names))
