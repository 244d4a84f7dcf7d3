"""What is out of proportion: found before a parser sees it, or as it tells of it."""

import pytest

from stonechat.errors import XMLError
from stonechat.protocol.splitter import Splitter
from stonechat.xml import (
    MAX_ATTRIBUTES,
    MAX_NAMESPACE_BYTES,
    MAX_PREFIXED_ATTRIBUTES,
    Element,
    parse,
    split_name,
)
from stonechat.xml.limits import LONG_TAG, find_bad_tag

NAMESPACE = b"u" * MAX_NAMESPACE_BYTES
HEADER = (
    b"<stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)


def several(template, number):
    return b"".join(template % each for each in range(number))


def padded(tag):
    """The tag, long enough to be looked at."""
    return tag.replace(b"<a", b"<a long='%b'" % (b"x" * LONG_TAG), 1)


WITHIN_AND_BEYOND = {
    "attributes": [
        b"<a%b/>" % several(b" a%d=''", MAX_ATTRIBUTES),
        b"<a%b/>" % several(b" a%d=''", MAX_ATTRIBUTES + 1),
    ],
    "attributes, quoted and spaced in all ways": [
        b"<a%b/>" % several(b'\n a%d\t=\r"\'"', MAX_ATTRIBUTES),
        b"<a%b/>" % several(b'\n a%d\t=\r"\'"', MAX_ATTRIBUTES + 1),
    ],
    "attributes with a prefix": [
        padded(b"<a xmlns:p='u'%b/>" % several(b" p:a%d='>'", MAX_PREFIXED_ATTRIBUTES)),
        padded(b"<a xmlns:p='u'%b/>" % several(b" p:a%d='>'", MAX_PREFIXED_ATTRIBUTES + 1)),
    ],
    "declarations": [
        b"<a%b/>" % several(b" xmlns:a%d='u'", MAX_ATTRIBUTES),
        b"<a%b/>" % several(b" xmlns:a%d='u'", MAX_ATTRIBUTES + 1),
    ],
    "a namespace": [
        padded(b"<a xmlns='%b'/>" % NAMESPACE),
        padded(b"<a xmlns='u%b'/>" % NAMESPACE),
    ],
    "a namespace that is not used": [
        padded(b"<a xmlns:p='%b'/>" % NAMESPACE),
        padded(b'<a xmlns:p="u%b"/>' % NAMESPACE),
    ],
    "a namespace with references": [
        padded(b"<a xmlns='&amp;%b'/>" % NAMESPACE[1:]),
        padded(b"<a xmlns='&amp;%b'/>" % NAMESPACE),
    ],
}


@pytest.mark.parametrize("what", WITHIN_AND_BEYOND)
def test_a_tag_is_looked_at_before_a_parser_sees_it(what):
    within, beyond = WITHIN_AND_BEYOND[what]
    assert find_bad_tag(within) is None
    parse(within)
    assert find_bad_tag(beyond).at == 0
    for octets in (beyond, b"<x><y a='>'/>%b</x>" % beyond):
        with pytest.raises(XMLError) as caught:
            parse(octets)
        assert caught.value.condition == "policy-violation"


def test_the_first_such_tag_is_found_wherever_it_stands():
    bad = b"<a%b/>" % several(b" a%d=''", MAX_ATTRIBUTES + 1)
    before = b"<x>%b<y z='%b'>" % (b"<b/> = " * 1000, b"= " * 1000)
    assert find_bad_tag(before) is None
    assert find_bad_tag(before + bad + bad).at == len(before)


@pytest.mark.parametrize(
    "octets",
    [
        b"<a>%b</a>" % several(b" a%d=''", 600),
        b'<a b="%b"/>' % several(b" a%d=''", 600),
        b"<a b='%b'/>" % (b"x" * 5000),
        b"<a>%b</a>" % (b"<b c='d'/>" * 600),
        b"<a>%b</a>" % (b"x" * 5000),
    ],
)
def test_what_only_looks_like_many_attributes_is_none(octets):
    assert find_bad_tag(octets) is None
    parse(octets)


def test_names_of_a_long_namespace_are_as_many_as_the_octets_allow():
    def stanza(number, padding):
        inside = b"".join(b"<a p:b%d='%b'/>" % (each, padding) for each in range(number))
        return b"<message><x xmlns:p='%b'>%b</x></message>" % (NAMESPACE, inside)

    for octets in (stanza(20, b""), stanza(300, b"x" * 100)):
        splitter = Splitter(1_000_000)
        splitter.feed(HEADER)
        (message,) = splitter.feed(octets)
        assert message.element == parse(octets, HEADER)
    splitter = Splitter(1_000_000)
    splitter.feed(HEADER)
    for take in (splitter.feed, lambda octets: parse(octets, HEADER)):
        with pytest.raises(XMLError) as caught:
            take(stanza(300, b""))
        assert caught.value.condition == "policy-violation"


def test_the_same_long_name_is_counted_once():
    octets = b"<a xmlns:p='%b'>%b</a>" % (NAMESPACE, b"<p:b p:c=''/>" * 2000)
    splitter = Splitter(1_000_000)
    splitter.feed(HEADER)
    (element,) = splitter.feed(octets)
    assert element == parse(octets, HEADER)
    assert len(element.children) == 2000


def test_elements_of_one_tree_share_their_namespaces():
    for length, number in ((20, 500), (200, 30)):
        inside = several(b"<a%d/>", number)
        found = parse(b"<x xmlns='%b'>%b</x>" % (b"u" * length, inside))
        assert len({id(child.namespace) for child in found.elements}) == 1
        assert [child.name for child in found.elements] == [f"a{each}" for each in range(number)]


def test_long_names_displace_no_usual_ones():
    splitter = Splitter(1_000_000)
    splitter.feed(HEADER)
    splitter.feed(b"<usual/><usual>1</usual>")
    misses = split_name.cache_info().misses
    parse(b"<x xmlns='%b'>%b</x>" % (b"v" * 200, several(b"<a%d/>", 30)))
    (empty,) = splitter.feed(b"<x xmlns='%b' a='1'/>" % (b"v" * 200))
    assert empty == Element("v" * 200, "x", {"a": "1"})
    assert split_name.cache_info().misses == misses
