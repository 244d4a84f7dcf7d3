"""vCards (XEP-0054), photos in presence (XEP-0153) and a users directory from LDAP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from stonechat.errors import ConfigError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import (
    ByteSize,
    DomainTemplate,
    DurationOrOff,
    PluginOptions,
    Written,
    option,
)
from stonechat.plugin import HANDLED, Handled, Stage, concerns, hookimpl, stage
from stonechat.service import Item
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Presence
from stonechat.xml import parse
from stonechat_ldap import DirectoryOptions, Link, find_directory
from stonechat_vcard_ldap.cards import NS_VCARD, Cards
from stonechat_vcard_ldap.fields import DEFAULTS, Sources, parse_fields
from stonechat_vcard_ldap.people import People, Wildcards
from stonechat_vcard_ldap.presence import say_of_photo

__all__ = ["Options", "Plugin"]

Fields = Annotated[
    dict[str, Sources | None],
    PlainValidator(parse_fields),
    PlainSerializer(str),
    WithJsonSchema({"type": "object"}),
    Written("mapping of fields to attributes"),
]


class Options(PluginOptions):
    """Where people are, and what is said of them."""

    directory: DirectoryOptions | None = option(
        None,
        "The directory; without it, that of the auth backend `ldap`, whose options these are.",
    )
    prefer: Literal["directory", "user"] = option(
        "directory",
        "Whose word counts: that of the `directory`, and users cannot change it; or that of the"
        " `user`, if he has a vCard in the plugin `vcard`.",
    )
    fields: Fields = option(
        {},
        "What differs from the usual in a vCard: fields such as `N.FAMILY`, and for each an"
        " attribute, a text such as `{givenName} {sn}`, a list of which the first that is there"
        " counts, or null.",
    )
    max_photo_size: ByteSize = option("64 KiB", "Larger photos are left out.", ge=1)
    presence_hash: bool = option(True, "Tell of the photo in the presence of its owner.")
    remember: DurationOrOff = option("5 min", "How old a vCard may be that was looked up.")
    memory: ByteSize = option("16 MiB", "How much memory remembered vCards may take.", ge=1)
    search_domain: DomainTemplate | None = option(
        "vjud.@HOST@", "The domain of the users directory; null for none."
    )
    search_name: str = option("User Directory", "What the directory calls itself.")
    search_access: str = option(
        "local",
        "Who may search: `local` for the accounts of the host, `open` for everybody, or the"
        " name of an access rule.",
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
    """Answers for accounts that are in the directory, before the plugin `vcard` does."""

    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.link = Link()
        usual = {path: Sources.parse(source) for path, source in DEFAULTS.items()}
        changed = usual | options.fields
        fields = {path: source for path, source in changed.items() if source is not None}
        self.fields = fields
        self.cards = Cards(
            host,
            lambda: self.link,
            fields,
            max_photo_size=options.max_photo_size,
            remember=options.remember,
            memory=options.memory,
        )
        self.people: People | None = None

    def start(self) -> None:
        options = self.options
        self.link = find_directory(self.host, options.directory)
        if options.search_domain is None:
            return
        domain = options.search_domain.for_host(self.host.name)
        try:
            self.people = People(
                self.host,
                lambda: self.link,
                self.fields,
                domain,
                name=options.search_name,
                may_search=self.may_search,
                wildcards=options.wildcards,
                matches=options.matches,
                return_all=options.return_all,
            )
        except ValueError:
            raise ConfigError(
                f"search_domain: {domain} is answered for already, perhaps by the plugin vcard;"
                " set one of the two to null"
            ) from None

    def ready(self) -> None:
        if self.options.prefer == "user" and self.vcards is None:
            self.host.log.warning("`prefer: user` has no effect without the plugin vcard")

    def stop(self) -> None:
        if self.options.directory is not None:
            self.link.directory.stop()

    @property
    def vcards(self) -> Any:
        """The service of the plugin `vcard`, if that runs."""
        return self.host.service("vcard")

    def may_search(self, jid: JID) -> bool:
        rule = self.options.search_access
        if rule == "local":
            return jid.domain == self.host.name
        return rule == "open" or self.host.allows(rule, jid)

    # What is offered

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_VCARD]

    @hookimpl
    def stonechat_disco_items(self) -> Sequence[Item]:
        return [] if self.people is None else [self.people.item]

    # vCards

    @hookimpl
    @concerns(f"{NS_VCARD} vCard")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        """Nobody sets the vCard of another, whether that account exists or not."""
        if iq.type == "set" and iq.to != cast(JID, iq.from_).bare:
            raise StanzaError("forbidden", "A vCard is set by its owner.")

    @hookimpl
    @concerns(f"{NS_VCARD} vCard")
    def stonechat_iq_to_server(self, iq: Iq) -> Handled | None:
        asking = cast(JID, iq.from_).bare
        account = asking if iq.to is None else iq.to
        if not account.localpart or account.domain != self.host.name:
            return None
        if iq.type == "set":
            self.refuse(account.localpart)
            return None
        card = self.card_of(account.localpart)
        if card is None:
            if self.vcards is not None:
                return None
            if account != asking:
                # As for an account that does not exist.
                raise StanzaError("service-unavailable")
            card = Element(NS_VCARD, "vCard")
        self.host.route(iq.result(card))
        return HANDLED

    def card_of(self, localpart: str) -> Element | None:
        """What the directory says of an account, if that counts."""
        if self.has_own_card(localpart):
            return None
        card = self.cards.of(localpart)
        return None if card is None else parse(card.octets)

    def has_own_card(self, localpart: str) -> bool:
        """Whether what its user has written counts; StanzaError where the database fails."""
        vcards = self.vcards
        return (
            self.options.prefer == "user"
            and vcards is not None
            and vcards.get(localpart) is not None
        )

    def refuse(self, localpart: str) -> None:
        """Whoever is in the directory changes nothing here, unless his word counts."""
        if self.vcards is not None and (
            self.options.prefer == "user" or self.cards.of(localpart) is None
        ):
            return
        raise StanzaError("not-allowed", "Your card comes from the directory of people.")

    # Presence: after the plugin vcard has said what it knows, and before the roster tells it.

    @hookimpl(trylast=True)
    @stage(Stage.CHANGE)
    def stonechat_presence_changed(self, session: Session, presence: Presence) -> None:
        if not presence.type:
            self.complete(session, presence)

    @hookimpl(trylast=True)
    @stage(Stage.CHANGE)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> None:
        if not presence.type:
            self.complete(session, presence)

    def complete(self, session: Session, presence: Presence) -> None:
        """Have an available presence say what is true of the photo."""
        if not self.options.presence_hash:
            return
        localpart = session.jid.localpart
        try:
            card = None if self.has_own_card(localpart) else self.cards.of(localpart)
        except StanzaError:
            return  # logged; presence goes on without it
        if card is not None:
            # What that plugin has corrected looks as if the client had said it.
            say_of_photo(presence, card.photo_hash, believes=self.vcards is None)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.cards.forget(account.localpart)
