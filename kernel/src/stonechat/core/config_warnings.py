"""What is no fault in a configuration and yet hardly meant, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stonechat.core.config_check import mapping
from stonechat.core.config_faults import Faults, Path, Places
from stonechat.core.config_types import HostConfiguration
from stonechat.errors import JIDError
from stonechat.jid import prepare_domain

# Where a peer needs no certificate, its domain is proven by this plugin (XEP-0220). One of
# another name may do the same, so that it is missing is no fault.
DIALBACK = "dialback"
LOOSE = ("dialback", "any")


def unproven(
    places: Places, data: Mapping[str, Any], hosts: Mapping[str, HostConfiguration]
) -> list[str]:
    """Where a domain is trusted without a certificate, on a host that has no dialback."""
    found: dict[Path, list[str]] = {}
    for name, given in mapping(data.get("hosts")).items():
        try:
            host = hosts[prepare_domain(name)]
        except (KeyError, JIDError):
            continue
        if not host.federation.enabled or DIALBACK in host.plugins:
            continue
        own: Path = ("hosts", name, "federation")
        layers = [
            (own, mapping(given).get("federation")),
            (("federation",), data.get("federation")),
        ]
        for path in _loose(layers):
            found.setdefault(path, []).append(host.domain)
    warnings = Faults(places)
    for path, domains in found.items():
        warnings.add(
            path,
            f"a certificate is wanted all the same, for {', '.join(domains)} has no plugin"
            f" {DIALBACK}",
        )
    return warnings.lines


def _loose(layers: Sequence[tuple[Path, Any]]) -> Iterator[Path]:
    """The places of what holds; the first layer that has an option counts."""
    for option in ("trust", "domains"):
        for base, section in layers:
            value = mapping(section).get(option)
            if value is None:
                continue
            if value in LOOSE:
                yield (*base, option)
            for domain, rule in mapping(value).items():
                if mapping(rule).get("trust") in LOOSE:
                    yield (*base, option, domain, "trust")
            break
