"""Where a domain's server may be (RFC 6120, 3.2; XEP-0368), and at which addresses."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Final, Literal, NamedTuple

from stonechat.errors import StonechatError
from stonechat.jid import domain_to_ascii
from stonechat.net.dns_cache import DnsCache, Outcome
from stonechat.net.dns_client import Answer, Kind, Unavailable, ask
from stonechat.net.dns_servers import SystemFiles, name_server
from stonechat.net.srv_order import Choice, Target, in_order

__all__ = ["FAMILIES", "Family", "NotFound", "Resolver", "Service", "Target", "Unavailable"]

Family = Literal["ipv6", "ipv4"]

# The first is preferred (RFC 8305, 4).
FAMILIES: Final[tuple[Family, ...]] = ("ipv6", "ipv4")
_KINDS: Final[dict[Family, Kind]] = {"ipv6": "AAAA", "ipv4": "A"}

SERVER_PORT: Final = 5269

# How long records that came wait for what was asked beside them: enough to ask once more
# where a packet was lost. Some name servers swallow questions that they do not know.
PATIENCE = 2.0

# Each is a connection that a stranger makes us try.
MAX_TARGETS = 16
MAX_ADDRESSES = 16


class NotFound(StonechatError):
    """There is no such service: the domain says so, or DNS knows neither it nor its address."""


class Service(NamedTuple):
    """What a domain says of one of the two ways to its server."""

    name: str
    tls: bool
    outcome: Outcome

    @property
    def choices(self) -> list[Choice]:
        """The places that it names."""
        if isinstance(self.outcome, Unavailable):
            return []
        return [
            Choice(Target(record.host, record.port, self.tls), record.priority, record.weight)
            for record in self.outcome.records
            if record.host and record.port
        ]

    @property
    def is_refused(self) -> bool:
        """Whether it says that this way is none: by the target "." (RFC 2782)."""
        is_said = isinstance(self.outcome, Answer) and bool(self.outcome.records)
        return is_said and not self.choices


class Resolver:
    """Asks DNS, and remembers what it says. Blocks the greenlet, never the hub.

    `servers` are addresses such as `127.0.0.1`, `127.0.0.1:5353` and `[::1]:53`. If there are
    none, the system's are asked, and what stands in its file of hosts counts too.
    """

    def __init__(
        self, servers: Sequence[str] = (), *, timeout: float = 5.0, now: Callable[[], float]
    ) -> None:
        self._servers = tuple(map(name_server, servers))
        self._system = SystemFiles()
        self._timeout = timeout
        self._cache = DnsCache(self._ask, now)

    def targets(self, domain: str) -> list[Target]:
        """Where the server of a domain, written as in a JID, may be: in the order to try.

        NotFound if the domain says that it has none, Unavailable if nobody can say.
        """
        host = domain_to_ascii(domain)
        address = host.removeprefix("[").removesuffix("]")
        if _is_address(address):
            return [Target(address, SERVER_PORT, tls=False)]
        plain, direct = self.services(host)
        targets = in_order(plain.choices + direct.choices, secrets.randbelow)
        if found := list(dict.fromkeys(targets)):
            return found[:MAX_TARGETS]
        # RFC 6120, 3.2.1 would go on with the domain's own addresses if nobody answers; but
        # it may have said that its server is elsewhere, and soon we can ask again. Of direct
        # TLS that RFC knows nothing: without an answer on it there is still the usual way.
        if isinstance(plain.outcome, Unavailable):
            raise _again(plain.outcome)
        if plain.is_refused and isinstance(direct.outcome, Unavailable):
            raise _again(direct.outcome)
        if plain.is_refused or direct.is_refused:
            # Its own addresses must not be tried (XEP-0368, Implementation Notes).
            raise NotFound(f"{host} says that it has no XMPP server")
        return [Target(host, SERVER_PORT, tls=False)]  # RFC 6120, 3.2.2

    def services(self, host: str) -> tuple[Service, Service]:
        """What a domain in its A-label form publishes: for STARTTLS, and for direct TLS."""
        names = [f"_{service}._tcp.{host}" for service in ("xmpp-server", "xmpps-server")]
        outcomes = self._cache.outcomes([(name, "SRV") for name in names], PATIENCE)
        plain, direct = zip(names, outcomes, strict=True)
        return Service(plain[0], False, plain[1]), Service(direct[0], True, direct[1])

    def addresses(self, host: str, families: Sequence[Family] = FAMILIES) -> list[str]:
        """The addresses of a target's host, those of the families by turns (RFC 8305, 4).

        NotFound if it has none, Unavailable if nobody can say.
        """
        is_address = _is_address(host)
        if is_address:
            known: Sequence[str] = [host]
        else:
            known = () if self._servers else self._system.addresses(host)
        found = _by_turns([_of_family(known, family) for family in families])
        if not found and not is_address:
            outcomes = self.address_records(host, families)
            found = _by_turns([_hosts(outcome) for outcome in outcomes])
            failures = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
            if failures and not found:
                raise _again(failures[0])
        if not found:
            raise NotFound(f"{host} has no address ({' or '.join(families)})")
        return found[:MAX_ADDRESSES]

    def address_records(self, host: str, families: Sequence[Family] = FAMILIES) -> list[Outcome]:
        """What DNS says of a host's addresses, for each of the families."""
        return self._cache.outcomes([(host, _KINDS[family]) for family in families], PATIENCE)

    def _ask(self, name: str, kind: Kind) -> Answer:
        return ask(self._servers or self._system.servers, name, kind, self._timeout)


def _again(failure: Unavailable) -> Unavailable:
    """One of its own for each who asks, for an exception that is raised grows."""
    return Unavailable(*failure.args)


def _hosts(outcome: Outcome) -> list[str]:
    return [record.host for record in outcome.records] if isinstance(outcome, Answer) else []


def _by_turns(lists: Iterable[Iterable[str]]) -> list[str]:
    found = chain.from_iterable(zip_longest(*lists))
    return list(dict.fromkeys(filter(None, found)))


def _of_family(addresses: Iterable[str], family: Family) -> list[str]:
    return [address for address in addresses if (":" in address) == (family == "ipv6")]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
