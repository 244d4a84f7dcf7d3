"""The roster as other plugins and commands use it: the service `roster`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat_roster.audience import Audience, Rule
from stonechat_roster.broadcast import Broadcast
from stonechat_roster.items import Item
from stonechat_roster.marks import marks_of
from stonechat_roster.pushes import Pushes
from stonechat_roster.shared import Shared
from stonechat_roster.states import APPROVED, BOTH, FROM, OUT, SUBSCRIPTIONS, TO
from stonechat_roster.store import Store
from stonechat_roster.subscriptions import Subscriptions


class RosterService:
    """Reads and changes rosters; what is written is committed when a method returns.

    Accounts are named by their localpart, contacts by their bare JID. All may block,
    and raise StanzaError when the database fails.
    """

    def __init__(
        self,
        host: Host,
        store: Store,
        shared: Shared,
        pushes: Pushes,
        broadcast: Broadcast,
        subscriptions: Subscriptions,
        max_items: int,
    ) -> None:
        self._host = host
        self._store = store
        self._shared = shared
        self._pushes = pushes
        self._broadcast = broadcast
        self._subscriptions = subscriptions
        self._max_items = max_items
        self._audience = Audience(host, store, broadcast)

    # Reading

    def contacts(self, localpart: str) -> tuple[Item, ...]:
        """All items of an account's roster."""
        return tuple(self._store.roster(localpart).contacts())

    def item(self, localpart: str, jid: JID) -> Item | None:
        """What an account's roster says of a contact, with name, groups and subscription."""
        return self._store.roster(localpart).item(jid.bare)

    def subscription(self, localpart: str, jid: JID) -> str:
        """none, to, from or both, as seen from the account."""
        return SUBSCRIPTIONS[self._store.roster(localpart).state(jid.bare) & BOTH]

    def watchers(self, localpart: str) -> tuple[JID, ...]:
        """The contacts who see the account's presence."""
        return self._store.roster(localpart).watchers

    def sources(self, localpart: str) -> tuple[JID, ...]:
        """The contacts whose presence the account sees."""
        return self._store.roster(localpart).sources

    def requests(self, localpart: str) -> frozenset[JID]:
        """The contacts who have asked to see the account's presence and wait."""
        return self._store.roster(localpart).requests

    def directed(self, localpart: str) -> list[JID]:
        """Whom sessions of the account have sent presence directly: rooms, for one."""
        return [
            jid
            for session in self._host.sessions(localpart)
            for jid in self._broadcast.directed_by(session)
        ]

    def has_roster(self, session: Session) -> None:
        """A client has got the roster by other means than its request to us (XEP-0355).

        From now on it is told of changes.
        """
        marks_of(session).is_interested = True

    # Presence

    def follow(
        self,
        localpart: str,
        changes: Iterable[tuple[Session, Rule, Rule]],
        addresses: Iterable[JID] = (),
    ) -> None:
        """Sessions of the account may show themselves to others than before, or hear of others.

        `changes` has each with its old and its new rule, which are asked about a JID and
        "out" or "in". `addresses` are the resources that the rules may name. Those who
        are shut out hear that the session is gone; those who are let in get its presence;
        the session itself hears the same of them.
        """
        self._audience.follow(localpart, changes, addresses)

    # Changing

    def set(
        self,
        localpart: str,
        jid: JID,
        *,
        name: str = "",
        groups: Sequence[str] = (),
        subscription: str | None = None,
    ) -> Item:
        """Add an item or overwrite its name and groups, and tell the account's clients.

        `subscription` writes one side of it, without asking the contact; None leaves it
        as it is. Presence follows at once. StanzaError policy-violation if the roster
        is full.
        """
        account, jid = JID.make(localpart, self._host.name), jid.bare
        with self._store.change(localpart) as roster:
            old = roster.items.get(jid)
            if old is None and len(roster.items) >= self._max_items:
                raise StanzaError("policy-violation", "The roster is full.")
            before = 0 if old is None else old.state
            after = before
            if subscription is not None:
                after = before & APPROVED | SUBSCRIPTIONS.index(subscription)
                if before & OUT and not after & TO:
                    after |= OUT
            item = Item(jid, name, tuple(groups), after)
            new = self._store.save(localpart, roster, jid, item, answered=bool(after & FROM))
            self._pushes.contact(localpart, new, jid)
        if not self._store.shares(localpart, jid):
            self._presence_follows(account, jid, before, after)
        return self._store.roster(localpart).item(jid) or new.items[jid]

    def remove(self, localpart: str, jid: JID) -> None:
        """Take an item out and end its subscriptions; StanzaError item-not-found.

        A request of the contact still waits to be answered: taking the item out is
        neither approval nor denial (RFC 6121, 3.1.3, case 4). Of a contact that is shared
        with the account only what is its own goes; the push says what stays.
        """
        account, jid = JID.make(localpart, self._host.name), jid.bare
        is_shown = self._store.roster(localpart).item(jid) is not None
        with self._store.change(localpart) as roster:
            old = roster.items.get(jid)
            if old is None and not is_shown:
                raise StanzaError("item-not-found", "The roster has no such item.")
            if old is not None:
                roster = self._store.save(localpart, roster, jid, None)
            self._pushes.contact(localpart, roster, jid)
        if old is not None:
            self._subscriptions.part(account, jid, old.state)

    def without_shared(self, localpart: str, jid: JID, groups: Sequence[str]) -> list[str]:
        """The groups of a contact less those that only what is shared has put it in.

        A client that changes a name sends all groups back that it was shown.
        """
        roster = self._store.told(localpart)
        shown, own = roster.item(jid), roster.own.items.get(jid)
        shared = set(() if shown is None else shown.groups)
        shared.difference_update(() if own is None else own.groups)
        return [group for group in groups if group not in shared]

    def shared_contacts_changed(self) -> None:
        """What plugins answer to `stonechat_shared_contacts` is another now; never blocks."""
        self._shared.changed()

    def erase(self, account: JID) -> None:
        """Forget an account that is gone, and end its subscriptions."""
        roster = self._store.erase(account.localpart)
        for contact in {**roster.items, **dict.fromkeys(roster.requests)}:
            self._subscriptions.part(account, contact, roster.state(contact))

    def _presence_follows(self, account: JID, contact: JID, before: int, after: int) -> None:
        gained, lost = after & ~before, before & ~after
        if gained & FROM:
            self._broadcast.show(account, contact)
        elif lost & FROM:
            self._broadcast.hide(account, contact)
        # What a contact elsewhere lets the account see, only its own server can say.
        if contact.domain == self._host.name and contact.localpart:
            if gained & TO and self._broadcast.may_see(contact, account):
                self._broadcast.show(contact, account)
            elif lost & TO:
                self._broadcast.hide(contact, account)
