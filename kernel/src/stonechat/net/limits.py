"""How many connections an address may have, and how fast it may open them.

Strangers must not be able to use up the server: connections that have not
authenticated are counted per address and in all, and where one too many comes the
oldest of them goes. Nothing here grows without a bound.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Generic, TypeVar

_MAPPED_IPV4 = b"\0" * 10 + b"\xff\xff"
_REMEMBERED_RATES = 10_000
# A household comes back at once when its line does: so many may come at any rate.
BURST = 50.0

ConnectionT = TypeVar("ConnectionT")


class Refusal(Enum):
    """Why a new connection is closed at once."""

    CONNECTIONS = "too many connections from this address"
    RATE = "connections from this address come too fast"


class _Group(Generic[ConnectionT]):
    """What one address has open; addresses of one IPv6 network count as one."""

    __slots__ = ("connections", "key", "strangers")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.connections = 0
        self.strangers: OrderedDict[Admission[ConnectionT], None] = OrderedDict()


class Admission(Generic[ConnectionT]):
    """One admitted connection's place in the books. Keep it, and close it at the end.

    `evicted` is the older connection that has to go for this one: close it.
    """

    __slots__ = ("_group", "_limits", "_stranger", "evicted")

    def __init__(
        self,
        limits: AddressLimits[ConnectionT],
        group: _Group[ConnectionT] | None,
        connection: ConnectionT,
    ) -> None:
        self._limits: AddressLimits[ConnectionT] | None = limits
        self._group = group
        # Both held only while this one is a stranger: nothing is kept for a session's life.
        self._stranger: ConnectionT | None = connection
        self.evicted: ConnectionT | None = None

    def authenticated(self) -> None:
        """The peer is no stranger any more: it will not be evicted."""
        if self._limits is not None:
            self._limits._forget_stranger(self)

    def close(self) -> None:
        """The connection is gone, or soon will be. Further calls do nothing."""
        if self._limits is not None:
            self._limits._forget(self)
            self._limits = self._group = None


class AddressLimits(Generic[ConnectionT]):
    """The books of one node. A limit of 0 is none.

    Addresses in the networks of `exempt`, such as a load balancer's, have no limits of
    their own; their strangers still count among all strangers.
    """

    def __init__(
        self,
        *,
        connections_per_address: int = 0,
        strangers_per_address: int = 100,
        strangers: int = 5_000,
        rate_per_second: float = 0.0,
        exempt: Iterable[IPv4Network | IPv6Network] = (),
    ) -> None:
        self.change(
            connections_per_address=connections_per_address,
            strangers_per_address=strangers_per_address,
            strangers=strangers,
            rate_per_second=rate_per_second,
            exempt=exempt,
        )
        self._groups: dict[bytes, _Group[ConnectionT]] = {}
        self._strangers: OrderedDict[Admission[ConnectionT], None] = OrderedDict()
        self.connection_count = 0
        """Connections that were admitted and are still there."""
        # Group -> (tokens left, when). Least recently seen first.
        self._rates: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def change(
        self,
        *,
        connections_per_address: int,
        strangers_per_address: int,
        strangers: int,
        rate_per_second: float,
        exempt: Iterable[IPv4Network | IPv6Network],
    ) -> None:
        """Set other limits, for connections that come from now on."""
        self._connections_per_address = connections_per_address
        self._strangers_per_address = strangers_per_address
        self._strangers_limit = strangers
        self._rate = rate_per_second
        self._exempt = tuple(exempt)

    @property
    def stranger_count(self) -> int:
        """Connections that have not authenticated yet."""
        return len(self._strangers)

    def admit(
        self, address: str, connection: ConnectionT, now: float
    ) -> Admission[ConnectionT] | Refusal:
        """Enter a new connection from `address`, at `now` on a monotonic clock."""
        key = address_group(address)
        if not key or self._is_exempt(address):
            group = None
        else:
            if self._rate and not self._take_token(key, now):
                return Refusal.RATE
            group = self._groups.get(key) or _Group(key)
            limit = self._connections_per_address
            if limit and group.connections >= limit:
                return Refusal.CONNECTIONS
            group.connections += 1
            self._groups[key] = group
        admission = Admission(self, group, connection)
        oldest = self._oldest_too_many(group)
        if oldest is not None:
            admission.evicted = oldest._stranger
            oldest.close()
        self.connection_count += 1
        self._strangers[admission] = None
        if group is not None:
            group.strangers[admission] = None
        return admission

    def _oldest_too_many(self, group: _Group[ConnectionT] | None) -> Admission[ConnectionT] | None:
        limit = self._strangers_per_address
        if limit and group is not None and len(group.strangers) >= limit:
            return next(iter(group.strangers))
        if self._strangers_limit and len(self._strangers) >= self._strangers_limit:
            return next(iter(self._strangers))
        return None

    def _take_token(self, key: bytes, now: float) -> bool:
        level, then = self._rates.pop(key, (BURST, now))
        level = min(BURST, level + max(now - then, 0.0) * self._rate)
        allowed = level >= 1.0
        self._rates[key] = (level - 1.0 if allowed else level, now)
        if len(self._rates) > _REMEMBERED_RATES:
            self._rates.popitem(last=False)
        return allowed

    def _is_exempt(self, address: str) -> bool:
        if not self._exempt:
            return False
        parsed = ip_address(address.partition("%")[0])
        if parsed.version == 6 and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._exempt)

    def _forget_stranger(self, admission: Admission[ConnectionT]) -> None:
        admission._stranger = admission.evicted = None
        self._strangers.pop(admission, None)
        if admission._group is not None:
            admission._group.strangers.pop(admission, None)

    def _forget(self, admission: Admission[ConnectionT]) -> None:
        self._forget_stranger(admission)
        self.connection_count -= 1
        group = admission._group
        if group is not None:
            group.connections -= 1
            if not group.connections:
                del self._groups[group.key]


def address_group(address: str) -> bytes:
    """The part of an address that tells one customer from another.

    All four octets of IPv4, also where it comes as IPv6 (`::ffff:192.0.2.1`), and the
    first eight of IPv6, for a /64 is what one customer gets at least (RFC 6177). Empty
    for what is no IP address, the name of a Unix socket for example.
    """
    try:
        if ":" not in address:
            return socket.inet_pton(socket.AF_INET, address)
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return b""
    return packed[12:] if packed.startswith(_MAPPED_IPV4) else packed[:8]
