"""Whom a host speaks to over federation, and what that domain has to show for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stonechat.core.config_model import HostFederation, RemoteDomains
    from stonechat.federation import Trust


def trust_in(federation: HostFederation, remote: str) -> Trust | None:
    """What a host wants of a remote domain; None if the two do not speak.

    The rule that fits best counts: one for the very domain, else the one for the subdomains
    of the longest domain. What it leaves open is as for all others.
    """
    if not federation.enabled:
        return None
    rule = _rule(federation, remote)
    if rule is None:
        return federation.trust if federation.access == "allow" else None
    if (rule.access or federation.access) == "deny":
        return None
    return rule.trust or federation.trust


def _rule(federation: HostFederation, remote: str) -> RemoteDomains | None:
    domains = federation.domains
    if not domains:
        return None
    found = (domains.get(name) for name in (remote, *_wildcards(remote)))
    return next((rule for rule in found if rule is not None), None)


def _wildcards(domain: str) -> Iterator[str]:
    """What stands for a domain's name and others, the longest first."""
    while domain := domain.partition(".")[2]:
        yield f"*.{domain}"
