"""The s2s manager: where stanzas to other servers' domains leave.

This release speaks to no other server, and says so to the sender.
"""

from __future__ import annotations

from stonechat.errors import StanzaError
from stonechat.stanza import Stanza


class S2SManager:
    """Takes every stanza that no node answers for."""

    def route(self, stanza: Stanza) -> None:
        """Refuse (RFC 6120, 10.4): no connection to another server can be made."""
        raise StanzaError("remote-server-not-found", "This server is not federated.")
