"""Offline Messages (XEP-0160): kept while nobody is there, given to who comes first."""

from collections.abc import Iterator, Sequence

from stonechat import hookimpl
from stonechat.commands import command
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_HINTS, NS_STANZA_ID
from stonechat.options import ByteSize, DurationOrOff, PluginOptions, option
from stonechat.plugin import Imported
from stonechat.portable import storing
from stonechat.session import Session
from stonechat.stanza import Element, Message, Presence
from stonechat_offline import moving
from stonechat_offline.deliveries import SEEN, Deliveries
from stonechat_offline.spool import SCHEMA, Spool
from stonechat_offline.stamps import sent_at

FEATURE = "msgoffline"
NS_CHAT_STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085

# What says nothing by itself (XEP-0160, "Handling of Message Types").
_ACCOMPANIMENT = {NS_CHAT_STATES, NS_HINTS, NS_DELAY, NS_STANZA_ID}
_THREAD = f"{NS_CLIENT} thread"

EXPIRY_SECONDS = 3600.0


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
        self.deliveries = Deliveries(host, self.spool, self.oldest)

    def start(self) -> None:
        self.deliveries.start()
        if self.options.expire_after:
            self.host.call_every(EXPIRY_SECONDS, self.expire)

    def stop(self) -> None:
        self.deliveries.stop()

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
        with self.deliveries.writing(localpart):
            # None: full; "service-unavailable", as XEP-0160 has it.
            return self.keep(localpart, message) or None

    def keep(self, localpart: str, message: Message) -> bool:
        """Store a message; it is committed when this returns. False if there is no room."""
        limits = (self.options.max_messages, self.options.max_bytes)
        # Not 0 where it was under way here before: another session was to have it.
        before = sent_at(message, self.host.name)
        try:
            return self.spool.put(
                localpart,
                message.to_bytes(),
                before or self.host.now(),
                limits,
                is_new=not before,
            )
        except StorageError as error:
            self.host.log.error("message not kept", reason=str(error))
            raise StanzaError("resource-constraint", type="wait") from None

    # Out

    # First, but for who brings what is older still: until then new messages do not wait.
    @hookimpl(tryfirst=True)
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        session.data[SEEN] = True
        if presence.type or session.priority < 0:
            return
        if previous is None or previous.priority < 0:
            self.deliveries.begin(session)

    @hookimpl
    def stonechat_message_spread(self, message: Message, sessions: Sequence[Session]) -> None:
        self.deliveries.given(message, sessions)

    @hookimpl
    def stonechat_session_ending(self, session: Session) -> None:
        self.deliveries.ending(session)

    # Last: what the client has not acknowledged is older than what was held.
    @hookimpl(trylast=True)
    def stonechat_session_closed(self, session: Session) -> None:
        self.deliveries.closed(session)

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

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        return moving.export(self.spool, account)

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        limits = (self.options.max_messages, self.options.max_bytes)
        with self.deliveries.writing(account.localpart), storing():
            return moving.take(self.spool, account, element, limits, self.host.now(), dry_run)

    @command(
        "offline-count",
        "Count the messages that wait for an account.",
        example="offline-count juliet@capulet.example",
    )
    def count(self, jid: JID) -> int:
        return self.spool.count(self.host.existing_account(jid))

    @command(
        "offline-delete",
        "Delete the messages that wait for an account; returns how many there were.",
        example="offline-delete juliet@capulet.example",
    )
    def delete(self, jid: JID) -> int:
        return self.spool.clear(self.host.existing_account(jid))


def says_something(message: Message) -> bool:
    """Whether there is more in a message than chat states and the like."""
    if message.has(NS_HINTS, "store"):
        return True
    return any(
        name != _THREAD and name.rpartition(" ")[0] not in _ACCOMPANIMENT
        for name in message.children
    )
