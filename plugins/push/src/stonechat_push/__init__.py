"""Push Notifications (XEP-0357): a phone that sleeps is woken when there is something for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stonechat import timestamps
from stonechat.commands import CommandError, command
from stonechat.errors import JIDError, StanzaError, StorageError
from stonechat.forms import Form, find_form
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY
from stonechat.options import ByteSize, Duration, PluginOptions, option
from stonechat.plugin import HANDLED, Handled, concerns, hookimpl
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat.storage import StorageFull
from stonechat_push.devices import Devices
from stonechat_push.notification import NS_PUBSUB, NS_PUSH, PUBLISH_OPTIONS
from stonechat_push.registrations import MAX_TEXT, SCHEMA, Registration, Registrations
from stonechat_push.telling import Occasion, Telling
from stonechat_push.worth import News, in_message, in_stanza

__all__ = ["Options", "Plugin"]

# Until the roster has a subscription request that has just come, and how many are due at once.
REQUEST_SECONDS = 1.0
MAX_REQUESTS = 1000


class Options(PluginOptions):
    """What app servers are told, how often, and what for."""

    message_count: bool = option(True, "Say how many messages have come.")
    subscription_requests: bool = option(
        True, "Tell of subscription requests, and say how many wait for an answer."
    )
    last_sender: bool = option(False, "Say who sent the last message.")
    last_body: bool = option(False, "Say what was in the last message, unless it is encrypted.")
    groupchat: bool = option(
        True, "Tell of room messages that wait for a client whose connection was lost."
    )
    when_online: bool = option(
        True,
        "Tell devices without a session of messages that other devices have got: with an"
        " archive they can fetch them.",
    )
    when_inactive: bool = option(
        False, "Tell devices that are connected, but that nobody looks at (XEP-0352)."
    )
    interval: Duration = option("5 s", "Between two notifications to one device, at least.")
    max_failures: int = option(
        10, "Notifications that fail in a row before a registration is given up.", ge=1, le=100
    )
    max_registrations: int = option(
        10, "Registrations of one account; beyond that the oldest is given up.", ge=1, le=1000
    )
    max_form_bytes: ByteSize = option(
        "4 KiB", "Size of the form that an app server wants to see with each notification.", ge=256
    )
    max_devices: int = option(
        10_000, "Devices to be notified that are kept count of at once.", ge=1, le=10_000_000
    )
    cached_accounts: int = option(
        10_000, "Accounts whose registrations are kept in memory.", ge=1, le=10_000_000
    )


class Plugin:
    """Tells the app servers of an account's devices what has come for them."""

    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.registrations = Registrations(host.storage, host.name, options.cached_accounts)
        self.devices = Devices(host, self.registrations, options)
        self.telling = Telling(host, self.registrations, self.devices)
        self.requests = 0  # for subscription, that we are about to look at

    # Enabling and disabling

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_PUSH]

    @hookimpl
    @concerns(f"{NS_PUSH} enable", f"{NS_PUSH} disable")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        if not iq.is_request:
            return
        to, sender = iq.to, iq.from_
        assert to is not None
        assert sender is not None
        # Said before anybody looks whether there is such an account: the answer is the same
        # where there is none (robustness rule 29).
        if to.is_bare and sender.bare != to:
            raise StanzaError("forbidden", "Users are notified of what is their own.")

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("set", NS_PUSH): self.switch}

    def switch(self, iq: Iq) -> None:
        """A client enables or disables notifications."""
        account, payload = iq.from_, iq.payload
        assert account is not None
        assert payload is not None
        try:
            if payload.name == "enable":
                self.enable(account, payload)
            elif payload.name == "disable":
                self.disable(account.localpart, payload)
            else:
                raise StanzaError("bad-request", "Notifications are enabled or disabled.")
        except StorageError as error:
            raise self.failed(error) from None

    def enable(self, client: JID, payload: Element) -> None:
        registration = Registration(
            _service(payload),
            payload.get("node"),
            client.resource,
            self.host.now(),
            self.publish_options(payload),
        )
        if max(len(registration.service), len(registration.node)) > MAX_TEXT:
            raise StanzaError("not-acceptable", f"{MAX_TEXT} characters are the most.")
        localpart = client.localpart
        given_up = self.registrations.enable(
            localpart, registration, self.options.max_registrations
        )
        self.devices.enabled(localpart, registration)
        self.devices.forget(localpart, _one_of(given_up))

    def publish_options(self, payload: Element) -> bytes | None:
        """The form that the app server wants to see, as it is kept."""
        element = find_form(payload)
        if element is None:
            return None
        form = Form.read(element, form_type=PUBLISH_OPTIONS, type="submit")
        octets = Form("submit", PUBLISH_OPTIONS, fields=form.fields).to_element().to_bytes()
        if form.form_type != PUBLISH_OPTIONS:
            raise StanzaError("not-acceptable", f"A form of {PUBLISH_OPTIONS}, please.")
        if len(octets) > self.options.max_form_bytes:
            raise StanzaError("not-acceptable", "The form is too large.")
        return octets

    def disable(self, localpart: str, payload: Element) -> None:
        service = _service(payload)
        node = payload.get("node") if "node" in payload.attributes else None
        self.registrations.disable(localpart, service, node)
        self.devices.forget(localpart, lambda known: _is_meant(known, service, node))

    def failed(self, error: StorageError) -> StanzaError:
        self.host.log.error("push registrations not available", reason=str(error))
        full = isinstance(error, StorageFull)
        condition = "resource-constraint" if full else "internal-server-error"
        return StanzaError(condition, type="wait")

    @hookimpl
    @concerns(f"{NS_PUBSUB} pubsub")
    def stonechat_message_to_user(self, message: Message) -> Handled | None:
        """An app server says that it wants no more ("Remote Disabling of Notifications")."""
        account, sender = message.to, message.from_
        pubsub = message.find(NS_PUBSUB, "pubsub")
        affiliation = pubsub.find("affiliation") if pubsub is not None else None
        if pubsub is None or affiliation is None or message.type == "error":
            return None
        assert account is not None
        assert sender is not None
        if (affiliation.get("jid"), affiliation.get("affiliation")) != (account.text, "none"):
            return None
        try:
            gone = [
                known
                for known in self.registrations.of(account.localpart)
                if JID.parse(known.service).bare == sender.bare
                and known.node == pubsub.get("node")
            ]
            for known in gone:
                self.registrations.disable(account.localpart, known.service, known.node)
        except StorageError as error:
            raise self.failed(error) from None
        self.devices.forget(account.localpart, _one_of(gone))
        return HANDLED if gone else None

    # What has come

    # Before who keeps it: that answers the question.
    @hookimpl(tryfirst=True)
    def stonechat_message_undelivered(self, message: Message) -> None:
        self.tell_of("kept", message)

    @hookimpl
    def stonechat_message_delivered(self, message: Message, sessions: Sequence[Session]) -> None:
        if self.options.when_online:
            self.tell_of("delivered", message)

    def tell_of(self, occasion: Occasion, message: Message) -> None:
        account, sender = message.to, message.from_
        assert account is not None
        if self.registrations.known(account.localpart) == ():
            return  # most of the time
        assert sender is not None
        if sender.bare == account.bare:
            return  # one knows what one has said oneself
        # The device gets it later, if somebody keeps it for so long. What rooms say is for the
        # session that is in them, and nobody keeps it for others.
        news = in_message(message, groupchat=False, is_kept=True)
        if news is not None:
            self.telling.tell(account.localpart, occasion, "", self.mark_again(message, news))

    def mark_again(self, message: Message, news: News) -> News:
        """The news; of what a session has left, that it has come before."""
        mark = message.find(NS_DELAY, "delay", {"from": self.host.name})
        return news if mark is None else news._replace(is_again=True)

    @hookimpl
    def stonechat_stanza_waits(self, session: Session, stanza: Stanza) -> None:
        if session.is_connected and not self.options.when_inactive:
            return
        if self.registrations.known(session.jid.localpart) == ():
            return
        news = in_stanza(stanza, groupchat=self.options.groupchat)
        if news is not None and isinstance(stanza, Message):
            news = self.mark_again(stanza, news)
        if news is not None and (
            self.options.subscription_requests or not isinstance(stanza, Presence)
        ):
            self.telling.tell(session.jid.localpart, "waits", session.jid.resource, news)

    # Before the roster, which takes it over.
    @hookimpl(tryfirst=True)
    @concerns("type:subscribe")
    def stonechat_presence_to_user(self, presence: Presence) -> None:
        account, sender = presence.to, presence.from_
        assert account is not None
        assert sender is not None
        if (
            not self.options.subscription_requests
            or self.registrations.known(account.localpart) == ()
            or self.requests >= MAX_REQUESTS
            or any(self.host.sessions(account.localpart))
        ):
            return
        # Not before the roster knows it.
        self.requests += 1
        self.host.call_later(REQUEST_SECONDS, self.tell_of_request, account, sender)

    def tell_of_request(self, account: JID, sender: JID) -> None:
        self.requests -= 1
        roster: Any = self.host.service("roster")
        try:
            waits = roster is not None and sender.bare in roster.requests(account.localpart)
        except StanzaError:
            return  # the roster plugin has logged why
        if waits:
            self.telling.tell(account.localpart, "kept", "", News(sender.text, is_message=False))

    # Who is there again, or gone for good

    @hookimpl
    def stonechat_session_bound(self, session: Session) -> None:
        self.devices.reached(session.jid.localpart, session.jid.resource)

    @hookimpl
    def stonechat_session_resumed(self, session: Session) -> None:
        self.devices.reached(session.jid.localpart, session.jid.resource)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.devices.forget(account.localpart, _every)
        self.registrations.clear(account.localpart)

    # Commands

    @command(
        "push-list",
        "List the app servers that are notified of what comes for an account.",
        example="push-list juliet@capulet.example",
    )
    def registered(self, jid: JID) -> list[dict[str, Any]]:
        localpart = self.host.existing_account(jid)
        return [
            {
                "service": known.service,
                "node": known.node,
                "resource": known.resource,
                "enabled": timestamps.written(known.enabled_at),
                "failures": self.devices.failures(localpart, known),
            }
            for known in self.registrations.of(localpart)
        ]

    @command(
        "push-remove",
        "Notify app servers no longer of what comes for an account; returns how many they were.",
        example="push-remove juliet@capulet.example push.example",
    )
    def remove(self, jid: JID, service: str = "", node: str = "") -> int:
        """With `service`, only that app server; with `node` too, only that node of it."""
        localpart = self.host.existing_account(jid)
        if not service:
            if node:
                raise CommandError("A node is one of an app server: name that, too.")
            number = self.registrations.clear(localpart)
            # Not before: what came meanwhile would still have found them.
            self.devices.forget(localpart, _every)
            return number
        try:
            address = JID.parse(service).text
        except JIDError as error:
            raise CommandError(f"service: {error}") from None
        number = self.registrations.disable(localpart, address, node or None)
        self.devices.forget(localpart, lambda known: _is_meant(known, address, node or None))
        return number


def _service(payload: Element) -> str:
    """The address of the app server, prepared."""
    if not payload.get("jid"):
        raise StanzaError("bad-request", "Which app server? Its address goes into 'jid'.")
    return JID.parse(payload.get("jid")).text


def _every(_known: Registration) -> bool:
    return True


def _one_of(registrations: Sequence[Registration]) -> Callable[[Registration], bool]:
    digests = {registration.digest for registration in registrations}
    return lambda known: known.digest in digests


def _is_meant(known: Registration, service: str, node: str | None) -> bool:
    return known.service == service and node in (None, known.node)
