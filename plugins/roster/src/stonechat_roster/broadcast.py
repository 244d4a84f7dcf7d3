"""Presence: who hears that a session comes, changes and goes (RFC 6121, section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import gevent

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.locks import Locks
from stonechat.session import Session
from stonechat.stanza import Presence, Stanza
from stonechat_roster.items import Roster, version_text
from stonechat_roster.marks import NAME, Marks, marks_of
from stonechat_roster.states import TO
from stonechat_roster.store import Store

# After so many stanzas the others get a turn (robustness promise R21).
TURN = 64

# One presence of a session is told at a time; telling it may take turns of others.
TELL_SECONDS = 60.0

_MAY_SEND = "stonechat_may_send_presence"


class Broadcast:
    """Tells presence to those who may see it, and asks for that of others."""

    def __init__(
        self, host: Host, store: Store, *, max_directed: int, ask_again_after: int
    ) -> None:
        self._host = host
        self._store = store
        self._max_directed = max_directed
        self._ask_again_after = ask_again_after
        self._turns = Locks(TELL_SECONDS)

    # A session's own presence

    def changed(self, session: Session, presence: Presence, previous: Presence | None) -> None:
        """A session has become available, has changed its presence, or is gone."""
        # A session can be lost while its presence is still being told, in another
        # greenlet. Whoever heard "available" last would believe it for ever.
        with self._turns.hold(session.jid.text):
            if presence.type == "unavailable":
                self._tell_gone(session, presence)
            elif session.presence is not None:
                # Else another plugin has blocked for so long that it is gone already.
                self._tell(session, presence, is_initial=previous is None)

    def _tell(self, session: Session, presence: Presence, *, is_initial: bool) -> None:
        account = session.jid.bare
        roster = self._store.roster(account.localpart)
        # 4.2.2 and 4.4.2: the account's own resources too, this one among them.
        self._host.route(presence.copy_for(account))
        watchers = self._audience(session.jid, self._watchers(roster))
        self.route_all(presence.copy_for(contact) for contact in watchers)
        if is_initial:
            self.route_all(self._presence_for(session, roster))
            self.route_all(self._requests_of(account, roster))
            if roster.requests:
                self._redeliver_requests(session, roster)

    def _presence_for(self, session: Session, roster: Roster) -> Iterator[Stanza]:
        """What a session that has come is to hear of others, or the probes that ask."""
        own = session.jid
        account = own.bare
        for other in self._host.sessions(account.localpart):
            if other.presence is not None and other.jid != own:
                yield other.presence.copy_for(own)
        for contact in self._sources(roster):
            if self._is_shut_out(account, contact):
                continue
            if contact.domain != self._host.name or not contact.localpart:
                # 4.3: between bare JIDs, and so all of the account's resources are answered.
                yield Presence(type="probe", from_=account, to=contact)
                continue
            # The answer to a probe, without the probe; silence where it would be a refusal.
            here = self.available(contact)
            if here and self.may_see(contact, account):
                for known in here:
                    if self.may_send(cast(JID, known.from_), account):
                        yield known.copy_for(own)

    def _requests_of(self, account: JID, roster: Roster) -> Iterator[Stanza]:
        """Requests of the account's own, anew: the first may have been lost (3.1.2)."""
        # An item changes at that time or later.
        for item in roster.unanswered(self._host.now() - self._ask_again_after * 1_000_000):
            if item.jid.domain != self._host.name and not self._is_shut_out(account, item.jid):
                id_ = f"again-{version_text(item.changed)}"
                yield Presence(type="subscribe", id=id_, from_=account, to=item.jid)

    def _redeliver_requests(self, session: Session, roster: Roster) -> None:
        # 3.1.3, case 4: whenever the account has a new resource, until it answers.
        for octets in self._store.requests(session.jid.localpart):
            request = Stanza.from_bytes(octets)
            contact = cast(JID, request.from_)
            if not (roster.grants(contact) or self._is_shut_out(session.jid, contact)):
                session.send(request)

    def _tell_gone(self, session: Session, presence: Presence) -> None:
        account = session.jid.bare
        roster = self._store.roster(account.localpart)
        # 4.5.2: the one that is gone hears it too, if it is still connected.
        if session.is_open:
            session.send(presence.copy_for(session.jid))
        self._host.route(presence.copy_for(account))
        watchers = self._audience(session.jid, self._watchers(roster))
        self.route_all(presence.copy_for(contact) for contact in watchers)
        marks: Marks | None = session.data.get(NAME)
        if marks is not None and marks.directed:
            others = [jid for jid in marks.directed if not roster.grants(jid.bare)]
            marks.directed = None
            self.route_all(presence.copy_for(jid) for jid in others)

    def closed(self, session: Session) -> None:
        """A session is over: those whom it addressed while it was not available hear of it."""
        marks: Marks | None = session.data.get(NAME)
        if marks is not None and marks.directed:
            gone = Presence(type="unavailable", from_=session.jid)
            with self._turns.hold(session.jid.text):
                self.route_all(gone.copy_for(jid) for jid in marks.directed)

    # Directed presence

    def directed(self, session: Session, presence: Presence) -> None:
        """A session sends presence to one entity (4.6.3)."""
        to = cast(JID, presence.to)
        if presence.type == "unavailable":
            marks: Marks | None = session.data.get(NAME)
            if marks is not None and marks.directed is not None:
                marks.directed.pop(to, None)
            return
        account = session.jid.bare
        if to.bare == account or (
            session.presence is not None and self._store.roster(account.localpart).grants(to.bare)
        ):
            # It hears of the end by broadcast.
            return
        marks = marks_of(session)
        if marks.directed is None:
            marks.directed = {}
        elif to not in marks.directed and len(marks.directed) >= self._max_directed:
            # Were it let through, the addressee would never hear of the end.
            raise StanzaError("resource-constraint", "This goes to too many addresses at once.")
        marks.directed[to] = None

    def directed_by(self, session: Session) -> tuple[JID, ...]:
        """Whom a session has sent presence directly, and who has not heard of its end."""
        marks: Marks | None = session.data.get(NAME)
        return () if marks is None or marks.directed is None else tuple(marks.directed)

    def forget_directed(self, session: Session, jid: JID) -> None:
        """Somebody hears by other means that a session is gone."""
        marks: Marks | None = session.data.get(NAME)
        if marks is not None and marks.directed is not None:
            marks.directed.pop(jid, None)

    def shown_out(self, presence: Presence) -> None:
        """Somebody has told an account's sessions that it is gone: it is told no more (4.6.1)."""
        to, gone = cast(JID, presence.to), cast(JID, presence.from_)
        if gone.bare == to.bare:
            return
        for session in self._host.sessions(to.localpart):
            marks: Marks | None = session.data.get(NAME)
            if marks is not None and marks.directed and to in (session.jid, to.bare):
                marks.directed.pop(gone, None)

    # Who may hear of whom, as other plugins know

    def may_send(self, sender: JID, contact: JID) -> bool:
        """Whether the presence of a session, by its full JID, may go to a contact now."""
        if not self._host.has_hook(_MAY_SEND):
            return True
        return self._host.first(_MAY_SEND, account=sender, contact=contact) is not False

    def _audience(self, sender: JID, contacts: Iterable[JID]) -> Iterable[JID]:
        if not self._host.has_hook(_MAY_SEND):
            return contacts
        # Asked for each when it is its turn: that may be later.
        return (contact for contact in contacts if self.may_send(sender, contact))

    def _watchers(self, roster: Roster) -> Iterator[JID]:
        """Those who see an account; of those who do by what is shared, who is here."""
        yield from roster.own.watchers
        for contact in self._here(roster.shared):
            if not roster.own.grants(contact):
                yield contact

    def _sources(self, roster: Roster) -> Iterator[JID]:
        """Those whom an account sees; otherwise as above."""
        yield from roster.own.sources
        for contact in self._here(roster.shared):
            if not roster.own.state(contact) & TO:
                yield contact

    def _here(self, localparts: Iterable[str]) -> Iterator[JID]:
        """Accounts with sessions. Of many thousands in a group, most may have none."""
        for localpart in localparts:
            for session in self._host.sessions(localpart)[:1]:
                yield session.jid.bare

    def _is_shut_out(self, account: JID, contact: JID) -> bool:
        """Whether an account exchanges nothing with somebody (XEP-0016, XEP-0191)."""
        rules = self._host.service("privacy") or self._host.service("blocking")
        return rules is not None and bool(rules.is_blocked(account.localpart, contact))

    # Between two

    def may_see(self, account: JID, watcher: JID) -> bool:
        """Whether a watcher may see the presence of an account of this host."""
        return self._store.roster(account.localpart).grants(watcher) or (
            self._host.may_see_presence(account, watcher)
        )

    def show(self, account: JID, watcher: JID) -> None:
        """Send the presence of an account's available sessions to one who may now see it."""
        self.route_all(
            known.copy_for(watcher)
            for known in self.available(account)
            if self.may_send(cast(JID, known.from_), watcher)
        )

    def hide(self, account: JID, watcher: JID) -> None:
        """Tell one who may no longer see an account's sessions that they are gone."""
        self.route_all(
            Presence(type="unavailable", from_=session.jid, to=watcher)
            for session in self._host.sessions(account.localpart)
            if session.presence is not None and self.may_send(session.jid, watcher)
        )

    def answer_probe(self, probe: Presence) -> None:
        """Tell a probing server what its user may know (4.3.2)."""
        asked, watcher = cast(JID, probe.to), cast(JID, probe.from_)
        account = asked.bare
        if not self.may_see(account, watcher.bare):
            if self._is_shown(asked, watcher):
                # 4.6.6: that it is there, and no more.
                self._host.route(Presence(from_=asked, to=watcher))
                return
            # Case 1: no account and no permission look the same. A pre-approval stays.
            refusal = Presence(type="unsubscribed", id=probe.id, from_=account, to=watcher.bare)
            self._host.route(refusal)
            return
        # Sessions that it may not hear of are to it as if they were away.
        known = [
            known
            for known in self.available(account)
            if self.may_send(cast(JID, known.from_), watcher.bare)
        ]
        if asked.resource:
            # Of one resource no more than that it is there; ids as in 4.3.2.1.
            known = [Presence(id=p.id, from_=asked) for p in known if p.from_ == asked]
        if not known:
            # Case 3
            self._host.route(Presence(type="unavailable", id=probe.id, from_=asked, to=watcher))
            return
        # Case 4
        self.route_all(presence.copy_for(watcher) for presence in known)

    def _is_shown(self, asked: JID, watcher: JID) -> bool:
        """Whether a session has sent its presence directly to just this address."""
        session = self._host.session(asked) if asked.resource else None
        marks: Marks | None = None if session is None else session.data.get(NAME)
        return marks is not None and marks.directed is not None and watcher in marks.directed

    def available(self, account: JID) -> list[Presence]:
        """The presence of each available session of an account."""
        return [
            session.presence
            for session in self._host.sessions(account.localpart)
            if session.presence is not None
        ]

    def route_all(self, stanzas: Iterable[Stanza]) -> None:
        for count, stanza in enumerate(stanzas, 1):
            self._host.route(stanza)
            if count % TURN == 0:
                gevent.sleep(0)
