"""Which messages are copied (XEP-0280, section 6): the rules of `urn:xmpp:carbons:rules:0`."""

from __future__ import annotations

from functools import lru_cache

from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_HINTS
from stonechat.stanza import Message

__all__ = ["COPIES", "NS_MUC_USER", "is_eligible", "is_from_room"]

NS_MUC_USER = "http://jabber.org/protocol/muc#user"  # XEP-0045
_MUC_USER = f"{NS_MUC_USER} x"

COPIES = frozenset({f"{NS_CARBONS} received", f"{NS_CARBONS} sent"})
"""What a copy holds: nothing but the server's own word."""

# Section 9, and the hint of XEP-0334 by itself; and there are no copies of copies.
_NEVER = COPIES | {f"{NS_CARBONS} private", f"{NS_HINTS} no-copy"}

_BODY = f"{NS_CLIENT} body"
_DIRECT_INVITATION = "jabber:x:conference x"  # XEP-0249

# "Payload elements typically used in IM".
_IM = frozenset(
    {
        "http://jabber.org/protocol/chatstates",  # XEP-0085
        "urn:xmpp:receipts",  # XEP-0184
        "urn:xmpp:chat-markers:0",  # XEP-0333
    }
)

# More children, or longer names, than what people write has.
_MAX_CACHED_CHILDREN = 12


def is_eligible(message: Message) -> bool:
    """Whether a message, which is no error, is to be copied."""
    children = message.children
    if len(children) <= _MAX_CACHED_CHILDREN:
        eligible = _cached(message.type, children)
    else:
        eligible = _by_names(message.type, children)
    return eligible if eligible is not None else _invites(message)


def is_from_room(message: Message) -> bool:
    """Whether a message says of itself that it is a private one of a room (XEP-0045, 7.5)."""
    return message.has(NS_MUC_USER, "x") and not _invites(message)


def _by_names(type_: str, children: tuple[str, ...]) -> bool | None:
    """What the names of its children say of a message; None where they do not."""
    names = set(children)
    if type_ in ("groupchat", "error") or names & _NEVER:
        return False
    if type_ == "chat" or (type_ == "normal" and _BODY in names) or _DIRECT_INVITATION in names:
        return True
    if any(name.rpartition(" ")[0] in _IM for name in names):
        return True
    return None if _MUC_USER in names else False


# Clients put the same few things together again and again. A name has 256 octets at most.
_cached = lru_cache(maxsize=512)(_by_names)


def _invites(message: Message) -> bool:
    """Whether somebody is invited into a room, by way of the room."""
    room_part = message.find(NS_MUC_USER, "x")
    return room_part is not None and room_part.find("invite") is not None
