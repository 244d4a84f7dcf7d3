"""Privacy Lists (XEP-0016): rules for who may reach a user, and who may see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.plugin import Handled, Imported, Stage, hookimpl, stage
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat_privacy import moving
from stonechat_privacy.applied import Applied
from stonechat_privacy.commands import Commands
from stonechat_privacy.forms import NS_PRIVACY
from stonechat_privacy.guard import Guard
from stonechat_privacy.service import PrivacyService
from stonechat_privacy.store import Store
from stonechat_privacy.tables import SCHEMA

__all__ = ["Options", "Plugin", "PrivacyService"]

# What is kept of a session across a restart: the name of its active list.
ACTIVE = "privacy.active"


class Options(PluginOptions):
    """How much one account may write down, and how much is kept in memory."""

    max_lists: int = option(20, "Lists of one account.", ge=1, le=1000)
    max_items: int = option(1000, "Items of one list.", ge=1, le=100_000)
    cached_accounts: int = option(
        10_000,
        "Accounts whose lists are kept in memory, beside those that are online.",
        ge=0,
        le=10_000_000,
    )


class Plugin:
    """Keeps privacy lists and applies them."""

    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.store = Store(host, options.cached_accounts)
        self.applied = Applied(host, self.store)
        self.guard = Guard(host, self.store, self.applied)
        self.commands = Commands(
            host,
            self.store,
            self.applied,
            max_lists=options.max_lists,
            max_items=options.max_items,
        )
        self.service = PrivacyService(self.store, self.applied, self.commands)

    def start(self) -> None:
        """Offer the service."""
        self.host.provide("privacy", self.service)

    # What is offered

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_PRIVACY]

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_PRIVACY): self.commands.get, ("set", NS_PRIVACY): self.commands.set}

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
        return None if self.guard.may_send_presence(account, contact) else False

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_may_see_presence(self, account: JID, watcher: JID) -> bool | None:
        return None if self.guard.may_see_presence(account, watcher) else False

    # Sessions and accounts

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        self.applied.closed(session)
        self.store.release(session.jid.localpart)

    @hookimpl
    def stonechat_session_state(self, session: Session) -> Mapping[str, object]:
        active = self.applied.active(session.jid)
        return {} if active is None else {ACTIVE: active}

    @hookimpl
    def stonechat_session_restored(self, session: Session, state: Mapping[str, object]) -> None:
        active = state.get(ACTIVE)
        if isinstance(active, str):
            self.applied.activate(session, active)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.store.erase(account.localpart)

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        return moving.export(self.store, account)

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        return moving.take(
            self.store,
            self.commands,
            account,
            element,
            max_lists=self.options.max_lists,
            max_items=self.options.max_items,
            dry_run=dry_run,
        )
