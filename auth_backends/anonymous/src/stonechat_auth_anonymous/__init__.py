"""Users without an account (XEP-0175): who logs in anonymously has one until he leaves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Literal

from stonechat.auth import AccountNotFound, AuthBackend, AuthUnavailable
from stonechat.errors import SaslFailure, StanzaError, StonechatError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO
from stonechat.options import PluginOptions, option
from stonechat.plugin import HANDLED, Handled, Stage, concerns, hookimpl, stage
from stonechat.sasl import CredentialLookup, Mechanism
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat_auth_anonymous.accounts import SCHEMA, Full, LivingAccounts
from stonechat_auth_anonymous.mechanism import NAME, AnonymousMechanism

__all__ = ["Backend", "Options"]

NS_ADDRESS = "http://jabber.org/protocol/address"

# Who has logged in binds a resource in this time, or his account goes.
UNBOUND_SECONDS = 120.0
SWEEP_SECONDS = 60.0


class Options(PluginOptions):
    protocol: Literal["sasl_anon", "login_anon", "both"] = option(
        "sasl_anon",
        "How users come in: `sasl_anon` by SASL ANONYMOUS, with a name that the server makes up;"
        " `login_anon` by any name that nobody has, with any password.",
    )
    multiple_connections: bool = option(
        False, "With `login_anon`, let others log in under a name that is in use."
    )
    federation: bool = option(
        False, "Let anonymous users and other servers send each other anything."
    )
    max_users: int = option(10_000, "How many there may be at a time on a host.", ge=1)


class Backend(AuthBackend):
    """The anonymous users of one host.

    Such an account begins with its login. With its last session the kernel removes it, as
    an administrator would, and with it what plugins have kept of it.
    """

    Options = Options
    options: Options
    schema = SCHEMA

    # Who gives a name waits for what the other backends know of it.
    deadline = 15.0

    def __init__(self, host: Host, options: Options) -> None:
        super().__init__(host, options)
        self._living = LivingAccounts(host, options.max_users)

    @property
    def capabilities(self) -> frozenset[str]:
        able = super().capabilities
        return able if self.options.protocol != "sasl_anon" else able - {"check_password"}

    def start(self) -> None:
        self._load()

    def ready(self) -> None:
        # Once more: those who came while a reload was under way.
        self._load()
        self.host.call_every(SWEEP_SECONDS, self._sweep)
        # After a start, these are all that were here before.
        self.host.spawn(self._remove_those_without_session, 0.0)

    # Logging in

    def mechanisms(self) -> Mapping[str, Callable[[CredentialLookup], Mechanism]]:
        if self.options.protocol == "login_anon":
            return {}
        return {NAME: self._mechanism}

    def _mechanism(self, lookup: CredentialLookup) -> Mechanism:
        return AnonymousMechanism(self.host.name, lookup, self._admit)

    def _admit(self) -> str:
        localpart = _random_uuid()
        try:
            self._living.begin(localpart)
        except Full as error:
            raise SaslFailure("temporary-auth-failure", str(error)) from error
        return localpart

    def check_password(self, localpart: str, password: str) -> bool:
        """Let anybody in by a name that is free; whatever he gives as a password."""
        if self.options.protocol == "sasl_anon":
            self._unsupported("check a password")
        if localpart not in self._living:
            # Somebody may have it in a backend that cannot even tell.
            if self._living.is_departed(localpart) or self.host.accounts.may_exist(localpart):
                return False
            if localpart not in self._living:
                self._begin(localpart)
                return True
        return self.options.multiple_connections

    def _begin(self, localpart: str) -> None:
        try:
            self._living.begin(localpart)
        except Full as error:
            raise AuthUnavailable(str(error)) from error
        # There may be data of somebody else who had this name once.
        self.host.notify("stonechat_account_removed", account=JID.make(localpart, self.host.name))

    # Accounts

    def user_exists(self, localpart: str) -> bool:
        return localpart in self._living

    def remove_user(self, localpart: str) -> None:
        if not self._living.end(localpart):
            raise AccountNotFound(f"There is no anonymous user {localpart}.")

    @hookimpl(trylast=True)
    @stage(Stage.COPY)
    def stonechat_account_removed(self, account: JID) -> None:
        # The last that is told: all others have forgotten it.
        if self._living.is_departed(account.localpart):
            self._living.strike_out(account.localpart)

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        if session.jid.localpart in self._living:
            self.host.spawn(self._remove_if_left, session.jid.localpart)

    def _remove_if_left(self, localpart: str) -> None:
        """Remove an account that has no session any more."""
        if localpart not in self._living or self.host.sessions(localpart):
            return
        try:
            self.host.accounts.remove(localpart)
        except AccountNotFound:
            return  # another was quicker
        except StonechatError as error:
            self.host.log.warning("anonymous user not removed yet", reason=str(error))

    def _remove_those_without_session(self, seconds: float) -> None:
        for localpart in self._living.older_than(seconds):
            self._remove_if_left(localpart)

    def _sweep(self) -> None:
        """Remove who never bound a resource, and clear what could not be before."""
        self._remove_those_without_session(UNBOUND_SECONDS)
        for localpart in self._living.departed:
            self.host.notify(
                "stonechat_account_removed", account=JID.make(localpart, self.host.name)
            )

    def _load(self) -> None:
        try:
            self._living.load()
        except StorageError as error:
            raise AuthUnavailable(f"The record of anonymous users: {error}") from error

    # Other servers (XEP-0175: no communication with entities at remote servers)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_from_user(self, session: Session, message: Message) -> None:
        self._keep_inside(session, message)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> None:
        self._keep_inside(session, presence)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_iq_from_user(self, session: Session, iq: Iq) -> None:
        self._keep_inside(session, iq)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_to_user(self, message: Message) -> None:
        self._keep_outside(message)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_to_user(self, presence: Presence) -> None:
        self._keep_outside(presence)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        self._keep_outside(iq)

    def _keep_inside(self, session: Session, stanza: Stanza) -> None:
        if self.options.federation or session.jid.localpart not in self._living:
            return
        receivers = [] if stanza.to is None else [stanza.to]
        # What a service of ours is to hand on (XEP-0033) counts as well.
        if (header := stanza.find(NS_ADDRESS, "addresses")) is not None:
            given = (address.get("jid") for address in header.find_all("address"))
            receivers += [JID.parse(jid) for jid in given if jid]
        if not all(self.host.serves(receiver.domain) for receiver in receivers):
            raise StanzaError("not-allowed", "Anonymous users cannot reach other servers.")

    def _keep_outside(self, stanza: Stanza) -> None:
        if self.options.federation or stanza.type == "error":
            return  # what `_keep_inside` refuses comes back in the other server's name
        to, sender = stanza.to, stanza.from_
        if to is None or sender is None or to.localpart not in self._living:
            return
        if not self.host.serves(sender.domain):
            # As to an account that does not exist.
            raise StanzaError("service-unavailable")

    # What they are (XEP-0175, "Service Discovery")

    @hookimpl
    @concerns(f"{NS_DISCO_INFO} query")
    def stonechat_iq_to_server(self, iq: Iq) -> Handled | None:
        account = (iq.to or iq.from_).bare
        disco = self.host.service("disco")
        if iq.type != "get" or account.localpart not in self._living or disco is None:
            return None
        if iq.payload.get("node") or not self.host.may_see_presence(account, iq.from_.bare):
            return None
        self.host.route(iq.result(_as_anonymous(disco.account_info())))
        return HANDLED


def _as_anonymous(info: Element) -> Element:
    query = info.copy()
    for identity in query.find_all("identity"):
        if identity.get("category") == "account" and identity.get("type") == "registered":
            identity.set("type", "anonymous")
    return query


def _random_uuid() -> str:
    """A name as XEP-0175 recommends it (RFC 9562, 5.4).

    With its 122 random bits it is nobody's, so none of the other backends has to be asked.
    """
    octets = bytearray(secrets.token_bytes(16))
    octets[6] = octets[6] & 0x0F | 0x40
    octets[8] = octets[8] & 0x3F | 0x80
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
