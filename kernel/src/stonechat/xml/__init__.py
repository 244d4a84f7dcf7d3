"""XML as XMPP uses it: elements, a guarded parser, serialising, and the classic helpers.

A *qualified name* is one string, the namespace and the local name with a
space between them (`"urn:xmpp:ping ping"`), or the local name alone where
there is no namespace. Children and namespaced attributes are named so.
"""

from stonechat.xml.classic import (
    crypt,
    element_to_string,
    escape,
    get_attr,
    get_attr_s,
    get_cdata,
    get_path_s,
    get_subtag,
    get_tag_attr,
    get_tag_attr_s,
    get_tag_cdata,
    parse_element,
    remove_cdata,
)
from stonechat.xml.convert import from_lxml, from_tuple, to_lxml, to_tuple
from stonechat.xml.documents import Closed, Opened, read_document
from stonechat.xml.element import XML_LANG, Element, qualified_name, split_name
from stonechat.xml.limits import (
    MAX_ATTRIBUTES,
    MAX_CHILDREN,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_NAMESPACE_BYTES,
    MAX_PREFIXED_ATTRIBUTES,
)
from stonechat.xml.parser import guarded_parser, parse, xml_error
from stonechat.xml.writer import escape_attribute, escape_text, serialize

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_CHILDREN",
    "MAX_DEPTH",
    "MAX_NAMESPACE_BYTES",
    "MAX_NAME_BYTES",
    "MAX_PREFIXED_ATTRIBUTES",
    "XML_LANG",
    "Closed",
    "Element",
    "Opened",
    "crypt",
    "element_to_string",
    "escape",
    "escape_attribute",
    "escape_text",
    "from_lxml",
    "from_tuple",
    "get_attr",
    "get_attr_s",
    "get_cdata",
    "get_path_s",
    "get_subtag",
    "get_tag_attr",
    "get_tag_attr_s",
    "get_tag_cdata",
    "guarded_parser",
    "parse",
    "parse_element",
    "qualified_name",
    "read_document",
    "remove_cdata",
    "serialize",
    "split_name",
    "to_lxml",
    "to_tuple",
    "xml_error",
]
