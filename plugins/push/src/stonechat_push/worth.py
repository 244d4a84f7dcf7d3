"""What is worth waking a phone for, and what is to be said of it."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD, NS_HINTS
from stonechat.stanza import Element, Iq, Message, Presence, Stanza

__all__ = ["News", "in_message", "in_stanza"]

# Of a text in a notification: enough for a line on a screen.
MAX_BODY = 500

_NS_JINGLE = "urn:xmpp:jingle:1"  # XEP-0166
_NS_MUC_USER = "http://jabber.org/protocol/muc#user"  # XEP-0045

_BODY = f"{NS_CLIENT} body"
_NO_STORE = f"{NS_HINTS} no-store"

# Encrypted texts, by element; some need not hold a text but keys only.
_ENCRYPTED = frozenset(
    {
        "jabber:x:encrypted x",  # XEP-0027
        "urn:xmpp:openpgp:0 openpgp",  # XEP-0373
    }
)
_ENCRYPTED_IF_PAYLOAD = (
    "eu.siacs.conversations.axolotl",  # XEP-0384, as all have it
    "urn:xmpp:omemo:1",
    "urn:xmpp:omemo:2",
)

# Somebody rings, or wants to be looked at: gone with the moment, and so not stored.
_URGENT = frozenset(
    {
        "urn:xmpp:jingle-message:0 propose",  # XEP-0353
        "urn:xmpp:jingle-message:1 propose",
        "urn:xmpp:call-invites:0 invite",  # XEP-0482
        "urn:xmpp:attention:0 attention",  # XEP-0224
    }
)
_DIRECT_INVITATION = "jabber:x:conference x"  # XEP-0249


class News(NamedTuple):
    """Something for the user of a device; `is_message` is what is counted."""

    sender: str
    body: str = ""
    is_message: bool = True
    key: int = 0
    """Stands for the message, by its sender and id; 0 where it has none."""
    is_again: bool = False
    """Whether it was on its way to some device before."""


def in_stanza(stanza: Stanza, *, groupchat: bool) -> News | None:
    """The news in what waits for a session; None where nobody needs to be woken for it."""
    if isinstance(stanza, Message):
        if (inner := _received_copy(stanza)) is not None:
            return in_message(inner, groupchat=groupchat)
        return in_message(stanza, groupchat=groupchat)
    sender = stanza.attributes.get("from", "")
    if isinstance(stanza, Presence):
        wanted = stanza.attributes.get("type") == "subscribe"
        return News(sender, is_message=False) if wanted else None
    if isinstance(stanza, Iq) and stanza.type == "set" and stanza.has(_NS_JINGLE, "jingle"):
        jingle = stanza.find(_NS_JINGLE, "jingle")
        if jingle is not None and jingle.get("action") == "session-initiate":
            return News(sender, is_message=False)
    return None


def in_message(message: Message, *, groupchat: bool, is_kept: bool = False) -> News | None:
    """The news in a message, as above; `is_kept` if it is to be had from a store later."""
    type_ = message.type
    if type_ in ("error", "headline") or (type_ == "groupchat" and not groupchat):
        return None
    names = set(message.children)
    sender = message.attributes.get("from", "")
    news = News(sender, key=hash((sender, message.id)) if message.id else 0)
    if names & _URGENT:
        return news._replace(is_message=False)
    if is_kept and _NO_STORE in names:
        return None
    if _is_encrypted(message, names):
        # What stands beside it says only that it is encrypted.
        return news
    if _BODY in names:
        return news._replace(body=message.body[:MAX_BODY])
    if _NO_STORE not in names and (_DIRECT_INVITATION in names or _invites(message)):
        return news
    return None


def _is_encrypted(message: Message, names: set[str]) -> bool:
    if names & _ENCRYPTED:
        return True
    for namespace in _ENCRYPTED_IF_PAYLOAD:
        if f"{namespace} encrypted" in names:
            encrypted = message.find(namespace, "encrypted")
            return encrypted is not None and encrypted.find("payload") is not None
    return False


def _invites(message: Message) -> bool:
    room = message.find(_NS_MUC_USER, "x")
    return room is not None and room.find("invite") is not None


def _received_copy(message: Message) -> Message | None:
    """What another client has received (XEP-0280); of what one sent oneself one knows."""
    wrapper = message.find(NS_CARBONS, "received")
    if wrapper is None or message.to is None or message.from_ != message.to.bare:
        return None
    forwarded: Element | None = wrapper.find("forwarded", NS_FORWARD)
    inner = forwarded.find("message", NS_CLIENT) if forwarded is not None else None
    if inner is None:
        return None
    copied = Stanza.from_element(inner)
    return copied if isinstance(copied, Message) else None
