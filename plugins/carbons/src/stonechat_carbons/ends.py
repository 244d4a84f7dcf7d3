"""Messages that a session has left unhandled (XEP-0198), where others have had copies."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from stonechat import timestamps
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.namespaces import NS_DELAY
from stonechat.session import Session
from stonechat.stanza import Element, Message
from stonechat_carbons.accounts import Account, key_of
from stonechat_carbons.copies import unwrap
from stonechat_carbons.rules import COPIES

# Messages for which we rely on one session. Beyond that they are delivered again, but for
# those so old that the session has handled them, or has ended.
MAX_RELIED = 1000
OLD_SECONDS = 86400.0


class Ends:
    """Says which messages need not be delivered again, and sees to it that this stays true.

    A message that one session left unhandled need not go to another that has had a copy.
    If that one leaves its copy unhandled too, the message is delivered again after all.
    """

    def __init__(self, host: Host, accounts: Mapping[str, Account]) -> None:
        self._host = host
        self._accounts = accounts
        # By session: the keys of the messages that others have left to it, and when they
        # came. What an ended session has left is told of until the session is forgotten.
        self._relied: WeakKeyDictionary[Session, dict[int, int]] = WeakKeyDictionary()

    def unhandled(self, session: Session | None, message: Message) -> bool:
        """Whether what a session left unhandled need not be delivered again.

        None is a session from before a restart.
        """
        to = message.to
        assert to is not None
        if COPIES.intersection(message.children) and message.from_ == to.bare:
            if session is not None:
                self._copy_unhandled(session, message)
            return True
        account = self._accounts.get(to.localpart)
        if account is None:
            return False
        key = key_of(message)
        stamp = account.noted(key)
        if stamp is None:
            return False
        had = [
            other
            for other, since in account.sessions.items()
            if other is not session and since <= stamp and other.is_open
        ]
        relied = [other for other in had if self._rely(other, key, stamp)]
        return bool(relied)

    def _rely(self, session: Session, key: int, stamp: int) -> bool:
        keys = self._relied.setdefault(session, {})
        if len(keys) >= MAX_RELIED:
            oldest = self._host.now() - int(OLD_SECONDS * 1_000_000)
            for old in [known for known, came in keys.items() if came < oldest]:
                del keys[old]
            if len(keys) >= MAX_RELIED:
                return False
        keys[key] = stamp
        return True

    def _copy_unhandled(self, session: Session, copy: Message) -> None:
        """A copy is for nobody else; but the message in it may have been left to this session."""
        message = unwrap(copy)
        if message is None:
            return
        key = key_of(message)
        stamp = self._relied.get(session, {}).pop(key, None)
        account = self._accounts.get(session.jid.localpart)
        others = account.sessions if account is not None else ()
        if stamp is None or any(key in self._relied.get(other, ()) for other in others):
            return
        mark = {"from": self._host.name, "stamp": timestamps.written(stamp)}
        message.append(Element(NS_DELAY, "delay", mark))
        try:
            self._host.redeliver(message)
        except StanzaError as error:
            self._host.bounce(message, error)
