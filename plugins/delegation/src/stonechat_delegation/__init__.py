"""Namespace Delegation (XEP-0355): components answer requests in the place of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from stonechat.errors import ConfigError, StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.plugin import HANDLED, Handled, hookimpl
from stonechat.stanza import Element, Iq, Message, Stanza, new_id
from stonechat.streams import Stream
from stonechat_delegation.forwarding import Forwarding
from stonechat_delegation.nesting import Nesting
from stonechat_delegation.options import (
    BARE_INFO,
    BARE_ITEMS,
    NS_DELEGATION,
    DelegatedNamespace,
    Options,
)

__all__ = ["Options", "Plugin"]

# By the namespace of a request: what may be delegated of it, and who is asked before.
_BARE = {
    NS_DISCO_INFO: (BARE_INFO, "stonechat_disco_node_info"),
    NS_DISCO_ITEMS: (BARE_ITEMS, "stonechat_disco_node_items"),
}


class Plugin:
    """Delegates in admin mode: what goes to whom is said in the configuration."""

    Options = Options
    requires = ("component",)

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.granted: dict[str, tuple[DelegatedNamespace, ...]] = {
            item.domain.for_host(host.name): item.namespaces for item in options.components
        }
        self.managers = {
            each.namespace: domain for domain, found in self.granted.items() for each in found
        }
        self.filters = {
            each.namespace: each.attributes for found in self.granted.values() for each in found
        }
        self.forwarding = Forwarding(host, options.timeout, options.max_requests)
        self.nesting = Nesting(host, self.managers, options.timeout)

    def start(self) -> None:
        known = self.host.service("component").domains
        unknown = [domain for domain in self.granted if domain not in known]
        if unknown:
            raise ConfigError(
                f"{unknown[0]} is no domain of the plugin component, so nothing can be"
                " delegated to it"
            )

    def ready(self) -> None:
        """Tell those that are connected already what they have now ("Business Rules")."""
        for stream in self._streams():
            self.stonechat_component_connected(stream)

    def stop(self) -> None:
        self.forwarding.stop()
        for stream in self._streams():
            stream.send(self._advertisement(stream, ()))

    def _streams(self) -> list[Stream]:
        components = self.host.service("component")
        return [stream for domain in self.granted for stream in components.streams(domain)]

    # What is offered

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_DELEGATION]

    @hookimpl(trylast=True)
    def stonechat_disco_info_made(self, query: Element, of_account: bool) -> None:
        self.nesting.change(query, of_account=of_account)

    @hookimpl
    def stonechat_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_DELEGATION): self.refuse, ("set", NS_DELEGATION): self.refuse}

    def refuse(self, iq: Iq) -> Element | None:
        """Somebody wants a namespace of a user's ("Client Mode Use Cases")."""
        payload = cast(Element, iq.payload)
        wanted = [each.get("namespace") for each in payload.find_all("delegate")]
        if NS_DELEGATION in wanted:
            raise StanzaError("forbidden", "This namespace must not be delegated.")
        raise StanzaError(
            "feature-not-implemented", "Namespaces are delegated by the administrators."
        )

    # Components

    @hookimpl
    def stonechat_component_connected(self, stream: Stream) -> None:
        namespaces = self.granted.get(stream.domain)
        if namespaces is not None:
            stream.send(self._advertisement(stream, namespaces))
            self.nesting.begin(stream.domain)

    @hookimpl
    def stonechat_component_disconnected(self, stream: Stream) -> None:
        if stream.domain not in self.granted:
            return
        self.forwarding.gone(stream)
        if not self.host.service("component").streams(stream.domain):
            self.nesting.gone(stream.domain)

    @hookimpl
    def stonechat_stanza_from_component(self, stream: Stream, stanza: Stanza) -> bool | None:
        if not isinstance(stanza, Iq) or stanza.is_request or stanza.to != self.host.jid:
            return None
        return self.forwarding.answered(stream, stanza) or None

    def _advertisement(self, stream: Stream, namespaces: Sequence[DelegatedNamespace]) -> Message:
        delegation = Element(NS_DELEGATION, "delegation")
        for each in namespaces:
            names = (Element(NS_DELEGATION, "attribute", {"name": n}) for n in each.attributes)
            delegation.append(
                Element(NS_DELEGATION, "delegated", {"namespace": each.namespace}, *names)
            )
        to = JID.make("", stream.domain)
        return Message(delegation, from_=self.host.jid, to=to, id=new_id())

    # Requests

    @hookimpl
    def stonechat_iq_to_server(self, iq: Iq) -> Handled | None:
        namespace = iq.namespace
        manager = self.managers.get(namespace)
        if manager is not None:
            return self._delegate(manager, iq) if self._fits(namespace, iq) else None
        if namespace in _BARE and iq.type == "get":
            special, hook = _BARE[namespace]
            manager = self.managers.get(special)
            if manager is not None and self._is_left(iq, hook):
                return self._delegate(manager, iq)
        return None

    def _fits(self, namespace: str, iq: Iq) -> bool:
        """Whether the request has what it is filtered by."""
        wanted = self.filters[namespace]
        # The tree of a request costs more than all the rest of this.
        return not wanted or cast(Element, iq.payload).attributes.keys() >= set(wanted)

    def _is_left(self, iq: Iq, hook: str) -> bool:
        """Whether a disco request is about an account, and not what the server itself has.

        The server's own rule, who may ask about an account at all, comes before that: to a
        stranger the answer is the same as where there is no such account.
        """
        sender = cast(JID, iq.from_)
        account = (iq.to or sender).bare
        if not account.localpart or not self.host.may_see_presence(account, sender.bare):
            return False
        node = cast(Element, iq.payload).get("node")
        if not node:
            # What there is about the account itself is nested; its items are not.
            return iq.namespace == NS_DISCO_ITEMS
        return self.host.first(hook, iq=iq, node=node) is None

    def _delegate(self, manager: str, iq: Iq) -> Handled | None:
        if self._is_sent_by(manager, iq):
            return None
        self.forwarding.forward(manager, iq)
        return HANDLED

    def _is_sent_by(self, manager: str, iq: Iq) -> bool:
        """Whether a request comes from the component itself, which wants the server's answer.

        So it is, too, where it asks in the name of a user (XEP-0356).
        """
        sender = cast(JID, iq.from_)
        if sender.domain == manager:
            return True
        privilege = self.host.service("privilege")
        return privilege is not None and privilege.asker(iq) == manager
