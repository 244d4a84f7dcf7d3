"""Offline Messages (XEP-0160): kept while nobody is there, given to who comes first."""

from datetime import UTC, datetime

import gevent

from stonechat import hookimpl
from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host, Session
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_HINTS, NS_STANZA_ID
from stonechat.options import ByteSize, DurationOrOff, PluginOptions, option
from stonechat.stanza import Element, Message, Presence, Stanza
from stonechat_offline.spool import SCHEMA, Kept, Spool

FEATURE = "msgoffline"
NS_CHAT_STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085

# What says nothing by itself (XEP-0160, "Handling of Message Types").
_ACCOMPANIMENT = {NS_CHAT_STATES, NS_HINTS, NS_DELAY, NS_STANZA_ID}
_THREAD = f"{NS_CLIENT} thread"

RETRY_SECONDS = 30.0
EXPIRY_SECONDS = 3600.0
# How often to look whether a client that reads slowly has caught up.
_LOOK_SECONDS = 0.2


class Options(PluginOptions):
    max_messages: int = option(1000, "Messages kept for one account.", ge=1)
    max_bytes: ByteSize = option("4 MiB", "Size of all messages kept for one account.", ge=1)
    expire_after: DurationOrOff = option(
        "off", "Messages that were kept so long are deleted unread."
    )


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.spool = Spool(host.storage, host.name)
        # Accounts whose messages are on their way now, and whether more has come.
        self.under_way: dict[str, bool] = {}
        # Accounts to try again, because the store failed; no more than are logged in.
        self.put_off: set[str] = set()

    def start(self) -> None:
        if self.options.expire_after:
            self.host.call_every(EXPIRY_SECONDS, self.expire)

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [FEATURE]

    # In

    # Last: who forwards or pushes messages has to see them before they lie here.
    @hookimpl(trylast=True)
    def stonechat_message_undelivered(self, message: Message) -> bool | None:
        if message.has(NS_HINTS, "no-store"):
            # XEP-0334. The sender of a text hears that it was not delivered.
            return None if message.has(NS_CLIENT, "body") else True
        if not says_something(message):
            # Gone with the moment; an error would only tell who is not there.
            return True
        localpart = message.to.localpart
        if not self.keep(localpart, message):
            return None  # full: "service-unavailable", as XEP-0160 has it
        # A session may have become available while we wrote, or reads too slowly.
        if session := self.receiver(localpart):
            self.host.spawn(self.deliver, session)
        return True

    def keep(self, localpart: str, message: Message) -> bool:
        """Store a message; it is committed when this returns. False if there is no room."""
        limits = (self.options.max_messages, self.options.max_bytes)
        try:
            return self.spool.put(localpart, message.to_bytes(), self.host.now(), limits)
        except StorageError as error:
            self.host.log.error("message not kept", reason=str(error))
            raise StanzaError("resource-constraint", type="wait") from None

    # Out

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        if presence.type or session.priority < 0:
            return
        if previous is None or previous.priority < 0:
            # Not here: a client that does not read must not keep its connection busy.
            self.host.spawn(self.deliver, session)

    def deliver(self, session: Session) -> None:
        """Give a session all messages of its account, in the order they came.

        They are deleted when they have left our memory: after a crash they come again.
        Of two sessions one gets them; it makes sure that nothing is left.
        """
        localpart = session.jid.localpart
        if localpart in self.under_way:
            self.under_way[localpart] = True
            return
        try:
            self.under_way[localpart] = True
            while self.under_way[localpart]:
                self.under_way[localpart] = False
                self.deliver_all(localpart, session)
        except StorageError as error:
            self.host.log.error("messages not delivered yet", reason=str(error))
            self.deliver_later(localpart)
        finally:
            del self.under_way[localpart]

    def deliver_later(self, localpart: str) -> None:
        if localpart not in self.put_off:
            self.put_off.add(localpart)
            self.host.call_later(RETRY_SECONDS, self.deliver_again, localpart)

    def deliver_again(self, localpart: str) -> None:
        self.put_off.discard(localpart)
        if session := self.receiver(localpart):
            self.deliver(session)

    def deliver_all(self, localpart: str, session: Session | None) -> None:
        while session is not None:
            while session.is_open and not session.takes_messages:
                gevent.sleep(_LOOK_SECONDS)
            messages = self.spool.first(localpart)
            if not messages:
                return
            oldest = self.oldest()
            for message in messages:
                if message.stored_at >= oldest:
                    self.send(session, message)
            wait_until_sent(session)
            if session.is_open:
                self.spool.delete([message.id for message in messages])
            else:
                # What was on its way comes again.
                session = self.receiver(localpart)

    def send(self, session: Session, kept: Kept) -> None:
        try:
            message = Stanza.from_bytes(kept.stanza)
        except ValueError as error:
            self.host.log.error("kept message is damaged", id=kept.id, reason=str(error))
            return
        stamp = f"{datetime.fromtimestamp(kept.stored_at // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
        message.append(
            Element(NS_DELAY, "delay", {"from": self.host.name, "stamp": stamp}, "Offline Storage")
        )
        session.send(message)

    def receiver(self, localpart: str) -> Session | None:
        """A session that takes messages to the bare JID."""
        for session in self.host.sessions(localpart):
            if session.presence is not None and session.priority >= 0 and session.is_open:
                return session
        return None

    # Away

    def oldest(self) -> int:
        """The time before which messages are expired."""
        keep_for = self.options.expire_after
        return self.host.now() - int(keep_for * 1_000_000) if keep_for else 0

    def expire(self) -> None:
        try:
            deleted = self.spool.expire(self.oldest())
        except StorageError as error:
            self.host.log.error("messages not expired", reason=str(error))
            return
        if deleted:
            self.host.log.info("messages expired", messages=deleted)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.spool.clear(account.localpart)

    @command(
        "offline-count",
        "Count the messages that wait for an account.",
        example="offline-count juliet@capulet.example",
    )
    def count(self, jid: JID) -> int:
        return self.spool.count(self.existing(jid))

    @command(
        "offline-delete",
        "Delete the messages that wait for an account; returns how many there were.",
        example="offline-delete juliet@capulet.example",
    )
    def delete(self, jid: JID) -> int:
        return self.spool.clear(self.existing(jid))

    def existing(self, jid: JID) -> str:
        if not jid.localpart or not self.host.accounts.exists(jid.localpart):
            raise CommandError(f"There is no account {jid.bare}.")
        return jid.localpart


def wait_until_sent(session: Session) -> None:
    """Wait until nothing is queued for a session any more, or until it is closed.

    What is queued is in our memory only, and lost with the client or the process (R1).
    """
    # Usually all of it leaves before this greenlet has its next turn.
    pause = 0.0
    while session.is_open and session.unsent:
        gevent.sleep(pause)
        pause = min(pause + 0.01, _LOOK_SECONDS)


def says_something(message: Message) -> bool:
    """Whether there is more in a message than chat states and the like."""
    if message.has(NS_HINTS, "store"):
        return True
    return any(
        name != _THREAD and name.rpartition(" ")[0] not in _ACCOMPANIMENT
        for name in message.children
    )
