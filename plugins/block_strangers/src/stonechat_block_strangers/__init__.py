"""Block Strangers: messages from senders who are not in a user's roster are refused."""

from __future__ import annotations

from typing import Any, Literal, cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import Domain, PluginOptions, option
from stonechat.plugin import HANDLED, Handled, Stage, concerns, hookimpl, stage
from stonechat.stanza import Message, Presence, Stanza

__all__ = ["Options", "Plugin"]


class Options(PluginOptions):
    """Who is no stranger, and what becomes of what strangers send."""

    allow_local_users: bool = option(True, "Users of the same host are no strangers.")
    allow_servers: bool = option(
        True, "Servers and services themselves, addresses without a user, are no strangers."
    )
    allow_transports: bool = option(
        True,
        "Everybody at a service that is itself in the roster, as gateways are, is no stranger.",
    )
    allow_domains: tuple[Domain, ...] = option((), "Nobody at these domains is a stranger.")
    subscriptions: bool = option(
        False, "Treat subscription requests as messages; else strangers may ask."
    )
    action: Literal["reject", "drop"] = option(
        "reject", "Whether a stranger is told that nothing was delivered."
    )
    log: bool = option(False, "Log each stanza of a stranger that was not delivered.")


class Plugin:
    """Stands before the accounts of a host, whether their owners are online or not."""

    Options = Options
    requires = ("roster",)

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.allowed = frozenset(options.allow_domains)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_to_user(self, message: Message) -> Handled | None:
        # An error answers something that the user has sent.
        if message.attributes.get("type") == "error" or not self.is_from_stranger(message):
            return None
        return self.refuse(message)

    @hookimpl
    @stage(Stage.GUARD)
    @concerns("type:subscribe")
    def stonechat_presence_to_user(self, presence: Presence) -> Handled | None:
        if not self.options.subscriptions or not self.is_from_stranger(presence):
            return None
        return self.refuse(presence)

    def is_from_stranger(self, stanza: Stanza) -> bool:
        """Whether the sender of a stanza is a stranger to its recipient; may block."""
        sender = stanza.from_
        if sender is None:
            return False
        account = cast(JID, stanza.to).bare
        return not (
            self.is_allowed(account, sender)
            or self.is_known(account.localpart, sender)
            # Other plugins may know of contacts who are in no roster.
            or self.host.may_see_presence(account, sender)
        )

    def is_allowed(self, account: JID, sender: JID) -> bool:
        """Whether a sender is none by what they are: needs no look at the roster."""
        options = self.options
        if sender.domain == account.domain:
            # The server itself and the account's own resources are never strangers.
            if not sender.localpart or sender.bare == account or options.allow_local_users:
                return True
        elif options.allow_servers and not sender.localpart:
            return True
        return sender.domain in self.allowed

    def is_known(self, localpart: str, sender: JID) -> bool:
        """Whether the user has to do with a sender; may block."""
        # There is one: the plugin requires it.
        roster: Any = self.host.service("roster")
        if roster.item(localpart, sender) is not None:
            return True
        if self.options.allow_transports and sender.localpart:
            service = JID.parse(sender.domain)
            if roster.item(localpart, service) is not None:
                return True
        # Whoever was sent presence directly: the rooms that the user is in.
        bare = sender.bare
        return any(jid.bare == bare for jid in roster.directed(localpart))

    def refuse(self, stanza: Stanza) -> Handled:
        """Do with a stranger's stanza as the options say."""
        if self.options.log:
            self.host.log.info("a stranger was refused", stanza=stanza.summary())
        if self.options.action == "reject":
            # The same for accounts that do not exist, so that it tells nothing about them.
            raise StanzaError("policy-violation", "This user takes nothing from strangers.")
        return HANDLED
