"""Access rules: who may do what, by account, by domain and by network address.

    access:
      admin: {users: [admin@capulet.example], addresses: [127.0.0.0/8, "::1"]}
      announce: {hosts: [capulet.example], deny: {users: [tybalt@capulet.example]}}

A rule allows somebody if all of these hold:

1. `deny` names neither their account, nor their domain, nor their address.
2. The rule says who: `any: true`, or their account is in `users`, or their
   domain in `hosts`. A rule with `addresses` and none of these means anybody there.
3. If the rule has `addresses`, theirs is in one of them.

What a rule looks at must be known: without an account nobody passes a rule about
accounts or domains, and without an address nobody passes one about addresses, in
`deny` too. A rule without content allows nobody, and neither does one that nobody
has written. Accounts are compared without their resource; a domain does not include
its subdomains. A host's own rule takes the place of the global one of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

from stonechat.jid import JID
from stonechat.options import BareJID, Domain, Network, PluginOptions, option


class Deny(PluginOptions):
    """Whom a rule never allows."""

    users: frozenset[BareJID] = option(frozenset(), "Accounts that are refused.")
    hosts: frozenset[Domain] = option(frozenset(), "Domains whose accounts are refused.")
    addresses: tuple[Network, ...] = option((), "Addresses that are refused.")

    def matches(self, jid: JID | None, place: IPv4Address | IPv6Address | None) -> bool:
        """Whether they are among the refused; who cannot be told apart from them is."""
        if self.addresses and (place is None or _is_within(place, self.addresses)):
            return True
        if not self.users and not self.hosts:
            return False
        return jid is None or jid.bare in self.users or jid.domain in self.hosts


class AccessRule(PluginOptions):
    """One rule under `access`."""

    any: bool = option(False, "Allow everybody that the rest of the rule does not exclude.")
    users: frozenset[BareJID] = option(frozenset(), "Accounts that are allowed.")
    hosts: frozenset[Domain] = option(frozenset(), "Domains whose accounts are allowed.")
    addresses: tuple[Network, ...] = option((), "Where a request must come from.")
    deny: Deny = option(Deny(), "Who is refused whatever the rest of the rule says.")

    def allows(self, jid: JID | None, address: str | None) -> bool:
        place = _parse(address)
        if self.deny.matches(jid, place):
            return False
        if self.addresses and (place is None or not _is_within(place, self.addresses)):
            return False
        if self.any:
            return True
        if self.users or self.hosts:
            return jid is not None and (jid.bare in self.users or jid.domain in self.hosts)
        return bool(self.addresses)


class AccessRules:
    """The rules that hold on a host, or on the node."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[str, AccessRule] | None = None) -> None:
        self._rules = dict(rules or {})

    def allows(self, rule: str, jid: JID | None, address: str | None = None) -> bool:
        """Whether `rule` lets them; a rule that nobody has written lets nobody."""
        found = self._rules.get(rule)
        return found is not None and found.allows(jid, address)

    def overridden_by(self, rules: Mapping[str, AccessRule]) -> AccessRules:
        """These rules, with those of a host in place of the ones of the same name."""
        return AccessRules({**self._rules, **rules})

    @property
    def rules(self) -> Mapping[str, AccessRule]:
        return MappingProxyType(self._rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccessRules) and self._rules == other._rules

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"AccessRules({self._rules!r})"


def _parse(address: str | None) -> IPv4Address | IPv6Address | None:
    """The address; None if it is not known, as on a Unix socket."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    # A listener for both families shows IPv4 clients as ::ffff:192.0.2.1.
    return (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped) or parsed


def _is_within(place: IPv4Address | IPv6Address, networks: tuple[Network, ...]) -> bool:
    return any(place in network for network in networks)
