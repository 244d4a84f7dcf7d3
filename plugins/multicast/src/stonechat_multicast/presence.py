"""Whom presence has gone to through the service, so that they hear of its end.

XEP-0033, "Directed Presence": who has got available presence gets the unavailable one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from stonechat.errors import StanzaError
from stonechat.jid import JID

# Of senders on other servers, who need not ever say that they are gone: pairs of sender
# and addressee, for one of their domains, and in all.
MAX_OF_DOMAIN = 10_000
MAX_REMOTE = 100_000


class Shown:
    """For each sender, the addresses that have its available presence."""

    def __init__(self, domain: str, max_addresses: int) -> None:
        self._domain = domain
        self._max_addresses = max_addresses
        self._senders: dict[JID, dict[JID, None]] = {}
        self._remote: Counter[str] = Counter()
        self._all_remote = 0

    def add(self, sender: JID, addresses: Iterable[JID]) -> None:
        """Presence goes to these, too; resource-constraint where they are too many."""
        known = self._senders.get(sender, {})
        new = [jid for jid in addresses if jid not in known]
        is_remote = sender.domain != self._domain
        # Were it let through, nobody would tell them of the end.
        if len(known) + len(new) > self._max_addresses or (
            is_remote
            and (
                self._remote[sender.domain] + len(new) > MAX_OF_DOMAIN
                or self._all_remote + len(new) > MAX_REMOTE
            )
        ):
            if not self._remote[sender.domain]:
                del self._remote[sender.domain]
            raise StanzaError("resource-constraint", "This goes to too many addresses at once.")
        if not new:
            return
        self._senders.setdefault(sender, {}).update(dict.fromkeys(new))
        if is_remote:
            self._remote[sender.domain] += len(new)
            self._all_remote += len(new)

    def has(self, sender: JID, address: JID) -> bool:
        """Whether a sender has shown itself to an address, and is not gone since."""
        return address in self._senders.get(sender, ())

    def also(self, sender: JID, service: JID) -> None:
        """Presence went to the multicast service of some of them, which has to hear the end."""
        if (known := self._senders.get(sender)) is not None and service not in known:
            known[service] = None
            if sender.domain != self._domain:
                self._remote[sender.domain] += 1
                self._all_remote += 1

    def end_all(self) -> Iterator[tuple[JID, list[JID]]]:
        """All senders, as if they were gone, and who has to hear of it."""
        while self._senders:
            sender = next(iter(self._senders))
            yield sender, self.end(sender)

    def end(self, sender: JID) -> list[JID]:
        """A sender is gone: who has to hear of it."""
        known = self._senders.pop(sender, {})
        if known and sender.domain != self._domain:
            self._remote[sender.domain] -= len(known)
            if not self._remote[sender.domain]:
                del self._remote[sender.domain]
            self._all_remote -= len(known)
        return list(known)
