"""How often an address may try to register."""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# Of more addresses than these the one that came first is forgotten. Who has so many
# can register so many accounts anyhow.
MAX_ADDRESSES = 10_000

# The network that one customer gets; it has more addresses than we could count.
_IPV6_PREFIX = 64


class AttemptLimit:
    """Counts attempts by address within a period that begins with the first of them.

    A limit of 0 is none. `clock` gives seconds, and never jumps.
    """

    def __init__(self, limit: int, period: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._period = period
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # until when, how many

    def take(self, address: str) -> bool:
        """Count an attempt; False if there were too many."""
        if not self._limit:
            return True
        group = address_group(address)
        now = self._clock()
        until, count = self._counts.get(group, (now, 0))
        if now >= until:
            self._counts.pop(group, None)  # it goes to the end of the line
            until, count = now + self._period, 0
        if count >= self._limit:
            return False
        self._counts[group] = (until, count + 1)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)
        return True


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address of a stream; None where it has none, as on a Unix socket."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows IPv4 clients inside IPv6.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def address_group(text: str) -> str:
    """What counts as one: an IPv4 address, or an IPv6 network."""
    address = plain_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))
    return str(address)
