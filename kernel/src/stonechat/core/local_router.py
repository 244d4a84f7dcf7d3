"""The local router: what arrives for a domain of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.errors import StanzaError
from stonechat.stanza import Iq, Message, Stanza

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost


class LocalRouter:
    """Hands a host's stanzas to its session manager, its IQ table, or its plugins."""

    def __init__(self, host: VirtualHost) -> None:
        self._host = host

    def receive(self, stanza: Stanza) -> None:
        """Deliver a stanza whose domain is the host's."""
        to = stanza.to
        assert to is not None
        if to.localpart:
            self._host.session_manager.receive(stanza)
        elif isinstance(stanza, Iq):
            self._receive_iq(stanza)
        elif self._host.first("stonechat_stanza_to_host", {"stanza": stanza}):
            return
        elif isinstance(stanza, Message):
            raise StanzaError("service-unavailable")

    def _receive_iq(self, iq: Iq) -> None:
        iq.check()
        if not iq.is_request:
            self._host.requests.answered(iq)
            return
        assert iq.to is not None
        if iq.to.resource:
            # A host has no resources.
            raise StanzaError("service-unavailable")
        self._host.local_iq.answer(iq)
