"""Privileged Entity (XEP-0356): components act for users, and see rosters and presence."""

from __future__ import annotations

from typing import cast

from stonechat.errors import ConfigError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.plugin import HANDLED, Handled, Stage, concerns, hookimpl, stage
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza, new_id
from stonechat.streams import Stream
from stonechat_privilege.feed import Feed
from stonechat_privilege.messages import send_for
from stonechat_privilege.permissions import (
    NS_PRIVILEGE,
    ComponentOptions,
    Options,
    Permissions,
)
from stonechat_privilege.presences import Presences
from stonechat_privilege.requests import Requests

__all__ = ["Options", "Plugin"]

_NOTHING = Permissions(ComponentOptions(domain="@HOST@"))


class Plugin:
    """Gives components what the configuration grants them, and refuses the rest."""

    Options = Options
    requires = ("component",)

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.granted = {
            item.domain.for_host(host.name): Permissions(item) for item in options.components
        }
        self.watches_contacts = any(each.sees_contacts for each in self.granted.values())
        self.requests = Requests(host, options.timeout, options.max_requests)
        self.presences = Presences(host, options.contact_memory)
        self.feeds: dict[Stream, Feed] = {}

    def start(self) -> None:
        known = self.host.service("component").domains
        unknown = [domain for domain in self.granted if domain not in known]
        if unknown:
            raise ConfigError(
                f"{unknown[0]} is no domain of the plugin component, so it cannot be given"
                " privileges"
            )
        self.host.provide("privilege", self.requests)

    def ready(self) -> None:
        """Tell those that are connected already what they may do now."""
        rosters = [domain for domain, each in self.granted.items() if each.roster != "none"]
        if rosters and self.host.service("roster") is None:
            self.host.log.warning(
                "the plugin roster is not enabled, so there are no rosters for components",
                components=rosters,
            )
        components = self.host.service("component")
        for domain in self.granted:
            for stream in components.streams(domain):
                self.stonechat_component_connected(stream)

    def stop(self) -> None:
        self.requests.stop()
        for stream, feed in self.feeds.items():
            stream.send(self._message(stream, feed.permissions.revocation()))
        self.feeds.clear()

    # Components come and go

    @hookimpl
    def stonechat_component_connected(self, stream: Stream) -> None:
        permissions = self.granted.get(stream.domain)
        if permissions is None:
            return
        stream.send(self._message(stream, permissions.advertisement()))
        feed = self.feeds[stream] = Feed(self.host, stream, permissions)
        if permissions.sees_users:
            feed.begin(self.presences.there(feed))

    @hookimpl
    def stonechat_component_disconnected(self, stream: Stream) -> None:
        self.feeds.pop(stream, None)

    def _message(self, stream: Stream, payload: Element) -> Message:
        to = JID.make("", stream.domain)
        return Message(payload, from_=self.host.jid, to=to, id=new_id())

    # What they send

    @hookimpl
    def stonechat_stanza_from_component(self, stream: Stream, stanza: Stanza) -> bool | None:
        permissions = self.granted.get(stream.domain, _NOTHING)
        if isinstance(stanza, Iq):
            return self._take_request(stream, stanza, permissions)
        if (
            isinstance(stanza, Message)
            and stanza.type != "error"
            and stanza.to == self.host.jid
            and stanza.has(NS_PRIVILEGE, "privilege")
        ):
            if not permissions.sends_messages:
                raise StanzaError("forbidden", "This component may not send such messages.")
            send_for(self.host, JID.make("", stream.domain), stanza)
            return True
        return None

    def _take_request(self, stream: Stream, iq: Iq, permissions: Permissions) -> bool | None:
        if not iq.is_request:
            return None
        if iq.has(NS_PRIVILEGE, "privileged_iq"):
            self.requests.encapsulated(stream, iq, permissions)
            return True
        to = cast(JID, iq.to)
        is_of_account = to.is_bare and bool(to.localpart) and to.domain == self.host.name
        if iq.namespace == NS_ROSTER and is_of_account:
            self.requests.about_roster(stream, iq, permissions)
            return True
        return None

    # What comes to users

    @hookimpl
    @concerns(f"{NS_PRIVILEGE} privileged_iq", "type:result", "type:error")
    def stonechat_iq_to_user(self, iq: Iq) -> Handled | None:
        if iq.is_request:
            # Components' own do not come here.
            raise StanzaError("forbidden", "Only components can have this privilege.")
        return HANDLED if self.requests.answered(iq) else None

    # What components hear

    @hookimpl
    def stonechat_roster_changed(self, account: JID, query: Element) -> None:
        contact = cast(Element, query.first()).get("jid")
        for feed in list(self.feeds.values()):
            if feed.permissions.gets_pushes:
                push = Iq(query, type="set", from_=account, to=feed.jid, id=new_id())
                feed.send(f"roster {account}\n{contact}", push)

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        if self.feeds:
            is_update = not presence.type and previous is not None
            feeds = list(self.feeds.values())
            self.presences.changed(feeds, session, presence, is_update=is_update)

    @hookimpl
    @stage(Stage.COPY)
    def stonechat_presence_to_user(self, presence: Presence) -> None:
        # Whether a component is there or not: it may come later.
        if self.watches_contacts and presence.type in ("", "unavailable"):
            self.presences.came(list(self.feeds.values()), presence)
