"""Jabber Component Protocol (XEP-0114): domains that other programs answer for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

from pydantic import model_validator

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import REQUIRED, DomainTemplate, PluginOptions, SecretFile, option
from stonechat.plugin import hookimpl
from stonechat_component.component import Component
from stonechat_component.service import ComponentService


class ComponentOptions(PluginOptions):
    """One program, or several that know the same secret."""

    domains: tuple[DomainTemplate, ...] = option(
        REQUIRED, "The domains that it answers for, each over a stream of its own.", min_length=1
    )
    secret_file: SecretFile = option(
        REQUIRED, "A file with the secret that proves who it is; the program knows it, too."
    )
    connections: int = option(
        1,
        "Streams to one of the domains at a time. Several share the work by who sends a"
        " stanza; one more is refused with `conflict`.",
        ge=1,
        le=1000,
    )
    listed: bool = option(True, "List the domains among the services of the host (XEP-0030).")
    name: str = option("", "The name that they are listed with.", max_length=200)


class Options(PluginOptions):
    components: tuple[ComponentOptions, ...] = option(
        (), "The programs that may connect to a listener of type `component`."
    )

    @model_validator(mode="after")
    def _tell_domains_apart(self) -> Self:
        domains = (domain for item in self.components for domain in item.domains)
        # Templates may differ and still mean the same: any host shows it.
        named = Counter(domain.for_host("capulet.example") for domain in domains)
        for domain, count in named.items():
            if count > 1:
                raise ValueError(f"the domain {domain} is there twice")
        return self


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.components: dict[str, Component] = {}
        """By domain."""

    def start(self) -> None:
        for item in self.options.components:
            for template in item.domains:
                domain = template.for_host(self.host.name)
                component = Component(self.host, domain, item.secret_file.read(), item.connections)
                self.components[domain] = component
                self.host.register_route(domain, component.deliver)
                self.host.accept_streams(domain, component.opened)
        self.host.provide("component", ComponentService(self.components))

    @hookimpl
    def stonechat_disco_items(self) -> Sequence[tuple[JID, str, str]]:
        return [
            (JID.make("", domain.for_host(self.host.name)), "", item.name)
            for item in self.options.components
            if item.listed
            for domain in item.domains
        ]
