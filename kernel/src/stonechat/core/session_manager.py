"""The session manager: delivery to a host's accounts (RFC 6121, section 8.5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stonechat.errors import StanzaError, StreamError
from stonechat.jid import JID
from stonechat.stanza import PRESENCE_TYPES, Iq, Message, Presence, Stanza

if TYPE_CHECKING:
    from stonechat.core.client_session import ClientSession
    from stonechat.core.virtual_host import VirtualHost

# How long others wait for a session's end: for the stanza that it is at, if any, and then
# for what plugins do.
ENDING_SECONDS = 15.0

SUBSCRIPTION_TYPES = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})


class SessionManager:
    """The sessions of a host, by localpart and resource."""

    def __init__(self, host: VirtualHost) -> None:
        self._host = host
        self._accounts: dict[str, dict[str, ClientSession]] = {}
        self._count = 0
        self.gates: tuple[Callable[[Message], None], ...] = ()
        """Where messages wait now (`Host.message_gate`)."""
        # Those that can be found no more, but are not cleared up yet.
        self._ending: dict[str, list[ClientSession]] = {}

    # Who is here

    def __len__(self) -> int:
        return self._count

    @property
    def account_count(self) -> int:
        """How many accounts have a session."""
        return len(self._accounts)

    def __iter__(self) -> Iterator[ClientSession]:
        for sessions in list(self._accounts.values()):
            yield from list(sessions.values())

    def sessions(self, localpart: str) -> tuple[ClientSession, ...]:
        """All sessions of an account."""
        sessions = self._accounts.get(localpart)
        return tuple(sessions.values()) if sessions else ()

    def session(self, jid: JID) -> ClientSession | None:
        """The session of a full JID."""
        sessions = self._accounts.get(jid.localpart)
        return None if sessions is None else sessions.get(jid.resource)

    def add(self, session: ClientSession) -> None:
        """A session is bound: it can be found from now on."""
        self._accounts.setdefault(session.jid.localpart, {})[session.jid.resource] = session
        self._count += 1
        self._host.cluster.session_opened(session.jid)

    def remove(self, session: ClientSession) -> bool:
        """A session is over; False if its resource belongs to another one already."""
        jid = session.jid
        sessions = self._accounts.get(jid.localpart)
        if sessions is None or sessions.get(jid.resource) is not session:
            return False
        del sessions[jid.resource]
        if not sessions:
            del self._accounts[jid.localpart]
        self._count -= 1
        self._host.cluster.session_closed(jid)
        return True

    # Who goes

    def end_begun(self, session: ClientSession) -> None:
        """A session ends; others may have to wait for it."""
        self._ending.setdefault(session.jid.localpart, []).append(session)

    def end_over(self, session: ClientSession) -> None:
        """A session is cleared up."""
        localpart = session.jid.localpart
        ending = self._ending[localpart]
        ending.remove(session)
        if not ending:
            del self._ending[localpart]

    @property
    def ending(self) -> list[ClientSession]:
        """The sessions that can be found no more, but are not cleared up yet."""
        return [session for sessions in self._ending.values() for session in sessions]

    def occupant(self, jid: JID) -> ClientSession | None:
        """Who has a full JID, or has had it and is not cleared up yet."""
        ending = (s for s in self._ending.get(jid.localpart, ()) if s.jid == jid)
        return self.session(jid) or next(ending, None)

    def close_account(self, localpart: str, error: StreamError) -> bool:
        """End all sessions of an account; False if they have not all ended in time. May block."""
        sessions = (*self.sessions(localpart), *self._ending.get(localpart, ()))
        for session in sessions:
            session.close(error)
        until = time.monotonic() + ENDING_SECONDS
        ended = [s.wait_until_cleared(max(0.0, until - time.monotonic())) for s in sessions]
        return all(ended)

    # Delivery

    def receive(self, stanza: Stanza) -> None:
        """Deliver a stanza to one of the host's accounts; StanzaError if it cannot be."""
        kind = type(stanza)
        if kind is Message:
            self._receive_message(stanza)  # type: ignore[arg-type]
        elif kind is Presence:
            self._receive_presence(stanza)  # type: ignore[arg-type]
        else:
            self._receive_iq(stanza)  # type: ignore[arg-type]

    def redeliver(self, message: Message) -> None:
        """Deliver a message again that a session got and never handled; StanzaError."""
        to = message.to
        assert to is not None
        self._receive_bare_message(message, self._accounts.get(to.localpart), to)

    def _receive_message(self, message: Message) -> None:
        if self.gates and message.attributes.get("type") != "error":
            for wait in self.gates:
                wait(message)
        if self._host.hooks.message_to_user.run(message):
            return
        to = message.to
        assert to is not None
        sessions = self._accounts.get(to.localpart)
        if to.resource:
            # 8.5.3.1: a match gets it, whatever its type.
            session = sessions.get(to.resource) if sessions else None
            if session is not None and session.takes_messages:
                session.send(message)
                if self._host.hooks.message_delivered:
                    self._host.hooks.message_delivered.run(message, (session,))
                return
            # 8.5.3.2: only chat goes on as if to the bare JID. So does what a client would
            # have got that reads too slowly: its other sessions, or the spool, may have it.
            type_ = message.type
            if type_ != "chat" and (session is None or type_ != "normal"):
                self._undeliverable(message)
                return
        self._receive_bare_message(message, sessions, to)

    def _receive_bare_message(
        self, message: Message, sessions: dict[str, ClientSession] | None, to: JID
    ) -> None:
        type_ = message.attributes.get("type")
        # 8.5.2.1.1
        if type_ == "groupchat":
            raise StanzaError("service-unavailable")
        if type_ == "error":
            return
        if sessions:
            if len(sessions) == 1:
                (session,) = sessions.values()
                if (
                    session.presence is not None
                    and session.priority >= 0
                    and session.takes_messages
                ):
                    session.send(message)
                    if self._host.hooks.message_delivered:
                        self._host.hooks.message_delivered.run(message, (session,))
                    return
            else:
                chosen = _most_available(sessions, everyone=type_ == "headline")
                if chosen:
                    for session in chosen:
                        session.send(message)
                    if self._host.hooks.message_delivered:
                        self._host.hooks.message_delivered.run(message, chosen)
                    if len(chosen) > 1:
                        self._host.notify(
                            "stonechat_message_spread", {"message": message, "sessions": chosen}
                        )
                    return
        if type_ == "headline":
            return
        # 8.5.1 and 8.5.2.2.1
        if self._host.accounts.exists(to.localpart) and self._host.first(
            "stonechat_message_undelivered", {"message": message}
        ):
            return
        raise StanzaError("service-unavailable")

    def _undeliverable(self, message: Message) -> None:
        if message.type not in ("error", "headline"):
            raise StanzaError("service-unavailable")

    def _receive_presence(self, presence: Presence) -> None:
        type_ = presence.attributes.get("type", "")
        if type_ and type_ not in PRESENCE_TYPES:
            raise StanzaError("bad-request", "There is no such type of presence.")
        if self._host.hooks.presence_to_user.run(presence):
            return
        to = presence.to
        assert to is not None
        if type_ == "probe" or type_ in SUBSCRIPTION_TYPES:
            # They are answered or kept by whoever has the roster, or by nobody.
            return
        sessions = self._accounts.get(to.localpart)
        if not sessions:
            return
        if to.resource:
            # 8.5.3.1; what matches nothing is dropped (8.5.3.2.2).
            session = sessions.get(to.resource)
            if session is not None:
                session.send(presence)
        elif type_ != "error":
            # 8.5.2.1.2
            for session in list(sessions.values()):
                if session.presence is not None:
                    session.send(presence)

    def _receive_iq(self, iq: Iq) -> None:
        to = iq.to
        assert to is not None
        if self._host.hooks.iq_to_user.run(iq):
            return
        if not to.resource:
            # 8.5.2.1.3: the server answers for the account.
            iq.check()
            if not iq.is_request:
                self._host.requests.answered(iq)
                return
            if not self._host.accounts.exists(to.localpart):
                raise StanzaError("service-unavailable")
            self._host.account_iq.answer(iq)
            return
        session = self.session(to)
        if session is None:
            # 8.5.3.2.3
            raise StanzaError("service-unavailable")
        session.send(iq)


def _most_available(sessions: dict[str, ClientSession], *, everyone: bool) -> list[ClientSession]:
    """The sessions with the highest priority of all that is not negative, or all of these."""
    available = [
        session
        for session in sessions.values()
        if session.presence is not None and session.priority >= 0 and session.takes_messages
    ]
    if everyone or len(available) < 2:
        return available
    highest = max(session.priority for session in available)
    return [session for session in available if session.priority == highest]
