"""Elements to and from lxml trees and the founding text's tuples, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stonechat.namespaces import NS_XML
from stonechat.xml.element import Element, qualified_name, split_name

if TYPE_CHECKING:
    from lxml import etree

# A list of the same, or a text: mypy has no recursive tuple to say it better.
TupleForm = tuple[str, list[tuple[str, str]], list[Any]]


def to_tuple(element: Element) -> TupleForm:
    """`(name, attributes, children)`; a namespace is the attribute `xmlns`, as of old.

    Every element says its own namespace, so that any part stands alone.
    """
    return _to_tuple(element, "")


def _to_tuple(element: Element, outer: str) -> TupleForm:
    namespace = element.namespace
    # Where there is none, it must be said only to those who inherit one.
    attributes = [("xmlns", namespace)] if namespace or outer else []
    attributes += element.attributes.items()
    children = [
        child if isinstance(child, str) else _to_tuple(child, namespace)
        for child in element.children
    ]
    return element.name, attributes, children


def from_tuple(form: TupleForm, namespace: str = "") -> Element:
    """The element of a tuple; without an `xmlns` it is in the namespace of its parent."""
    name, pairs, children = form
    attributes = dict(pairs)
    namespace = attributes.pop("xmlns", namespace)
    element = Element(namespace, name, attributes)
    for child in children:
        element.append(child if isinstance(child, str) else from_tuple(child, namespace))
    return element


def to_lxml(element: Element) -> etree._Element:
    """An lxml tree of the element, for XPath, XSLT and schemas.

    lxml keeps every name it ever saw: give it no trees of strangers by the million.
    ValueError for characters that XML does not allow.
    """
    return _to_lxml(element, "", None)


def _to_lxml(element: Element, default: str, parent: etree._Element | None) -> etree._Element:
    from lxml import etree

    namespace = element.namespace
    declared: dict[str | None, str] = {}
    if namespace != NS_XML:
        if namespace != default:
            declared[None] = namespace
        default = namespace
    tag = _clark(element.qualified_name)
    if parent is None:
        node = etree.Element(tag, nsmap=declared)  # type: ignore[arg-type]
    else:
        node = etree.SubElement(parent, tag, nsmap=declared)  # type: ignore[arg-type]
    for name, value in element.attributes.items():
        node.set(_clark(name), value)
    last: etree._Element | None = None
    for child in element.children:
        if isinstance(child, Element):
            last = _to_lxml(child, default, node)
        elif last is None:
            node.text = (node.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return node


def from_lxml(node: etree._Element) -> Element:
    """The element of an lxml tree; comments and processing instructions are left out."""
    element = Element(*split_name(_qualified(str(node.tag))))
    element.attributes = {_qualified(str(name)): str(text) for name, text in node.attrib.items()}
    if node.text:
        element.append(node.text)
    for child in node:
        if isinstance(child.tag, str):
            element.append(from_lxml(child))
        if child.tail:
            element.append(child.tail)
    return element


def _clark(qualified: str) -> str:
    namespace, name = split_name(qualified)
    return f"{{{namespace}}}{name}" if namespace else name


def _qualified(clark: str) -> str:
    if not clark.startswith("{"):
        return clark
    namespace, _, name = clark[1:].partition("}")
    return qualified_name(namespace, name)
