"""The guarded parser: what it takes, what it refuses and how it says so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.errors import XMLError
from stonechat.protocol.splitter import Splitter
from stonechat.xml import (
    MAX_ATTRIBUTES,
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_NAMESPACE_BYTES,
    Element,
    parse,
)
from stonechat.xml.parser import read_start_tag

CONTEXT = b"<x xmlns='jabber:client' xmlns:c='urn:c'>"
HEADER = (
    b"<stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)


def test_an_element_is_taken_with_namespaces_references_and_cdata():
    found = parse(
        b"<?xml version='1.0' encoding='UTF-8'?>\n"
        b"<a xmlns='urn:a' xmlns:b='urn:b' b:x='1' y='&lt;'>"
        b"r &amp; <b:c/><![CDATA[<&>]]>&#xe9;\xc3\xa9</a>\n"
    )
    assert found == Element(
        "urn:a",
        "a",
        {"urn:b x": "1", "y": "<"},
        "r & ",
        Element("urn:b", "c"),
        "<&>éé",
    )


def test_a_context_lends_its_declarations():
    assert parse(b"<message><c:a/></message>", CONTEXT) == Element(
        "jabber:client", "message", None, Element("urn:c", "a")
    )
    assert parse(b" <a/> ", CONTEXT) == Element("jabber:client", "a")


def test_a_long_text_is_one_child():
    text = "wherefore & " * 10_000
    found = parse(Element("", "a", None, text).to_bytes())
    assert list(found.children) == [text]


BAD = [
    (b"", "not-well-formed"),
    (b"   ", "not-well-formed"),
    (b"hello", "not-well-formed"),
    (b"<a>", "not-well-formed"),
    (b"<a/><b/>", "not-well-formed"),
    (b"<a></b>", "not-well-formed"),
    (b"</a>", "not-well-formed"),
    (b"<a b='1' b='2'/>", "not-well-formed"),
    (b"<a xmlns:p='urn:p' xmlns:q='urn:p' p:b='1' q:b='2'/>", "not-well-formed"),
    (b"<a b=1/>", "not-well-formed"),
    (b"<a b='<'/>", "not-well-formed"),
    (b"<a>]]></a>", "not-well-formed"),
    (b"<a>\x00</a>", "not-well-formed"),
    (b"<a>\xef\xbf\xbf</a>", "not-well-formed"),
    (b"<a>&#0;</a>", "not-well-formed"),
    (b"<a>&#xd800;</a>", "not-well-formed"),
    (b"<p:a/>", "not-well-formed"),
    (b"<a p:b='1'/>", "not-well-formed"),
    (b"<a xmlns:p=''/>", "not-well-formed"),
    (b"<a xmlns='urn:a b'/>", "not-well-formed"),
    (b"<p:a xmlns:p='urn:a b'/>", "not-well-formed"),
    (b"<a xmlns='http://www.w3.org/XML/1998/namespace'/>", "not-well-formed"),
    (b"<a xmlns='http://www.w3.org/2000/xmlns/'/>", "not-well-formed"),
    (b"<a xmlns:xmlns='urn:a'/>", "not-well-formed"),
    (b"<a xmlns:xml='urn:a'/>", "not-well-formed"),
    (b"<?xml version='1.1'?><a/>", "not-well-formed"),
    (b"<!DOCTYPE a><a/>", "restricted-xml"),
    (b"<!DOCTYPE a SYSTEM 'http://montague.example/a.dtd'><a/>", "restricted-xml"),
    (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "restricted-xml"),
    (b"<a>&b;</a>", "restricted-xml"),
    (b"<a b='&c;'/>", "restricted-xml"),
    (b"<a>&nbsp;</a>", "restricted-xml"),
    (b"<!-- hello --><a/>", "restricted-xml"),
    (b"<a><!-- hello --></a>", "restricted-xml"),
    (b"<a/><!-- hello -->", "restricted-xml"),
    (b"<?target data?><a/>", "restricted-xml"),
    (b"<a><?target data?></a>", "restricted-xml"),
    (b"<a><?xml-stylesheet href='a'?></a>", "restricted-xml"),
    (b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "unsupported-encoding"),
    (b"<a>\xe9</a>", "unsupported-encoding"),
    (b"<a>\xc0\xbc</a>", "unsupported-encoding"),
    (b"<a>\xed\xa0\x80</a>", "unsupported-encoding"),
    ("<a/>".encode("utf-16"), "unsupported-encoding"),
    ("<a/>".encode("utf-16-le"), "unsupported-encoding"),
    ("<a/>".encode("utf-16-be"), "unsupported-encoding"),
]


@pytest.mark.parametrize(("octets", "condition"), BAD)
def test_what_is_not_xml_as_xmpp_allows_it_is_refused_by_name(octets, condition):
    with pytest.raises(XMLError) as caught:
        parse(octets)
    assert caught.value.condition == condition


@pytest.mark.parametrize(("octets", "_condition"), BAD)
def test_a_context_makes_nothing_of_it_right(octets, _condition):
    with pytest.raises(XMLError):
        parse(octets, CONTEXT)


@pytest.mark.parametrize(
    "octets", [b"<a/><b/>", b"hello", b"<a/>hello", b"", b"</x><x>", b"<a/></x>", b"</x>", b"<a>"]
)
def test_a_context_holds_exactly_one_element(octets):
    with pytest.raises(XMLError) as caught:
        parse(octets, CONTEXT)
    assert caught.value.condition == "not-well-formed"


LONG = b"n" * MAX_NAME_BYTES
NAMESPACE = b"u" * MAX_NAMESPACE_BYTES
MANY_ATTRIBUTES = b" ".join(b"a%d=''" % number for number in range(MAX_ATTRIBUTES))


def nested(depth):
    return b"<a>" * depth + b"</a>" * depth


@pytest.mark.parametrize(
    ("within", "beyond"),
    [
        (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
        (b"<a %b/>" % MANY_ATTRIBUTES, b"<a %b b=''/>" % MANY_ATTRIBUTES),
        (b"<%b/>" % LONG, b"<n%b/>" % LONG),
        (b"<a %b=''/>" % LONG, b"<a n%b=''/>" % LONG),
        (b"<a xmlns='%b'/>" % NAMESPACE, b"<a xmlns='u%b'/>" % NAMESPACE),
        (
            b"<a>%b</a>" % (b"x<b/>x" * MAX_CHILDREN),
            b"<a>%b</a>" % (b"x<b/>x" * (MAX_CHILDREN + 1)),
        ),
    ],
    ids=["depth", "attributes", "name", "attribute name", "namespace", "children"],
)
def test_what_is_out_of_proportion_is_refused(within, beyond):
    parse(within)
    with pytest.raises(XMLError) as caught:
        parse(beyond)
    assert caught.value.condition == "policy-violation"


# Whatever a stream lets in, every plugin may look into: a stanza that came through the
# splitter but has no tree would look to them as if they had failed themselves.
@pytest.mark.parametrize(
    "octets",
    [
        b"<message>%b</message>" % nested(MAX_DEPTH),
        b"<message>%b</message>" % nested(MAX_DEPTH - 1),
        b"<message>%b</message>" % nested(MAX_DEPTH - 2),
        b"<message><a %b=''/></message>" % LONG,
        b"<message><a n%b=''/></message>" % LONG,
        b"<message n%b=''/>" % LONG,
        b"<message xmlns:p='%b'><a p:b=''/></message>" % NAMESPACE,
        b"<message xmlns:p='u%b'><a p:b=''/></message>" % NAMESPACE,
        b"<message xmlns:p='%b'><p:a/></message>" % NAMESPACE,
        b"<message %b/>" % MANY_ATTRIBUTES,
        b"<message %b a=''/>" % MANY_ATTRIBUTES,
        b"<message>%b</message>" % (b"x<a/>" * (MAX_CHILDREN - 1)),
        b"<message>%b</message>" % (b"x<a/>" * MAX_CHILDREN),
    ],
    ids=range(13),
)
def test_what_a_stream_lets_in_has_a_tree(octets):
    splitter = Splitter(1_000_000)
    splitter.feed(HEADER)
    try:
        (message,) = splitter.feed(octets)
    except XMLError:
        return
    assert message.element.name == "message"
    assert message.element == parse(message.to_bytes(), HEADER)


pieces = st.sampled_from(
    [
        *(
            b"<a>",
            b"</a>",
            b"<a/>",
            b"<p:a/>",
            b"<xml:a/>",
            b"<stream:a/>",
            b"<b xmlns=''>",
            b"</b>",
        ),
        *(b"<a xmlns:p='urn:q'>", b"<p:a p:b='' xml:lang='en' stream:b='x'/>", b"text", b" "),
        *(b"&lt;", b"<![CDATA[<]]>", b"<a xmlns:p='urn:p' xmlns:q='urn:q' p:b='' q:b=''/>"),
    ]
)


@settings(max_examples=400)
@given(st.lists(pieces, max_size=12))
def test_what_a_stream_lets_in_can_be_changed_and_sent_on(marks):
    octets = b"<message xmlns:p='urn:p'>%b</message>" % b"".join(marks)
    splitter = Splitter(10_000)
    splitter.feed(HEADER)
    try:
        (message,) = splitter.feed(octets)
    except XMLError:
        return
    before = message.element
    with message.edit() as tree:
        tree.set("id", "1")
    # What goes out is what another stream takes in.
    splitter = Splitter(10_000)
    splitter.feed(HEADER)
    (again,) = splitter.feed(message.to_bytes())
    assert again.element.children == before.children


@settings(max_examples=300)
@given(st.binary(max_size=100))
def test_nothing_but_the_right_error_comes_out(noise):
    for context in (b"", CONTEXT):
        try:
            parse(b"<a>" + noise + b"</a>", context)
        except XMLError:
            pass


def test_a_start_tag_is_read_with_its_declarations():
    name, attributes, prefixes = read_start_tag(b"<?xml version='1.0'?>" + HEADER)
    assert name == "http://etherx.jabber.org/streams stream"
    assert attributes == {"to": "capulet.example", "version": "1.0"}
    assert prefixes == {"": "jabber:client", "stream": "http://etherx.jabber.org/streams"}


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"<a %b b=''>" % MANY_ATTRIBUTES, "policy-violation"),
        (b"<a %b>" % b" ".join(b"xmlns:a%d='u'" % n for n in range(600)), "policy-violation"),
        (b"<n%b>" % LONG, "policy-violation"),
        (b"<!DOCTYPE a><a>", "restricted-xml"),
        (b"<a:b>", "not-well-formed"),
        (b" ", "not-well-formed"),
    ],
)
def test_a_start_tag_is_guarded_like_the_rest(octets, condition):
    with pytest.raises(XMLError) as caught:
        read_start_tag(octets)
    assert caught.value.condition == condition
