"""Copies: what wraps a message (XEP-0297), made once for all who get one."""

from __future__ import annotations

import re
from typing import Literal

from stonechat.jid import JID
from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD, NS_STANZA_ID
from stonechat.stanza import Message, Stanza
from stonechat.xml import escape_attribute

Direction = Literal["received", "sent"]

_START_TAG = re.compile(rb"<message(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_HERE = f"<message xmlns='{NS_CLIENT}'".encode()


def wrap(message: Message, direction: Direction, account: JID, archive_id: str = "") -> Message:
    """The copy of a message that an account has sent or received; its `to` is still missing.

    `archive_id` is the message's in the account's own archive, where the message itself
    may not say so (XEP-0313, "Communicating the archive ID").
    """
    attributes = {"from": account.text}
    # "The wrapping message SHOULD maintain the same 'type'".
    if type_ := message.attributes.get("type"):
        attributes["type"] = type_
    head = "".join(f" {name}='{escape_attribute(value)}'" for name, value in attributes.items())
    start = f"<message{head}>".encode()
    before = f"<{direction} xmlns='{NS_CARBONS}'><forwarded xmlns='{NS_FORWARD}'>".encode()
    inner = _standing_alone(message)
    if archive_id:
        inner = _marked(inner, account, archive_id)
    raw = b"%b%b%b</forwarded></%b></message>" % (start, before, inner, direction.encode())
    return Message.received(attributes, (f"{NS_CARBONS} {direction}",), raw, len(start))


def unwrap(copy: Message) -> Message | None:
    """The message in a copy, if it was for the account itself; None for one to others."""
    wrapper = copy.find(NS_CARBONS, "received") or copy.find(NS_CARBONS, "sent")
    forwarded = wrapper.find("forwarded", NS_FORWARD) if wrapper is not None else None
    inner = forwarded.find("message", NS_CLIENT) if forwarded is not None else None
    if inner is None:
        return None
    message = Stanza.from_element(inner.copy())
    to = message.to
    if not isinstance(message, Message) or to is None or to.bare != copy.from_:
        return None
    return message


def _standing_alone(message: Message) -> bytes:
    """The stanza with its namespace, which is not in force inside a `<forwarded/>`."""
    octets = message.to_bytes()
    start = _START_TAG.match(octets)
    if start is not None and b"xmlns" not in start[0]:
        return _HERE + octets[len(b"<message") :]
    return message.element.to_bytes()


def _marked(octets: bytes, account: JID, archive_id: str) -> bytes:
    mark = (
        f"<stanza-id xmlns='{NS_STANZA_ID}' by='{escape_attribute(account.text)}'"
        f" id='{escape_attribute(archive_id)}'/>"
    ).encode()
    if octets.endswith(b"/>"):
        return b"%b>%b</message>" % (octets[:-2], mark)
    end = octets.rindex(b"</")
    return octets[:end] + mark + octets[end:]
