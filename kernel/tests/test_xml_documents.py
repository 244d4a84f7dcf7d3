"""Documents of any length, element by element."""

import io

import pytest

from stonechat.errors import XMLError
from stonechat.xml import Closed, Element, Opened, read_document

NS = "urn:example:verona"


def parts(text: str | bytes, depth: int = 1, **options):
    data = text.encode() if isinstance(text, str) else text
    return list(read_document(io.BytesIO(data), lambda path: len(path) <= depth, **options))


def test_what_holds_others_comes_as_its_ends_and_the_rest_whole():
    house, person, end = parts(
        f"<house xmlns='{NS}' name='Capulet'> <person>Juliet</person> </house>"
    )
    assert house == Opened(Element(NS, "house", {"name": "Capulet"}))
    assert person == Element(NS, "person", None, "Juliet")
    assert isinstance(end, Closed)


def test_which_elements_hold_others_is_decided_by_where_they_are():
    found = parts("<a><b><c/></b><b/></a>", depth=2)
    assert [type(part) for part in found] == [
        Opened,
        Opened,
        Element,
        Closed,
        Opened,
        Closed,
        Closed,
    ]


def test_no_more_is_read_than_what_is_wanted():
    class Endless(io.RawIOBase):
        """A house that more and more people live in."""

        read_so_far = 0

        def read(self, size=-1):
            self.read_so_far += size
            return b"<house>" if self.read_so_far == size else b"<person/>" * 100

    file = Endless()
    reader = read_document(file, lambda path: len(path) == 1)
    for _ in range(1000):
        next(reader)
    assert file.read_so_far < 20 * 65_536


def test_comments_and_processing_instructions_are_passed_over():
    text = (
        "<?xml-stylesheet href='a'?><!-- begun --><a><!-- here --><b><!-- there -->x<?p?>y</b></a>"
    )
    assert parts(text)[1] == Element("", "b", None, "xy")


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a [<!ENTITY e 'x'>]><a><b>&e;</b></a>",
        "<a><b>&nbsp;</b></a>",
        "<?xml version='1.0' encoding='UTF-16'?><a/>",
        "<a/>".encode("utf-16"),
        "<a><b></a>",
        "<a>",
        "",
        "<a>" + "<b>" * 200 + "</b>" * 200 + "</a>",
        "<a><b>" + "<c/>" * 20_001 + "</b></a>",
    ],
    ids=range(9),
)
def test_what_is_no_document_is_refused(text):
    with pytest.raises(XMLError):
        parts(text)


def test_a_fault_is_found_by_its_line():
    with pytest.raises(XMLError, match="line 2"):
        parts("<a>\n<b></c></a>")


@pytest.mark.parametrize("end", ["</b></a>", ""])
def test_a_single_element_has_a_bound(end):
    with pytest.raises(XMLError, match="too large"):
        parts("<a><b>" + "x" * 100_000 + end, max_bytes=90_000)
    parts("<a>" + "<b>x</b>" * 20_000 + "</a>", max_bytes=90_000)


def test_so_do_the_names_in_a_document(monkeypatch):
    monkeypatch.setattr("stonechat.xml.documents.MAX_NAMES", 1000)
    with pytest.raises(XMLError, match="names"):
        parts("<a>" + "".join(f"<b{n}/>" for n in range(2000)) + "</a>")
