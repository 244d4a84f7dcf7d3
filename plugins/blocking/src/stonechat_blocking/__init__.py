"""Blocking Command (XEP-0191): users shut others out, and report spam and abuse (XEP-0377)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stonechat.commands import CommandError, command
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import BareJID, PluginOptions, option
from stonechat.plugin import Handled, Imported, Stage, hookimpl, stage
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat_blocking import moving
from stonechat_blocking.commands import ASKED, Commands
from stonechat_blocking.guard import Guard
from stonechat_blocking.lists import Lists
from stonechat_blocking.reports import NS_BLOCKING, NS_REPORTING, Reports
from stonechat_blocking.service import BlockingService
from stonechat_blocking.tables import SCHEMA

__all__ = ["BlockingService", "Options", "Plugin"]


class Options(PluginOptions):
    """How long a block list may be, and what becomes of reports."""

    max_items: int = option(1000, "Addresses that one account may block.", ge=1, le=100_000)
    cached_lists: int = option(
        10_000,
        "Block lists to keep in memory beside those of accounts that are online.",
        ge=0,
        le=10_000_000,
    )
    reports: bool = option(True, "Take reports of spam and abuse (XEP-0377).")
    max_reports: int = option(
        1000, "Reports kept on the host; the oldest make room for new ones.", ge=1, le=1_000_000
    )
    max_reports_per_day: int = option(
        20, "Reports taken from one account within a day; more are dropped.", ge=1, le=100_000
    )
    report_to: tuple[BareJID, ...] = option(
        (), "People of this service who get a message about every report."
    )
    third_parties: tuple[BareJID, ...] = option(
        (),
        "Others who get a message about the reports that may be shown to third parties;"
        " the reporter is not named.",
    )
    report_to_origin: bool = option(
        False,
        "Send the reports whose reporters agree to it to the server of the one who is"
        " reported; the reporter is not named.",
    )


class Plugin:
    """Keeps block lists, and those who are on them out."""

    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.lists = Lists(host, options.cached_lists)
        self.guard = Guard(host, self.lists)
        self.reports: Reports | None = None
        if options.reports:
            self.reports = Reports(
                host,
                kept=options.max_reports,
                per_day=options.max_reports_per_day,
                report_to=options.report_to,
                third_parties=options.third_parties,
                to_origin=options.report_to_origin,
            )
        self.commands = Commands(host, self.lists, self.reports, max_items=options.max_items)
        self.service = BlockingService(host, self.lists, self.guard, self.commands)

    def start(self) -> None:
        """Offer the service; privacy lists that are in memory may lack what is blocked."""
        self.host.provide("blocking", self.service)
        privacy = self.host.service("privacy")
        if privacy is not None:
            privacy.forget_all()

    # What is offered

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_BLOCKING] if self.reports is None else [NS_BLOCKING, NS_REPORTING]

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_BLOCKING): self.commands.get, ("set", NS_BLOCKING): self.commands.set}

    # Stanzas

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_from_user(self, session: Session, message: Message) -> Handled | None:
        return self.guard.sent(session, message)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> Handled | None:
        return self.guard.sent(session, presence)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_iq_from_user(self, session: Session, iq: Iq) -> Handled | None:
        return self.guard.sent(session, iq)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_to_user(self, message: Message) -> Handled | None:
        return self.guard.received(message)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_to_user(self, presence: Presence) -> Handled | None:
        return self.guard.received(presence)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_iq_to_user(self, iq: Iq) -> Handled | None:
        return self.guard.received(iq)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_may_send_presence(self, account: JID, contact: JID) -> bool | None:
        return False if self.guard.keeps_apart(account, contact) else None

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_may_see_presence(self, account: JID, watcher: JID) -> bool | None:
        return False if self.guard.keeps_apart(account, watcher) else None

    # Sessions and accounts

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        self.lists.release(session.jid.localpart)

    @hookimpl
    def stonechat_session_state(self, session: Session) -> Mapping[str, object]:
        return {ASKED: True} if ASKED in session.data else {}

    @hookimpl
    def stonechat_session_restored(self, session: Session, state: Mapping[str, object]) -> None:
        if ASKED in state:
            session.data[ASKED] = True

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.lists.erase(account.localpart)

    # After the privacy lists: the list that these make would stand in the way of theirs.
    @hookimpl(trylast=True)
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        return moving.export(self.commands, account)

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        most = self.options.max_items
        return moving.take(self.commands, account, element, most, dry_run=dry_run)

    # Commands

    @command(
        "blocking-reports",
        "List the newest reports of spam and abuse.",
        example="blocking-reports --limit 20",
    )
    def list_reports(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest is first."""
        if not 1 <= limit <= 1000:
            raise CommandError("limit: a number from 1 to 1000 is wanted")
        if self.reports is None:
            raise CommandError("this host takes no reports")
        try:
            return self.reports.newest(limit)
        except StorageError as error:
            raise CommandError(f"the reports cannot be read: {error}") from error

    @command(
        "blocking-reports-clear",
        "Delete all reports of spam and abuse; returns how many there were.",
        example="blocking-reports-clear",
    )
    def clear_reports(self) -> int:
        if self.reports is None:
            raise CommandError("this host takes no reports")
        try:
            return self.reports.clear()
        except StorageError as error:
            raise CommandError(f"the reports cannot be deleted: {error}") from error
