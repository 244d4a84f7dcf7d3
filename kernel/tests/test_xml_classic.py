"""The XML functions of the founding text, each by its contract."""

import pytest

from stonechat.errors import XMLError
from stonechat.xml import (
    Element,
    crypt,
    element_to_string,
    escape,
    from_tuple,
    get_attr,
    get_attr_s,
    get_cdata,
    get_path_s,
    get_subtag,
    get_tag_attr,
    get_tag_attr_s,
    get_tag_cdata,
    parse,
    parse_element,
    remove_cdata,
    to_tuple,
)

# The founding text's own example of a stanza, and of what it is inside.
GROUPCHAT = (
    "<message to='test@conference.example.org' type='groupchat'><body>test</body></message>"
)
GROUPCHAT_TUPLE = (
    "message",
    [("to", "test@conference.example.org"), ("type", "groupchat")],
    [("body", [], ["test"])],
)


@pytest.fixture
def message():
    return parse(
        b"<message to='romeo@montague.example'>O <body lang='en'>Art thou <b>not</b> Romeo?</body>"
        b" Romeo <body>second</body><x xmlns='urn:x'/><body xmlns='urn:x'>third</body></message>"
    )


def test_the_groupchat_example_is_read_written_and_taken_apart():
    assert to_tuple(parse_element(GROUPCHAT)) == GROUPCHAT_TUPLE
    assert element_to_string(from_tuple(GROUPCHAT_TUPLE)) == GROUPCHAT


def test_an_element_is_written_as_a_string_with_all_escaped():
    element = Element("", "a", {"b": "'<&>\""}, "1 < 2 & 3 > '2' \"", Element("", "c"))
    assert element_to_string(element) == (
        "<a b='&apos;&lt;&amp;&gt;&quot;'>1 &lt; 2 &amp; 3 &gt; '2' \"<c/></a>"
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("", ""),
        ("Romeo", "Romeo"),
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ('"', "&quot;"),
        ("'", "&apos;"),
        ("&amp;", "&amp;amp;"),
        ("<a b='c' d=\"e\">&", "&lt;a b=&apos;c&apos; d=&quot;e&quot;&gt;&amp;"),
        ("é名\U0001f339", "é名\U0001f339"),
        ("a\nb\tc\rd", "a&#10;b&#9;c&#13;d"),
        ("\x00", "\ufffd"),
    ],
)
def test_crypt_is_the_old_name_of_escape(text, escaped):
    assert escape(text) == escaped
    assert crypt is escape


def test_remove_cdata_keeps_the_elements_in_order(message):
    assert [child.text for child in remove_cdata(message.children)] == [
        "Art thou  Romeo?",
        "second",
        "",
        "third",
    ]
    assert remove_cdata(["text only"]) == remove_cdata([]) == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ([("elem", "body"), "cdata"], "Art thou  Romeo?"),
        ([("elem", "body"), ("elem", "b"), "cdata"], "not"),
        ([("elem", "body"), ("attr", "lang")], "en"),
        ([("elem", "body"), ("attr", "none")], ""),
        ([("attr", "to")], "romeo@montague.example"),
        ([("elem", "none")], ""),
        ([("elem", "none"), ("attr", "to")], ""),
        ([("elem", "none"), ("elem", "b"), "cdata"], ""),
        (["cdata"], "O  Romeo "),
    ],
)
def test_a_path_leads_to_a_text(message, path, found):
    assert get_path_s(message, path) == found


def test_an_empty_path_is_the_element_and_one_of_elements_leads_to_one(message):
    assert get_path_s(message, []) is message
    assert get_path_s(message, [("elem", "body"), ("elem", "b")]) == Element("", "b", None, "not")


def test_cdata_is_all_text_of_a_list_or_of_an_element(message):
    assert get_cdata(message.children) == get_tag_cdata(message) == "O  Romeo "
    assert get_cdata([]) == get_tag_cdata(Element("", "a")) == ""


def test_attributes_are_looked_up_in_a_list_or_an_element(message):
    assert get_attr("to", message.attributes) == get_tag_attr("to", message)
    assert get_attr_s("to", message.attributes) == get_tag_attr_s("to", message)
    assert get_tag_attr_s("to", message) == "romeo@montague.example"


def test_an_absent_attribute_is_none_or_an_empty_text(message):
    assert get_attr("from", message.attributes) is get_tag_attr("from", message) is None
    assert get_attr_s("from", message.attributes) == get_tag_attr_s("from", message) == ""


def test_a_subtag_is_the_first_child_of_that_name(message):
    assert get_subtag(message, "body").text == "Art thou  Romeo?"
    assert get_subtag(message, "x").namespace == "urn:x"
    assert get_subtag(message, "none") is None


def test_a_subtag_may_be_wanted_in_one_namespace(message):
    assert get_subtag(message, "body", "urn:x").text == "third"
    assert get_subtag(message, "x", "") is None


def test_parse_element_takes_text_or_octets():
    expected = Element("", "a", None, "é")
    assert parse_element("<a>é</a>") == parse_element("<a>é</a>".encode()) == expected


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", "not-well-formed"),
        ("<a>", "not-well-formed"),
        ("<a/><b/>", "not-well-formed"),
        ("<a>\ud800</a>", "not-well-formed"),
        ("<!DOCTYPE a [<!ENTITY lol 'lol'>]><a>&lol;</a>", "restricted-xml"),
        ("<a>&lol;</a>", "restricted-xml"),
        ("<a><!-- b --></a>", "restricted-xml"),
        ("<?b?><a/>", "restricted-xml"),
        (b"<a>\xff</a>", "unsupported-encoding"),
        ("<a>" * 1000 + "</a>" * 1000, "policy-violation"),
    ],
)
def test_parse_element_returns_its_error(text, condition):
    error = parse_element(text)
    assert isinstance(error, XMLError)
    assert error.condition == condition
