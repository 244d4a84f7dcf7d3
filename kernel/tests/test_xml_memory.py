"""Robustness rule 2: a stanza costs at most 40 octets of memory for each of its own.

Measured from the first octet of it that a stream reads to the tree that a
plugin looks at, and so with all that expat takes, which comes from the same
allocator.
"""

import contextlib
import string
import tracemalloc
from itertools import count, cycle, islice, product, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.errors import XMLError
from stonechat.net.connection import READ_SIZE
from stonechat.protocol import reader
from stonechat.protocol.splitter import Splitter
from stonechat.stanza import Stanza
from stonechat.xml import MAX_ATTRIBUTES, MAX_NAMESPACE_BYTES, MAX_PREFIXED_ATTRIBUTES, parse

PER_OCTET = 40
# What it costs to begin: two parsers, a text, the elements that are open. Now and then a table
# that all elements share is made anew.
ALLOWANCE = 64 * 1024

HEADER = (
    b"<stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)


@pytest.fixture(scope="module", autouse=True)
def traced():
    """Memory is traced, and the tables that elements share are full, as on any old server."""
    tracemalloc.start()
    for number in range(3000):
        parse(b"<a%d xmlns='urn:example:%040d'/>" % (number, number % 600))
    yield
    tracemalloc.stop()


def cost(octets, pieces=0, header=HEADER):
    """The most memory that was in use at once for it, and how many elements were let in."""
    for idle in reader._idle:
        idle.retire()
    reader._idle.clear()
    splitter = Splitter(1_000_000)
    splitter.feed(header)
    step = pieces or len(octets)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    found = []
    with contextlib.suppress(XMLError):
        for at in range(0, len(octets), step):
            found += splitter.feed(octets[at : at + step])
    # What was let in has a tree while it is handled, one after the other.
    number = len(found)
    found.reverse()
    while found:
        event = found.pop()
        tree = event.element if isinstance(event, Stanza) else event
        assert tree.name
    return tracemalloc.get_traced_memory()[1] - before, number


def names(letters=string.ascii_letters):
    """All names, the shortest first."""
    for length in count(1):
        for name in product(letters, *[letters + string.digits] * (length - 1)):
            yield "".join(name)


IDEOGRAPHS = [chr(code) for code in range(0x4E00, 0x9FA0)]
CYRILLIC = "".join(chr(code) for code in range(0x410, 0x450))


def tags(template, each=None):
    """`template` with one name after the other in it, over and over."""
    return (template.replace("*", name) for name in (each or names()))


def full_tags(template, number):
    """Tags that have so many attributes, all different."""
    attributes = tags(template)
    return (f"<a{''.join(islice(attributes, number))}/>" for _ in count())


def spelled(namespace, pieces):
    return f"<b xmlns:p='{namespace}'>", pieces


LONG = "u" * MAX_NAMESPACE_BYTES
WIDE = "u" * 60 + "\N{GRINNING FACE}"
FEW = list(islice(names(), 300))

# What stands before the pieces, and the pieces, of which there are as many as there is room for.
SHAPES = {
    "empty elements": lambda: ("<b>", repeat("<a/>")),
    "empty children": lambda: ("", repeat("<a/>")),
    "elements with a text": lambda: ("<b>", repeat("<a>x</a>")),
    "elements with a wide text": lambda: ("<b>", repeat("<a>\u0416</a>")),
    "elements in elements": lambda: ("<b>", repeat("<a><a/></a>")),
    "elements between texts": lambda: ("<b>", repeat("xx<a/>")),
    "elements between wide texts": lambda: ("<b>", repeat("\u0416<a/>")),
    "one attribute": lambda: ("<b>", repeat("<a b=''/>")),
    "one attribute with a wide value": lambda: ("<b>", repeat("<a b='\u0416'/>")),
    "an attribute and a text, wide": lambda: ("<b>", repeat("<a b='\u0416'>\u0416</a>")),
    "six attributes": lambda: ("<b>", full_tags(" *=''", 6)),
    "as many attributes as may be": lambda: ("<b>", full_tags(" *=''", MAX_ATTRIBUTES)),
    "as many wide attributes as may be": lambda: (
        "<b>",
        full_tags(" *='\u0416'", MAX_ATTRIBUTES),
    ),
    "as many prefixed attributes as may be": lambda: spelled(
        "u" * 40, full_tags(" p:*=''", MAX_PREFIXED_ATTRIBUTES)
    ),
    "as many long attributes as may be": lambda: spelled(
        LONG, full_tags(" p:*=''", MAX_PREFIXED_ATTRIBUTES)
    ),
    "as many attributes of wide names as may be": lambda: spelled(
        WIDE, full_tags(" p:*=''", MAX_PREFIXED_ATTRIBUTES)
    ),
    "names": lambda: ("<b>", tags("<*/>")),
    "names of a middling namespace": lambda: (f"<b xmlns='{'u' * 80}'>", tags("<*/>")),
    "names of a long namespace": lambda: spelled(LONG, tags("<p:*/>")),
    "names of a wide namespace": lambda: spelled(WIDE, tags("<p:*/>")),
    "ideographs": lambda: ("<b>", tags("<*/>", IDEOGRAPHS)),
    "Cyrillic names": lambda: ("<b>", tags("<*/>", names(CYRILLIC))),
    "names of elements and attributes": lambda: ("<b>", tags("<* *=''/>")),
    "names of elements and prefixed attributes": lambda: spelled("u" * 40, tags("<* p:*=''/>")),
    "names of attributes": lambda: ("<b>", tags("<a *=''/>")),
    "more names than are shared": lambda: spelled("u" * 40, tags("<p:*/>", cycle(FEW))),
    "more names of attributes than are shared": lambda: spelled(
        "u" * 40, tags("<a p:*=''/>", cycle(FEW))
    ),
    "children of a long namespace": lambda: ("", repeat(f"<a xmlns='{LONG}'/>")),
    "declarations": lambda: ("<b>", repeat("<a xmlns='u'/>")),
    "different declarations": lambda: ("<b>", tags("<a xmlns='*'/>")),
    "different prefixes": lambda: ("<b>", tags("<*:a xmlns:*='u'/>")),
    "prefixes that are used in turn": lambda: (
        "<b" + "".join(islice(tags(f" xmlns:*='{'u' * 90}*'"), 30)) + ">",
        tags("<a *:b=''/>", cycle(FEW[:30])),
    ),
    "depth": lambda: ("<b>", repeat("<a>" * 120 + "</a>" * 120)),
    "depth with texts": lambda: ("<b>", repeat("<a>\u0416" * 120 + "</a>\u0416" * 120)),
    "depth with declarations": lambda: ("<b>", repeat("<a xmlns='u'>" * 120 + "</a>" * 120)),
    "text": lambda: ("<b>", repeat("wherefore ")),
    "text with one wide character": lambda: ("<b>\N{GRINNING FACE}", repeat("wherefore ")),
    "references": lambda: ("<b>", repeat("&lt;")),
    "sections": lambda: ("<b>", repeat("<![CDATA[<]]>")),
    "lines": lambda: ("<b>", repeat("\r\n")),
}


def filled(begin, pieces, size, name="message"):
    """A stanza of that size; no more than 9900 elements."""
    end = "</b>" if begin.startswith("<b") else ""
    parts = [f"<{name}>{begin}"]
    room = size - len(parts[0].encode()) - len(end) - len(name) - 3
    elements = 0
    for piece in islice(pieces, size):
        elements += piece.count("<") - piece.count("</") - piece.count("<!")
        room -= len(piece.encode())
        if room < 0 or elements > 9900:
            break
        parts.append(piece)
    return "".join((*parts, end, f"</{name}>")).encode()


@pytest.mark.parametrize("size", [1000, 5000, 20_000, 60_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_memory_is_at_most_40_times_the_octets(shape, size):
    octets = filled(*SHAPES[shape](), size)
    peak, _ = cost(octets)
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


@pytest.mark.parametrize("pieces", [1, 2, 5, 100])
@pytest.mark.parametrize("shape", ["names", "empty elements", "one attribute", "text"])
def test_it_does_not_matter_how_they_arrive(shape, pieces):
    octets = filled(*SHAPES[shape](), 20_000)
    peak, _ = cost(octets, pieces)
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a", HEADER),
        ("c:message xmlns:c='jabber:client'", HEADER),
        ("message a='stream:'", HEADER),
        ("message", HEADER.replace(b" xmlns", b" xmlns:p='urn:p' xmlns", 1)),
    ],
    ids=["no stanza", "prefix of its own", "prefix of streams", "prefix of the header"],
)
def test_nor_what_has_to_be_done_with_them(shape, name, header):
    octets = filled(*SHAPES[shape](), 40_000, name)
    octets = octets.replace(b"</%b>" % name.encode(), b"</%b>" % name.split()[0].encode())
    peak, _ = cost(octets, header=header)
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


def test_what_many_of_them_learn_does_not_add_up():
    """A stanza whose parser reads the next one already."""
    octets = filled(*SHAPES["names"](), 10_000)
    peak, number = cost(octets + b"<message>")
    assert number == 1
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


@pytest.mark.parametrize(
    "small", [b"<iq/>", b"<iq id=''/>", b"<presence/>", b"<message/>", b"<iq><a/></iq>", b"<a/>"]
)
def test_small_ones_are_no_dearer(small):
    octets = small * (READ_SIZE // len(small))
    peak, number = cost(octets)
    assert number == READ_SIZE // len(small)
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


def test_a_namespace_is_not_written_out_for_each_of_many_attributes():
    """What expat would take all at once, before it tells anything, grows with the square."""
    attributes = "".join(islice(tags(" p:*=''"), 2500))
    octets = f"<message xmlns:p='{'u' * 20_000}'{attributes}/>".encode()
    peak, number = cost(octets)
    assert number == 0
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE


def test_most_shapes_are_let_in():
    """Or the tests above would show nothing."""
    refused = {shape for shape in SHAPES if not cost(filled(*SHAPES[shape](), 20_000))[1]}
    assert refused == {
        "as many attributes of wide names as may be",
        "as many long attributes as may be",
        "names of a long namespace",
        "names of a middling namespace",
        "names of a wide namespace",
    }


NAMES = st.sampled_from(["a", "*", "aa", "\u0416*"])
NAMESPACES = st.sampled_from(
    ["u", "u" * 30, "u" * 60, "u" * 100, LONG, WIDE, "u" * 30 + "\u0416", "\u0416" * 20]
)
VALUES = st.sampled_from(["", "x", "xy", "\u0416", "\N{GRINNING FACE}", "&amp;"])


@st.composite
def attributes(draw):
    name = draw(st.sampled_from(["*", "p:*", "_*", "xml:lang", "xmlns", "xmlns:*", "_", "p:_"]))
    value = draw(VALUES)
    return f" {name}='{value or 'u'}'" if name.startswith("xmlns") else f" {name}='{value}'"


@st.composite
def stanzas(draw):
    name = draw(st.sampled_from(["", "p:"])) + draw(NAMES)
    attributes_ = "".join(
        draw(st.lists(attributes(), max_size=4, unique_by=lambda one: one.split("=")[0]))
    )
    tag = f"<{name}{attributes_}"
    inside = draw(st.one_of(VALUES, st.sampled_from(["<a/>", "<*/>", "<p:a/>"])))
    piece = f"{tag}>{inside}</{name}>" if inside else f"{tag}/>"
    piece += draw(VALUES)
    deep = draw(st.sampled_from([1, 1, 1, 10, 120]))
    piece = f"{tag}>" * (deep - 1) + piece + f"</{name}>" * (deep - 1)
    some = draw(st.sampled_from([CYRILLIC, string.ascii_letters, "a"]))
    few = draw(st.sampled_from([0, 0, 20, 300]))
    each = cycle(islice(names(some), few)) if few else names(some)
    begin = f"<b xmlns:p='{draw(NAMESPACES)}'"
    begin += draw(st.sampled_from([">", " xmlns='u'>", f" xmlns='{'u' * 80}'>"]))
    return filled(begin, tags(piece, each), draw(st.sampled_from([1500, 4000, 12_000, 40_000])))


@settings(max_examples=60, deadline=None)
@given(stanzas())
def test_nor_does_any_mixture_take_more(octets):
    peak, _ = cost(octets)
    assert peak <= PER_OCTET * len(octets) + ALLOWANCE
