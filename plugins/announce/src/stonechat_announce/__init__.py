"""Announcements to the users of a host, and a message of the day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import gevent

from stonechat import hookimpl
from stonechat.commands import ALL_HOSTS, CommandError, Text, command
from stonechat.errors import StanzaError, StonechatError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.options import PluginOptions, option
from stonechat.session import Session
from stonechat.stanza import Element, Message, Presence, Stanza, new_id
from stonechat_announce.motd import SCHEMA, Motd, MotdStore

NS_ADMIN = "http://jabber.org/protocol/admin"  # XEP-0133

# Others have their turn after so many.
IN_A_ROW = 64

# Of one announcement: each who is away gets it stored.
MAX_OCTETS = 65_536

# Announcements that are being sent.
MAX_UNDER_WAY = 10

NO_SUBJECT = Text()


class Address(NamedTuple):
    """What a message to an address below the host means."""

    command: str
    parameter: str
    host: str


def _addresses() -> Iterator[tuple[str, Address]]:
    for path, command_, parameter in (
        ("all", "announce-all", "announcement"),
        ("online", "announce-online", "announcement"),
        ("motd", "motd-set", "motd"),
        ("motd/update", "motd-update", "motd"),
        ("motd/delete", "motd-delete", ""),
    ):
        yield f"announce/{path}", Address(command_, parameter, "")
        yield f"announce/all-hosts/{path}", Address(command_, parameter, ALL_HOSTS)


ADDRESSES = dict(_addresses())
"""By resource: `capulet.example/announce/online`."""


def _takes_headlines(session: Session) -> bool:
    """Whether a session gets what is sent to its account (RFC 6121, 8.5.2.1.1)."""
    return session.presence is not None and session.priority >= 0


def _takes_them_now(session: Session) -> bool:
    """The same for what must not be lost, for nobody keeps headlines."""
    return _takes_headlines(session) and session.is_connected and session.takes_messages


class Options(PluginOptions):
    access: str = option("admin", "The access rule for who may announce.")


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.store = MotdStore(host.storage, host.name)
        self.motd: Motd | None = None
        self.under_way = 0

    def start(self) -> None:
        self.motd = self.store.current()

    # By address

    @hookimpl
    def stonechat_stanza_to_host(self, stanza: Stanza) -> bool | None:
        if not isinstance(stanza, Message) or stanza.to is None or stanza.from_ is None:
            return None
        address = ADDRESSES.get(stanza.to.resource)
        if address is None:
            return None
        if stanza.type == "error":
            # What somebody could not be told does not go round.
            return True
        arguments: dict[str, Any] = {}
        if address.host:
            arguments["host"] = address.host
        if address.parameter:
            arguments[address.parameter] = stanza.body
            arguments["subject"] = stanza.element.find_text("subject", NS_CLIENT)
        try:
            self.host.run_command(address.command, stanza.from_, **arguments)
        except CommandError as error:
            raise StanzaError(error.condition or "not-acceptable", str(error)) from None
        return True

    # By command

    @command(
        "announce-online",
        "Send an announcement to all users who are online.",
        permission_option="access",
        example='announce-online "The server restarts in five minutes."',
        adhoc_node=f"{NS_ADMIN}#announce",
    )
    def announce_online(self, announcement: Text, subject: Text = NO_SUBJECT) -> str:
        """It is a headline: nobody gets it later."""
        message = self.message(announcement, subject, "headline")
        self.check_room()
        return self.begin("online", message, self.online)

    @command(
        "announce-all",
        "Send an announcement to all accounts.",
        permission_option="access",
        example='announce-all "The house moves to another domain."',
    )
    def announce_all(self, announcement: Text, subject: Text = NO_SUBJECT) -> str:
        """Users who are away get it when they come, where messages are kept for them."""
        message = self.message(announcement, subject, "")
        self.check_room()
        return self.begin("all", message, lambda: self.host.accounts)

    @command(
        "motd-set",
        "Set the message of the day, and send it to all users who are online.",
        permission_option="access",
        example='motd-set "Tonight there is a feast."',
        adhoc_node=f"{NS_ADMIN}#set-motd",
    )
    def set_motd(self, motd: Text, subject: Text = NO_SUBJECT) -> str:
        """All others get it, once, as soon as they are online."""
        message = self.message(motd, subject, "headline")
        self.check_room()
        current = self.keep(motd, subject)
        return self.begin("motd", message, lambda: self.unaware(current))

    @command(
        "motd-update",
        "Change the message of the day without sending it to users who are online.",
        permission_option="access",
        example='motd-update "Tomorrow there is a feast."',
    )
    def update_motd(self, motd: Text, subject: Text = NO_SUBJECT) -> str:
        """Everybody gets it, once, the next time that they come online."""
        self.message(motd, subject, "headline")
        self.keep(motd, subject)
        return "the message of the day is changed"

    @command(
        "motd-delete",
        "Delete the message of the day.",
        permission_option="access",
        adhoc_node=f"{NS_ADMIN}#delete-motd",
    )
    def delete_motd(self) -> str:
        if self.motd is None:
            return "there is no message of the day"
        moment = self.motd.set_at
        self.store.delete()
        self.motd = None
        self.host.spawn(self.forget, moment)
        return "the message of the day is deleted"

    @command("motd-show", "Show the message of the day.", permission_option="access")
    def show_motd(self) -> dict[str, str]:
        if self.motd is None:
            return {}
        return {"motd": self.motd.text, "subject": self.motd.subject}

    # To whom

    def online(self, takes: Callable[[Session], bool] = _takes_headlines) -> list[str]:
        """Accounts with a client that takes what is sent to them."""
        found: dict[str, None] = {}
        for number, session in enumerate(self.host.all_sessions(), 1):
            if takes(session):
                found[session.jid.localpart] = None
            if number % IN_A_ROW == 0:
                gevent.sleep(0)
        return list(found)

    def unaware(self, motd: Motd) -> Iterator[str]:
        """Those of them that have not seen a message of the day yet, while it holds."""
        online = iter(self.online(_takes_them_now))
        while motd is self.motd and (some := list(islice(online, IN_A_ROW))):
            yield from self.store.claim(motd, some)

    # Sending

    def message(self, text: str, subject: str, type: str) -> Message:
        """What is sent; CommandError if it says nothing, or too much."""
        if not text.strip():
            raise CommandError("the announcement says nothing", "not-acceptable")
        if len(text.encode()) + len(subject.encode()) > MAX_OCTETS:
            raise CommandError(
                f"an announcement has {MAX_OCTETS} octets at most", "not-acceptable"
            )
        payload = [Element(NS_CLIENT, "body", None, text)]
        if subject:
            payload.insert(0, Element(NS_CLIENT, "subject", None, subject))
        return Message(*payload, from_=self.host.jid, type=type, id=new_id())

    def check_room(self) -> None:
        if self.under_way >= MAX_UNDER_WAY:
            raise CommandError("other announcements are being sent; wait for them")

    def begin(self, kind: str, message: Message, whom: Callable[[], Iterable[str]]) -> str:
        """Send it in the background: to many it takes its time."""
        self.under_way += 1
        self.host.spawn(self.send_to_each, kind, message, whom)
        return "the announcement is on its way"

    def send_to_each(self, kind: str, message: Message, whom: Callable[[], Iterable[str]]) -> None:
        sent = 0
        is_complete = False
        try:
            for localpart in whom():
                copy = message.copy_for(JID.make(localpart, self.host.name), self.host.jid)
                self.host.route(copy)
                sent += 1
                if sent % IN_A_ROW == 0:
                    gevent.sleep(0)
            is_complete = True
        except StonechatError as error:
            self.host.log.error("announcement cut short", reason=str(error))
        finally:
            # Whatever ended it, a plugin that is stopped for one.
            self.under_way -= 1
            self.host.log.info("announced", to=kind, accounts=sent, complete=is_complete)

    # The message of the day

    def keep(self, text: str, subject: str) -> Motd:
        motd = Motd(self.host.now(), subject, text)
        self.store.put(motd)
        self.motd = motd
        return motd

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        if self.motd is not None and previous is None and not presence.type:
            # Not here: the client need not wait for it.
            self.host.spawn(self.greet, session)

    def greet(self, session: Session) -> None:
        """Show the message of the day to who has not seen it."""
        motd = self.motd
        if motd is None or not (session.is_open and session.is_connected):
            return
        try:
            is_new = self.store.claim(motd, [session.jid.localpart])
        except StorageError as error:
            # The next time, then.
            self.host.log.error("message of the day not shown", reason=str(error))
            return
        if is_new and motd is self.motd:
            message = self.message(motd.text, motd.subject, "headline")
            session.send(message.copy_for(session.jid, self.host.jid))

    def forget(self, moment: int) -> None:
        try:
            self.store.forget_who_saw(moment)
        except StorageError as error:
            # The rows do no harm; the next deletion takes them along.
            self.host.log.warning("old messages of the day not forgotten", reason=str(error))

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.store.forget_account(account.localpart)
