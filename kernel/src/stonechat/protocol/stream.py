"""Stream headers, features and stream errors as octets (RFC 6120, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from stonechat.errors import StreamError
from stonechat.namespaces import NS_CLIENT, NS_STREAM, NS_STREAM_ERRORS
from stonechat.protocol.splitter import StreamHeader
from stonechat.xml import XML_LANG, Element, escape_attribute, serialize

STREAM_NAME = f"{NS_STREAM} stream"
STREAM_END = b"</stream:stream>"


def stream_header(
    *,
    from_: str,
    id: str,
    lang: str,
    to: str = "",
    content_namespace: str = NS_CLIENT,
) -> bytes:
    """The header that answers (or opens) a stream."""
    attributes = [
        f"xmlns='{content_namespace}'",
        f"xmlns:stream='{NS_STREAM}'",
        f"from='{escape_attribute(from_)}'",
        f"id='{escape_attribute(id)}'",
        "version='1.0'",
        f"xml:lang='{escape_attribute(lang)}'",
    ]
    if to:
        attributes.append(f"to='{escape_attribute(to)}'")
    return f"<?xml version='1.0'?><stream:stream {' '.join(attributes)}>".encode()


def features(elements: Iterable[Element]) -> bytes:
    """`<stream:features/>` with these in it."""
    return serialize(Element(NS_STREAM, "features", None, *elements), NS_CLIENT)


def stream_error(error: StreamError) -> bytes:
    """`<stream:error/>` and the end of the stream."""
    element = Element(NS_STREAM, "error")
    element.add(error.condition, error.payload, namespace=NS_STREAM_ERRORS)
    if error.text:
        element.add("text", error.text, namespace=NS_STREAM_ERRORS).set(XML_LANG, "en")
    if error.application is not None:
        element.append(error.application)
    return serialize(element, NS_CLIENT) + STREAM_END


def check_header(header: StreamHeader, content_namespace: str = NS_CLIENT) -> None:
    """Raise StreamError for a header that opens no stream of this kind."""
    namespace, _, name = header.name.rpartition(" ")
    if name != "stream":
        raise StreamError("bad-format", "A stream begins with <stream:stream>.")
    if namespace != NS_STREAM:
        raise StreamError("invalid-namespace", f"The namespace of a stream is {NS_STREAM}.")
    # The content namespace is the default one, or one that a prefix stands for
    # (RFC 6120, 4.8.5).
    if content_namespace not in header.prefixes.values():
        raise StreamError("invalid-namespace", f"Stanzas here are in {content_namespace}.")
    version = header.attributes.get("version", "0.9")
    major, _, minor = version.partition(".")
    if not (version.isascii() and major.isdecimal() and minor.isdecimal()) or int(major[:4]) < 1:
        raise StreamError("unsupported-version", "Version 1.0 of XMPP is wanted.")
