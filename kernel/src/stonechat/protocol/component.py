"""What is different in a component's stream (XEP-0114): its header and its namespace.

Nobody but this module sees jabber:component:accept: behind it a component's stanzas are in
jabber:client, as all others are.
"""

from __future__ import annotations

from stonechat.errors import StreamError
from stonechat.namespaces import NS_CLIENT, NS_COMPONENT, NS_STREAM
from stonechat.protocol.content import renamed
from stonechat.protocol.content import to_bytes as to_bytes
from stonechat.protocol.splitter import StreamHeader
from stonechat.stanza import KINDS, Stanza
from stonechat.xml import Element, escape_attribute

_COMPONENT = NS_COMPONENT.encode()


def header(*, from_: str, id: str) -> bytes:
    """The header that answers a component's; it has no version, for no features follow."""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{NS_COMPONENT}' xmlns:stream='{NS_STREAM}'"
        f" from='{escape_attribute(from_)}' id='{escape_attribute(id)}'>"
    ).encode()


def check_header(header: StreamHeader) -> None:
    """Raise StreamError for a header that opens no component's stream."""
    namespace, _, name = header.name.rpartition(" ")
    if name != "stream":
        raise StreamError("bad-format", "A stream begins with <stream:stream>.")
    if namespace != NS_STREAM:
        raise StreamError("invalid-namespace", f"The namespace of a stream is {NS_STREAM}.")
    if NS_COMPONENT not in header.prefixes.values():
        raise StreamError("invalid-namespace", f"Components speak {NS_COMPONENT}.")


def received(event: Stanza | Element) -> Stanza | Element:
    """What came, with the stream's namespace replaced where it is declared once more.

    Where it is not, the splitter has taken care of that already.
    """
    if isinstance(event, Stanza):
        if not event.mentions(_COMPONENT):
            return event
        event = event.element
    element = renamed(event, NS_COMPONENT)
    if element.namespace == NS_CLIENT and element.name in KINDS:
        return Stanza.from_element(element)
    return element
