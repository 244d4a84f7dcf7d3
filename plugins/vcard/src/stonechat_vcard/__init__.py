"""vCards (XEP-0054), the photo in presence (XEP-0153), and a users directory (XEP-0055)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import ByteSize, DomainTemplate, PluginOptions, option
from stonechat.plugin import Imported, Stage, concerns, hookimpl, stage
from stonechat.service import Item
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Presence
from stonechat_vcard.avatars import Avatars, PresenceHash
from stonechat_vcard.cards import NS_VCARD, check_request
from stonechat_vcard.directory import Directory
from stonechat_vcard.host_card import HostCard, host_card
from stonechat_vcard.search import Wildcards
from stonechat_vcard.service import VCards
from stonechat_vcard.store import LISTED, SCHEMA, UNLISTED, Store

__all__ = ["Options", "Plugin", "VCards"]


class Options(PluginOptions):
    max_size: ByteSize = option("128 KiB", "Size of one vCard, its photo included.", ge=1)
    max_photo_size: ByteSize = option("64 KiB", "Size of the photo in a vCard.", ge=1)
    presence_hash: PresenceHash = option(
        "add",
        "What the server does about the hash of the photo in its users' presence: `add` it"
        " where it lacks, only `correct` a wrong one, or nothing, `off`.",
    )
    card: HostCard = option(HostCard(), "What the vCard of the host itself says.")
    search_domain: DomainTemplate | None = option(
        "vjud.@HOST@", "The domain of the users directory; null for none."
    )
    search_name: str = option("User Directory", "What the directory calls itself.")
    search_access: str = option(
        "local",
        "Who may search: `local` for the accounts of the host, `open` for everybody, or the"
        " name of an access rule.",
    )
    listed_by_default: bool = option(
        False, "Let accounts be found that have not said whether they want to be."
    )
    wildcards: Wildcards = option(
        "end",
        "Where an asterisk in a search stands for any text: `anywhere`, only at the `end`, or"
        " nowhere, `off`.",
    )
    matches: int = option(30, "Accounts that one search finds at most.", ge=1, le=1000)
    return_all: bool = option(
        False, "Let a search without any condition find everybody, instead of refusing it."
    )


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.store = Store(host)
        self.avatars = Avatars(host, self.store, options.presence_hash)
        self.cards = VCards(
            host,
            self.store,
            self.avatars,
            max_size=options.max_size,
            max_photo_size=options.max_photo_size,
        )
        self.host_card = host_card(host.name, options.card)
        self.directory: Directory | None = None

    def start(self) -> None:
        options = self.options
        if options.search_domain is not None:
            self.directory = Directory(
                self.host,
                self.store,
                options.search_domain.for_host(self.host.name),
                name=options.search_name,
                may_search=self.may_search,
                listed_by_default=options.listed_by_default,
                wildcards=options.wildcards,
                matches=options.matches,
                return_all=options.return_all,
            )
        self.host.provide("vcard", self.cards)

    def may_search(self, jid: JID) -> bool:
        rule = self.options.search_access
        if rule == "local":
            return jid.domain == self.host.name
        return rule == "open" or self.host.allows(rule, jid)

    # What is offered

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_VCARD]

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_VCARD]

    @hookimpl
    def stonechat_disco_items(self) -> Sequence[Item]:
        return [] if self.directory is None else [self.directory.item]

    @hookimpl
    def stonechat_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_VCARD): self.show_host, ("set", NS_VCARD): self.refuse}

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_VCARD): self.get, ("set", NS_VCARD): self.set}

    # vCards

    def show_host(self, iq: Iq) -> Element:
        check_request(cast(Element, iq.payload))
        return self.host_card

    def refuse(self, iq: Iq) -> None:
        raise StanzaError("forbidden", "The vCard of the server is its operator's.")

    @hookimpl
    @concerns(f"{NS_VCARD} vCard")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        """Nobody sets the vCard of another, whether that account exists or not."""
        if iq.type == "set" and iq.to != cast(JID, iq.from_).bare:
            raise StanzaError("forbidden", "A vCard is set by its owner.")

    def get(self, iq: Iq) -> Element:
        self.check(iq)
        asking = cast(JID, iq.from_).bare
        account = asking if iq.to is None else iq.to
        card = self.cards.get(account.localpart)
        if card is None:
            if account != asking:
                # As for an account that does not exist, which the kernel answers for.
                raise StanzaError("service-unavailable")
            # Clients that want to add to it find an empty one easier than an error.
            return Element(NS_VCARD, "vCard")
        return card

    def set(self, iq: Iq) -> None:
        self.check(iq)
        sender = cast(JID, iq.from_)
        self.cards.set(sender.localpart, cast(Element, iq.payload), setter=sender)

    def check(self, iq: Iq) -> None:
        """Refuse what is no vCard: to others as if there were no account at all."""
        payload = cast(Element, iq.payload)
        if iq.to in (None, cast(JID, iq.from_).bare):
            check_request(payload)
        elif payload.name != "vCard":
            raise StanzaError("service-unavailable")

    # Presence: the hash is in it before the roster tells it to anybody.

    @hookimpl
    @stage(Stage.CHANGE)
    def stonechat_presence_changed(self, session: Session, presence: Presence) -> None:
        if not presence.type:
            self.avatars.complete(session, presence, is_broadcast=True)

    @hookimpl
    @stage(Stage.CHANGE)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> None:
        if not presence.type:
            self.avatars.complete(session, presence, is_broadcast=False)

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        self.avatars.release(session.jid.localpart)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        try:
            self.store.erase(account.localpart)
        finally:
            # After a failure it may have been erased all the same.
            self.avatars.changed(account.localpart)

    # Moving (XEP-0227, "vCards")

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        card = self.cards.get(account.localpart)
        if card is not None:
            yield card

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        if element.qualified_name != f"{NS_VCARD} vCard":
            return None
        if not element.children:
            return Imported()
        before = self.cards.get(account.localpart)
        if before is not None:
            same = before == element
            return Imported(known=1) if same else Imported(lost=("a vCard beside another one",))
        try:
            self.cards.check(element)
        except StanzaError as error:
            return Imported(lost=(f"a vCard: {error}",))
        if not dry_run:
            self.cards.set(account.localpart, element)
        return Imported(kept=1)

    # Commands

    @command(
        "vcard-delete",
        "Delete the vCard of an account.",
        example="vcard-delete juliet@capulet.example",
    )
    def delete(self, jid: JID) -> None:
        """Its photo goes with it. Whether the account wants to be found is kept."""
        localpart = self.host.existing_account(jid)
        try:
            self.cards.delete(localpart)
        except StanzaError as error:
            raise CommandError(str(error), error.condition) from None

    @command(
        "vcard-listed",
        "Let an account be found in the users directory, or not.",
        example="vcard-listed juliet@capulet.example false",
    )
    def list_person(self, jid: JID, listed: bool) -> None:
        """As if its owner had said so, who may change it again."""
        localpart = self.host.existing_account(jid)
        try:
            self.store.choose(localpart, LISTED if listed else UNLISTED)
        except StanzaError as error:
            raise CommandError(str(error), error.condition) from None
