"""XMPP addresses (RFC 7622): parsed once, prepared once, cheap to compare ever after.

A `JID` holds prepared parts only, so two addresses are the same when their texts are.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NoReturn, final

from stonechat.errors import JIDError

if TYPE_CHECKING:
    from precis_i18n.profile import Profile

MAX_PART_OCTETS = 1023
MAX_DOMAIN_OCTETS = 253  # of the ASCII form (RFC 1034, 3.1, without the trailing dot)
MAX_LABEL_OCTETS = 63

# Longer texts are parsed each time, so that the cache has a bound in bytes too.
_MAX_CACHED_TEXT = 256
_CACHED_JIDS = 16384
_CACHED_DOMAINS = 1024

_ASCII_DOMAIN = re.compile(
    r"""(?=.{1,253}\Z)
    (?: (?!..--) [a-z0-9] (?: [a-z0-9-]{0,61} [a-z0-9] )? \. )*
    (?! (?: [0-9]+ | 0x[0-9a-f]* ) \Z )  # else a form of an IPv4 address
    (?!..--) [a-z0-9] (?: [a-z0-9-]{0,61} [a-z0-9] )?""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# What UsernameCaseMapped makes of ASCII, less the eight of RFC 7622, 3.3.1.
_ASCII_LOCALPART = re.compile(r"[!#-%(-.0-9;=?\[-~]{1,1023}")
_ASCII_RESOURCE = re.compile(r"[ -~]{1,1023}")
_FORBIDDEN_IN_LOCALPART = re.compile(r"[\"&'/:<>@]")

# RFC 5892, A.7 to A.9: rules that look for a fellow or an enemy in the whole string.
_WHOLE_STRING_RULES = tuple(
    re.compile(kind) for kind in ("\u30fb", "[\u0660-\u0669]", "[\u06f0-\u06f9]")
)


@final
@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class JID:
    """An address. `localpart` and `resource` are "" where the address has none.

    `text` is the whole address; `str(jid)` is the same. Addresses compare and sort by
    it, with other addresses only: a str never equals a JID. Made by `parse` and `make`.
    """

    localpart: str
    domain: str
    resource: str
    text: str
    _bare: JID | None

    def __init__(self) -> None:
        raise TypeError("JIDs are made by JID.parse(text) or JID.make(localpart, domain)")

    @staticmethod
    def parse(text: str) -> JID:
        """The address that `text` spells, or JIDError with a sentence that says what is wrong."""
        return _parse_cached(text) if len(text) <= _MAX_CACHED_TEXT else _parse(text)

    @staticmethod
    def make(localpart: str, domain: str, resource: str = "") -> JID:
        """The address with these parts, not yet prepared; "" leaves a part out.

        JIDError where a part cannot be one, as `prepare_localpart` and its sisters say.
        """
        return JID._from_prepared(
            localpart and prepare_localpart(localpart),
            prepare_domain(domain),
            resource and prepare_resource(resource),
        )

    @staticmethod
    def _from_prepared(localpart: str, domain: str, resource: str) -> JID:
        """Trusts its caller: the parts come from a JID or from the functions below."""
        text = f"{localpart}@{domain}" if localpart else domain
        if resource:
            text = f"{text}/{resource}"
        jid = object.__new__(JID)
        assign = object.__setattr__
        assign(jid, "localpart", localpart)
        assign(jid, "domain", domain)
        assign(jid, "resource", resource)
        assign(jid, "text", text)
        assign(jid, "_bare", None)
        return jid

    @property
    def bare(self) -> JID:
        """This address without its resource; itself if it has none."""
        if not self.resource:
            return self
        if self._bare is None:
            bare = JID._from_prepared(self.localpart, self.domain, "")
            object.__setattr__(self, "_bare", bare)
            return bare
        return self._bare

    @property
    def is_bare(self) -> bool:
        """No resource: an account, or a domain (RFC 6120, 1.4)."""
        return not self.resource

    @property
    def is_full(self) -> bool:
        """With a resource: of an account, or of a domain (RFC 6120, 1.4)."""
        return bool(self.resource)

    @property
    def is_domain(self) -> bool:
        """Nothing but a domain: a server, a service or a component, and no part of it."""
        return not self.localpart and not self.resource

    def with_resource(self, resource: str) -> JID:
        """The bare address with this resource, which is prepared here; "" gives the bare one."""
        if not resource:
            return self.bare
        return JID._from_prepared(self.localpart, self.domain, prepare_resource(resource))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"JID({self.text!r})"

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if other.__class__ is JID else NotImplemented

    def __lt__(self, other: JID) -> bool:
        return self.text < other.text if other.__class__ is JID else NotImplemented

    def __le__(self, other: JID) -> bool:
        return self.text <= other.text if other.__class__ is JID else NotImplemented

    def __gt__(self, other: JID) -> bool:
        return self.text > other.text if other.__class__ is JID else NotImplemented

    def __ge__(self, other: JID) -> bool:
        return self.text >= other.text if other.__class__ is JID else NotImplemented


def prepare_localpart(text: str) -> str:
    """`text` as a localpart: UsernameCaseMapped of RFC 8265, less the eight of RFC 7622, 3.3.1."""
    if text.isascii():
        localpart = text.lower()
        if _ASCII_LOCALPART.fullmatch(localpart):
            return localpart
        # The slow path below says what is wrong with it.
    localpart = _enforce("localpart", _profiles()[0], text)
    # After the mapping, which makes FULLWIDTH COMMERCIAL AT an '@'.
    if forbidden := _FORBIDDEN_IN_LOCALPART.search(localpart):
        raise JIDError(
            f"The localpart {_shown(text)} has {_named(forbidden[0])}, which is not allowed there."
        )
    return localpart


def prepare_resource(text: str) -> str:
    """`text` as a resource: OpaqueString of RFC 8265, which keeps the case."""
    if _ASCII_RESOURCE.fullmatch(text):
        return text
    return _enforce("resource", _profiles()[1], text)


def prepare_domain(text: str) -> str:
    """`text` as a domain: lower case, U-labels for A-labels, no trailing dot (RFC 7622, 3.2).

    IPv4 addresses are domains, and so are IPv6 addresses in brackets, which are brought
    to their canonical form (RFC 5952).
    """
    if text.isascii():
        domain = text.lower().removesuffix(".")
        if _ASCII_DOMAIN.fullmatch(domain):
            return domain
    return _prepare_domain_with_care(text)


def domain_to_ascii(domain: str) -> str:
    """The domain as DNS and certificates spell it: A-labels for U-labels, no trailing dot.

    IP addresses stay as they are, an IPv6 address in its brackets.
    """
    prepared = prepare_domain(domain)
    if prepared.isascii():
        return prepared
    import idna  # takes 4 ms, and few need it

    return ".".join(idna.alabel(label).decode("ascii") for label in prepared.split("."))


def _parse(text: str) -> JID:
    # Separators are looked for before anything is mapped, for mapping can make some,
    # and the '/' first, for a resource may hold an '@' (RFC 7622, 3.1 and 3.2).
    address, slash, resource = text.partition("/")
    before, at, after = address.partition("@")
    if at:
        localpart, domain = prepare_localpart(before), prepare_domain(after)
    else:
        localpart, domain = "", prepare_domain(address)
    return JID._from_prepared(localpart, domain, prepare_resource(resource) if slash else "")


_parse_cached = lru_cache(_CACHED_JIDS)(_parse)


@cache
def _profiles() -> tuple[Profile, Profile]:
    """The PRECIS profiles of localpart and resource."""
    from precis_i18n import get_profile  # takes 4 ms, and few need it

    return get_profile("UsernameCaseMapped"), get_profile("OpaqueString")


def _enforce(part: str, profile: Profile, text: str) -> str:
    """Do what `profile.enforce` does, in time proportional to the length of `text`."""
    # No mapping makes fewer than two octets out of three characters, so this refuses
    # nothing that could have become short enough; it spares us the work on the rest.
    if len(text) > 2 * MAX_PART_OCTETS:
        _refuse_long(part, text)
    try:
        prepared = profile.apply_five_rules(text)
        if len(prepared.encode()) > MAX_PART_OCTETS:
            _refuse_long(part, text)
        if not prepared:
            raise JIDError(f"The {part} is empty.")
        # For each character they govern, these rules search all the others: 35 ms for
        # one resource of 340 katakana dots. One character of each kind is enough to ask
        # about; the letter 'a' in place of the rest satisfies no rule of a neighbour.
        asked = prepared
        for kind in _WHOLE_STRING_RULES:
            if first := kind.search(asked):
                asked = asked[: first.end()] + kind.sub("a", asked[first.end() :])
        profile.base.enforce(asked)
        stable = profile.apply_five_rules(prepared) == prepared
    except UnicodeEncodeError as error:
        if error.end - error.start == 1:
            what = f"has {_named(error.object[error.start])}, which is not allowed there"
        else:
            what = "mixes writing directions in a way that is not allowed"
        raise JIDError(f"The {part} {_shown(text)} {what}.") from error
    if not stable:
        raise JIDError(f"The {part} {_shown(text)} has no stable form.")
    return prepared


@lru_cache(_CACHED_DOMAINS)
def _prepare_domain_with_care(text: str) -> str:
    if text.startswith("["):
        return _prepare_ipv6(text)
    import idna  # takes 4 ms, and few need it

    try:
        # UTS 46 does the mapping that RFC 7622 wants, of case, width and the ideographic
        # full stops too, so the trailing dot is not to be seen before.
        mapped = idna.uts46_remap(text).removesuffix(".")
        if not mapped:
            raise JIDError("The domain is empty.")
        labels = mapped.split(".")
        # A U-label has fewer characters than its A-label: see that before the work.
        if len(mapped) > MAX_DOMAIN_OCTETS or max(map(len, labels)) > MAX_LABEL_OCTETS:
            _refuse_long("domain", text)
        labels = [idna.ulabel(label) for label in labels]
        if sum(len(idna.alabel(label)) + 1 for label in labels) - 1 > MAX_DOMAIN_OCTETS:
            _refuse_long("domain", text)
        domain = ".".join(labels)
        if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in domain):
            # One right-to-left label binds all the others (RFC 5893, 2).
            for label in labels:
                idna.check_bidi(label, check_ltr=True)
    except idna.IDNAError as error:
        if error.codepoint is None:
            what = f"is not a domain name ({error})"
        else:
            what = f"has {_named(chr(error.codepoint))}, which is not allowed there"
        raise JIDError(f"The domain {_shown(text)} {what}.") from error
    if _NUMBER.fullmatch(labels[-1]):
        return _prepare_ipv4(domain)
    return domain


def _prepare_ipv4(domain: str) -> str:
    """No top-level domain is a number (RFC 1123, 2.1).

    Resolvers take "127.1", "0x7f000001" and "2130706433" for 127.0.0.1; these are
    refused, so that one address has one text and access rules see what it is.
    """
    import ipaddress

    try:
        return str(ipaddress.IPv4Address(domain))
    except ValueError as error:
        raise JIDError(
            f"The domain {_shown(domain)} ends in a number and is not an IPv4 address."
        ) from error


def _prepare_ipv6(text: str) -> str:
    import ipaddress

    literal = text[1:-1]
    try:
        # The scope ("%eth0") means something on one machine only (RFC 4007, 6).
        if not text.endswith("]") or "%" in literal:
            raise ValueError(literal)
        address = ipaddress.IPv6Address(literal)
    except ValueError as error:
        raise JIDError(f"The domain {_shown(text)} is not an IPv6 address in brackets.") from error
    # Not every Python writes these so, and an address may outlive the one that stored it.
    if address.ipv4_mapped:
        return f"[::ffff:{address.ipv4_mapped}]"
    return f"[{address}]"


def _refuse_long(part: str, text: str) -> NoReturn:
    if part == "domain":
        limits = f"{MAX_DOMAIN_OCTETS} octets in all and {MAX_LABEL_OCTETS} in each label"
    else:
        limits = f"{MAX_PART_OCTETS} octets"
    raise JIDError(f"The {part} {_shown(text)} is too long: the limit is {limits}.")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}…"


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()
