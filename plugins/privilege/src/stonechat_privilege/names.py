"""In whose name a component may speak, and to whom."""

from __future__ import annotations

from stonechat.auth import AuthUnavailable
from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Element

NS_BLOCKING_ERRORS = "urn:xmpp:blocking:errors"


def parse_jid(text: str) -> JID:
    """A JID that stands inside of what a component has sent; StanzaError jid-malformed."""
    try:
        return JID.parse(text)
    except JIDError as error:
        raise StanzaError("jid-malformed", str(error)) from None


def is_account(host: Host, jid: JID | None) -> bool:
    """Whether this is the bare JID of an account of the host. May block; StanzaError."""
    if jid is None or not jid.is_bare or jid.domain != host.name or not jid.localpart:
        return False
    try:
        return bool(host.sessions(jid.localpart)) or host.accounts.exists(jid.localpart)
    except AuthUnavailable as error:
        raise StanzaError(
            "internal-server-error", "The account cannot be looked up.", type="wait"
        ) from error


def check_not_blocked(host: Host, account: JID, to: JID) -> None:
    """Refuse what the user could not send: it is to somebody blocked (XEP-0191, XEP-0016)."""
    rules = host.service("privacy") or host.service("blocking")
    if rules is not None and rules.is_blocked(account.localpart, to):
        blocked = Element(NS_BLOCKING_ERRORS, "blocked")
        raise StanzaError("not-acceptable", type="cancel", application=blocked)
