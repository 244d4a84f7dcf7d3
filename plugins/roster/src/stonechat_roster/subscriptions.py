"""Subscription stanzas: what the account sends and gets (RFC 6121, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.plugin import HANDLED, Handled
from stonechat.session import Session
from stonechat.stanza import Presence
from stonechat_roster.broadcast import Broadcast
from stonechat_roster.items import Item, Roster
from stonechat_roster.marks import interested_sessions
from stonechat_roster.pushes import Pushes
from stonechat_roster.states import FROM, IN, NONE, OUT, TO, inbound, outbound
from stonechat_roster.store import Store

# Of a request that is larger, only the fact is stored.
MAX_REQUEST_BYTES = 4096

# They mean nothing between two who see each other by what is shared (sharing.py). What
# ends a subscription is noted, for the time when that is over.
GRANTS = frozenset({"subscribe", "subscribed"})


class Subscriptions:
    """Follows the states of states.py, for stanzas in both directions."""

    def __init__(
        self,
        host: Host,
        store: Store,
        pushes: Pushes,
        broadcast: Broadcast,
        *,
        max_items: int,
        max_requests: int,
    ) -> None:
        self._host = host
        self._store = store
        self._pushes = pushes
        self._broadcast = broadcast
        self._max_items = max_items
        self._max_requests = max_requests

    # Out

    def sent(self, session: Session, presence: Presence) -> Handled:
        """A session sends a subscription stanza: note it, and route it if it goes out."""
        account, contact = session.jid.bare, cast(JID, presence.to).bare
        if contact == account:
            # One's own presence needs no subscription (4.2.2).
            return HANDLED
        localpart = account.localpart
        is_shared = self._store.shares(localpart, contact)
        if is_shared and presence.type in GRANTS:
            self._keep(localpart, contact, presence.type)
            return HANDLED
        with self._store.change(localpart) as roster:
            before = roster.state(contact)
            step = outbound(presence.type, before)
            if step.state != before:
                self._push(localpart, self._save(localpart, roster, contact, step.state), contact)
            elif is_shared and contact in roster.items:
                self._push(localpart, roster, contact)
        if before & FROM and not step.state & FROM and not is_shared:
            # 3.2.2: while the contact still has its subscription. Who only asked for one
            # never saw the account, and learns nothing of its sessions now.
            self._broadcast.hide(account, contact)
        if step.passes:
            _readdress(presence, account, contact)
            self._host.route(presence)
        if step.state & FROM and not before & FROM:
            # 3.1.5
            self._broadcast.show(account, contact)
        return HANDLED

    def _keep(self, localpart: str, contact: JID, kind: str) -> None:
        """An account asks for, or grants, what is shared already: its clients see that.

        Nothing is noted as given, for else it would outlast the sharing.
        """
        is_shown = self._store.roster(localpart).item(contact) is not None
        with self._store.change(localpart) as roster:
            if is_shown:
                self._push(localpart, roster, contact)
            elif kind == "subscribe":
                # It has found somebody who has it in the roster, and not the other way round.
                new = self._save(localpart, roster, contact, NONE, is_kept=True)
                self._push(localpart, new, contact)

    def part(self, account: JID, contact: JID, state: int) -> None:
        """Tell a contact that an account no longer has it in its roster (2.5.2)."""
        if state & (TO | OUT):
            self._host.route(Presence(type="unsubscribe", from_=account, to=contact))
        if state & FROM and not self._store.shares(account.localpart, contact):
            # In this order: 3.2.2.
            self._broadcast.hide(account, contact)
        if state & (FROM | IN):
            self._host.route(Presence(type="unsubscribed", from_=account, to=contact))

    # In

    def received(self, presence: Presence) -> Handled:
        """A subscription stanza has come for an account: note it, and deliver it if need be."""
        to = cast(JID, presence.to)
        account, contact = to.bare, cast(JID, presence.from_).bare
        localpart, kind = account.localpart, presence.type
        if contact == account:
            return HANDLED
        is_shared = self._store.shares(localpart, contact)
        if is_shared and kind in GRANTS:
            if kind == "subscribe":
                # As 3.1.3, case 2, though no roster says so.
                answer = Presence(type="subscribed", id=presence.id, from_=account, to=contact)
                self._host.route(answer)
            return HANDLED
        if to.resource and kind != "subscribe" and self._host.session(to) is None:
            # 8.5.3.2.2; a request is taken for one to the bare JID (3.1.3).
            return HANDLED
        step = inbound(kind, self._store.own(localpart).state(contact))
        if not step.passes and not step.answer:
            # Most of what strangers send ends here; it waits for nobody.
            return HANDLED
        if kind == "subscribe" and not self._exists(localpart):
            return HANDLED
        _readdress(presence, contact, account)
        with self._store.change(localpart) as roster:
            before = roster.state(contact)
            step = inbound(kind, before)
            request = b""
            if step.state & IN and not before & IN:
                if len(roster.requests) >= self._max_requests:
                    # To the sender this looks like an account that does not exist.
                    self._host.log.info("too many subscription requests", account=account.text)
                    return HANDLED
                request = stored(presence)
            changed = None
            if step.state != before:
                changed = self._save(localpart, roster, contact, step.state, request)
            if step.passes and not is_shared:
                # Before the push, so that clients know what it comes from (3.1.6).
                for session in self._recipients(localpart, kind):
                    session.send(presence)
            self._push(localpart, changed, contact)
        if before & FROM and not step.state & FROM and not is_shared:
            # 3.3.3
            self._broadcast.hide(account, contact)
        if step.answer:
            self._host.route(Presence(type=step.answer, id=presence.id, from_=account, to=contact))
        if step.answer == "subscribed":
            self._broadcast.show(account, contact)
        return HANDLED

    def failed(self, error: Presence) -> Handled | None:
        """An error for an account has come: show it if it is about a request (3.1.2).

        Requests go out with the bare JID, and so their errors come back to it.
        """
        account, contact = cast(JID, error.to), cast(JID, error.from_).bare
        if account.resource or not self._store.roster(account.localpart).state(contact) & OUT:
            return None
        interested = interested_sessions(self._host, account.localpart)
        for session in self._host.sessions(account.localpart):
            if session.presence is not None or session in interested:
                session.send(error)
        return HANDLED

    def _exists(self, localpart: str) -> bool:
        if self._host.sessions(localpart) or self._store.roster(localpart).version:
            return True
        try:
            return self._host.accounts.exists(localpart)
        except AuthUnavailable as error:
            raise StanzaError(
                "internal-server-error", "The account cannot be looked up.", type="wait"
            ) from error

    def _recipients(self, localpart: str, kind: str) -> Iterable[Session]:
        """Requests go to available resources (3.1.3), the rest to interested ones."""
        if kind != "subscribe":
            return interested_sessions(self._host, localpart)
        return [s for s in self._host.sessions(localpart) if s.presence is not None]

    # Both

    def _save(
        self,
        localpart: str,
        roster: Roster,
        contact: JID,
        state: int,
        request: bytes = b"",
        *,
        is_kept: bool = False,
    ) -> Roster | None:
        """Write a new state; returns the new roster if clients must hear of the item.

        `is_kept`: there is to be an item even if it says nothing.
        """
        before = roster.items.get(contact)
        visible = state & ~IN
        item = before
        if item is not None:
            if item.state != visible:
                item = item._replace(state=visible)
        elif visible or is_kept:
            if len(roster.items) >= self._max_items:
                raise StanzaError("policy-violation", "The roster is full.")
            item = Item(contact, state=visible)
        new = self._store.save(
            localpart, roster, contact, item, request=request, answered=not state & IN
        )
        return None if item is before else new

    def _push(self, localpart: str, roster: Roster | None, contact: JID) -> None:
        if roster is not None:
            self._pushes.contact(localpart, roster, contact)


def _readdress(presence: Presence, sender: JID, recipient: JID) -> None:
    """Subscriptions are between bare JIDs, whatever was written."""
    if presence.from_ != sender:
        presence.from_ = sender
    if presence.to != recipient:
        presence.to = recipient


def stored(presence: Presence) -> bytes:
    """The complete stanza, if it has a reasonable size."""
    stanza = presence.to_bytes()
    if len(stanza) > MAX_REQUEST_BYTES:
        bare = Presence(type="subscribe", id=presence.id, from_=presence.from_, to=presence.to)
        stanza = bare.to_bytes()
    return stanza
