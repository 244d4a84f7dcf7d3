"""What happens to a stanza that a list denies (XEP-0016, 2.14), and which list is asked."""

from __future__ import annotations

from typing import cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.plugin import HANDLED, Handled
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat_privacy.applied import Applied, is_exempt
from stonechat_privacy.rules import EMPTY, IQ, MESSAGE, OTHER, PRESENCE_IN, PRESENCE_OUT, Lists
from stonechat_privacy.store import Store

NS_BLOCKING_ERRORS = "urn:xmpp:blocking:errors"  # XEP-0191


class Guard:
    """Applies the lists of a host to what goes through it."""

    def __init__(self, host: Host, store: Store, applied: Applied) -> None:
        self._host = host
        self._store = store
        self._applied = applied

    # Out

    def sent(self, session: Session, stanza: Stanza) -> Handled | None:
        """A local user sends something."""
        if stanza.to is None:
            return None
        try:
            lists = self._store.of(session.jid.localpart)
        except StanzaError as fault:
            return None if is_exempt(session.jid, stanza.to) else _answer(session, stanza, fault)
        if lists is EMPTY:
            return None
        kind = PRESENCE_OUT if _is_notification(stanza) else OTHER
        item = self._applied.find(lists, session.jid, stanza.to, kind)
        if item is None or item.allows:
            return None
        blocked = Element(NS_BLOCKING_ERRORS, "blocked") if item.is_block else None
        error = StanzaError("not-acceptable", type="cancel", application=blocked)
        return _answer(session, stanza, error)

    # In

    def received(self, stanza: Stanza) -> Handled | None:
        """Something has come for a local user."""
        to, sender = cast(JID, stanza.to), stanza.from_
        try:
            lists = self._store.of(to.localpart)
        except StanzaError:
            if sender is None or is_exempt(to, sender):
                return None
            raise
        if lists is EMPTY or sender is None or is_exempt(to, sender):
            return None
        kind = _kind_in(stanza)
        if to.resource and self._host.session(to) is not None:
            allowed = self._applied.allows(lists, to, sender, kind)
        elif type(stanza) is Message and _is_for_anyone(stanza):
            return self._message_to_account(lists, stanza)
        elif kind == PRESENCE_IN:
            return self._presence_to_account(lists, stanza)
        else:
            allowed = self._applied.allows_account(lists, to, sender, kind)
        return None if allowed else _refuse(stanza)

    def _message_to_account(self, lists: Lists, message: Message) -> Handled | None:
        """A message to whichever session is best: of those whose lists let it through."""
        to, sender = cast(JID, message.to), cast(JID, message.from_)
        verdicts = [
            (session, allowed)
            for session, allowed in self._applied.verdicts(lists, to, sender, MESSAGE)
            if session.priority >= 0 and session.takes_messages
        ]
        if not verdicts:
            # It would be kept for later, for nobody in particular.
            allowed = self._applied.allows(lists, to.bare, sender, MESSAGE)
            return None if allowed else _refuse(message)
        allowing = [session for session, allowed in verdicts if allowed]
        if not allowing:
            return _refuse(message)
        if len(allowing) == len(verdicts):
            return None
        if message.type != "headline":
            allowing = [max(allowing, key=lambda session: session.priority)]
        for session in allowing:
            self._host.route(message.copy_for(session.jid))
        return HANDLED

    def _presence_to_account(self, lists: Lists, presence: Stanza) -> Handled | None:
        """Presence to all available sessions: to those whose lists let it through."""
        to, sender = cast(JID, presence.to), cast(JID, presence.from_)
        verdicts = self._applied.verdicts(lists, to, sender, PRESENCE_IN)
        if all(allowed for _, allowed in verdicts):
            return None
        for session, allowed in verdicts:
            if allowed:
                self._host.route(presence.copy_for(session.jid))
        return HANDLED

    # Presence that the server sends for a user

    def may_send_presence(self, account: JID, contact: JID) -> bool:
        """Whether a session's presence, or the account's, may go to somebody."""
        lists = self._store.of(account.localpart)
        return lists is EMPTY or self._applied.allows(lists, account, contact, PRESENCE_OUT)

    def may_see_presence(self, account: JID, watcher: JID) -> bool:
        """Whether somebody may know about some session of the account."""
        lists = self._store.of(account.localpart)
        return lists is EMPTY or self._applied.allows_account(
            lists, account, watcher, PRESENCE_OUT
        )


def _answer(session: Session, stanza: Stanza, error: StanzaError) -> Handled:
    if not _is_last_word(stanza):
        # Not by way of the router: it would come back here, as if from the denied.
        session.send(stanza.error_reply(error))
    return HANDLED


def _is_notification(stanza: Stanza) -> bool:
    """Whether it tells that somebody is there or gone, and no more (2.1)."""
    return type(stanza) is Presence and stanza.type in ("", "unavailable")


def _kind_in(stanza: Stanza) -> int:
    kind = type(stanza)
    if kind is Message:
        return MESSAGE
    if kind is Iq:
        return IQ
    return PRESENCE_IN if _is_notification(stanza) else OTHER


def _is_for_anyone(message: Message) -> bool:
    """Whether it may go to whichever session is best (RFC 6121, 8.5.2.1.1 and 8.5.3.2.1)."""
    if cast(JID, message.to).resource:
        return message.type == "chat"
    return message.type in ("chat", "normal", "headline")


def _refuse(stanza: Stanza) -> Handled:
    """The user appears offline to whoever sent it."""
    if type(stanza) is not Presence and not _is_last_word(stanza):
        raise StanzaError("service-unavailable")
    return HANDLED


def _is_last_word(stanza: Stanza) -> bool:
    """Whether a stanza is one that is never answered with an error (RFC 6120, 8.3.1)."""
    type_ = stanza.attributes.get("type", "")
    if type_ == "error":
        return True
    kind = type(stanza)
    if kind is Iq:
        return type_ == "result"
    return type_ == "unavailable" and kind is not Message
