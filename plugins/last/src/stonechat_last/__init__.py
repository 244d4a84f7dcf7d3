"""Last Activity (XEP-0012): tells when an account was last here, and how long the server is."""

from collections import OrderedDict
from collections.abc import Iterator

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    bindparam,
    delete,
    select,
)

from stonechat import hookimpl, timestamps
from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY
from stonechat.options import PluginOptions
from stonechat.plugin import Imported, concerns
from stonechat.portable import storing
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Presence
from stonechat.storage import LocalText, Schema, Timestamp, host_column, upsert

NS_LAST = "jabber:iq:last"

# Of the text that a user leaves behind, so many octets are kept.
MAX_STATUS_OCTETS = 1024

# Accounts that were removed last, remembered until their sessions have ended.
MAX_REMOVED = 1000

_metadata = MetaData()
_activity = Table(
    "last_activity",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("left_at", Timestamp, nullable=False),
    Column("status", LargeBinary(MAX_STATUS_OCTETS), nullable=False),  # UTF-8
)
_IS_IT = (
    _activity.c.host == bindparam("its_host"),
    _activity.c.localpart == bindparam("its_localpart"),
)
_FIND = select(_activity.c.left_at, _activity.c.status).where(*_IS_IT)
_DELETE = delete(_activity).where(*_IS_IT)


class Plugin:
    schema = Schema("last", 1, _metadata)

    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host
        self.started_at = host.monotonic()
        # Sessions end after their account is removed, and must leave nothing behind then.
        self.removed: OrderedDict[JID, None] = OrderedDict()

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_LAST]

    @hookimpl
    def stonechat_account_disco_features(self) -> list[str]:
        return [NS_LAST]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_LAST): self.report_uptime}

    @hookimpl
    def stonechat_account_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_LAST): self.report_activity}

    # Answers

    def report_uptime(self, iq: Iq) -> Element:
        # Not by the time of day, which somebody may set.
        return self._query(self.host.monotonic() - self.started_at)

    def report_activity(self, iq: Iq) -> Element:
        account = (iq.to or iq.from_).bare
        if not self.host.may_see_presence(account, iq.from_):
            # Not forbidden, as XEP-0012 has it: an account that does not exist gets this
            # from the kernel, and strangers must not learn which ones do (RFC 6121, 4.3.2).
            raise StanzaError("service-unavailable")
        if self.host.sessions(account.localpart):
            return Element(NS_LAST, "query", {"seconds": "0"})
        try:
            found = self._find(account)
        except StorageError:
            raise StanzaError("internal-server-error", type="wait") from None
        if found is None:
            raise StanzaError("service-unavailable", "Nothing is known of its activity.")
        left_at, status = found
        # The clock of another node may have been ahead.
        query = self._query(max(0, self.host.now() - left_at) / 1_000_000)
        if status:
            query.append(status.decode("utf-8", "ignore"))
        return query

    @hookimpl
    @concerns(f"{NS_LAST} query")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        """What a client would answer is kept from strangers too ("Online User Query")."""
        # Accounts that do not exist come here too, so this tells nothing of them. What is
        # asked of the bare JID we answer ourselves.
        if iq.type != "get" or not iq.to.resource:
            return
        if not self.host.may_see_presence(iq.to.bare, iq.from_):
            raise StanzaError("forbidden")

    def _find(self, account: JID) -> tuple[int, bytes] | None:
        """When an account has left, and what it said."""
        key = self._key(account)

        def find_activity(connection: Connection) -> tuple[int, bytes] | None:
            row = connection.execute(_FIND, key).one_or_none()
            return None if row is None else (row[0], row[1])

        return self.host.storage.read(find_activity)

    def _query(self, seconds: float) -> Element:
        return Element(NS_LAST, "query", {"seconds": str(int(seconds))})

    # What is recorded

    @hookimpl
    def stonechat_presence_changed(self, session: Session, presence: Presence) -> None:
        if presence.type == "unavailable":
            session.data[NS_LAST] = presence.element.find_text("status", NS_CLIENT)

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        account = session.jid.bare
        if account in self.removed:
            return
        status = session.data.get(NS_LAST, "").encode()[:MAX_STATUS_OCTETS]
        values = {
            "host": self.host.name,
            "localpart": account.localpart,
            "left_at": self.host.now(),
            "status": status,
        }

        def record_activity(connection: Connection) -> None:
            upsert(connection, _activity, values, ["host", "localpart"])

        self.host.storage.write_soon(record_activity)

    @hookimpl
    def stonechat_account_created(self, account: JID) -> None:
        self.removed.pop(account, None)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.removed[account] = None
        if len(self.removed) > MAX_REMOVED:
            self.removed.popitem(last=False)
        key = self._key(account)

        def forget_activity(connection: Connection) -> None:
            connection.execute(_DELETE, key)

        self.host.storage.write(forget_activity)

    # Moving. XEP-0227 has no word for it: the query, with the time in the place of seconds.

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        found = self._find(account)
        if found is not None:
            left_at, status = found
            query = Element(NS_LAST, "query")
            query.append(status.decode("utf-8", "ignore"))
            query.add("delay", namespace=NS_DELAY, stamp=timestamps.written(left_at))
            yield query

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        if element.qualified_name != f"{NS_LAST} query":
            return None
        delay = element.find("delay", NS_DELAY)
        try:
            left_at = timestamps.read("" if delay is None else delay.get("stamp"))
        except ValueError:
            return Imported(lost=("an activity without a time",))
        values = {
            "host": self.host.name,
            "localpart": account.localpart,
            "left_at": left_at,
            "status": element.text.encode()[:MAX_STATUS_OCTETS],
        }

        def record_activity(connection: Connection) -> None:
            upsert(connection, _activity, values, ["host", "localpart"])

        with storing():
            found = self._find(account)
            # What was last counts, whoever has seen it.
            if found is not None and found[0] >= left_at:
                return Imported(known=1)
            if not dry_run:
                self.host.storage.write(record_activity)
        return Imported(kept=1)

    def _key(self, account: JID) -> dict[str, str]:
        return {"its_host": self.host.name, "its_localpart": account.localpart}
