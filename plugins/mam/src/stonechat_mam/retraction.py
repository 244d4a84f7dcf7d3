"""Retraction (XEP-0424): what was said and taken back leaves a tombstone in the archive."""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from stonechat.errors import StonechatError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Message, Stanza
from stonechat.timestamps import written
from stonechat.xml import Element
from stonechat_mam import catalogue, sharing
from stonechat_mam.rules import NS_RETRACT
from stonechat_mam.tables import CATALOGUE, MESSAGES

NS_MUC_USER = "http://jabber.org/protocol/muc#user"

# How far back in a conversation a retraction reaches. Nobody scrolls there to take
# something back, but somebody might make us look that far, again and again.
MAX_LOOKED_THROUGH = 20_000
# Messages with the same origin; of one sender with the same id the last one is meant.
_MAX_CANDIDATES = 20

_conversation = (
    select(CATALOGUE.c.id, CATALOGUE.c.origin)
    .where(
        CATALOGUE.c.account == bindparam("its_account"),
        CATALOGUE.c.peer == bindparam("its_peer"),
        CATALOGUE.c.id < bindparam("before"),
    )
    .order_by(CATALOGUE.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_FIND = (
    select(_conversation.c.id)
    .where(_conversation.c.origin == bindparam("its_origin"))
    .order_by(_conversation.c.id.desc())
    .limit(_MAX_CANDIDATES)
)
_READ = (
    select(MESSAGES)
    .join(CATALOGUE, CATALOGUE.c.number == MESSAGES.c.number)
    .where(CATALOGUE.c.account == bindparam("its_account"), CATALOGUE.c.id == bindparam("its_id"))
)
_IT = MESSAGES.c.number == bindparam("its_number")
_REPLACE = update(MESSAGES).where(_IT).values(text=None, stanza=bindparam("tombstone"))
_INSERT = insert(MESSAGES).inline()


class Retraction(NamedTuple):
    """What a message takes back: the sender's message of id `target`. `id` is its own."""

    target: str
    id: str
    sender: JID
    in_room: bool
    stamp: int


def origin_of(sender: JID, stanza_id: str) -> int:
    """32 bits that stand for one sender's messages of one id; 0 without an id.

    They lead to few messages of a conversation, of which the right one is then looked for.
    """
    return crc32(f"{sender.bare.text}\0{stanza_id}".encode()) if stanza_id else 0


def retraction_in(message: Message, sender: JID, stamp: int) -> Retraction | None:
    """What a message takes back; None for most."""
    element = message.find(NS_RETRACT, "retract")
    # A tombstone has to name the message that it comes from.
    if element is None or not element.get("id") or not message.id:
        return None
    return Retraction(element.get("id"), message.id, sender, _is_of_room(message), stamp)


def bury(
    connection: Connection,
    account: int,
    peer: int,
    id_: int,
    given: Retraction,
    other: int | None = None,
) -> bool:
    """Put a tombstone in the place of what a retraction means, if that is there.

    `id_` is the archive id of the retraction: it takes back what was before. `other` is
    another account that has the retraction in its archive; whether that one shares the
    message as well, and the tombstone now, is returned.
    """
    found = connection.execute(
        _FIND,
        {
            "its_account": account,
            "its_peer": peer,
            "before": id_,
            "its_origin": origin_of(given.sender, given.target),
            "most": MAX_LOOKED_THROUGH,
        },
    )
    for its_id in found.scalars().all():
        key = {"its_account": account, "its_id": its_id}
        row = connection.execute(_READ, key).one()
        if (message := _readable(row.stanza)) is not None and _is_meant(message, given):
            tombstone = _tombstone(message, given)
            is_shared = {row.account, row.other} == {account, other}
            if is_shared or row.other is None:
                connection.execute(_REPLACE, {"its_number": row.number, "tombstone": tombstone})
            else:
                _bury_apart(connection, account, row, tombstone)
            return is_shared
    return False


def _bury_apart(connection: Connection, account: int, row: Row[Any], tombstone: bytes) -> None:
    """Bury one archive's side of a message that another has as well.

    What was said to somebody is his: it stays there if he has not got the retraction.
    """
    is_first = account == row.account
    connection.execute(
        _INSERT,
        {
            "account": account,
            "id": row.id if is_first else row.other_id,
            "stamp": row.stamp,
            "peer": row.peer if is_first else row.other_peer,
            "full_peer": row.full_peer if is_first else row.other_full_peer,
            "origin": row.origin,
            "stanza": tombstone,
        },
    )
    catalogue.enter_again(connection, account, row.id if is_first else row.other_id)
    sharing.drop(connection, account, _IT, {"its_number": row.number})


def _readable(octets: bytes) -> Message | None:
    try:
        stanza = Stanza.from_bytes(octets)
    except (StonechatError, ValueError):
        return None
    return stanza if isinstance(stanza, Message) else None


def _is_meant(message: Message, given: Retraction) -> bool:
    sender = message.from_
    if sender is None or message.id != given.target:
        return False  # of another origin, with the same bits
    # Behind the bare address of a room are many people ("Business Rules").
    if given.in_room or _is_of_room(message):
        if sender != given.sender:
            return False
    elif sender.bare != given.sender.bare:
        return False
    # Retractions stay ("Tombstones"), and so do tombstones.
    return not message.has(NS_RETRACT, "retract") and not message.has(NS_RETRACT, "retracted")


def _is_of_room(message: Message) -> bool:
    return message.has(NS_MUC_USER, "x")


def _tombstone(message: Message, given: Retraction) -> bytes:
    kept: dict[str, str] = {
        name: message.attributes[name]
        for name in ("from", "to", "type", "id")
        if name in message.attributes
    }
    stone = Element(NS_CLIENT, "message", kept)
    stone.add("retracted", namespace=NS_RETRACT, id=given.id, stamp=written(given.stamp))
    return stone.to_bytes(NS_CLIENT)
