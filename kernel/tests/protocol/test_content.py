"""Stanzas between jabber:client and another content namespace (RFC 6120, 4.8.3)."""

import pytest

from stonechat.namespaces import NS_CLIENT, NS_SERVER
from stonechat.protocol.content import received, to_bytes
from stonechat.protocol.splitter import Splitter
from stonechat.stanza import Message
from stonechat.xml import Element

STREAM = "xmlns:stream='http://etherx.jabber.org/streams'"


def from_client(octets):
    header = f"<stream:stream xmlns='jabber:client' {STREAM}>".encode()
    return Splitter(10_000).feed(header + octets)[1]


def from_server(octets, declared="xmlns='jabber:server'"):
    header = f"<stream:stream {declared} {STREAM}>".encode()
    event = Splitter(10_000, 100, NS_SERVER).feed(header + octets)[1]
    return received(event, NS_SERVER, NS_SERVER.encode())


def test_what_inherits_its_namespace_leaves_as_it_came():
    octets = b"<message to='romeo@montague.example'><body>Hark!</body></message>"
    assert to_bytes(from_client(octets)) == octets


@pytest.mark.parametrize("namespace", ["jabber:client", "jabber&#58;client", "&#106;abber:client"])
@pytest.mark.parametrize(
    "octets",
    [
        "<message xmlns='{}'><body>Hark!</body></message>",
        '<message id=">" xmlns = "{}"><body>Hark!</body></message>',
        "<message><body xmlns='{}'>Hark!</body></message>",
        "<message><c:body xmlns:c='{}'>Hark!</c:body></message>",
        "<c:message xmlns:c='{}'><c:body>Hark!</c:body></c:message>",
    ],
)
def test_what_declares_it_once_more_is_written_anew(namespace, octets):
    written = to_bytes(from_client(octets.format(namespace).encode()))
    assert b"xmlns" not in written
    assert written.endswith(b"<body>Hark!</body></message>")


def test_a_forwarded_message_stays_what_it_was():
    octets = (
        b"<message xmlns='jabber:client'><forwarded xmlns='urn:xmpp:forward:0'>"
        b"<message xmlns='jabber:client'><body>Hark!</body></message></forwarded></message>"
    )
    assert to_bytes(from_client(octets)) == octets.replace(b" xmlns='jabber:client'", b"", 1)


def test_references_in_a_text_change_nothing():
    octets = b"<message><body>&#39;Tis the east</body><x xmlns='urn:example'/></message>"
    assert to_bytes(from_client(octets)) == octets


def test_a_stanza_of_ours_declares_nothing():
    assert to_bytes(Message(Element(NS_CLIENT, "body", None, "Hark!"))) == (
        b"<message><body>Hark!</body></message>"
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"<message><body>Hark!</body></message>",
        b"<message xmlns='jabber:server'><body>Hark!</body></message>",
        b"<message xmlns='jabber:client'><body>Hark!</body></message>",
        b"<message xmlns='jabber&#58;server'><body>Hark!</body></message>",
        b"<message><body xmlns='jabber:server'>Hark!</body></message>",
        b"<s:message xmlns:s='jabber:server'><s:body>Hark!</s:body></s:message>",
        b"<s:message xmlns:s='jabber:server'><body>Hark!</body></s:message>",
    ],
)
def test_a_servers_stanza_comes_as_a_clients(octets):
    message = from_server(octets)
    assert type(message) is Message
    assert message.body == "Hark!"
    assert b"jabber:server" not in message.to_bytes()


def test_a_stream_may_have_a_prefix_for_its_stanzas():
    declared = "xmlns='urn:example' xmlns:s='jabber:server'"
    message = from_server(b"<s:message><s:body>Hark!</s:body></s:message>", declared)
    assert message.body == "Hark!"
    inside = from_server(b"<s:message><x/></s:message>", declared)
    assert inside.children == ("urn:example x",)


def test_what_is_inside_an_extension_is_left_as_it_is():
    message = from_server(
        b"<message><body xmlns='jabber:server'>1</body><forwarded xmlns='urn:xmpp:forward:0'>"
        b"<message xmlns='jabber:server'/><message xmlns='jabber:client'/></forwarded></message>"
    )
    forwarded = message.find("urn:xmpp:forward:0", "forwarded")
    assert [each.namespace for each in forwarded.elements] == [NS_SERVER, NS_CLIENT]


def test_an_error_in_what_is_no_stanza_is_a_clients_too():
    element = from_server(
        b"<db:result xmlns:db='jabber:server:dialback'><error xmlns='jabber:server'/></db:result>"
    )
    assert element.find("error", NS_CLIENT) is not None


def test_an_empty_element_is_not_even_copied():
    element = from_server(b"<r xmlns='urn:xmpp:sm:3'/>")
    assert element.is_frozen
