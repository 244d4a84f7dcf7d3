"""Which attributes of an entry say what in a vCard (XEP-0054)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stonechat_ldap import Attribute, Entry
from stonechat_ldap.filters import check_attribute

__all__ = ["DEFAULTS", "PATHS", "Attribute", "Sources", "parse_fields"]

# What a vCard is made of here, in the order that its definition wants.
_N = ("FAMILY", "GIVEN", "MIDDLE", "PREFIX", "SUFFIX")
_ADR = ("POBOX", "EXTADD", "STREET", "LOCALITY", "REGION", "PCODE", "CTRY")
_TEL = ("WORK", "HOME", "CELL", "FAX", "PAGER")
_ORG = ("ORGNAME", "ORGUNIT")

PATHS = (
    "FN",
    *(f"N.{name}" for name in _N),
    "NICKNAME",
    "PHOTO",
    "BDAY",
    *(f"ADR.{name}" for name in _ADR),
    *(f"TEL.{name}" for name in _TEL),
    "EMAIL",
    "JABBERID",
    "TITLE",
    "ROLE",
    *(f"ORG.{name}" for name in _ORG),
    "NOTE",
    "URL",
    "DESC",
)

# Of inetOrgPerson (RFC 2798), and what Active Directory calls otherwise.
DEFAULTS: dict[str, str | list[str]] = {
    "FN": ["displayName", "cn"],
    "N.FAMILY": "sn",
    "N.GIVEN": "givenName",
    "N.MIDDLE": "initials",
    "NICKNAME": "%u",
    "PHOTO": ["jpegPhoto", "thumbnailPhoto"],
    "ADR.STREET": ["street", "streetAddress"],
    "ADR.LOCALITY": "l",
    "ADR.REGION": "st",
    "ADR.PCODE": "postalCode",
    "ADR.CTRY": ["co", "c"],
    "TEL.WORK": "telephoneNumber",
    "TEL.HOME": "homePhone",
    "TEL.CELL": "mobile",
    "TEL.FAX": "facsimileTelephoneNumber",
    "EMAIL": "mail",
    "JABBERID": "%u@%d",
    "TITLE": "title",
    "ORG.ORGNAME": ["o", "company"],
    "ORG.ORGUNIT": ["ou", "department"],
    "URL": ["labeledURI", "wWWHomePage"],
    "DESC": "description",
}

_PLACE = re.compile(r"\{([^{}]*)\}|%([ud])")
# What XML cannot carry (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

MAX_LENGTH = 1000
MAX_VALUES = 5


class Template(NamedTuple):
    """A text with attributes in it: `{givenName} {sn}`, `%u@%d`."""

    text: str
    attributes: tuple[str, ...]


class Sources(NamedTuple):
    """Where a field comes from: the first of these that is there."""

    alternatives: tuple[str | Template, ...]

    def __str__(self) -> str:
        texts = (one.text if isinstance(one, Template) else one for one in self.alternatives)
        return f"[{', '.join(texts)}]"

    @classmethod
    def parse(cls, value: object) -> Sources:
        """An attribute, a text with attributes in it, or a list of such; ValueError."""
        given = value if isinstance(value, list | tuple) else [value]
        if not given:
            raise ValueError("must be an attribute, or a text such as {givenName} {sn}")
        return cls(tuple(_parse_one(one) for one in given))

    @property
    def attributes(self) -> Iterator[str]:
        """All that are looked at."""
        for one in self.alternatives:
            if isinstance(one, Template):
                yield from one.attributes
            else:
                yield one

    def octets(self, entry: Entry) -> bytes:
        """The first value as it is, for a photo."""
        for one in self.alternatives:
            if isinstance(one, str) and (found := entry.octets(one)):
                return found[0]
        return b""

    def texts(self, entry: Entry, localpart: str, domain: str) -> list[str]:
        """The values, fit for XML, without empty ones; a few of them at most."""
        for one in self.alternatives:
            if isinstance(one, str):
                found = entry.texts(one)
            else:
                found = [_filled_in(one, entry, localpart, domain)]
            texts = [text for value in found if (text := _cleaned(value))]
            if texts:
                return texts[:MAX_VALUES]
        return []


def parse_fields(value: object) -> dict[str, Sources | None]:
    """The fields that an administrator has something to say of; None for none; ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping from fields such as N.FAMILY to attributes")
    found: dict[str, Sources | None] = {}
    for path, source in value.items():
        if path not in PATHS:
            raise ValueError(f"{path!r} is no field; there are {', '.join(PATHS)}")
        found[path] = None if source is None else Sources.parse(source)
    return found


def _parse_one(value: object) -> str | Template:
    if isinstance(value, str) and _PLACE.search(value):
        names = tuple(
            check_attribute(found[1]) for found in _PLACE.finditer(value) if not found[2]
        )
        return Template(value, names)
    return check_attribute(value)


def _filled_in(template: Template, entry: Entry, localpart: str, domain: str) -> str:
    """The text, or `""` where an attribute in it is missing."""
    values = {name: entry.text(name) for name in template.attributes}
    if not all(values.values()):
        return ""
    names = {"u": localpart, "d": domain}
    return _PLACE.sub(
        lambda found: names[found[2]] if found[2] else values[found[1]], template.text
    )


def _cleaned(text: str) -> str:
    return _NOT_XML.sub("", text).strip()[:MAX_LENGTH]
