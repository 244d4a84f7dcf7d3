"""What strangers send to a port, of whatever kind it is."""

from __future__ import annotations

import random

AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{}'>{}</auth>"

MANY_ENTITIES = "".join(
    f"<!ENTITY e{number} '&e{number - 1};&e{number - 1};'>" for number in range(1, 30)
)

MANY_ATTRIBUTES = " ".join(f"a{number}=''" for number in range(1000))


def strangers(header: str) -> dict[str, bytes]:
    """Each of these has to end with the connection, and with nothing else.

    `header` is a good one for the port.
    """
    said: dict[str, bytes | str] = {
        "nothing like XML": b"\x00\xff\xfe" * 3000,
        "random octets": random.Random(1597).randbytes(100_000),
        "HTTP": b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
        "a TLS record": b"\x16\x03\x01\xff\xff" + b"\x01" * 65535,
        "another stream namespace": "<stream:stream xmlns:stream='urn:romeo'>",
        "no stream at all": "<message><body>O</body></message>",
        "a document type with entities": (
            f"<!DOCTYPE x [<!ENTITY e0 'ha'>{MANY_ENTITIES}]>{header}"
        ),
        "an external entity": f"<!DOCTYPE x SYSTEM 'file:///etc/passwd'>{header}",
        "a processing instruction": f"{header}<?php phpinfo() ?>",
        "a comment": f"{header}<!-- what light -->",
        "UTF-16": f"<?xml version='1.0' encoding='UTF-16'?>{header}".encode("utf-16"),
        "a tag without an end": f"{header}<message {'x' * 100_000}",
        "an attribute without an end": f"{header}<message to='{'x' * 100_000}",
        "a text without an end": f"{header}<message><body>{'x' * 100_000}",
        "depth": header + "<a>" * 10_000,
        "breadth": f"{header}<iq type='get' id='a'><q xmlns='x'>{'<a/>' * 3000}",
        "many attributes": f"{header}<iq {MANY_ATTRIBUTES}>",
        "wrong nesting": f"{header}<iq></message>",
        "an unbound prefix": f"{header}<romeo:iq/>",
        "a message too early": (
            f"{header}<message to='juliet@capulet.example'><body>O</body></message>"
        ),
        "SASL of no kind": header + AUTH.format("POISON", "") * 4,
        "SASL that is not base64": header + AUTH.format("PLAIN", "!!!!") * 4,
        "guesses": header + AUTH.format("PLAIN", "AHJvbWVvAHdyb25n") * 4,
        "a stream in a stream": f"{header}{header}</stream:stream>",
    }
    return {what: data.encode() if isinstance(data, str) else data for what, data in said.items()}


def talkers(own: str, other: str) -> dict[str, bytes]:
    """What somebody sends who has been let in, in the name of his `own` address.

    `other` is somebody's of our server.
    """
    said: dict[str, bytes | str] = {
        "a stanza too large": (
            f"<message from='{own}' to='{other}'><body>{'x' * 400_000}</body></message>"
        ),
        "depth": f"<message from='{own}' to='{other}'>" + "<a>" * 1000,
        "a document type": "<!DOCTYPE x>",
        "an entity": f"<message from='{own}' to='{other}'><body>&romeo;</body></message>",
        "no stanza": "<poison xmlns='urn:mantua'/>",
        "wrong nesting": f"<message from='{own}' to='{other}'><body></message>",
        "a character that XML has not": b"<message><body>\x01</body></message>",
        "what is no UTF-8": b"<message><body>\xc3\x28</body></message>",
        "a stanza of nobody": f"<message to='{other}'/>",
        "a stanza to nobody": f"<message from='{own}'/>",
        "a wish to compress": (
            "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method>"
            "</compress>"
        ),
        "a wish for TLS": "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "a wish to be somebody else": AUTH.format("EXTERNAL", "bW9udGFndWUuZXhhbXBsZQ=="),
    }
    return {what: data.encode() if isinstance(data, str) else data for what, data in said.items()}
