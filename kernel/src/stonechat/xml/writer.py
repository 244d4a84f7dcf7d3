"""Elements to bytes: escaped, and with no namespace declared twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stonechat.namespaces import NS_STREAM, NS_XML

if TYPE_CHECKING:
    from stonechat.xml.element import Element

# What XML 1.0 does not allow even as a reference. Output never breaks a
# stream: such a character leaves as U+FFFD.
_ILLEGAL = "\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_SPECIAL_IN_TEXT = re.compile(f"[&<>\r{_ILLEGAL}]")
_SPECIAL_IN_ATTRIBUTE = re.compile(f"[&<>'\"\r\n\t{_ILLEGAL}]")
_REFERENCES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
    "\r": "&#13;",
    "\n": "&#10;",
    "\t": "&#9;",
}

# Bound by every stream header (RFC 6120, 4.8.5), or everywhere; XML allows
# `xml` no other way to be written (Namespaces in XML 1.0, 3).
_PREFIXES = {NS_STREAM: "stream", NS_XML: "xml"}


def _reference(match: re.Match[str]) -> str:
    return _REFERENCES.get(match[0], "\ufffd")


def escape_text(text: str) -> str:
    """Character data that means `text`."""
    if _SPECIAL_IN_TEXT.search(text) is None:
        return text
    return _SPECIAL_IN_TEXT.sub(_reference, text)


def escape_attribute(text: str) -> str:
    """An attribute value, for either kind of quotes, that means `text`."""
    if _SPECIAL_IN_ATTRIBUTE.search(text) is None:
        return text
    return _SPECIAL_IN_ATTRIBUTE.sub(_reference, text)


def serialize(element: Element, default_namespace: str = "") -> bytes:
    """The element as UTF-8, to stand where `default_namespace` is in force.

    Elements of the streams namespace get the prefix `stream`, which every
    stream header declares.
    """
    parts: list[str] = []
    _write(element, default_namespace, parts.append)
    return "".join(parts).encode()


def open_tag(element: Element, default_namespace: str, write: _Write) -> str:
    """Write `<name attributes` without its end; returns the name as written."""
    namespace = element.namespace
    tag = element.name
    if namespace == default_namespace:
        write(f"<{tag}")
    elif namespace in _PREFIXES:
        tag = f"{_PREFIXES[namespace]}:{tag}"
        write(f"<{tag}")
    else:
        write(f"<{tag} xmlns='{escape_attribute(namespace)}'")
    prefixes: dict[str, str] = {}
    for name, value in element.attributes.items():
        if " " in name:
            uri, _, local = name.rpartition(" ")
            if uri == NS_XML:
                prefix = "xml"
            elif uri in prefixes:
                prefix = prefixes[uri]
            else:
                prefix = prefixes[uri] = f"a{len(prefixes)}"
                write(f" xmlns:{prefix}='{escape_attribute(uri)}'")
            write(f" {prefix}:{local}='{escape_attribute(value)}'")
        else:
            write(f" {name}='{escape_attribute(value)}'")
    return tag


def _write(element: Element, default_namespace: str, write: _Write) -> None:
    written = element._written
    if (
        written is not None
        and element.namespace not in ("", default_namespace)
        and element.namespace not in _PREFIXES
    ):
        # It declares its own namespace, so it looks the same wherever it stands.
        if not written:
            parts: list[str] = []
            _write_anew(element, "", parts.append)
            written = element._written = "".join(parts)
        write(written)
    else:
        _write_anew(element, default_namespace, write)


def _write_anew(element: Element, default_namespace: str, write: _Write) -> None:
    tag = open_tag(element, default_namespace, write)
    if not element.children:
        write("/>")
        return
    write(">")
    # A prefix leaves the default namespace alone.
    inner = default_namespace if element.namespace in _PREFIXES else element.namespace
    for child in element.children:
        if isinstance(child, str):
            write(escape_text(child))
        else:
            _write(child, inner, write)
    write(f"</{tag}>")


if TYPE_CHECKING:
    from collections.abc import Callable

    _Write = Callable[[str], object]
