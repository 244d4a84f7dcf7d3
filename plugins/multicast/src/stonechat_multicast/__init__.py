"""Extended Stanza Addressing (XEP-0033): one message or presence to many, by one stanza."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import gevent

from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO
from stonechat.options import DomainTemplate, PluginOptions, option
from stonechat.plugin import hookimpl
from stonechat.service import Item, Service
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat_multicast.header import NS_ADDRESS, Header, with_header
from stonechat_multicast.parcel import Parcel
from stonechat_multicast.presence import Shown
from stonechat_multicast.targets import Targets

_MAY_SEND = "stonechat_may_send_presence"

# Others have their turn after so many.
_IN_A_ROW = 32


class Limits(PluginOptions):
    message: int = option(50, "Addresses of one message.", ge=1, le=10_000)
    presence: int = option(50, "Addresses of one presence.", ge=1, le=10_000)


class RemoteLimits(Limits):
    message: int = option(25, "Addresses of one message.", ge=1, le=10_000)
    presence: int = option(25, "Addresses of one presence.", ge=1, le=10_000)


class Options(PluginOptions):
    domain: DomainTemplate = option("multicast.@HOST@", "The domain of the service.")
    name: str = option("Multicast", "What the service calls itself.")
    access: str = option(
        "local",
        "Which accounts of the host may send to many: `local` for all of them, or the name of"
        " an access rule.",
    )
    inbound_access: str = option(
        "open",
        "Who of other servers may reach accounts of the host through the service: `open` for"
        " everybody, or the name of an access rule.",
    )
    local_limits: Limits = option(Limits(), "Of what accounts of the host send.")
    remote_limits: RemoteLimits = option(RemoteLimits(), "Of what comes from other servers.")
    max_shown: int = option(
        500,
        "Addresses that one client may show its presence to at the same time.",
        ge=1,
        le=100_000,
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.shown = Shown(host.name, options.max_shown)
        self.targets = Targets(host, lambda: self.service.jid)
        self.info: dict[bool, Element] = {}
        self.sent = 0

    def start(self) -> None:
        self.service = Service(
            self.host,
            self.options.domain.for_host(self.host.name),
            category="service",
            type="multicast",
            name=self.options.name,
            features=[NS_ADDRESS],
            handlers={("get", NS_DISCO_INFO): self.describe},
            on_message=self.receive_message,
            on_presence=self.receive_presence,
        )

    def stop(self) -> None:
        # Nobody else would tell them, and to whom nobody is there it does not matter.
        for sender, addresses in self.shown.end_all():
            here = [
                jid
                for jid in addresses
                if jid.domain != self.host.name or self.host.sessions(jid.localpart)
            ]
            self.tell_end(Presence(from_=sender, type="unavailable"), here)

    @hookimpl
    def stonechat_disco_items(self) -> Sequence[Item]:
        return [self.service.item]

    def describe(self, iq: Iq) -> Element:
        """The service, and how much whoever asks may send (XEP-0128)."""
        info = self.service.describe(iq)
        is_local = self.is_local(iq)
        if is_local not in self.info:
            limits = self.limits(is_local)
            fields = [
                Field("message", label="Addresses of a message", values=str(limits.message)),
                Field("presence", label="Addresses of a presence", values=str(limits.presence)),
            ]
            answer = info.copy()
            answer.append(Form("result", NS_ADDRESS, fields=fields).to_element())
            self.info[is_local] = answer.freeze()
        return self.info[is_local]

    def is_local(self, stanza: Stanza) -> bool:
        return cast(JID, stanza.from_).domain == self.host.name

    def limits(self, is_local: bool) -> Limits:
        options = self.options
        limits: Limits = options.local_limits if is_local else options.remote_limits
        return limits

    # What comes

    def receive_message(self, message: Message) -> None:
        header = Header.of(message)
        if header is None:
            raise StanzaError("bad-request", "To whom this goes is said in an address header.")
        self.check(message, header)
        self.deliver(message, header, header.receivers)

    def receive_presence(self, presence: Presence) -> None:
        sender = cast(JID, presence.from_)
        header = Header.of(presence)
        if header is None:
            if presence.type == "unavailable":
                # The sender is gone, and we hear of it as others do.
                self.tell_end(presence, self.shown.end(sender))
            return
        if presence.type not in ("", "unavailable"):
            raise StanzaError("bad-request", "Presence of this type goes to one.")
        self.check(presence, header)
        if presence.type:
            # All who have seen it come see it go, named or not ("Directed Presence").
            others = [jid for jid in self.shown.end(sender) if jid not in header.receivers]
            self.deliver(presence, header, header.receivers)
            self.tell_end(presence, others)
        else:
            receivers = [jid for jid in header.receivers if self.may_show(sender, jid)]
            if self.is_local(presence) and self.host.session(sender) is None:
                return  # gone while we asked: of that they would not hear any more
            self.shown.add(sender, receivers)
            self.deliver(presence, header, receivers)

    def check(self, stanza: Stanza, header: Header) -> None:
        """Refuse what its sender may not send, before anybody gets it."""
        sender = cast(JID, stanza.from_)
        is_local = self.is_local(stanza)
        options = self.options
        rule = options.access if is_local else options.inbound_access
        open_to = "local" if is_local else "open"
        if rule != open_to and not self.host.allows(rule, sender):
            raise StanzaError("forbidden")
        if not is_local and any(jid.domain != self.host.name for jid in header.receivers):
            # Their servers would not believe us where the stanza comes from.
            raise StanzaError("forbidden", "Nothing is relayed for other servers.")
        limit: int = getattr(self.limits(is_local), stanza.name)
        if header.count() > limit:
            raise StanzaError("not-acceptable", f"There are {limit} addresses at most.")

    def may_show(self, sender: JID, address: JID) -> bool:
        """Whether an account of the host lets its presence go there (XEP-0016, XEP-0191)."""
        if sender.domain != self.host.name or not self.host.has_hook(_MAY_SEND):
            return True
        return self.host.first(_MAY_SEND, account=sender, contact=address.bare) is not False

    # What goes

    def deliver(self, stanza: Stanza, header: Header, receivers: Sequence[JID]) -> None:
        """Send a stanza to these of its addresses."""
        by_domain: dict[str, list[JID]] = {}
        for jid in receivers:
            if jid == self.service.jid:
                continue  # we have it: a blind copy to us would come back again and again
            by_domain.setdefault(jid.domain, []).append(jid)
        for domain, addresses in by_domain.items():
            parcel = Parcel(stanza, header, addresses, self.send, partial(self.hand_over, stanza))
            if domain == self.host.name:
                parcel.send_each()
            else:
                self.targets.send(domain, parcel)

    def send(self, stanza: Stanza, to: JID) -> None:
        # Presence may have waited, and its sender be gone since.
        if _shows(stanza) and not self.shown.has(cast(JID, stanza.from_), to):
            return
        self.host.route(stanza.copy_for(to))
        self.sent += 1
        if self.sent % _IN_A_ROW == 0:
            gevent.sleep(0)

    def hand_over(self, stanza: Stanza, service: JID) -> None:
        """Another multicast service delivers a stanza for us."""
        if _shows(stanza):
            # It has to hear of the end, too.
            self.shown.also(cast(JID, stanza.from_), service)

    def tell_end(self, presence: Presence, addresses: Sequence[JID]) -> None:
        """Tell those who have seen a sender's presence that it is gone."""
        plain = with_header(presence, None)
        for jid in addresses:
            self.send(plain, jid)

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        """For sessions that nobody has told us of, as where the roster is another's."""
        left = self.shown.end(session.jid)
        if left:
            self.tell_end(Presence(from_=session.jid, type="unavailable"), left)


def _shows(stanza: Stanza) -> bool:
    """Whether somebody lets others see by it that they are available."""
    return isinstance(stanza, Presence) and not stanza.type
