"""Messages on their way to another server's spool, and from one (XEP-0227)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stonechat import timestamps
from stonechat.errors import JIDError, XMLError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY
from stonechat.plugin import Imported
from stonechat.portable import NS_PIE, Count, parts_of
from stonechat.stanza import Element, Message, Stanza
from stonechat_offline.spool import Spool
from stonechat_offline.stamps import stamp

OFFLINE_MESSAGES = f"{NS_PIE} offline-messages"


@dataclass(frozen=True)
class Given:
    """A message from elsewhere: when it was stored there, 0 if nobody knows."""

    element: Element
    octets: bytes
    stored_at: int
    domain: str

    def is_in(self, octets: bytes) -> bool:
        """Whether these are the same message, however they are written."""
        other = Stanza.from_bytes(octets).element.copy()
        _time_of(other, self.domain)
        return other == self.element


def export(spool: Spool, account: JID) -> Iterator[Element]:
    """What waits for an account, the oldest first, a page at a time."""
    # Some were sent long ago: XEP-0227 has one of 1469.
    last = (-(2**62), 0)
    while page := spool.after(account.localpart, last):
        messages = []
        for kept in page:
            last = (kept.stored_at, kept.id)
            message = Stanza.from_bytes(kept.stanza)
            assert isinstance(message, Message)
            stamp(message, account.domain, kept.stored_at, "Offline Storage")
            messages.append(message.element)
        yield from parts_of(Element(NS_PIE, "offline-messages"), messages)


def take(
    spool: Spool, account: JID, element: Element, limits: tuple[int, int], now: int, dry_run: bool
) -> Imported | None:
    """Messages for the spool; those that are in it already are known by their time and text."""
    if element.qualified_name != OFFLINE_MESSAGES:
        return None
    count = Count()
    given = [found for child in element.elements if (found := _read(child, account, count))]
    kept, known = spool.add(account.localpart, given, limits, now, dry_run=dry_run)
    count.kept, count.known = kept, known
    count.lose("a message for which there is no room", len(given) - kept - known)
    return count.total()


def _read(element: Element, account: JID, count: Count) -> Given | None:
    if element.qualified_name != f"{NS_CLIENT} message":
        count.lose(f"<{element.name}/> among the messages")
        return None
    tree = element.copy()
    if not tree.get("from"):
        tree.set("from", account.domain)
    try:
        to = JID.parse(tree.get("to") or account.text)
        JID.parse(tree.get("from"))
    except JIDError:
        count.lose("a message with an address that is none")
        return None
    if to.bare != account or not tree.get("to"):
        tree.set("to", account.text)
    stored_at = _time_of(tree, account.domain)
    try:
        octets = Stanza.from_element(tree).to_bytes()
        # As it will be read when it is compared with what comes another time.
        return Given(Stanza.from_bytes(octets).element, octets, stored_at, account.domain)
    except (XMLError, ValueError):
        count.lose("a message that is malformed")
        return None


def _time_of(tree: Element, domain: str) -> int:
    """When a message was stored. Our own server's word for it goes: it is added on the way out."""
    own = others = 0
    for mark in list(tree.find_all("delay", NS_DELAY)):
        try:
            moment = timestamps.read(mark.get("stamp"))
        except ValueError:
            continue
        if mark.get("from") == domain and not own:
            own = moment
            tree.remove(mark)
        else:
            others = max(others, moment)
    return own or others
