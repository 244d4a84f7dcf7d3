"""A session whose user looks away: what can wait is held, and the latest of each kind kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stonechat.host import Host
from stonechat.session import Session
from stonechat.stanza import Stanza
from stonechat_csi.kinds import EVENT, Key, what_is

if TYPE_CHECKING:
    from stonechat_csi import Options


class Rest:
    """The outlet of an inactive session.

    What is held goes out in the order in which it came, each where its latest stood, and
    before anything that cannot wait: so a client sees nothing sooner than what came before
    it, only some of it never.
    """

    __slots__ = ("_held", "_host", "_octets", "_options", "next", "session")

    next: Callable[[Stanza], None]

    def __init__(self, host: Host, session: Session, options: Options) -> None:
        self.session = session
        self._host = host
        self._options = options
        self._held: dict[Key, Stanza] = {}
        self._octets = 0

    @property
    def unsent(self) -> int:
        """None: whoever waits until a client has everything need not wait for its user."""
        return 0

    @property
    def takes_messages(self) -> bool:
        return True

    def send(self, stanza: Stanza) -> None:
        key, deed = what_is(stanza, self.session.jid, self._options)
        # A state of somebody who has gone on meanwhile says nothing any more.
        if key is not None and key in self._held:
            self._octets -= len(self._held.pop(key).to_bytes())
        if deed == "hold":
            assert key is not None
            self._held[key] = stanza
            self._octets += len(stanza.to_bytes())
            options = self._options
            if len(self._held) > options.max_held or self._octets > options.max_held_bytes:
                self.flush()
        elif deed == "send":
            self.flush()
            self.next(stanza)
            if self.session.is_connected:
                # Some clients want to be woken for it by another way (XEP-0357).
                self._host.notify("stonechat_stanza_waits", session=self.session, stanza=stanza)

    def flush(self) -> None:
        """Pass on all that is held."""
        held, self._held = self._held, {}
        self._octets = 0
        for stanza in held.values():
            self.next(stanza)

    def flush_events(self) -> None:
        """Pass on what nobody says again, for a session that goes on elsewhere."""
        held, self._held = self._held, {}
        self._octets = 0
        for key, stanza in held.items():
            if key[0] == EVENT:
                self.next(stanza)
