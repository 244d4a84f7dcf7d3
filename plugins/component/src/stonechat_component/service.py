"""Components as other plugins see them: the service `component`."""

from __future__ import annotations

from collections.abc import Mapping

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.streams import Stream
from stonechat_component.component import Component


class ComponentService:
    """Which domains external programs answer for, and over which streams.

    What a component sends, and that it comes and goes, plugins are told by the hooks
    `stonechat_stanza_from_component`, `..._connected` and `..._disconnected`.
    """

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = components

    @property
    def domains(self) -> frozenset[str]:
        """The domains that programs may answer for, connected or not."""
        return frozenset(self._components)

    def streams(self, domain: str) -> tuple[Stream, ...]:
        """The streams of a domain that are admitted and open."""
        component = self._components.get(domain)
        if component is None:
            return ()
        return tuple(stream for stream in component.streams if stream.is_open)

    def choose(self, domain: str, sender: JID) -> Stream:
        """The stream that what this sender sends to the domain goes to.

        StanzaError remote-server-timeout where there is none, and resource-constraint
        where the program reads too slowly.
        """
        component = self._components.get(domain)
        if component is None:
            raise StanzaError("remote-server-timeout", "There is no such service.")
        return component.choose(sender.bare.text)
