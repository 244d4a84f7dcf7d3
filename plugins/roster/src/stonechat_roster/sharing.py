"""What is shared with accounts: groups whose members are in each other's rosters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain
from weakref import WeakKeyDictionary

from stonechat.jid import JID
from stonechat.plugin import SharedContacts, SharedGroup
from stonechat_roster.items import Item, Roster
from stonechat_roster.states import BOTH, FROM, OUT, TO

# No suffix of a version that is true looks like this: whoever comes with it gets the whole
# roster.
INCOMPLETE = "0"

# Of which plugin, whether it is shown, and its name.
Key = tuple[int, bool, str]


class Sharing:
    """What is shared with all accounts of the same groups; never changed, only replaced.

    `answers` are what it was made of: it is found by their identity, and so keeps them.
    """

    __slots__ = ("__weakref__", "_answers", "_distinct", "_groups", "_shown", "_suffix")

    def __init__(
        self, groups: Mapping[Key, SharedGroup], answers: tuple[SharedContacts, ...] = ()
    ) -> None:
        self._groups = groups
        self._answers = answers
        self._shown = tuple(group for (_, shown, _), group in groups.items() if shown)
        # The same group may be shown and be seen by its members.
        self._distinct = tuple(dict.fromkeys(groups.values()))
        self._suffix: str | None = None

    def has(self, localpart: str) -> bool:
        """Whether there is anything between its accounts and another account."""
        return any(localpart in group.members for group in self._distinct)

    def __iter__(self) -> Iterator[str]:
        """The localparts of all for whom `has` is true, once each."""
        if len(self._distinct) == 1:
            return iter(self._distinct[0].members)
        return iter(dict.fromkeys(chain.from_iterable(g.members for g in self._distinct)))

    @property
    def size(self) -> int:
        """How many contacts are shown; who is in two groups counts twice."""
        return sum(len(group.members) for group in self._shown)

    def entry(self, localpart: str) -> tuple[str, tuple[str, ...]] | None:
        """The name of a contact that is shown and its groups; None if it is not."""
        found = [group for group in self._shown if localpart in group.members]
        if not found:
            return None
        name = next(filter(None, (group.members[localpart] for group in found)), "")
        return name, tuple(dict.fromkeys(group.label for group in found))

    def entries(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """The entries of all contacts that are shown."""
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        for group in self._shown:
            # Most are in one group and have no name: they have one entry in common.
            plain = ("", (group.label,))
            for localpart, name in group.members.items():
                before = found.get(localpart)
                if before is None:
                    found[localpart] = (name, plain[1]) if name else plain
                else:
                    labels = tuple(dict.fromkeys((*before[1], group.label)))
                    found[localpart] = (before[0] or name, labels)
        return found

    @property
    def suffix(self) -> str:
        """The same for the same content, also after a restart; `""` for nothing.

        It is made of what there is, and not counted, so that a login has nothing to write,
        and accounts that a directory has lost overnight are noticed.
        """
        if self._suffix is None:
            digest = hashlib.blake2b(digest_size=10)
            for (_, shown, _), group in self._groups.items():
                digest.update(b"%d" % shown + _digest(group))
            self._suffix = digest.hexdigest() if self._groups else ""
        return self._suffix

    def differences(self, other: Sharing) -> set[str]:
        """The localparts for whom two may say different things."""
        found: set[str] = set()
        for key in self._groups.keys() | other._groups.keys():
            before, after = self._groups.get(key), other._groups.get(key)
            if before is after:
                continue
            if before is not None and after is not None and before.label == after.label:
                changed = before.members.items() ^ after.members.items()
                found.update(localpart for localpart, _ in changed)
            else:
                found.update(*(group.members for group in (before, after) if group is not None))
        return found


NOTHING = Sharing({})

_DIGESTS: WeakKeyDictionary[SharedGroup, bytes] = WeakKeyDictionary()


def _digest(group: SharedGroup) -> bytes:
    found = _DIGESTS.get(group)
    if found is None:
        # Neither NUL nor line feed can be in a localpart.
        lines = sorted(f"{localpart}\0{name!r}" for localpart, name in group.members.items())
        text = "\n".join((repr(group.label), *lines))
        found = _DIGESTS[group] = hashlib.blake2b(text.encode(), digest_size=20).digest()
    return found


class SharedRoster(Roster):
    """A roster together with what is shared with its account.

    `items` and what is inherited are the account's own part. Whoever is shared has a
    subscription of `both`, whatever the account's own item says.
    """

    __slots__ = ("_account", "_own", "_sharing")

    def __init__(self, own: Roster, sharing: Sharing, account: JID) -> None:
        requests = own.requests
        self._own = own
        self._sharing = sharing
        self._account = account
        if requests:
            # They have what they have asked for.
            requests = frozenset(jid for jid in requests if not self.shares(jid))
        super().__init__(own.items, requests, own.version, own.floor)

    @property
    def own(self) -> Roster:
        return self._own

    @property
    def shared(self) -> Iterator[str]:
        account = self._account.localpart
        return (localpart for localpart in self._sharing if localpart != account)

    @property
    def suffix(self) -> str:
        return self._sharing.suffix

    def is_as(self, other: Roster) -> bool:
        return (
            isinstance(other, SharedRoster)
            and self._own is other._own
            and self._sharing is other._sharing
        )

    def shares(self, contact: JID) -> bool:
        """Whether what is shared lets the account and a contact see each other."""
        return (
            contact.domain == self._account.domain
            and contact.localpart != self._account.localpart
            and self._sharing.has(contact.localpart)
        )

    def item(self, contact: JID) -> Item | None:
        own = self._own.items.get(contact)
        if not self.shares(contact):
            return own
        entry = self._sharing.entry(contact.localpart)
        if entry is None:
            # It has the account in its roster, and not the other way round.
            return None if own is None else own._replace(state=_shared(own.state))
        return _merged(own or Item(contact), *entry)

    def contacts(self) -> Iterator[Item]:
        domain = self._account.domain
        entries = self._sharing.entries()
        entries.pop(self._account.localpart, None)
        for jid, item in self._own.items.items():
            yield self.item(jid) or item
            if jid.domain == domain:
                entries.pop(jid.localpart, None)
        for localpart, (name, labels) in entries.items():
            yield Item(JID.make(localpart, domain), name, labels, BOTH)

    @property
    def size(self) -> int:
        return len(self._own.items) + self._sharing.size

    def state(self, contact: JID) -> int:
        state = super().state(contact)
        return _shared(state) if self.shares(contact) else state

    def grants(self, contact: JID) -> bool:
        return super().grants(contact) or self.shares(contact)

    @property
    def watchers(self) -> tuple[JID, ...]:
        return (*self._own.watchers, *self._others(FROM))

    @property
    def sources(self) -> tuple[JID, ...]:
        return (*self._own.sources, *self._others(TO))

    def _others(self, direction: int) -> Iterator[JID]:
        """Whom the account's own items do not have in a direction."""
        for localpart in self.shared:
            contact = JID.make(localpart, self._account.domain)
            if not self._own.state(contact) & direction:
                yield contact


def _shared(state: int) -> int:
    return state & ~OUT | BOTH


def _merged(own: Item, name: str, labels: tuple[str, ...]) -> Item:
    groups = tuple(dict.fromkeys((*own.groups, *labels)))
    return own._replace(name=own.name or name, groups=groups, state=_shared(own.state))
