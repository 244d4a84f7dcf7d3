"""The splitter: elements out of octets, however these are cut, and nothing that XMPP forbids."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.errors import XMLError
from stonechat.jid import JID
from stonechat.protocol.splitter import Splitter, StreamEnd, StreamHeader
from stonechat.stanza import Iq, Message, Presence, Stanza
from stonechat.xml import Element, parse

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='capulet.example'"
    b" xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
)
BODY = (
    b"<message to='romeo@montague.example' type=\"chat\" id='a>b'><body>hello > ]]"
    b"<![CDATA[it's <b \">]]> &amp; more</body></message> <presence/><presence />\n"
    b"<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"
    b"<c:message xmlns:c='jabber:client'><c:body>x</c:body></c:message>"
    b"<presence xmlns:p='urn:p'><p:x p:a='1'/></presence>"
    b"<r xmlns='urn:xmpp:sm:3'/></stream:stream>"
)


def opened(limit=10_000, header=HEADER, element_limit=10_000):
    splitter = Splitter(limit, element_limit)
    splitter.feed(header)
    return splitter


def events_of(pieces, limit=10_000):
    splitter = Splitter(limit)
    return [event for piece in pieces for event in splitter.feed(piece)]


def feed_all(splitter, pieces, fed=None):
    for piece in pieces:
        splitter.feed(piece)
        if fed is not None:
            fed.append(piece)


def shown(events):
    return [
        (type(event), event.to_bytes()) if isinstance(event, Stanza | Element) else event
        for event in events
    ]


WHOLE = shown(events_of([HEADER + BODY]))


def test_a_stream_comes_apart_into_its_elements():
    kinds = [type(event) for event in events_of([HEADER + BODY])]
    assert kinds == [
        StreamHeader,
        Message,
        Presence,
        Presence,
        Iq,
        Message,
        Presence,
        Element,
        StreamEnd,
    ]


def test_a_stanza_keeps_its_own_octets():
    (message,) = opened().feed(b" <message to='a@b.example'><body>&amp;</body></message>")
    assert message.to_bytes() == b"<message to='a@b.example'><body>&amp;</body></message>"
    assert message.attributes == {"to": "a@b.example"}
    assert message.children == ("jabber:client body",)


def test_it_may_arrive_one_octet_at_a_time():
    data = HEADER + BODY
    assert shown(events_of(data[i : i + 1] for i in range(len(data)))) == WHOLE


def test_it_may_be_cut_in_two_anywhere():
    data = HEADER + BODY
    for cut in range(len(data)):
        assert shown(events_of([data[:cut], data[cut:]])) == WHOLE


@given(st.lists(st.integers(0, len(HEADER + BODY)), max_size=12))
def test_it_may_be_cut_anyhow(cuts):
    data = HEADER + BODY
    edges = [0, *sorted(cuts), len(data)]
    assert shown(events_of(data[a:b] for a, b in pairwise(edges))) == WHOLE


texts = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=60
)


@given(texts, texts, st.data())
def test_a_stanza_is_out_with_its_last_octet(value, text, data):
    stanza = Message(Element("jabber:client", "body", {"a": value}, text), id=value or "x")
    octets = stanza.to_bytes()
    splitter = opened()
    at = 0
    while at < len(octets) - 1:
        step = data.draw(st.integers(1, len(octets) - 1 - at))
        assert splitter.feed(octets[at : at + step]) == []
        at += step
    (message,) = splitter.feed(octets[at:])
    assert message.to_bytes() == octets
    assert message.element.find_text("body") == text
    assert splitter.is_between_elements


def test_what_is_quoted_may_be_cut_behind_what_looks_like_the_end_of_a_tag():
    octets = b"<message id='>' lang=\">a>\"><body x='\">' y=\"'>\">&gt;</body></message>"
    whole = shown(opened().feed(octets))
    assert len(whole) == 1
    for cut in range(1, len(octets)):
        splitter = opened()
        assert shown(splitter.feed(octets[:cut]) + splitter.feed(octets[cut:])) == whole


def test_a_tag_of_50_kb_in_small_pieces_is_answered_at_once():
    stanza = b"<message id='" + b"x" * 50_000 + b"'/>"
    splitter = opened(limit=262_144)
    pieces = [stanza[i : i + 1000] for i in range(0, len(stanza), 1000)]
    assert [len(splitter.feed(piece)) for piece in pieces] == [0] * (len(pieces) - 1) + [1]


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"<!DOCTYPE a><message/>", "restricted-xml"),
        (b"<!-- hello -->", "restricted-xml"),
        (b"<message><!-- hello --></message>", "restricted-xml"),
        (b"<?target data?>", "restricted-xml"),
        (b"<message><?target data?></message>", "restricted-xml"),
        (b"<message><body>&lol;</body></message>", "restricted-xml"),
        (b"<message id='&lol;'/>", "restricted-xml"),
        (b"<message><x:body/></message>", "not-well-formed"),
        (b"<message><body></message>", "not-well-formed"),
        (b"<message a='1' a='2'/>", "not-well-formed"),
        (b"<message a=1/>", "not-well-formed"),
        (b"</message>", "not-well-formed"),
        (b"<message><body>\x01</body></message>", "not-well-formed"),
        (b"<message><body>&#1;</body></message>", "not-well-formed"),
        (b"<message><body>\xc3\x28</body></message>", "unsupported-encoding"),
        (b"<message><body>\xed\xa0\x80</body></message>", "unsupported-encoding"),
        (b"<?xml version='1.0'?><message/>", "not-well-formed"),
        (b"hello <message/>", "bad-format"),
        (b"<message/>hello<message/>", "bad-format"),
        (b"<message/>hello>", "bad-format"),
    ],
)
def test_what_xmpp_forbids_is_refused_by_name(octets, condition):
    for pieces in ([octets], [octets[i : i + 1] for i in range(len(octets))]):
        splitter = opened()
        with pytest.raises(XMLError) as caught:
            feed_all(splitter, pieces)
        assert caught.value.condition == condition


def test_what_came_before_a_fault_is_still_given():
    with pytest.raises(XMLError) as caught:
        opened().feed(b"<presence/><message></presence>")
    assert [type(event) for event in caught.value.events] == [Presence]


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"GET / HTTP/1.1\r\n", "not-well-formed"),
        (b"\x16\x03\x01\x02\x00\x01", "not-well-formed"),
        (b"<!DOCTYPE stream><stream:stream>", "restricted-xml"),
        (b"<?xml version='1.0' encoding='latin-1'?><stream>", "unsupported-encoding"),
        (b"<?xml version='1.1'?><stream>", "not-well-formed"),
        (b"<stream:stream>", "not-well-formed"),
        (b"<stream a='" + b"x" * 10_000 + b"'>", "policy-violation"),
        (b"<stream a='" + b"x" * 10_000, "policy-violation"),
    ],
)
def test_what_opens_no_stream_is_refused(octets, condition):
    with pytest.raises(XMLError) as caught:
        Splitter(10_000).feed(octets)
    assert caught.value.condition == condition


@pytest.mark.parametrize("beginning", ["<?xml version='1.0'?>", "<stream:stream>", " <stream>"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_what_is_not_utf_8_is_refused_as_such(beginning, encoding):
    """RFC 6120, 4.9.3.22."""
    octets = beginning.encode(encoding)
    for pieces in ([octets], [octets[i : i + 1] for i in range(len(octets))]):
        splitter = Splitter(10_000)
        with pytest.raises(XMLError) as caught:
            feed_all(splitter, pieces)
        assert caught.value.condition == "unsupported-encoding"


def test_a_stanza_has_a_size_limit():
    within = b"<message>" + b"x" * (10_000 - 19) + b"</message>"
    assert len(within) == 10_000
    assert len(opened(10_000).feed(within)) == 1
    with pytest.raises(XMLError, match="larger"):
        opened(10_000).feed(within.replace(b"xx", b"xxx", 1))


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"<message>", b"<x a='1'>y</x>"),
        (b"<message>", b"x" * 1000),
        (b"<message id='", b"x>" * 500),
        (b"<message><![CDATA[", b"<x" * 500),
    ],
)
def test_a_stanza_that_never_ends_is_refused_near_the_limit(begin, piece):
    splitter = opened(10_000)
    splitter.feed(begin)
    fed = []
    with pytest.raises(XMLError) as caught:
        feed_all(splitter, [piece] * 10_000, fed)
    assert caught.value.condition == "policy-violation"
    assert sum(map(len, fed)) <= 10_000


def test_white_space_between_stanzas_is_a_keepalive_and_is_not_kept():
    splitter = opened(10_000)
    for _ in range(100):
        assert splitter.feed(b" \n" * 1000) == []
    assert splitter.is_between_elements


@pytest.mark.parametrize(
    "octets",
    [
        b"<a>" * 200,
        b"<message><a " + b" ".join(b"a%d=''" % n for n in range(600)) + b"/></message>",
        b"<message><" + b"a" * 2000 + b"/></message>",
        b"<message>" + b"<a/>" * 20_000 + b"</message>",
    ],
)
def test_what_is_out_of_proportion_is_refused(octets):
    with pytest.raises(XMLError) as caught:
        opened(262_144).feed(octets)
    assert caught.value.condition == "policy-violation"


def test_before_login_a_stanza_may_hold_few_elements():
    splitter = opened(element_limit=64)
    splitter.feed(b"<iq>" + b"<a/>" * 63 + b"</iq>")
    with pytest.raises(XMLError):
        splitter.feed(b"<iq>" + b"<a/>" * 64 + b"</iq>")


def test_what_came_before_a_tag_that_no_parser_may_see_is_still_given():
    bad = b"<message %b/>" % b" ".join(b"a%d=''" % number for number in range(600))
    with pytest.raises(XMLError) as caught:
        opened(262_144).feed(b"<presence/>" + bad)
    assert caught.value.condition == "policy-violation"
    assert [type(event) for event in caught.value.events] == [Presence]
    # Behind the end of a stream it is nobody's fault.
    events = opened(262_144).feed(b"<presence/></stream:stream>" + bad)
    assert [type(event) for event in events] == [Presence, StreamEnd]


def test_raw_octets_stand_alone_where_the_header_declared_more():
    header = (
        b"<stream:stream xmlns='jabber:client' xmlns:p='urn:p'"
        b" xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    )
    (message,) = opened(header=header).feed(b"<message><p:x/></message>")
    assert Stanza.from_bytes(message.to_bytes()).children == ("urn:p x",)
    message.to = JID.parse("romeo@montague.example")
    assert message.to_bytes() == (
        b"<message to='romeo@montague.example' xmlns:p='urn:p'><p:x/></message>"
    )
    # What it declares itself it does not take along, nor what it has no use for.
    (message,) = opened(header=header).feed(b"<message xmlns:p='urn:q' a='>'><p:x/></message>")
    assert message.to_bytes() == b"<message xmlns:p='urn:q' a='>'><p:x/></message>"
    assert message.children == ("urn:q x",)


def test_a_stanza_cannot_take_more_prefixes_along_than_it_may_declare():
    names = [b"p%d" % number for number in range(300)]
    declared = b"".join(b" xmlns:%b='u'" % name for name in names)
    splitter = opened(100_000, HEADER.replace(b" xmlns", declared + b" xmlns", 1))
    used = b"".join(b"<%b:a/>" % name for name in names[:90])
    (message,) = splitter.feed(b"<message>%b</message>" % used)
    assert len(message.element.children) == 90
    used = b"".join(b" a%d='%b:'" % (number, name) for number, name in enumerate(names))
    with pytest.raises(XMLError, match="attributes"):
        splitter.feed(b"<message%b%b/>" % (declared.replace(b":p", b":q"), used))


def test_a_stanza_that_may_lean_on_the_prefix_of_streams_declares_it():
    (message,) = opened().feed(b"<message><stream:x a='1'>2</stream:x></message>")
    assert message.to_bytes() == (
        b"<message xmlns:stream='http://etherx.jabber.org/streams'>"
        b"<stream:x a='1'>2</stream:x></message>"
    )
    assert message.element == parse(message.to_bytes(), b"<x xmlns='jabber:client'>")


def test_a_stanza_may_have_a_prefix_of_its_own():
    (message,) = opened().feed(
        b"<c:message xmlns:c='jabber:client' id='1'><c:body>2</c:body><x/></c:message>"
    )
    assert message.children == ("jabber:client body", "jabber:client x")
    assert message.element.is_frozen
    assert message.to_bytes() == b"<message id='1'><body>2</body><x/></message>"


def test_what_is_no_stanza_comes_as_a_tree():
    events = opened().feed(b"<r xmlns='urn:xmpp:sm:3'/> <stream:x/>\n<a><b/></a><presence/>")
    assert [event.to_bytes("jabber:client") for event in events[:3]] == [
        b"<r xmlns='urn:xmpp:sm:3'/>",
        b"<stream:x/>",
        b"<a><b/></a>",
    ]
    assert type(events[3]) is Presence


def test_what_came_before_an_element_that_has_no_tree_is_still_given():
    # More than a stream allows by itself are more than a tree may have.
    crowd = b"<a>%b</a>" % (b"<b/>" * 10_001)
    with pytest.raises(XMLError) as caught:
        opened(262_144, element_limit=20_000).feed(b"<r/><presence/>%b<r/>" % crowd)
    assert caught.value.condition == "policy-violation"
    assert [type(event) for event in caught.value.events] == [Element, Presence]


def test_a_client_may_have_another_prefix_for_streams():
    header = b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>"
    events = opened(header=header).feed(b"<presence/></s:stream>")
    assert [type(event) for event in events] == [Presence, StreamEnd]


def test_streams_do_not_disturb_each_other():
    one, two = opened(), opened()
    assert one.feed(b"<message><bo") == []
    assert len(two.feed(b"<presence/>")) == 1
    assert two.feed(b"<message><body>") == []
    assert len(one.feed(b"dy/></message>")) == 1
    assert len(two.feed(b"</body></message>")) == 1


def test_a_stream_with_a_fault_leaves_others_unharmed():
    for _ in range(30):
        with pytest.raises(XMLError):
            opened().feed(b"<message><body></message>")
    assert len(opened().feed(b"<presence/>")) == 1


def test_hundred_thousand_names_do_not_stay():
    splitter = opened()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100_000):
            splitter.feed(b"<iq type='get' id='1'><q%d xmlns='urn:x:%d'/></iq>" % (number, number))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4 * 1024 * 1024


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_nothing_but_the_right_error_comes_out(noise):
    try:
        opened().feed(noise)
    except XMLError:
        pass


@settings(max_examples=300)
@given(st.lists(st.sampled_from([b"<a>", b"</a>", b"<a/>", b"'", b'"', b">", b"<", b"x", b" "])))
def test_no_arrangement_of_marks_confuses_it(marks):
    data = b"<message>" + b"".join(marks) + b"</message>"
    whole, pieces = [], []
    for found, cuts in ((whole, [data]), (pieces, [data[i : i + 1] for i in range(len(data))])):
        try:
            splitter = opened()
            for cut in cuts:
                found += splitter.feed(cut)
        except XMLError:
            found.append("fault")
    assert shown(e for e in whole if e != "fault") == shown(e for e in pieces if e != "fault")
