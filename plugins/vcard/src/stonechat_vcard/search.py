"""What people write into a search form, as conditions on columns of the directory."""

from __future__ import annotations

import re
from typing import Literal

from sqlalchemy import Column, ColumnElement, and_

from stonechat.errors import StanzaError
from stonechat.storage import LIKE_ESCAPE, escape_like
from stonechat_vcard.cards import folded

Wildcards = Literal["off", "end", "anywhere"]

WILDCARD = "*"

# Each of them multiplies what a comparison may cost.
MAX_WILDCARDS = 3

_WILDCARDS = re.compile(r"\*+")


def condition(
    column: Column[str], wanted: str, wildcards: Wildcards
) -> ColumnElement[bool] | None:
    """What a column has to be for a field of the form; None where anything will do."""
    text = _WILDCARDS.sub(WILDCARD, folded(wanted))
    if not text:
        return None
    literal = text.rstrip(WILDCARD)
    if wildcards == "off":
        return column == text
    if WILDCARD not in literal or wildcards == "end":
        if not literal:
            return None
        return column == text if literal == text else _begins(column, literal)
    if text.count(WILDCARD) > MAX_WILDCARDS:
        raise StanzaError("not-acceptable", f"A field has {MAX_WILDCARDS} asterisks at most.")
    pattern = "%".join(escape_like(part) for part in text.split(WILDCARD))
    return column.like(pattern, escape=LIKE_ESCAPE)


def _begins(column: Column[str], beginning: str) -> ColumnElement[bool]:
    """As `LIKE 'beginning%'` would, but SQLite and PostgreSQL take no index for that.

    Columns are sorted by code points, so that what begins so lies between two texts.
    """
    rest, last = beginning[:-1], ord(beginning[-1])
    if last == 0x10FFFF:
        return column.like(f"{escape_like(beginning)}%", escape=LIKE_ESCAPE)
    # There are no letters among the surrogates.
    following = 0xE000 if last == 0xD7FF else last + 1
    return and_(column >= beginning, column < rest + chr(following))
