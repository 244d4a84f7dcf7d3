"""What a roster is made of: items, and the requests that wait for the account's answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.xml import Element
from stonechat_roster.states import APPROVED, BOTH, FROM, IN, NONE, OUT, SUBSCRIPTIONS, TO


class Item(NamedTuple):
    """One contact, as the account's clients know it (RFC 6121, 2.1.2).

    `state` never has the bit `IN`: whether the contact waits for an answer is kept
    apart, because contacts who do need not be in the roster. `changed` is the version
    of the roster that this form of the item came with.
    """

    jid: JID
    name: str = ""
    groups: tuple[str, ...] = ()
    state: int = NONE
    changed: int = 0

    @property
    def subscription(self) -> str:
        """none, to, from or both."""
        return SUBSCRIPTIONS[self.state & BOTH]

    @property
    def is_asking(self) -> bool:
        """Whether the account has asked for a subscription and waits."""
        return bool(self.state & OUT)

    @property
    def is_approved(self) -> bool:
        """Whether the contact may subscribe without being asked about."""
        return bool(self.state & APPROVED)

    def to_element(self) -> Element:
        """The item as it goes to a client."""
        element = Element(NS_ROSTER, "item", {"jid": self.jid.text})
        attributes = element.attributes
        if self.name:
            attributes["name"] = self.name
        attributes["subscription"] = SUBSCRIPTIONS[self.state & BOTH]
        if self.state & OUT:
            attributes["ask"] = "subscribe"
        if self.state & APPROVED:
            attributes["approved"] = "true"
        for group in self.groups:
            element.add("group", group)
        return element


class Roster:
    """The roster of one account at one moment; never changed, only replaced.

    So whoever walks through it, and lets others run meanwhile, sees one state of it.
    `requests` are the contacts who wait for an answer. `floor` is the oldest version
    from which a client can be brought up to date by pushes alone.
    """

    __slots__ = ("_sources", "_watchers", "floor", "items", "requests", "version")

    def __init__(
        self,
        items: Mapping[JID, Item],
        requests: frozenset[JID],
        version: int,
        floor: int,
    ) -> None:
        self.items = items
        self.requests = requests
        self.version = version
        self.floor = floor
        self._watchers: tuple[JID, ...] | None = None
        self._sources: tuple[JID, ...] | None = None

    @property
    def own(self) -> Roster:
        """What the account itself has in it, without what is shared with it (sharing.py)."""
        return self

    @property
    def shared(self) -> Iterable[str]:
        """The localparts of those who see the account, and it them, by what is shared."""
        return ()

    @property
    def suffix(self) -> str:
        """What the text of the version has for what is shared, or `""`."""
        return ""

    def item(self, contact: JID) -> Item | None:
        """The item of a contact, by its bare JID."""
        return self.items.get(contact)

    def contacts(self) -> Iterable[Item]:
        """All items, as they are now, however long one takes to walk through them."""
        return self.items.values()

    @property
    def size(self) -> int:
        """How many items there are, or somewhat more."""
        return len(self.items)

    def is_as(self, other: Roster) -> bool:
        """Whether nothing has changed between two looks at a roster."""
        return self is other

    def state(self, contact: JID) -> int:
        """The state of the subscriptions between the account and a contact."""
        item = self.items.get(contact)
        state = NONE if item is None else item.state
        if contact in self.requests and not state & FROM:
            state |= IN
        return state

    def grants(self, contact: JID) -> bool:
        """Whether a contact, by its bare JID, may see the account's presence."""
        item = self.items.get(contact)
        return item is not None and item.state & FROM != 0

    @property
    def watchers(self) -> tuple[JID, ...]:
        """The contacts who see the account's presence."""
        if self._watchers is None:
            self._watchers = tuple(i.jid for i in self.items.values() if i.state & FROM)
        return self._watchers

    def unanswered(self, until: int) -> Iterator[Item]:
        """The items of contacts who were asked, and nothing changed since that moment."""
        return (i for i in self.items.values() if i.state & OUT and i.changed <= until)

    @property
    def sources(self) -> tuple[JID, ...]:
        """The contacts whose presence the account sees."""
        if self._sources is None:
            self._sources = tuple(i.jid for i in self.items.values() if i.state & TO)
        return self._sources


# Most accounts without contacts never had any: they share one roster, which costs
# an idle session of theirs nothing.
BLANK = Roster({}, frozenset(), 0, 0)


def query_element(version: str, *items: Element) -> Element:
    """The payload of results and pushes. A version is opaque to clients (2.1.1)."""
    return Element(NS_ROSTER, "query", {"ver": version}, *items)


def version_text(version: int, suffix: str = "") -> str:
    """A version as clients see it."""
    return f"{version:x}.{suffix}" if suffix else f"{version:x}"


def read_version(text: str) -> tuple[int, str] | None:
    """The version that a client remembers, and its suffix; None if it cannot be one of ours."""
    number, _, suffix = text.partition(".")
    if not 0 < len(number) <= 16 or not set(number) <= _HEXADECIMAL:
        return None
    return int(number, 16), suffix


_HEXADECIMAL = frozenset("0123456789abcdef")
