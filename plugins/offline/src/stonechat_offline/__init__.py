"""Offline Messages (XEP-0160): kept while nobody is there, given to who comes first."""

from collections import Counter

import gevent

from stonechat import hookimpl, timestamps
from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_HINTS, NS_STANZA_ID
from stonechat.options import ByteSize, DurationOrOff, PluginOptions, option
from stonechat.sasl import BOUND_INLINE
from stonechat.session import Session
from stonechat.stanza import Element, Message, Presence, Stanza
from stonechat_offline.backlog import Backlog
from stonechat_offline.parcel import LOOK_SECONDS, Parcel
from stonechat_offline.spool import SCHEMA, Kept, Spool

FEATURE = "msgoffline"
NS_CHAT_STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085

# What says nothing by itself (XEP-0160, "Handling of Message Types").
_ACCOMPANIMENT = {NS_CHAT_STATES, NS_HINTS, NS_DELAY, NS_STANZA_ID}
_THREAD = f"{NS_CLIENT} thread"

# In the data of a session whose presence has come to us.
SEEN = "offline"

RETRY_SECONDS = 30.0
EXPIRY_SECONDS = 3600.0
# About what it takes to write a message.
WRITE_SECONDS = 0.002


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
        # Accounts whose messages are on their way now, and to whom.
        self.under_way: dict[str, Session] = {}
        # Those of them for which more has come.
        self.more: set[str] = set()
        # Accounts and how many of their messages are being written now.
        self.putting: Counter[str] = Counter()
        # What holds back new messages of sessions that are to get old ones.
        self.backlogs: dict[JID, Backlog] = {}
        # Accounts to try again, because the store failed; no more than are logged in.
        self.put_off: set[str] = set()

    def start(self) -> None:
        for session in self.host.all_sessions():
            session.data[SEEN] = True
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
        # A session that is there reads too slowly. When it has caught up, nothing newer
        # may reach it before this message.
        if session := self.receiver(localpart):
            self.hold_back(session)
        self.putting[localpart] += 1
        try:
            # None: full; "service-unavailable", as XEP-0160 has it.
            return self.keep(localpart, message) or None
        finally:
            self.putting[localpart] -= 1
            if not self.putting[localpart]:
                del self.putting[localpart]
            # One may have become available while we wrote, too.
            if session := self.receiver(localpart):
                self.host.spawn(self.deliver, session)

    def keep(self, localpart: str, message: Message) -> bool:
        """Store a message; it is committed when this returns. False if there is no room."""
        limits = (self.options.max_messages, self.options.max_bytes)
        sent_at = self.sent_at(message)
        try:
            return self.spool.put(
                localpart,
                message.to_bytes(),
                sent_at or self.host.now(),
                limits,
                is_new=not sent_at,
            )
        except StorageError as error:
            self.host.log.error("message not kept", reason=str(error))
            raise StanzaError("resource-constraint", type="wait") from None

    def sent_at(self, message: Message) -> int:
        """When a message came to this server that was under way before; 0 for a new one."""
        stamp = self.stamp_of(message)
        try:
            return timestamps.read(stamp) if stamp else 0
        except ValueError:
            return 0

    def stamp_of(self, message: Message) -> str:
        """What this server said of its time, or `""`; nobody else can say that in its name."""
        if message.has(NS_DELAY, "delay"):
            for delay in message.element.find_all("delay", NS_DELAY):
                if delay.get("from") == self.host.name:
                    return delay.get("stamp")
        return ""

    # Out

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        session.data[SEEN] = True
        if presence.type or session.priority < 0:
            return
        if previous is None or previous.priority < 0:
            # From this very moment on: what comes now is newer than what waits.
            self.hold_back(session)
            # Not here: a client that does not read must not keep its connection busy.
            self.host.spawn(self.deliver, session)

    def hold_back(self, session: Session) -> None:
        """Have new messages wait until the session has the old ones."""
        if session.jid not in self.backlogs:
            self.backlogs[session.jid] = Backlog(session, self.host.now)

    def deliver(self, session: Session) -> None:
        """Give a session all messages of its account, in the order they came.

        They are deleted when the session has them: after a crash they come again. Of two
        sessions one gets them; it makes sure that nothing is left.
        """
        localpart = session.jid.localpart
        if localpart in self.under_way:
            self.more.add(localpart)
            if self.under_way[localpart] is not session:
                # It may take long, and is none of this one's business.
                self.end(session.jid)
            return
        try:
            self.under_way[localpart] = session
            self.more.add(localpart)
            while localpart in self.more:
                self.more.discard(localpart)
                self.deliver_all(session)
        except StorageError as error:
            self.host.log.error("messages not delivered yet", reason=str(error))
            self.deliver_later(localpart)
        finally:
            del self.under_way[localpart]
            self.more.discard(localpart)
            self.end(session.jid)
        # What this session has not got may be another's.
        if not session.is_open and (other := self.receiver(localpart)):
            self.hold_back(other)
            self.deliver(other)

    def end(self, jid: JID) -> None:
        """Hold nothing back any more."""
        backlog = self.backlogs.pop(jid, None)
        if backlog is None:
            return
        for message, release in backlog.remove():
            try:
                self.host.redeliver(message)
            except StanzaError as error:
                self.host.bounce(message, error)
            release()

    def deliver_later(self, localpart: str) -> None:
        if localpart not in self.put_off:
            self.put_off.add(localpart)
            self.host.call_later(RETRY_SECONDS, self.deliver_again, localpart)

    def deliver_again(self, localpart: str) -> None:
        self.put_off.discard(localpart)
        if session := self.receiver(localpart):
            self.hold_back(session)
            self.deliver(session)

    def deliver_all(self, session: Session) -> None:
        localpart = session.jid.localpart
        backlog = self.backlogs.get(session.jid)
        if backlog is None or backlog.session is not session:
            return  # it has ended meanwhile
        while session.is_open:
            while session.is_open and not backlog.client_reads:
                gevent.sleep(LOOK_SECONDS)
            messages = self.spool.first(localpart)
            if localpart in self.putting and not messages:
                gevent.sleep(WRITE_SECONDS)
                continue
            older = [message for message in messages if message.stored_at < backlog.since]
            if not older:
                # All the rest is newer than what we hold.
                if not messages and not backlog.is_full:
                    return
                backlog.let_go()
                continue
            parcel = Parcel()
            oldest = self.oldest()
            for message in older:
                if message.stored_at >= oldest:
                    self.send(backlog, message, parcel)
                else:
                    parcel.arrived(message.id)
            parcel.wait(backlog)
            self.spool.delete(parcel.there)

    def send(self, backlog: Backlog, kept: Kept, parcel: Parcel) -> None:
        try:
            message = Stanza.from_bytes(kept.stanza)
        except ValueError as error:
            self.host.log.error("kept message is damaged", id=kept.id, reason=str(error))
            parcel.arrived(kept.id)
            return
        if BOUND_INLINE in backlog.session.data and self.is_archived(message):
            # XEP-0386: it gets that from the archive.
            parcel.arrived(kept.id)
            return
        if not self.stamp_of(message):
            stamp = timestamps.written(kept.stored_at)
            message.append(
                Element(
                    NS_DELAY, "delay", {"from": self.host.name, "stamp": stamp}, "Offline Storage"
                )
            )
        parcel.send(backlog.next, kept.id, message)

    def is_archived(self, message: Message) -> bool:
        """Whether the account's archive has it (XEP-0359)."""
        account = message.to.bare.text
        return message.has(NS_STANZA_ID, "stanza-id") and any(
            mark.get("by") == account
            for mark in message.element.find_all("stanza-id", NS_STANZA_ID)
        )

    def receiver(self, localpart: str) -> Session | None:
        """A session that takes messages to the bare JID.

        Not one whose first presence is still with other plugins: they may have something
        older for it.
        """
        for session in self.host.sessions(localpart):
            if (
                session.presence is not None
                and session.priority >= 0
                and session.is_open
                and SEEN in session.data
            ):
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


def says_something(message: Message) -> bool:
    """Whether there is more in a message than chat states and the like."""
    if message.has(NS_HINTS, "store"):
        return True
    return any(
        name != _THREAD and name.rpartition(" ")[0] not in _ACCOMPANIMENT
        for name in message.children
    )
