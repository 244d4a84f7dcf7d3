"""The words of the portable format (XEP-0227): names, credentials, and parts of an account."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator
from typing import NamedTuple

from stonechat.auth import SCRAM_HASHES, Credentials, ScramCredentials
from stonechat.namespaces import NS_CLIENT, NS_ROSTER
from stonechat.portable import NS_PIE, NS_PIE_ARCHIVE
from stonechat.stanza import Element

__all__ = [
    "Begun",
    "Losses",
    "Lost",
    "Part",
    "credentials_elements",
    "read_credentials",
    "read_password",
]

NS_SCRAM = f"{NS_PIE}#scram"
NS_XINCLUDE = "http://www.w3.org/2001/XInclude"
NS_PRIVATE = "jabber:iq:private"
NS_BLOCKING = "urn:xmpp:blocking"
NS_PRIVACY = "jabber:iq:privacy"
NS_VCARD = "vcard-temp"
NS_MAM = "urn:xmpp:mam:2"

# Children of <user/> whose own children are handed out a few at a time.
LARGE = frozenset(
    {
        f"{NS_PIE} offline-messages",
        f"{NS_PIE_ARCHIVE} archive",
        f"{NS_ROSTER} query",
        f"{NS_PRIVATE} query",
        f"{NS_BLOCKING} blocklist",
        "http://jabber.org/protocol/pubsub pubsub",
        "http://jabber.org/protocol/pubsub#owner pubsub",
    }
)

# RFC 7677 wants 4096 at least, and what a client has to compute at each login has an end.
MAX_ITERATIONS = 10_000_000

_EJABBERD_HASHES = {"sha": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}

_COUNT = re.compile(r"[1-9][0-9]{0,8}")


class Begun(NamedTuple):
    """An account begins; what follows is its."""

    host: str
    name: str
    credentials: Credentials


class Lost(NamedTuple):
    """Something that cannot be taken, of the account that has begun, or of none.

    `text` says what in words that are the same for all accounts.
    """

    text: str
    where: str = ""
    number: int = 1


class Losses:
    """Counts what is lost on the way, to be told of it afterwards."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, text: str) -> None:
        self._numbers[text] = self._numbers.get(text, 0) + 1

    def __iter__(self) -> Iterator[Lost]:
        for text, number in self._numbers.items():
            yield Lost(text, number=number)


Part = Begun | Element | Lost
"""What a source of accounts consists of; elements are children of <user/>, or parts of them."""


def is_one_with(element: Element, other: Element) -> bool:
    """Whether two neighbours are parts of the same element."""
    return (
        element.qualified_name == other.qualified_name
        # Each request for a subscription is one by itself.
        and element.namespace != NS_CLIENT
        and element.attributes == other.attributes
    )


def credentials_elements(credentials: Credentials) -> Iterator[Element]:
    """What is kept of a password, but for itself ("SCRAM credentials")."""
    for scram in credentials.scram:
        mechanism = f"SCRAM-{scram.hash_name}"
        element = Element(NS_SCRAM, "scram-credentials", {"mechanism": mechanism})
        element.add("iter-count", str(scram.iterations))
        element.add("salt", b64encode(scram.salt).decode())
        element.add("server-key", b64encode(scram.server_key).decode())
        element.add("stored-key", b64encode(scram.stored_key).decode())
        yield element


def is_credentials(element: Element) -> bool:
    """Whether an element is about the account's password."""
    return element.namespace == NS_SCRAM


def read_credentials(element: Element) -> ScramCredentials:
    """The same back; ValueError with a sentence for what is none."""
    if element.name != "scram-credentials":
        raise ValueError("credentials of a kind that is not known")
    mechanism = element.get("mechanism")
    hash_name = mechanism.removeprefix("SCRAM-")
    if not mechanism.startswith("SCRAM-") or hash_name not in SCRAM_HASHES:
        raise ValueError(f"credentials for {mechanism[:40] or 'no mechanism'}, which is not known")
    count = _COUNT.fullmatch(element.find_text("iter-count").strip())
    if count is None or int(count[0]) > MAX_ITERATIONS:
        raise ValueError("credentials with a number of iterations that is none")
    texts = (element.find_text(name) for name in ("salt", "stored-key", "server-key"))
    return _scram(hash_name, int(count[0]), *texts)


def read_password(text: str) -> Credentials:
    """What is in the attribute `password`: older versions of ejabberd write hashes into it."""
    kind, _, rest = text.partition(":")
    parts = rest.split(",")
    if kind == "scram" and len(parts) in (4, 5):
        *hashes, stored_key, server_key, salt, count = parts
        hash_name = _EJABBERD_HASHES.get(hashes[0] if hashes else "sha", "")
        if hash_name and _COUNT.fullmatch(count) and int(count) <= MAX_ITERATIONS:
            try:
                return Credentials(
                    "", (_scram(hash_name, int(count), salt, stored_key, server_key),)
                )
            except ValueError:
                pass  # a password, then, that looks strange
    return Credentials(text)


def _scram(
    hash_name: str, iterations: int, salt: str, stored_key: str, server_key: str
) -> ScramCredentials:
    size = hashlib.new(SCRAM_HASHES[hash_name]).digest_size
    try:
        octets = [
            b64decode("".join(text.split()), validate=True)
            for text in (salt, stored_key, server_key)
        ]
        if len(octets[1]) != size:
            # ejabberd 23 encodes what is encoded already.
            octets = [b64decode(each, validate=True) for each in octets]
        return ScramCredentials(hash_name, octets[0], iterations, octets[1], octets[2])
    except (NoBase64, ValueError) as error:
        raise ValueError("credentials that are malformed") from error
