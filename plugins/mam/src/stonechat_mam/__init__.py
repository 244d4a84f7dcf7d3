"""Message Archive Management (XEP-0313): what was said, on every device, since it was said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stonechat.auth import AuthUnavailable
from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_HINTS, NS_RSM, NS_STANZA_ID
from stonechat.options import DurationOrOff, PluginOptions, option
from stonechat.plugin import Imported, Stage, concerns, hookimpl, stage
from stonechat.portable import NS_PIE_ARCHIVE, storing
from stonechat.session import InlineFeature, Session, UnboundStream
from stonechat.stanza import Element, Iq, Message
from stonechat.storage import StorageFull
from stonechat.xml import escape_attribute
from stonechat_mam import moving, preferences
from stonechat_mam.accounts import Account, Preference
from stonechat_mam.answers import RESULT
from stonechat_mam.archive import Archive, FullText
from stonechat_mam.fulltext import NS_FULLTEXT
from stonechat_mam.ids import first_at
from stonechat_mam.query import NS_EXTENDED, NS_GROUPCHAT_FIELD, NS_MAM
from stonechat_mam.requests import Requests
from stonechat_mam.rules import NS_RETRACT, is_archived

__all__ = ["Options", "Plugin"]

NS_TOMBSTONE = f"{NS_RETRACT}#tombstone"

EXPIRY_SECONDS = 3600.0
_STANZA_ID = b"<stanza-id xmlns='" + NS_STANZA_ID.encode() + b"' by='%b' id='%d'/>"
_DAY = 86_400_000_000  # microseconds


class Options(PluginOptions):
    """What is kept, how long, and how much of it is given at once."""

    default: Preference = option(
        "always",
        "Whose messages are archived where a user has not said it: everybody's, nobody's, or"
        " those of contacts in the roster.",
    )
    users_choose: bool = option(True, "Whether users may set preferences of their own.")
    max_listed: int = option(
        500,
        "Addresses in each list of a user: those always archived, and those never.",
        ge=0,
        le=10_000,
    )
    keep_for: DurationOrOff = option("off", "Messages that were archived so long are deleted.")
    max_messages: int = option(
        1_000_000, "Messages in one account's archive; the oldest go first.", ge=1
    )
    page: int = option(50, "Messages in a page where a client names no number.", ge=1, le=1000)
    max_page: int = option(250, "Messages in a page at most.", ge=1, le=1000)
    fulltext: FullText = option(
        "scan",
        "How texts are searched: through all of an archive (`scan`), by an index, which"
        " SQLite alone has here and which makes writing dearer (`index`), or not (`off`).",
    )


class Plugin:
    """Archives what the accounts of a host send and receive, and gives it back."""

    Options = Options
    schema = Archive.schema

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.archive = Archive(host, options.fulltext, options.keep_for)
        self.requests = Requests(host, self.archive, options)

    def start(self) -> None:
        """Go on where the archive ends, and look every hour for what is too old."""
        self.archive.start()
        self.host.provide("mam", Service())
        self.host.call_every(EXPIRY_SECONDS, self.expire)

    def stop(self) -> None:
        """Have everything written."""
        self.archive.stop()

    # What is offered

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        features = [NS_MAM, NS_EXTENDED, NS_GROUPCHAT_FIELD, NS_STANZA_ID, NS_RSM]
        features += [NS_RETRACT, NS_TOMBSTONE, NS_HINTS]
        return [*features, NS_FULLTEXT] if self.archive.is_searchable else features

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_MAM): self.requests.get, ("set", NS_MAM): self.requests.set}

    @hookimpl
    @concerns(f"{NS_MAM} query", f"{NS_MAM} metadata", f"{NS_MAM} prefs")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        # Said before anybody looks whether there is such an account: the answer is the same
        # where there is none (robustness rule 29).
        if iq.is_request and iq.to.is_bare and iq.from_.bare != iq.to:
            raise StanzaError("forbidden", "An archive is its owner's.")

    @hookimpl
    def stonechat_bind2_features(self) -> Sequence[InlineFeature[Session]]:
        # XEP-0386, "Performing the bind": in every answer, without being asked for.
        return [InlineFeature(NS_MAM, "metadata", _offer_nothing, self.bound, always=True)]

    def bound(self, session: Session, _element: Element) -> Element | None:
        """The state of the archive as a session begins; None if it cannot be had."""
        try:
            return self.requests.metadata(session.jid.bare)
        except StanzaError:
            return None  # logged already; the login is none the worse for it

    # Into the archive

    @hookimpl
    @stage(Stage.RECORD)
    def stonechat_message_from_user(self, session: Session, message: Message) -> None:
        id_ = 0
        if is_archived(message):
            own, to = session.jid, message.to
            # What somebody sends to himself is archived where it arrives, once.
            if to is not None and (to.localpart, to.domain) != (own.localpart, own.domain):
                id_ = self.record(own.localpart, to, own, message)
        session.data["mam"] = id_

    @hookimpl
    @stage(Stage.RECORD)
    def stonechat_message_to_user(self, message: Message) -> None:
        if not is_archived(message):
            return
        to, sender = message.to, message.from_
        if to.resource and message.type != "chat" and self.host.session(to) is None:
            return  # nobody will get it (RFC 6121, 8.5.3.2)
        if not self.has_account(to.localpart):
            return
        id_ = self.record(to.localpart, sender, sender, message)
        if id_:
            mark = _STANZA_ID % (escape_attribute(to.bare.text).encode(), id_)
            message.append_written(f"{NS_STANZA_ID} stanza-id", mark)

    def record(self, localpart: str, peer: JID, sender: JID, message: Message) -> int:
        """Archive a message if its account wants it; its id, or 0."""
        accounts = self.archive.accounts
        try:
            account = accounts.known(localpart) or accounts.get(localpart)
            if self.wants(account, peer):
                return self.archive.recorder.record(account.number, peer, sender, message)
        except StorageFull as error:
            self.host.log.error("message not archived", reason=str(error))
            raise StanzaError("resource-constraint", type="wait") from None
        except StorageError as error:
            self.host.log.error("message not archived", reason=str(error))
            raise StanzaError("internal-server-error", type="wait") from None
        return 0

    def wants(self, account: Account, peer: JID) -> bool:
        default = self.options.default
        if not account.preference and default == "always":
            return True
        return preferences.allows(self.host, account, peer, default)

    def has_account(self, localpart: str) -> bool:
        if self.archive.accounts.known(localpart) or self.host.sessions(localpart):
            return True
        try:
            return self.host.accounts.exists(localpart)
        except AuthUnavailable as error:
            self.host.log.error("message not archived", reason=str(error))
            raise StanzaError("internal-server-error", type="wait") from None

    # Last: what others keep for the next client, it gets from them.
    @hookimpl(trylast=True)
    @stage(Stage.RECORD)
    def stonechat_message_undelivered(self, message: Message) -> bool | None:
        mark = message.find(NS_STANZA_ID, "stanza-id", {"by": message.to.bare.text})
        return True if mark is not None else None

    @hookimpl
    def stonechat_message_unhandled(self, session: Session, message: Message) -> bool | None:
        # A page is for who asked for it.
        return True if RESULT in message.children else None

    # Out of it

    def expire(self) -> None:
        """Delete what is too old, or too much."""
        retention = self.archive.retention
        try:
            self.archive.recorder.catalogue.update()
            deleted = retention.trim(self.options.max_messages)
            if self.options.keep_for:
                deleted += retention.delete_everywhere(self.archive.floor)
        except StorageError as error:
            self.host.log.error("messages not expired", reason=str(error))
            return
        if deleted:
            self.host.log.info("messages expired", messages=deleted)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.archive.erase(account.localpart)

    # Moving

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        known = self.archive.accounts.find(account.localpart)
        if known is not None and known.preference:
            yield preferences.written(known, self.options.default)
        yield from moving.export(self.archive, self.host, account)

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        if element.qualified_name not in (f"{NS_MAM} prefs", f"{NS_PIE_ARCHIVE} archive"):
            return None
        with storing():
            if element.name == "prefs":
                return self.take_preferences(account, element, dry_run=dry_run)
            return moving.take(self.archive, self.host, account, element, dry_run)

    def take_preferences(self, account: JID, element: Element, *, dry_run: bool) -> Imported:
        accounts = self.archive.accounts
        try:
            given = preferences.read(element, self.options.max_listed)
        except StanzaError as error:
            return Imported(lost=(f"what is to be archived: {error}",))
        known = accounts.find(account.localpart)
        if known is not None and known.preference:
            if (known.preference, known.always, known.never) == given:
                return Imported(known=1)
            return Imported(lost=("what is to be archived: it is set otherwise here",))
        if not dry_run:
            accounts.set_preferences(account.localpart, *given)
        return Imported(kept=1)

    @command(
        "mam-count",
        "Count the messages in an account's archive.",
        example="mam-count juliet@capulet.example",
    )
    def count(self, jid: JID) -> int:
        return self.archive.count(self.host.existing_account(jid))

    @command(
        "mam-delete",
        "Delete messages from an account's archive; returns how many there were.",
        example="mam-delete juliet@capulet.example 365",
    )
    def delete(self, jid: JID, days: int = 0) -> int:
        """With `days`, only what was archived so many days ago, or earlier."""
        localpart = self.host.existing_account(jid)
        return self.archive.delete(localpart, self.before(days) if days else None)

    @command(
        "mam-purge",
        "Delete old messages from all archives of a host; returns how many there were.",
        example="mam-purge 365",
    )
    def purge(self, days: int) -> int:
        """`days` is for how long messages stay: what is older goes."""
        return self.archive.retention.delete_everywhere(self.before(days))

    def before(self, days: int) -> int:
        if days < 1:
            raise CommandError("days: 1 or more")
        return first_at(self.host.now() - days * _DAY)


def _offer_nothing(_stream: UnboundStream) -> None:
    """There is nothing to enable."""


class Service:
    """The archive as other plugins use it: the service `mam`."""

    def sent_id(self, session: Session) -> str:
        """The archive id of the message that a session is sending, `""` if it has none.

        For hooks after `Stage.RECORD`: a copy for the sender's other clients may carry it
        (XEP-0313, "Communicating the archive ID"), what goes to anybody else may not.
        """
        id_ = session.data.get("mam")
        return str(id_) if id_ else ""
