"""Which resource a client gets when it binds one (RFC 6120, section 7)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from stonechat.core.session_manager import ENDING_SECONDS
from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.jid import JID

if TYPE_CHECKING:
    from stonechat.core.config_model import Limits
    from stonechat.core.virtual_host import VirtualHost


def choose_jid(
    host: VirtualHost, account: JID, resource: str, address: str, limits: Limits
) -> JID:
    """The full JID for a client that asked for a resource, or for `""`; StanzaError.

    Where a session has to make room it has ended when this returns. May block then.
    """
    manager = host.session_manager
    if not resource:
        _check_room(host, account, limits)
        return account.with_resource(secrets.token_urlsafe(12))
    try:
        jid = account.with_resource(resource)
    except JIDError as error:
        raise StanzaError("bad-request", str(error)) from None
    if manager.session(jid) is None:
        _check_room(host, account, limits)
    # RFC 6120, 7.7.2.2. While one ends, another client may be quicker.
    while (other := manager.occupant(jid)) is not None:
        policy = limits.resource_conflict
        # One that is closed already is only waited for.
        if other.is_open and policy == "refuse":
            raise StanzaError("conflict", "The resource is in use.")
        if other.is_open and policy == "generate" and other.address != address:
            return _similar(host, account, resource, limits)
        other.close(StreamError("conflict", "The resource was bound again."))
        # Its presence is gone before that of its successor comes.
        if not other.wait_until_cleared(ENDING_SECONDS):
            return _similar(host, account, resource, limits)
    return jid


def _similar(host: VirtualHost, account: JID, resource: str, limits: Limits) -> JID:
    """A JID like the one that was asked for."""
    _check_room(host, account, limits)
    return account.with_resource(f"{resource[:500]}.{secrets.token_urlsafe(6)}")


def _check_room(host: VirtualHost, account: JID, limits: Limits) -> None:
    # Those that are closed will be gone in a moment.
    sessions = sum(s.is_open for s in host.session_manager.sessions(account.localpart))
    if sessions >= limits.sessions_per_account:
        # RFC 6120, 7.6.2.1
        raise StanzaError("resource-constraint", "The account has too many sessions.")
