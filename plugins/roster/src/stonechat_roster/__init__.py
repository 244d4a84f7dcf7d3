"""Rosters, subscriptions and presence (RFC 6121): who knows whom, and who is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.options import PluginOptions, option
from stonechat.plugin import HANDLED, Handled, Imported, concerns, hookimpl
from stonechat.session import Session, UnboundStream
from stonechat.stanza import Iq, Presence
from stonechat.xml import Element
from stonechat_roster.broadcast import Broadcast
from stonechat_roster.items import Item
from stonechat_roster.marks import marks_of
from stonechat_roster.moving import Moving
from stonechat_roster.pushes import Pushes
from stonechat_roster.requests import Requests
from stonechat_roster.service import RosterService
from stonechat_roster.shared import Shared
from stonechat_roster.states import KINDS, SUBSCRIPTIONS
from stonechat_roster.store import Store
from stonechat_roster.subscriptions import Subscriptions
from stonechat_roster.tables import SCHEMA
from stonechat_roster.telling import Telling

__all__ = ["Item", "Options", "Plugin", "RosterService"]

NS_VERSIONING = "urn:xmpp:features:rosterver"
NS_PRE_APPROVAL = "urn:xmpp:features:pre-approval"

# What is kept of a session over a restart: that it has asked for the roster.
INTERESTED = "roster.interested"


class Options(PluginOptions):
    """What a roster may hold, and how much is kept in memory."""

    max_items: int = option(1000, "Contacts in one roster.", ge=1, le=100_000)
    max_groups: int = option(20, "Groups that one contact may be in.", ge=0, le=1000)
    max_name_length: int = option(
        256, "Characters in the name that a user gives to a contact.", ge=1, le=10_000
    )
    max_group_length: int = option(256, "Characters in the name of a group.", ge=1, le=10_000)
    max_requests: int = option(
        500,
        "Subscription requests that wait for one account's answer; more are ignored.",
        ge=1,
        le=100_000,
    )
    max_directed: int = option(
        1000,
        "Addresses outside the roster, rooms for one, that one session may show its"
        " presence to at the same time.",
        ge=1,
        le=100_000,
    )
    ask_again_after: int = option(
        86_400,
        "Seconds after which a subscription request to another server that nobody has"
        " answered is sent again, whenever its sender comes online.",
        ge=0,
        le=31_536_000,
    )
    max_shared_pushes: int = option(
        500,
        "Changes of shared contacts that the clients of one account are told of at once."
        " Where more change, the clients see it when they next log in.",
        ge=0,
        le=100_000,
    )
    cached_rosters: int = option(
        256,
        "Rosters to keep in memory beside those of accounts that are online.",
        ge=0,
        le=1_000_000,
    )


class Plugin:
    """Keeps the rosters of a host and tells presence along them."""

    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.shared = Shared(host)
        self.store = Store(host, self.shared, options.cached_rosters)
        pushes = Pushes(host, self.shared)
        self.broadcast = Broadcast(
            host,
            self.store,
            max_directed=options.max_directed,
            ask_again_after=options.ask_again_after,
        )
        self.subscriptions = Subscriptions(
            host,
            self.store,
            pushes,
            self.broadcast,
            max_items=options.max_items,
            max_requests=options.max_requests,
        )
        self.service = RosterService(
            host,
            self.store,
            self.shared,
            pushes,
            self.broadcast,
            self.subscriptions,
            options.max_items,
        )
        self.telling = Telling(
            host,
            self.store,
            self.shared,
            pushes,
            self.broadcast,
            max_changes=options.max_shared_pushes,
        )
        self.moving = Moving(
            host,
            self.store,
            pushes,
            max_items=options.max_items,
            max_requests=options.max_requests,
            max_name_length=options.max_name_length,
            max_groups=options.max_groups,
            max_group_length=options.max_group_length,
        )
        self.requests = Requests(
            host,
            self.store,
            self.service,
            max_name_length=options.max_name_length,
            max_groups=options.max_groups,
            max_group_length=options.max_group_length,
        )

    def start(self) -> None:
        """Offer the service."""
        self.host.provide("roster", self.service)

    def ready(self) -> None:
        """Ask the plugins that share contacts, where there are any."""
        self.shared.begin()

    # What is offered

    @hookimpl
    def stonechat_stream_features(self) -> Sequence[Callable[[UnboundStream], Element | None]]:
        return [_feature("ver", NS_VERSIONING), _feature("sub", NS_PRE_APPROVAL)]

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_ROSTER]

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_ROSTER]

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_ROSTER): self.requests.get, ("set", NS_ROSTER): self.requests.set}

    @hookimpl
    @concerns(f"{NS_ROSTER} query")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        self.requests.refuse_others(iq)

    # Presence; last, so that what other plugins refuse changes no roster

    @hookimpl(trylast=True)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> Handled | None:
        if presence.type in KINDS:
            return self.subscriptions.sent(session, presence)
        if presence.type in ("", "unavailable"):
            self.broadcast.directed(session, presence)
        return None

    @hookimpl(trylast=True)
    @concerns(*(f"type:{kind}" for kind in sorted(KINDS | {"probe", "unavailable", "error"})))
    def stonechat_presence_to_user(self, presence: Presence) -> Handled | None:
        kind = presence.type
        if kind == "unavailable":
            self.broadcast.shown_out(presence)
            return None
        if kind == "error":
            return self.subscriptions.failed(presence)
        if kind == "probe":
            self.broadcast.answer_probe(presence)
            return HANDLED
        return self.subscriptions.received(presence)

    # Sessions and accounts

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        try:
            self.broadcast.changed(session, presence, previous)
        except StanzaError as error:
            # No fault of ours: the database is away. The session goes on.
            self.host.log.warning(
                "presence was not told to all", jid=session.jid.text, reason=str(error)
            )

    @hookimpl
    def stonechat_may_see_presence(self, account: JID, watcher: JID) -> bool | None:
        return self.store.roster(account.localpart).grants(watcher) or None

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        self.broadcast.closed(session)
        self.store.release(session.jid.localpart)

    @hookimpl
    def stonechat_session_state(self, session: Session) -> Mapping[str, object]:
        return {INTERESTED: True} if marks_of(session).is_interested else {}

    @hookimpl
    def stonechat_session_restored(self, session: Session, state: Mapping[str, object]) -> None:
        if INTERESTED in state:
            marks = marks_of(session)
            # What has changed since the restart it was not told.
            marks.is_interested = marks.is_behind = True

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.service.erase(account)

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        return self.moving.export(account)

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        return self.moving.take(account, element, dry_run=dry_run)

    # Commands

    @command(
        "roster-list",
        "List the contacts of an account.",
        example="roster-list juliet@capulet.example",
    )
    def list_items(self, account: JID) -> list[dict[str, Any]]:
        """Contacts are sorted by address. `ask` and `approved` are as in RFC 6121, 2.1.2."""
        localpart = self._localpart(account)
        return [_describe(item) for item in sorted(self._try(self.service.contacts, localpart))]

    @command(
        "roster-add",
        "Add a contact to an account's roster, or change it.",
        example="roster-add juliet@capulet.example romeo@montague.example --name Romeo"
        " --groups Friends,Lovers --subscription both",
    )
    def add_item(
        self, account: JID, contact: JID, name: str = "", groups: str = "", subscription: str = ""
    ) -> dict[str, Any]:
        """Writes the roster of this account only: for two accounts to see each other, add
        each to the other's with `both`. The contact is not asked. Groups are separated by
        commas. An empty subscription leaves it as it is.
        """
        if subscription and subscription not in SUBSCRIPTIONS:
            raise CommandError(f"subscription: {subscription!r} is not one of {SUBSCRIPTIONS}")
        localpart = self._localpart(account)
        if contact.bare == account.bare:
            raise CommandError("contact: nobody is in their own roster")
        names = dict.fromkeys(filter(None, map(str.strip, groups.split(","))))
        item = self._try(
            self.service.set,
            localpart,
            contact.bare,
            name=name,
            groups=tuple(names),
            subscription=subscription or None,
        )
        return _describe(item)

    @command(
        "roster-remove",
        "Remove a contact from an account's roster.",
        example="roster-remove juliet@capulet.example romeo@montague.example",
    )
    def remove_item(self, account: JID, contact: JID) -> None:
        """Subscriptions in both directions end, and the contact is told."""
        self._try(self.service.remove, self._localpart(account), contact)

    def _localpart(self, account: JID) -> str:
        if account.domain != self.host.name or not self.host.accounts.exists(account.localpart):
            raise CommandError(f"account: there is no account {account.bare}")
        return account.localpart

    def _try(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except StanzaError as error:
            raise CommandError(str(error)) from error


def _feature(name: str, namespace: str) -> Callable[[UnboundStream], Element | None]:
    def make(stream: UnboundStream) -> Element | None:
        return Element(namespace, name) if stream.is_authenticated else None

    return make


def _describe(item: Item) -> dict[str, Any]:
    return {
        "jid": item.jid.text,
        "name": item.name,
        "groups": list(item.groups),
        "subscription": item.subscription,
        "ask": item.is_asking,
        "approved": item.is_approved,
    }
