"""What presence has to say when an account shuts somebody out, or lets them in again.

Who that is, the blocking command (XEP-0191) and privacy lists (XEP-0016) decide. Here
is known whom presence has gone to, and whose has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Presence, Stanza
from stonechat_roster.broadcast import Broadcast
from stonechat_roster.store import Store

Direction = Literal["out", "in"]

# Whether a session's presence may go to an address, or be had from it.
Rule = Callable[[JID, Direction], bool]


class Audience:
    """Tells those who may no longer see a session that it is gone, and the other way round."""

    def __init__(self, host: Host, store: Store, broadcast: Broadcast) -> None:
        self._host = host
        self._store = store
        self._broadcast = broadcast

    def follow(
        self,
        localpart: str,
        changes: Iterable[tuple[Session, Rule, Rule]],
        addresses: Iterable[JID] = (),
    ) -> None:
        """Some sessions of an account have another rule than before: (session, old, new).

        `addresses` are those that the rules may name, where they are more than accounts.
        """
        account = JID.make(localpart, self._host.name)
        roster = self._store.roster(localpart)
        resources = [jid for jid in addresses if jid.localpart and jid.resource]
        watchers = [*roster.watchers, *(jid for jid in resources if roster.grants(jid.bare))]
        known = set(roster.sources)
        sources = [*roster.sources, *(jid for jid in resources if jid.bare in known)]
        asked: dict[JID, None] = {}
        for session, before, after in changes:
            change = _Change(before, after)
            self._broadcast.route_all(self._leave_directed(session, change))
            if session.presence is None:
                continue
            self._broadcast.route_all(self._shown(session, watchers, change))
            self._broadcast.route_all(self._seen(session, sources, change, asked))
        self._broadcast.route_all(Presence(type="probe", from_=account, to=jid) for jid in asked)

    def _shown(
        self, session: Session, watchers: Sequence[JID], change: _Change
    ) -> Iterator[Stanza]:
        """The session's presence, for those who may see it again, or its end."""
        for jid in change.lost(watchers, "out"):
            yield Presence(type="unavailable", from_=session.jid, to=jid)
        for jid in change.gained(watchers, "out"):
            presence = session.presence
            if presence is not None and self._broadcast.may_send(session.jid, jid):
                yield presence.copy_for(jid)

    def _leave_directed(self, session: Session, change: _Change) -> Iterator[Stanza]:
        """The end of presence that was sent directly: rooms are left."""
        for jid in self._broadcast.directed_by(session):
            if change.of(jid, "in") < 0:
                session.send(Presence(type="unavailable", from_=jid, to=session.jid))
            if change.of(jid, "out") < 0:
                self._broadcast.forget_directed(session, jid)
                yield Presence(type="unavailable", from_=session.jid, to=jid)

    def _seen(
        self, session: Session, sources: Sequence[JID], change: _Change, asked: dict[JID, None]
    ) -> Iterator[Stanza]:
        """What the session hears of its contacts, or that they are gone (XEP-0016, 2.11)."""
        account = session.jid.bare
        for jid in change.lost(sources, "in"):
            for gone in [known.from_ for known in self._here(jid, account)] or [jid]:
                session.send(Presence(type="unavailable", from_=gone, to=session.jid))
        for jid in change.gained(sources, "in"):
            if jid.domain == self._host.name and jid.localpart:
                for known in self._here(jid, account):
                    yield known.copy_for(session.jid)
            else:
                # Once for all sessions: the answers go to the account.
                asked[jid.bare] = None

    def _here(self, contact: JID, account: JID) -> list[Presence]:
        """The presence of a contact on this host, as far as the account may know it."""
        if contact.domain != self._host.name or not contact.localpart:
            return []
        here = self._broadcast.available(contact.bare)
        if not here or not self._broadcast.may_see(contact.bare, account):
            return []
        return [
            known
            for known in here
            if contact in (known.from_, contact.bare)
            and self._broadcast.may_send(known.from_ or contact, account)
        ]


class _Change:
    """Two rules, and where they differ."""

    def __init__(self, before: Rule, after: Rule) -> None:
        self._before = before
        self._after = after

    def of(self, jid: JID, direction: Direction) -> int:
        """-1 where an address was allowed and is no longer, 1 the other way round, or 0."""
        return self._after(jid, direction) - self._before(jid, direction)

    def lost(self, contacts: Iterable[JID], direction: Direction) -> list[JID]:
        """The contacts, or resources of theirs, that were allowed and are no longer."""
        return [jid for jid in contacts if self._of_contact(jid, direction) < 0]

    def gained(self, contacts: Iterable[JID], direction: Direction) -> list[JID]:
        """Those that were not allowed and are now."""
        return [jid for jid in contacts if self._of_contact(jid, direction) > 0]

    def _of_contact(self, jid: JID, direction: Direction) -> int:
        found = self.of(jid, direction)
        if found and jid.resource and self.of(jid.bare, direction) == found:
            # What the account is told, each of its resources hears.
            return 0
        return found
