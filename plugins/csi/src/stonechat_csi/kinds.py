"""What a stanza is to somebody who looks away: something that can wait, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stonechat.jid import JID
from stonechat.namespaces import (
    NS_CARBONS,
    NS_CLIENT,
    NS_DELAY,
    NS_FORWARD,
    NS_HINTS,
    NS_STANZA_ID,
)
from stonechat.stanza import Element, Message, Presence, Stanza

if TYPE_CHECKING:
    from stonechat_csi import Options

Deed = Literal["hold", "drop", "send"]

Key = tuple[str, ...]
"""Names what a stanza takes the place of; begins with its kind."""

PRESENCE = "presence"
STATE = "state"
EVENT = "event"

NS_CHAT_STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085
NS_EVENT = "http://jabber.org/protocol/pubsub#event"  # XEP-0060, XEP-0163
NS_MUC_USER = "http://jabber.org/protocol/muc#user"  # XEP-0045
NS_OCCUPANT_ID = "urn:xmpp:occupant-id:0"  # XEP-0421

_SELF = "110"
_THREAD = f"{NS_CLIENT} thread"
_BODY = f"{NS_CLIENT} body"

# What says nothing by itself, beside a chat state and beside an event.
_STATES = frozenset({NS_CHAT_STATES, NS_HINTS, NS_DELAY, NS_STANZA_ID, NS_OCCUPANT_ID})
_BESIDE_EVENTS = frozenset(
    {
        NS_DELAY,
        NS_STANZA_ID,
        "http://jabber.org/protocol/address",  # XEP-0033: who has published
        "http://jabber.org/protocol/shim",  # XEP-0131: by which subscription it came
    }
)

_IMPORTANT: tuple[Key | None, Deed] = (None, "send")


def what_is(stanza: Stanza, own: JID, options: Options) -> tuple[Key | None, Deed]:
    """What becomes of a stanza to a session, and what it takes the place of."""
    if isinstance(stanza, Presence):
        return _presence(stanza, own, options)
    if isinstance(stanza, Message) and stanza.type != "error":
        if stanza.has(NS_EVENT, "event"):
            return _event(stanza, options)
        return _message(stanza, own, options)
    return _IMPORTANT


def _presence(presence: Presence, own: JID, options: Options) -> tuple[Key | None, Deed]:
    if presence.attributes.get("type", "") not in ("", "unavailable"):
        return _IMPORTANT
    sender = presence.attributes.get("from", "")
    # Of its own presence, and of itself in a room, a client waits to hear: then it is there,
    # or out.
    if not options.presence or sender == own.text or _is_self_in_room(presence):
        return _IMPORTANT
    return (PRESENCE, sender), "hold"


def _is_self_in_room(presence: Presence) -> bool:
    if not presence.has(NS_MUC_USER, "x") or not presence.mentions(b"code"):
        return False
    in_room = presence.find(NS_MUC_USER, "x")
    assert in_room is not None
    return any(status.get("code") == _SELF for status in in_room.find_all("status"))


# Chat states


def _message(message: Message, own: JID, options: Options) -> tuple[Key | None, Deed]:
    names: tuple[str, ...] = message.children
    key: Key = (STATE, message.attributes.get("from", ""))
    if (inner := _copied(message, own)) is not None:
        # A copy (XEP-0280): what counts is in it.
        names = tuple(child.qualified_name for child in inner.elements)
        key = (STATE, inner.get("from"), inner.get("to"))
    namespaces = {name.rpartition(" ")[0] for name in names if name != _THREAD}
    if NS_CHAT_STATES in namespaces:
        return key, options.chat_states if namespaces <= _STATES else "send"
    # Whoever has said something is not at it any more.
    return (key, "send") if _BODY in names else _IMPORTANT


def _copied(message: Message, own: JID) -> Element | None:
    """The message in a copy that may hold a chat state; None for anything else."""
    for direction in ("received", "sent"):
        wrapper = (
            message.find(NS_CARBONS, direction)
            if message.has(NS_CARBONS, direction)
            and message.from_ == own.bare
            and message.mentions(b"chatstates")
            else None
        )
        forwarded = wrapper.find("forwarded", NS_FORWARD) if wrapper is not None else None
        if forwarded is not None:
            return forwarded.find("message", NS_CLIENT)
    return None


# Events of nodes


def _event(message: Message, options: Options) -> tuple[Key | None, Deed]:
    """The news of one item makes older news of it worthless; of all else every bit counts."""
    if not options.events or any(
        name != f"{NS_EVENT} event" and name.rpartition(" ")[0] not in _BESIDE_EVENTS
        for name in message.children
    ):
        return _IMPORTANT
    event = message.find(NS_EVENT, "event")
    assert event is not None
    if len(event.elements) != 1 or (items := event.find("items")) is None:
        return _IMPORTANT
    if len(items.elements) != 1:
        return _IMPORTANT
    (item,) = items.elements
    if item.name not in ("item", "retract") or not item.get("id"):
        return _IMPORTANT
    sender = message.attributes.get("from", "")
    return (EVENT, sender, items.get("node"), item.get("id")), "hold"
