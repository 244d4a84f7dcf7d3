"""The XML helpers of the founding text, under their old names.

Elements here are `Element`s; attribute lists are mappings; "absent" is None.
New code will rather use the methods of `Element`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from stonechat.errors import XMLError
from stonechat.xml.element import Element
from stonechat.xml.parser import parse
from stonechat.xml.writer import escape_attribute, serialize

PathItem = tuple[Literal["elem", "attr"], str] | Literal["cdata"]


def element_to_string(element: Element) -> str:
    """The element as text, with what must be escaped escaped."""
    return serialize(element).decode()


def escape(text: str) -> str:
    """`text` with `& < > " '` written as references, fit for any place in a document.

    So are the line ends and tabs that an attribute would lose; a character that
    XML does not allow becomes U+FFFD.
    """
    return escape_attribute(text)


crypt = escape
"""The old, misleading name of `escape`."""


def remove_cdata(children: Iterable[Element | str]) -> list[Element]:
    """Only the elements of a list of children, in their order."""
    return [child for child in children if isinstance(child, Element)]


def get_path_s(element: Element, path: Sequence[PathItem]) -> Element | str:
    """Follow a path: `("elem", name)` descends, `("attr", name)` and `"cdata"` end it.

    What is not there is `""`; an empty path is the element itself.
    """
    here: Element = element
    for item in path:
        if item == "cdata":
            return here.text
        kind, name = item
        if kind == "attr":
            return get_tag_attr_s(name, here)
        child = get_subtag(here, name)
        if child is None:
            return ""
        here = child
    return here


def get_cdata(children: Iterable[Element | str]) -> str:
    """All character data of a list of children."""
    return "".join(child for child in children if isinstance(child, str))


def get_tag_cdata(element: Element) -> str:
    """All character data directly inside an element."""
    return element.text


def get_attr(name: str, attributes: Mapping[str, str]) -> str | None:
    """An attribute's value, or None."""
    return attributes.get(name)


def get_attr_s(name: str, attributes: Mapping[str, str]) -> str:
    """An attribute's value, or `""`."""
    return attributes.get(name, "")


def get_tag_attr(name: str, element: Element) -> str | None:
    """The value of an element's attribute, or None."""
    return element.attributes.get(name)


def get_tag_attr_s(name: str, element: Element) -> str:
    """The value of an element's attribute, or `""`."""
    return element.attributes.get(name, "")


def get_subtag(element: Element, name: str, namespace: str | None = None) -> Element | None:
    """The first child element of that name, in any namespace unless one is given."""
    for child in element.elements:
        if child.name == name and namespace in (None, child.namespace):
            return child
    return None


def parse_element(text: str | bytes) -> Element | XMLError:
    """The element that a text is, or the error (returned, not raised) that says why not."""
    try:
        return parse(text.encode() if isinstance(text, str) else text)
    except XMLError as error:
        return error
    except UnicodeEncodeError:
        return XMLError("not-well-formed", "the text holds half a surrogate pair")
