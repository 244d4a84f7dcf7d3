"""Keeps what is new behind what is old, while a session gets its offline messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from stonechat.custody import Release
from stonechat.host import Host
from stonechat.session import Session
from stonechat.stanza import Message, Stanza
from stonechat_offline.stamps import sent_at, stamp

# New messages that wait for the old ones; further ones go to the spool, and so keep their place.
MAX_HELD = 64
MAX_HELD_BYTES = 262_144

FOREVER = 2**63 - 1


class Held:
    """A new message that waits; nobody else answers for it."""

    __slots__ = ("at", "message", "needs_stamp", "octets", "others", "release")

    def __init__(self, message: Message, at: int, release: Release) -> None:
        self.message = message
        self.at = at
        """When it came: microseconds since the epoch."""
        self.release = release
        self.octets = len(message.to_bytes())
        self.needs_stamp = False
        """Whether something newer may be in the spool."""
        self.others: Sequence[Session] = ()
        """Sessions that were given the same message."""

    def stamped(self, host: str) -> Message:
        """The message, saying when it came: it is to keep its place, wherever it gets to."""
        to = self.message.to
        assert to is not None
        # A copy: other sessions may have been given the very same object.
        message = self.message.copy_for(to)
        stamp(message, host, self.at)
        return message


class Backlog:
    """An outlet: messages wait in it, all else passes.

    The old messages go through `next`, past those that are held.
    """

    next: Callable[[Stanza], None]

    def __init__(self, host: Host, session: Session) -> None:
        self.session = session
        self._host = host
        self._account = session.jid.bare.text
        self._held: deque[Held] = deque()
        self._octets = 0
        self.has_newer = False
        """Whether the spool may have something newer than what is held."""
        self.is_idle = False
        """Whether the old messages wait until the client reads."""
        session.add_outlet(self)

    # As an outlet

    def send(self, stanza: Stanza) -> None:
        attributes = stanza.attributes
        # What the account itself sends are answers: results of its archive, above all.
        if (
            isinstance(stanza, Message)
            and attributes.get("from") != self._account
            and "to" in attributes
        ):
            self._hold(stanza)
        else:
            self.next(stanza)

    def _hold(self, message: Message) -> None:
        before = sent_at(message, self._host.name)
        if before:
            # Another session was to have it, and has left newer ones in the spool, perhaps.
            self.has_newer = True
        held = Held(message, before or self._host.now(), message.hold())
        place = len(self._held)
        while place and self._held[place - 1].at > held.at:
            place -= 1
        self._held.insert(place, held)
        self._octets += held.octets

    @property
    def unsent(self) -> int:
        return self._octets

    @property
    def takes_messages(self) -> bool:
        return len(self._held) < MAX_HELD and self._octets < MAX_HELD_BYTES

    # For the delivery

    @property
    def holds(self) -> bool:
        return bool(self._held)

    @property
    def client_reads(self) -> bool:
        """Whether the client can take old messages; the new ones here do not count."""
        return self.session.takes_messages_behind(self)

    @property
    def under_way(self) -> int:
        """Octets that we have passed on and the client has not got."""
        return self.session.unsent - self._octets

    def is_older(self, stored_at: int) -> bool:
        """Whether a message in the spool came before all that is held."""
        # Times are not asked for nothing: the clock may have been set back while the
        # server was stopped.
        return not self.has_newer or stored_at <= self._held[0].at

    def expect_newer(self) -> None:
        """From now on the spool may have what is newer than what is held so far."""
        if self._held:
            self.has_newer = True

    def was_given(self, message: Message, sessions: Sequence[Session]) -> None:
        """These sessions have just been given the same message."""
        for held in self._held:
            if held.message is message:
                held.others = sessions

    def let_go(self, before: int = FOREVER) -> None:
        """Pass on what is held, as far as it came before a time."""
        while self._held and self._held[0].at < before:
            self._pass_on(self._take())

    def leave(self) -> list[Held]:
        """Get out of the way; returns what is not the session's any more."""
        left = []
        while self._held:
            held = self._take()
            if is_for(held.message, self.session):
                self._pass_on(held)
            else:
                left.append(held)
        self.session.remove_outlet(self)
        return left

    def _take(self) -> Held:
        held = self._held.popleft()
        self._octets -= held.octets
        held.needs_stamp = self.has_newer
        if not self._held:
            self.has_newer = False
        return held

    def _pass_on(self, held: Held) -> None:
        # Should the client not acknowledge it, it comes back after what is newer.
        self.next(held.stamped(self._host.name) if held.needs_stamp else held.message)
        held.release()


class Backlogs:
    """Those of all sessions that have one, by account."""

    def __init__(self, host: Host, changed: Callable[[], None]) -> None:
        self._host = host
        self._changed = changed
        self._accounts: dict[str, dict[Session, Backlog]] = {}

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def __iter__(self) -> Iterator[Backlog]:
        """All of them; what is removed meanwhile may come."""
        for localpart in list(self._accounts):
            yield from self.of(localpart)

    def of(self, localpart: str) -> Sequence[Backlog]:
        backlogs = self._accounts.get(localpart)
        return tuple(backlogs.values()) if backlogs else ()

    def get(self, session: Session) -> Backlog | None:
        backlogs = self._accounts.get(session.jid.localpart)
        return backlogs.get(session) if backlogs else None

    def add(self, session: Session) -> None:
        """Have new messages of a session wait from now on."""
        backlogs = self._accounts.setdefault(session.jid.localpart, {})
        if session not in backlogs:
            backlogs[session] = Backlog(self._host, session)
            self._changed()

    def remove(self, session: Session) -> list[Held]:
        """They wait no longer; returns those that are not the session's any more."""
        backlog = self.get(session)
        if backlog is None:
            return []
        localpart = session.jid.localpart
        del self._accounts[localpart][session]
        if not self._accounts[localpart]:
            del self._accounts[localpart]
        self._changed()
        return backlog.leave()


def is_receiver(session: Session) -> bool:
    """Whether a session gets messages to the bare JID (RFC 6121, 8.5.2.1.1)."""
    return session.is_open and session.presence is not None and session.priority >= 0


def is_for(message: Message, session: Session) -> bool:
    """Whether a message that was held for a session is still for it."""
    to = message.to
    return session.is_open and (is_receiver(session) or (to is not None and bool(to.resource)))
