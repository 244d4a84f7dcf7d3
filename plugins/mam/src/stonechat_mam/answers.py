"""What goes back to the client: results, the end of a page, metadata."""

from __future__ import annotations

import re

from stonechat import rsm, timestamps
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_FORWARD
from stonechat.rsm import Page
from stonechat.stanza import Message, Stanza, new_id
from stonechat.xml import Element, escape_attribute
from stonechat_mam.pages import Archived, Ends
from stonechat_mam.query import NS_MAM

RESULT = f"{NS_MAM} result"

_START_TAG = re.compile(rb"<message(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_HERE = f"<message xmlns='{NS_CLIENT}'".encode()


def result(archived: Archived, query_id: str, account: JID, to: JID) -> Message:
    """The message that brings an archived one; its bytes are passed on as they are."""
    id_ = new_id()
    attributes = {"from": account.text, "to": to.text, "id": id_}
    head = "<message" + "".join(
        f" {name}='{escape_attribute(value)}'" for name, value in attributes.items()
    )
    query = f" queryid='{escape_attribute(query_id)}'" if query_id else ""
    start = f"{head}>".encode()
    before = (
        f"<result xmlns='{NS_MAM}'{query} id='{archived.id}'>"
        f"<forwarded xmlns='{NS_FORWARD}'>"
        f"<delay xmlns='{NS_DELAY}' stamp='{timestamps.written(archived.stamp)}'/>"
    ).encode()
    raw = b"%b%b%b</forwarded></result></message>" % (start, before, _standing_alone(archived))
    message = Message.received(attributes, (RESULT,), raw, len(start))
    return message


def _standing_alone(archived: Archived) -> bytes:
    """The stanza with its namespace, which is not in force inside a `<forwarded/>`."""
    octets = archived.stanza
    start = _START_TAG.match(octets)
    if start is not None and b"xmlns" not in start[0]:
        return _HERE + octets[len(b"<message") :]
    return Stanza.from_bytes(octets).element.to_bytes()


def fin(page: Page, *, is_stable: bool) -> Element:
    """The end of a page ("Query results", "Paging through results")."""
    element = Element(NS_MAM, "fin")
    if page.complete:
        element.set("complete", "true")
    if not is_stable:
        element.set("stable", "false")
    element.append(rsm.written(page))
    return element


def metadata(ends: Ends | None) -> Element:
    """The state of an archive ("Archive metadata")."""
    element = Element(NS_MAM, "metadata")
    if ends is not None:
        for name, (id_, stamp) in (("start", ends.first), ("end", ends.last)):
            element.add(name, id=str(id_), timestamp=timestamps.written(stamp))
    return element
