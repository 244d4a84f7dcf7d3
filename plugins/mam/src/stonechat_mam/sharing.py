"""Messages that two archives share: which side is whose, and how one lets go of them.

What goes from one account of a host to another is in the log once, which halves what is
written and what is on the disk. Each of the two may delete it, and takes nothing from the
other by that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, or_, update

from stonechat_mam.tables import MESSAGES

_columns = MESSAGES.c
_ONE_LESS = {"other": None, "other_id": None, "other_peer": None, "other_full_peer": None}


def is_of(account: int) -> ColumnElement[bool]:
    """Whether a message of the log is in an account's archive."""
    return or_(_columns.account == account, _columns.other == account)


def id_for(account: int) -> ColumnElement[int]:
    """The id of a message in the archive of an account that has it."""
    return case((_columns.account == account, _columns.id), else_=_columns.other_id)


def full_peer_for(account: int) -> ColumnElement[int]:
    """Whom an account that has a message talks with there."""
    return case((_columns.account == account, _columns.full_peer), else_=_columns.other_full_peer)


def drop(
    connection: Connection, account: int, which: ColumnElement[bool], values: Mapping[str, Any]
) -> None:
    """A work: take messages out of an account's archive, but not out of the catalogue.

    `which` are some of the account's. What nobody else has is deleted.
    """
    key = {**values, "whose": account}
    connection.execute(delete(MESSAGES).where(which, _columns.other.is_(None)), values)
    connection.execute(
        update(MESSAGES).where(which, _columns.other == bindparam("whose")).values(_ONE_LESS), key
    )
    connection.execute(
        update(MESSAGES)
        .where(which, _columns.account == bindparam("whose"), _columns.other.is_not(None))
        # Databases that set one column after the other do so in this order, that of the table.
        .values(
            account=_columns.other,
            id=_columns.other_id,
            peer=_columns.other_peer,
            full_peer=_columns.other_full_peer,
            **_ONE_LESS,
        ),
        key,
    )
