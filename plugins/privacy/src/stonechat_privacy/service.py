"""Privacy lists as other plugins see them: the service `privacy`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stonechat.jid import JID
from stonechat_privacy.applied import Applied
from stonechat_privacy.commands import Commands
from stonechat_privacy.store import Store


class PrivacyService:
    """The default list as a block list (XEP-0191, section 5), and what the lists say.

    Accounts are named by their localpart. All may block, and raise StanzaError when the
    database fails.
    """

    def __init__(self, store: Store, applied: Applied, commands: Commands) -> None:
        self._store = store
        self._applied = applied
        self._commands = commands

    def is_blocked(self, localpart: str, jid: JID) -> bool:
        """Whether nothing may go between an account and somebody, in either direction."""
        return self._applied.is_blocked(localpart, jid)

    def blocked(self, localpart: str) -> frozenset[str]:
        """Whom the default list blocks from everything, by address."""
        return self._store.of(localpart).blocked

    def block(self, localpart: str, jids: Sequence[JID], then: Callable[[], None]) -> None:
        """Block some in the default list, which is made where there is none.

        `then` is called as soon as it holds, before anybody else can change it.
        StanzaError policy-violation if these are too many.
        """
        self._commands.block(localpart, jids, then)

    def unblock(self, localpart: str, jids: Sequence[JID], then: Callable[[], None]) -> None:
        """Unblock some, or all where nobody is named; otherwise as above."""
        self._commands.unblock(localpart, jids, then)

    def forget_all(self) -> None:
        """Read all lists anew: the blocking command has come and knows of others."""
        self._store.forget_all()
