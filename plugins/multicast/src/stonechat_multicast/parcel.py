"""A stanza on its way to several addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stonechat.jid import JID
from stonechat.stanza import Stanza
from stonechat_multicast.header import Header, with_header


class Parcel(NamedTuple):
    """What goes to these addresses, which are some of those in its header."""

    stanza: Stanza
    header: Header
    addresses: Sequence[JID]
    send: Callable[[Stanza, JID], None]
    """Sends a stanza to an address."""
    handed_to: Callable[[JID], None]
    """Hears of a multicast service that gets it in place of the addresses."""

    def send_each(self) -> None:
        """Send it to each address by itself."""
        open_stanza: Stanza | None = None
        for jid in self.addresses:
            if jid in self.header.blind:
                self.send(with_header(self.stanza, self.header.written(to=(jid,))), jid)
                continue
            # What is inside is the same for all of these, and shared.
            if open_stanza is None:
                open_stanza = with_header(self.stanza, self.header.written())
            self.send(open_stanza, jid)

    def send_by(self, service: JID) -> None:
        """Send one stanza to the multicast service of their domain, for all addresses."""
        header = self.header.written(to=self.addresses, pending=True)
        self.handed_to(service)
        self.send(with_header(self.stanza, header), service)
