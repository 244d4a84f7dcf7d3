"""What comes behind the end of a stream, and elements that are nothing but a tag."""

import pytest

from stonechat.protocol.splitter import Splitter, StreamEnd
from stonechat.stanza import Presence
from stonechat.xml import Element

HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" version='1.0'>"
)
ACK = b"<a xmlns='urn:xmpp:sm:3' h='3'/>"


@pytest.fixture
def splitter():
    splitter = Splitter(10_000)
    splitter.feed(HEADER)
    return splitter


@pytest.mark.parametrize("rest", [ACK, b"<presence/>", b"text", b"</stream:stream>", b"&;"])
def test_what_is_behind_the_end_of_a_stream_is_nobody_s_fault(splitter, rest):
    first, end = splitter.feed(b"<presence/></stream:stream>" + rest)
    assert isinstance(first, Presence)
    assert end == StreamEnd()


def test_an_oversized_stanza_before_the_end_is_still_one():
    splitter = Splitter(10_000)
    splitter.feed(HEADER)
    splitter.limit = 100
    with pytest.raises(ValueError, match="larger"):
        splitter.feed(b"<presence><status>" + b"x" * 200 + b"</status></presence></stream:stream>")


def test_an_empty_element_is_frozen_like_any_other(splitter):
    (element,) = splitter.feed(ACK)
    assert element == Element("urn:xmpp:sm:3", "a", {"h": "3"})
    assert element.is_frozen
    with pytest.raises(TypeError):
        element.set("h", "4")


def test_the_attributes_of_an_empty_element_are_read_like_those_of_any_other(splitter):
    (empty,) = splitter.feed(b"<a xmlns='urn:xmpp:sm:3' xml:lang='en' h='&lt;&#51;'/>")
    (full,) = splitter.feed(b"<a xmlns='urn:xmpp:sm:3' xml:lang='en' h='&lt;&#51;'></a>")
    assert empty == full
