"""Search filters (RFC 4515), with whatever strangers wrote in them made harmless."""

from __future__ import annotations

import re

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import parse_filter
from ldap3.utils.conv import escape_filter_chars

# RFC 4512, section 1.4: a name or an OID, and options behind it.
_ATTRIBUTE = re.compile(r"([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)(;[A-Za-z0-9-]+)*", re.ASCII)

# RFC 4514, section 2.4, and what RFC 4512 or a careless server may see in a name besides.
_SPECIAL_IN_DN = re.compile(r'[\x00-\x1f\\,+"<>;=#/ ]')


def check_attribute(name: object) -> str:
    """The name of an attribute, as it is; ValueError for anything else."""
    if not isinstance(name, str) or not _ATTRIBUTE.fullmatch(name):
        raise ValueError("must be the name of an attribute such as uid")
    return name


def check_filter(text: object) -> str:
    """A filter as an administrator writes it, `""` for none; ValueError."""
    if not isinstance(text, str):
        raise ValueError("must be a filter such as (objectClass=person)")
    text = text.strip()
    if text:
        try:
            parse_filter(text, None, False, False, None, False)
        except (LDAPExceptionError, ValueError, LookupError, AttributeError):
            raise ValueError("must be a filter such as (objectClass=person)") from None
    return text


def escape_value(text: str) -> str:
    """A text for a place in a filter where it means nothing but itself."""
    escaped: str = escape_filter_chars(text)
    return escaped


def escape_in_dn(text: str) -> str:
    """A text for a place in a distinguished name where it means nothing but itself."""
    return _SPECIAL_IN_DN.sub(lambda found: f"\\{ord(found[0]):02x}", text)


def equals(attribute: str, text: str) -> str:
    """What has this value."""
    return f"({attribute}={escape_value(text)})"


def like(attribute: str, parts: list[str]) -> str:
    """What has a value of these parts, in this order, with anything between two of them."""
    return f"({attribute}={'*'.join(map(escape_value, parts))})"


def all_of(*filters: str) -> str:
    """What fits all of them; empty ones say nothing."""
    return _joined("&", filters) or "(objectClass=*)"


def any_of(*filters: str) -> str:
    """What fits one of them at least."""
    return _joined("|", filters)


def filled_in(text: str, values: dict[str, str]) -> str:
    """A filter of an administrator's with its placeholders, `%u` and such, replaced."""
    return re.sub(r"%([A-Za-z])", lambda found: _placed(found, values), text)


def _placed(found: re.Match[str], values: dict[str, str]) -> str:
    value = values.get(found[1])
    return found[0] if value is None else escape_value(value)


def _joined(operator: str, filters: tuple[str, ...]) -> str:
    given = [one for one in filters if one]
    return given[0] if len(given) == 1 else f"({operator}{''.join(given)})" if given else ""
