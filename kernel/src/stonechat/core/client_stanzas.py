"""Stanzas from a client: stamped, checked, shown to the plugins, and routed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stonechat.core.server_marks import SERVER_MARKS, strip_server_marks
from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.jid import JID
from stonechat.protocol.c2s import is_session_request
from stonechat.stanza import PRESENCE_TYPES, Iq, Message, Presence, Stanza

if TYPE_CHECKING:
    from stonechat.core.client_session import ClientSession


def take(session: ClientSession, stanza: Stanza) -> None:
    """Handle what has come over the session's wire; StreamError ends the stream."""
    written = stanza.attributes.get("from")
    if written is not None:
        _check_sender(session.jid, written)
    stanza.stamp(session.jid)
    for child in stanza.children:
        if child in SERVER_MARKS:
            strip_server_marks(stanza, session.host.router)
            break
    inlet = session.inlet
    if inlet is not None:
        inlet.handling(stanza)
    receive(session, stanza)
    if inlet is not None:
        inlet.handled(stanza)


def receive(session: ClientSession, stanza: Stanza) -> None:
    """Handle a stanza that is known to be the session's own; what is refused is answered."""
    try:
        _RECEIVERS[type(stanza)](session, stanza)
    except StanzaError as error:
        session.host.router.bounce(stanza, error)
    except JIDError as error:
        session.host.router.bounce(stanza, StanzaError("jid-malformed", str(error)))


def _check_sender(own: JID, written: str) -> None:
    """RFC 6120, 8.1.2.1: the full or the bare JID, or else the stream ends."""
    if written == own.text:
        return
    try:
        claimed = JID.parse(written)
    except JIDError:
        claimed = None
    if claimed not in (own, own.bare):
        raise StreamError("invalid-from")


def _message(session: ClientSession, message: Message) -> None:
    host = session.host
    if host.hooks.message_from_user.run(message, session):
        return
    if message.to is None:
        # RFC 6120, 10.3.1
        message.to = session.jid.bare
    host.router.route(message)


def _presence(session: ClientSession, presence: Presence) -> None:
    type_ = presence.attributes.get("type", "")
    if type_ and type_ not in PRESENCE_TYPES:
        raise StanzaError("bad-request", "There is no such type of presence.")
    if presence.to is not None:
        if session.host.hooks.presence_from_user.run(presence, session):
            return
        # Where a plugin took longer than the session's end can wait, those to whom this goes
        # would never hear of that end.
        if type_ or not session.is_over:
            session.host.router.route(presence)
        return
    if type_ == "unavailable":
        previous = session.presence
        if previous is not None:
            session.presence = None
            session.priority = 0
            _presence_changed(session, presence, previous)
    elif not type_:
        priority = presence.priority
        previous = session.presence
        session.presence = presence
        session.priority = priority
        _presence_changed(session, presence, previous)
    elif type_ != "error":
        raise StanzaError("bad-request", "Presence of this type needs a recipient.")


def _presence_changed(
    session: ClientSession, presence: Presence, previous: Presence | None
) -> None:
    session.host.notify(
        "stonechat_presence_changed",
        {"session": session, "presence": presence, "previous": previous},
    )


def _iq(session: ClientSession, iq: Iq) -> None:
    iq.check()
    host = session.host
    if host.hooks.iq_from_user.run(iq, session):
        return
    if iq.to is not None:
        host.router.route(iq)
        return
    if not iq.is_request:
        host.requests.answered(iq)
    elif is_session_request(iq):
        session.send(iq.result())
    else:
        # RFC 6120, 10.3.3: the server answers for the account.
        host.account_iq.answer(iq)


_RECEIVERS: dict[type[Stanza], Callable[[ClientSession, Any], None]] = {
    Message: _message,
    Presence: _presence,
    Iq: _iq,
}
