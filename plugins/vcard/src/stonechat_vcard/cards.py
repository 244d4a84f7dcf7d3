"""What a vCard says (XEP-0054): whether it is well made, its photo, and who is found by it."""

from __future__ import annotations

import unicodedata
from base64 import b64decode
from binascii import Error as NoBase64
from hashlib import sha1
from typing import NamedTuple

from stonechat.errors import StanzaError
from stonechat.stanza import Element

NS_VCARD = "vcard-temp"

MAX_FIELD_LENGTH = 255

# Of a longer text only the beginning is folded: to put marks above and below letters into
# their order costs time by the square of how many there are.
MAX_FOLDED = 4 * MAX_FIELD_LENGTH

# Fields of the directory by the names that they bear in search forms, and where they are.
FIELDS: dict[str, tuple[str, ...]] = {
    "first": ("N", "GIVEN"),
    "last": ("N", "FAMILY"),
    "nick": ("NICKNAME",),
    "email": ("EMAIL", "USERID"),
    "fn": ("FN",),
    "middle": ("N", "MIDDLE"),
    "bday": ("BDAY",),
    "ctry": ("ADR", "CTRY"),
    "locality": ("ADR", "LOCALITY"),
    "orgname": ("ORG", "ORGNAME"),
    "orgunit": ("ORG", "ORGUNIT"),
}


class Card(NamedTuple):
    """A vCard that was checked: its bytes, and what is to be known without reading them."""

    octets: bytes
    photo_hash: str
    is_private: bool
    fields: dict[str, str]


def read(element: Element, *, max_size: int, max_photo_size: int) -> Card:
    """The vCard that a user wants to have; StanzaError where it is malformed or too large."""
    _check_name(element)
    if element.text.strip():
        raise StanzaError("bad-request", "A vCard consists of elements.")
    _check_capitals(element)
    octets = element.to_bytes()
    if len(octets) > max_size:
        raise StanzaError("policy-violation", f"A vCard has {max_size} octets at most.")
    photo = photo_of(element, max_photo_size)
    return Card(
        octets,
        sha1(photo, usedforsecurity=False).hexdigest() if photo else "",
        _is_private(element),
        {name: _text_at(element, path) for name, path in FIELDS.items()},
    )


def check_request(element: Element) -> None:
    """Refuse a request for something in the namespace that is no vCard."""
    _check_name(element)


def photo_of(card: Element, max_size: int = 0) -> bytes:
    """The first image in a vCard, or nothing; bad-request for one that is not in base64."""
    found = b""
    for element in card.find_all("PHOTO"):
        if element.text.strip():
            raise StanzaError("bad-request", "An image belongs into BINVAL (XEP-0153).")
        # Lines are ended as anybody likes ("Image Restrictions").
        text = "".join(element.find_text("BINVAL").split())
        try:
            photo = b64decode(text, validate=True)
        except (NoBase64, ValueError):
            raise StanzaError("bad-request", "A photo is written in base64.") from None
        if max_size and len(photo) > max_size:
            raise StanzaError("policy-violation", f"A photo has {max_size} octets at most.")
        found = found or photo
    return found


def folded(text: str) -> str:
    """A text as it is searched for: upper and lower case, spaces and widths are the same."""
    plain = unicodedata.normalize("NFKC", text[:MAX_FOLDED]).casefold()
    return " ".join(plain.split())[:MAX_FIELD_LENGTH]


def _check_name(element: Element) -> None:
    if element.name != "vCard":
        raise StanzaError("bad-request", "There is no such request; a vCard is written so.")


def _check_capitals(element: Element) -> None:
    for child in element.elements:
        if child.namespace != NS_VCARD:
            continue
        # An AGENT may have a vCard.
        if child.name not in (child.name.upper(), "vCard"):
            raise StanzaError("bad-request", "Names within a vCard are in capital letters.")
        _check_capitals(child)


def _is_private(card: Element) -> bool:
    privacy = card.find("CLASS")
    return privacy is not None and any(
        privacy.find(name) is not None for name in ("PRIVATE", "CONFIDENTIAL")
    )


def _text_at(element: Element, path: tuple[str, ...]) -> str:
    """The first text at a path that is not empty."""
    name, *rest = path
    for child in element.find_all(name):
        text = _text_at(child, tuple(rest)) if rest else child.text.strip()
        if text:
            return text[:MAX_FIELD_LENGTH]
    return ""
