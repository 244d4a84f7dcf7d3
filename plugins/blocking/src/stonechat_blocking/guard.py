"""What happens to a stanza from or to somebody who is blocked (XEP-0191, 3.3)."""

from __future__ import annotations

from typing import cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.plugin import HANDLED, Handled
from stonechat.session import Session
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat_blocking.lists import BlockList, Lists, blocks

NS_ERRORS = "urn:xmpp:blocking:errors"


class Guard:
    """Keeps an account and those whom it has blocked apart.

    Where privacy lists are enabled, they do so: the block list is part of them.
    """

    def __init__(self, host: Host, lists: Lists) -> None:
        self._host = host
        self._lists = lists

    def sent(self, session: Session, stanza: Stanza) -> Handled | None:
        """A local user sends something."""
        account = session.jid.bare
        try:
            blocked = self._lists.of(account.localpart)
        except StanzaError as fault:
            to = stanza.to
            if to is None or is_own(account, to):
                return None
            return _answer(session, stanza, fault)
        if not blocked:
            return None
        to = stanza.to
        if to is None or not self._keeps_apart(blocked, account, to):
            return None
        blocked_error = Element(NS_ERRORS, "blocked")
        error = StanzaError("not-acceptable", type="cancel", application=blocked_error)
        return _answer(session, stanza, error)

    def received(self, stanza: Stanza) -> Handled | None:
        """Something has come for a local user."""
        to = cast(JID, stanza.to)
        try:
            blocked = self._lists.of(to.localpart)
        except StanzaError:
            sender = stanza.from_
            if sender is None or is_own(to.bare, sender):
                return None
            raise
        if not blocked:
            return None
        sender = stanza.from_
        if sender is None or not self._keeps_apart(blocked, to.bare, sender):
            return None
        if type(stanza) is not Presence and not _is_last_word(stanza):
            raise StanzaError("service-unavailable")
        # The user appears offline, and so nobody answers.
        return HANDLED

    def keeps_apart(self, account: JID, other: JID) -> bool:
        """Whether nothing goes between an account and somebody now."""
        blocked = self._lists.of(account.localpart)
        return bool(blocked) and self._keeps_apart(blocked, account.bare, other)

    def is_blocked(self, localpart: str, other: JID) -> bool:
        """The same for an account of this host, by its localpart."""
        blocked = self._lists.of(localpart)
        if not blocked:
            return False
        return self._keeps_apart(blocked, JID.make(localpart, self._host.name), other)

    def _keeps_apart(self, blocked: BlockList, account: JID, other: JID) -> bool:
        return (
            separates(blocked, account, other)
            # Asked last: this is so for the few who have blocked somebody.
            and self._host.service("privacy") is None
        )


def separates(blocked: BlockList, account: JID, other: JID) -> bool:
    """Whether a list, were it in force, would come between an account and somebody."""
    return blocks(blocked, other) and not is_own(account, other)


def is_own(account: JID, other: JID) -> bool:
    """Whether somebody is the account itself, or its server.

    Whatever a user blocks, the account's resources (section 5) and the server stay
    reachable: nobody is to lock themselves out.
    """
    return other.bare == account or (other.is_domain and other.domain == account.domain)


def _answer(session: Session, stanza: Stanza, error: StanzaError) -> Handled:
    if not _is_last_word(stanza):
        # Not by way of the router: it would come back here, as if from the blocked.
        session.send(stanza.error_reply(error))
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
