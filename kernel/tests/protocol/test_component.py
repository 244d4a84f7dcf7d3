"""A component's stream is one of stanzas in jabber:client, once it is through the door."""

import pytest

from stonechat.errors import StreamError, XMLError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_COMPONENT, NS_STREAM
from stonechat.protocol import component as wire
from stonechat.protocol.splitter import Splitter, StreamEnd, StreamHeader
from stonechat.stanza import Message, Stanza
from stonechat.xml import Element

HEADER = (
    f"<stream:stream xmlns='{NS_COMPONENT}' to='plays.shakespeare.example'"
    f" xmlns:stream='{NS_STREAM}'>"
).encode()


def opened(header=HEADER, limit=10_000):
    splitter = Splitter(limit, 100, NS_COMPONENT)
    (event,) = splitter.feed(header)
    wire.check_header(event)
    return splitter


def read(octets, header=HEADER):
    return [wire.received(event) for event in opened(header).feed(octets)]


def test_a_stanza_keeps_its_bytes():
    octets = b"<message to='juliet@capulet.example'><body>Hark!</body></message>"
    (message,) = read(octets)
    assert type(message) is Message
    assert message.body == "Hark!"
    assert message.to_bytes() == octets


@pytest.mark.parametrize(
    "octets",
    [
        "<message xmlns='{}'><body>Hark!</body></message>",
        "<message><body xmlns='{}'>Hark!</body></message>",
        "<c:message xmlns:c='{}'><c:body>Hark!</c:body></c:message>",
        "<c:message xmlns:c='{}'><body>Hark!</body></c:message>",
    ],
)
@pytest.mark.parametrize("namespace", [NS_COMPONENT, NS_CLIENT])
def test_either_namespace_is_that_of_a_stanza(octets, namespace):
    (message,) = read(octets.format(namespace).encode())
    assert isinstance(message, Message)
    assert message.body == "Hark!"
    assert NS_COMPONENT.encode() not in message.to_bytes()


def test_what_is_deep_inside_is_renamed():
    (message,) = read(
        b"<message><forwarded xmlns='urn:xmpp:forward:0'>"
        b"<message xmlns='jabber:component:accept'><body>Hark!</body></message>"
        b"</forwarded></message>"
    )
    inner = message.find("urn:xmpp:forward:0", "forwarded").find("message", NS_CLIENT)
    assert inner.find_text("body") == "Hark!"


def test_a_handshake_is_no_stanza():
    (element,) = read(b"<handshake>aaee83c2</handshake>")
    assert not isinstance(element, Stanza)
    assert (element.qualified_name, element.text) == (f"{NS_CLIENT} handshake", "aaee83c2")


def test_a_stream_may_come_octet_by_octet():
    splitter = Splitter(10_000, 100, NS_COMPONENT)
    octets = HEADER + b"<message><body>Hark!</body></message></stream:stream>"
    events = [event for at in range(len(octets)) for event in splitter.feed(octets[at : at + 1])]
    assert [type(event) for event in events] == [StreamHeader, Message, StreamEnd]


def test_there_is_a_bound():
    with pytest.raises(XMLError, match="larger"):
        opened(limit=1000).feed(b"<handshake>" + b"0" * 1000)


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace(b"accept", b"connect"), "invalid-namespace"),
        (HEADER.replace(b"etherx", b"other"), "invalid-namespace"),
        (HEADER.replace(b"<stream:stream", b"<stream:river"), "bad-format"),
    ],
)
def test_another_header_opens_nothing(header, condition):
    with pytest.raises(StreamError) as refused:
        opened(header)
    assert refused.value.condition == condition


def test_our_header_is_escaped():
    header = wire.header(from_="a'b.example", id="1")
    assert b"from='a&apos;b.example'" in header


def test_a_stanza_for_a_component_declares_no_other_namespace():
    hark = Element(NS_CLIENT, "body", None, "Hark!")
    message = Message(hark, to=JID.parse("plays.shakespeare.example"))
    assert b"xmlns" not in wire.to_bytes(message)
    (received,) = Splitter(10_000).feed(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        b"<message xmlns='jabber:client'><body xmlns='jabber:client'>Hark!</body></message>"
    )[1:]
    assert wire.to_bytes(received) == b"<message><body>Hark!</body></message>"
