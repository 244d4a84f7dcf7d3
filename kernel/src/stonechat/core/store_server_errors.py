"""What a database server says when it refuses, without the values it was given.

Values are messages and credentials, and errors go to the log, with their causes. Servers
quote them: the key that is there already, the text that does not fit.
"""

from __future__ import annotations

import re

from sqlalchemy import exc

_MOST = 500

# PostgreSQL adds lines: DETAIL with the key or the row, CONTEXT, a piece of the statement.
_FURTHER = re.compile(r"\n(?:DETAIL|CONTEXT|HINT|QUERY|LINE \d+):?.*", re.DOTALL)
# From the first quotation mark to the last: a value may hold some itself.
_SINGLE = re.compile(r"'.*'", re.DOTALL)
_DOUBLE = re.compile(r'".*"', re.DOTALL)
# Where what is quoted are names: a table, a column, a user.
_NAMES_ONLY = re.compile(
    r"doesn't exist|Unknown column|Unknown database|Access denied|already exists|Can't connect"
    r"|cannot connect|command denied|driver"
)


def without_values(error: BaseException) -> None:
    """Take values out of the texts of an exception of the database's and of its cause."""
    own = error.orig if isinstance(error, exc.DBAPIError) else error
    if own is None or not own.args:
        return
    text = own.args[-1]
    if isinstance(text, str):
        own.args = (*own.args[:-1], cleaned(text, quotes_values=_quotes_values(own)))
    if isinstance(error, exc.DBAPIError):
        # As SQLAlchemy writes it.
        kind = f"{type(own).__module__}.{type(own).__name__}"
        error.args = (f"({kind}) {own}", *error.args[1:])


def _quotes_values(error: BaseException) -> bool:
    """Whether PostgreSQL quotes a value, as it otherwise does with names."""
    code = getattr(error, "sqlstate", None) or str(error.args[0])
    return str(code).startswith("22")


def cleaned(text: str, *, quotes_values: bool = False) -> str:
    """What a server has said, short and without values."""
    text = _FURTHER.sub("", text)
    if not _NAMES_ONLY.search(text):
        text = _SINGLE.sub("'...'", text)
    if quotes_values:
        text = _DOUBLE.sub('"..."', text)
    return " ".join(text.split())[:_MOST]


def said(error: BaseException) -> str:
    """The same of an exception."""
    if isinstance(error, exc.DBAPIError):
        error = error.orig or error
    return cleaned(str(error.args[-1]) if error.args else str(error))
