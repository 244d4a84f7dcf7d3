"""Writing elements: what is read back is what was written, with lxml as a second reader."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from stonechat.namespaces import NS_STREAM, NS_XML
from stonechat.xml import (
    XML_LANG,
    Element,
    escape_attribute,
    escape_text,
    from_lxml,
    from_tuple,
    parse,
    serialize,
    split_name,
    to_lxml,
    to_tuple,
)

NS = "urn:example:balcony"
# What every stream declares around the elements in it.
CONTEXT = b"<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

legal = st.characters(
    exclude_categories=["Cs"],
    exclude_characters="".join(map(chr, {*range(0x20)} - {9, 10, 13})) + "\ufffe\uffff",
)
texts = st.text(legal, max_size=12)
anything = st.text(st.one_of(legal, st.sampled_from("\x00\x08\x0b\x1f\ud800\udfff\ufffe\uffff")))
names = st.sampled_from(["a", "B-2", "_c.d", "é", "名1"])
URIS = ["", "jabber:client", NS, "urn:example:a&b='c'", NS_STREAM, NS_XML]
attribute_names = st.one_of(
    names,
    st.just(XML_LANG),
    st.builds("{} {}".format, st.sampled_from(["urn:a", "urn:b", NS_STREAM]), names),
)
attributes = st.dictionaries(attribute_names, texts, max_size=3)


def joined(children):
    """Children as a parser gives them: no text beside a text, and none that is empty."""
    found = []
    for child in children:
        if isinstance(child, str) and found and isinstance(found[-1], str):
            found[-1] += child
        elif child != "":
            found.append(child)
    return found


def trees(uris):
    def parents(children):
        return st.builds(
            lambda namespace, name, attributes, children: Element(
                namespace, name, attributes, *joined(children)
            ),
            st.sampled_from(uris),
            names,
            attributes,
            st.lists(st.one_of(texts, children), max_size=3),
        )

    leaves = st.builds(Element, st.sampled_from(uris), names, attributes)
    return parents(parents(parents(leaves)))


elements = trees([*URIS, "urn:é"])
# lxml makes no namespace of what is not a URI.
elements_for_lxml = trees(URIS)


def seen_by_lxml(node):
    """The same as `seen_by_us` of what lxml reads, without help of ours."""
    children = [node.text or ""]
    for child in node:
        children += [seen_by_lxml(child), child.tail or ""]
    return str(node.tag), dict(node.attrib), [child for child in children if child]


def seen_by_us(element):
    def clark(qualified):
        namespace, name = split_name(qualified)
        return f"{{{namespace}}}{name}" if namespace else name

    return (
        clark(element.qualified_name),
        {clark(name): value for name, value in element.attributes.items()},
        [c if isinstance(c, str) else seen_by_us(c) for c in element.children],
    )


@given(elements)
def test_what_is_read_back_is_what_was_written(element):
    assert parse(serialize(element, "jabber:client"), CONTEXT) == element


@given(elements_for_lxml)
def test_lxml_reads_the_same(element):
    document = etree.fromstring(CONTEXT + serialize(element, "jabber:client") + b"</x>")
    assert seen_by_lxml(document[0]) == seen_by_us(element)


@given(elements, st.sampled_from(["", "jabber:client", NS, "urn:example:a&b='c'"]))
def test_what_is_in_force_around_it_changes_only_what_is_declared(element, default):
    context = b"<x xmlns='%b' xmlns:stream='%b'>" % (
        escape_attribute(default).encode(),
        NS_STREAM.encode(),
    )
    assert parse(serialize(element, default), context) == element


@given(elements_for_lxml)
def test_no_namespace_is_declared_that_is_in_force(element):
    document = CONTEXT + serialize(element, "jabber:client") + b"</x>"
    defaults = [""]
    declared = []
    for event, what in etree.iterparse(io.BytesIO(document), events=("start-ns", "start", "end")):
        if event == "start-ns":
            declared.append(what)
        elif event == "start":
            default = defaults[-1]
            for prefix, uri in declared:
                if not prefix:
                    assert uri != default
                    default = uri
            uris = [uri for prefix, uri in declared if prefix]
            assert len(uris) == len(set(uris))
            defaults.append(default)
            declared.clear()
        else:
            defaults.pop()


def is_illegal(code):
    """By production 2 of XML 1.0."""
    allowed = code in (9, 10, 13) or code >= 0x20
    return not allowed or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF)


@given(anything)
def test_what_xml_does_not_allow_never_leaves(text):
    mended = "".join("\ufffd" if is_illegal(ord(c)) else c for c in text)
    element = Element("", "a", {"b": text}, text)
    found = parse(serialize(element))
    assert (found.text, found.get("b")) == (mended, mended)
    assert escape_text(text).encode() == escape_text(mended).encode()


@given(texts)
def test_an_escaped_text_means_itself_in_either_place(text):
    octets = "<a b='{0}' c=\"{0}\">{0}{1}</a>".format(escape_attribute(text), escape_text(text))
    for read in (parse, etree.fromstring):
        found = read(octets.encode())
        assert (found.get("b"), found.get("c"), found.text or "") == (text, text, text + text)


@pytest.mark.parametrize(
    ("element", "default", "octets"),
    [
        (Element(NS, "a"), "", b"<a xmlns='urn:example:balcony'/>"),
        (Element(NS, "a"), NS, b"<a/>"),
        (Element("", "a"), NS, b"<a xmlns=''/>"),
        (
            Element(NS, "a", None, Element(NS, "b"), Element("urn:c", "c"), Element(NS, "d")),
            NS,
            b"<a><b/><c xmlns='urn:c'/><d/></a>",
        ),
        (Element(NS, "a", {XML_LANG: "en"}), NS, b"<a xml:lang='en'/>"),
        (
            Element(NS, "a", {"urn:b x": "1", "urn:c x": "2", "urn:b y": "3"}),
            NS,
            b"<a xmlns:a0='urn:b' a0:x='1' xmlns:a1='urn:c' a1:x='2' a0:y='3'/>",
        ),
        (
            Element(NS_STREAM, "features", None, Element("jabber:client", "a"), Element(NS, "b")),
            "jabber:client",
            b"<stream:features><a/><b xmlns='urn:example:balcony'/></stream:features>",
        ),
        (Element(NS_XML, "a", None, Element(NS, "b")), NS, b"<xml:a><b/></xml:a>"),
        (Element("", "a", {"b": "\"<&>'\r\n\t"}, "\"<&>'\r\n\t"), "", None),
    ],
)
def test_it_is_written_in_the_shortest_way(element, default, octets):
    octets = octets or (
        b"<a b='&quot;&lt;&amp;&gt;&apos;&#13;&#10;&#9;'>\"&lt;&amp;&gt;'&#13;\n\t</a>"
    )
    assert serialize(element, default) == octets
    assert element.to_bytes(default) == octets


# Round trips through other forms


@given(elements)
def test_the_tuple_form_loses_nothing(element):
    assert from_tuple(to_tuple(element)) == element


@given(elements)
def test_a_part_of_a_tuple_stands_alone(element):
    for child, form in zip(element.children, to_tuple(element)[2], strict=True):
        assert form == child if isinstance(child, str) else from_tuple(form) == child


def test_a_tuple_without_a_namespace_has_that_of_its_parent():
    form = ("message", [("xmlns", "jabber:client")], [("body", [], ["Hail"])])
    assert from_tuple(form) == Element(
        "jabber:client", "message", None, Element("jabber:client", "body", None, "Hail")
    )


@given(elements_for_lxml)
def test_a_tree_of_lxml_loses_nothing(element):
    tree = to_lxml(element)
    assert from_lxml(tree) == element
    assert seen_by_lxml(tree) == seen_by_us(element)


@given(elements_for_lxml)
def test_lxml_writes_the_same_document(element):
    ours = CONTEXT + serialize(element, "jabber:client") + b"</x>"
    x = Element("jabber:client", "x", None, element)
    theirs = etree.tostring(to_lxml(x), encoding="utf-8")
    canonical = [
        etree.canonicalize(document.decode(), rewrite_prefixes=True) for document in (ours, theirs)
    ]
    assert canonical[0] == canonical[1]


def test_what_lxml_has_beside_elements_and_text_is_left_out():
    tree = etree.fromstring("<a>O <!-- no -->Romeo<?not this?>!<b/> </a>")
    assert joined(from_lxml(tree).children) == ["O Romeo!", Element("", "b"), " "]


def test_lxml_is_told_no_character_that_is_not_xml():
    with pytest.raises(ValueError, match="XML"):
        to_lxml(Element("", "a", None, "\x00"))
