"""Stanzas from a client: stamped, checked, shown to the plugins, and routed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY, NS_STANZA_ID
from stonechat.protocol.c2s import is_session_request
from stonechat.stanza import PRESENCE_TYPES, Iq, Message, Presence, Stanza
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.core.client_session import ClientSession
    from stonechat.core.router import Router

# Only a server may say these of itself (robustness rule 14).
_OCCUPANT_ID = "urn:xmpp:occupant-id:0 occupant-id"
_SERVER_MARKS = {f"{NS_STANZA_ID} stanza-id": "by", f"{NS_DELAY} delay": "from", _OCCUPANT_ID: ""}


def take(session: ClientSession, stanza: Stanza) -> None:
    """Handle what has come over the session's wire; StreamError ends the stream."""
    written = stanza.attributes.get("from")
    if written is not None:
        _check_sender(session.jid, written)
    stanza.stamp(session.jid)
    for child in stanza.children:
        if child in _SERVER_MARKS:
            _strip_server_marks(stanza, session.host.router)
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
        if not session.host.hooks.presence_from_user.run(presence, session):
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


def _strip_server_marks(stanza: Stanza, router: Router) -> None:
    """Take away every mark that claims to be ours, before any hook sees the stanza."""
    with stanza.edit() as tree:
        for child in tree.elements:
            attribute = _SERVER_MARKS.get(child.qualified_name)
            if attribute is not None and (not attribute or _is_ours(child, attribute, router)):
                tree.remove(child)


def _is_ours(child: Element, attribute: str, router: Router) -> bool:
    """Whether a mark names a domain that this node answers for, a service's among them."""
    try:
        return bool(router.owner(JID.parse(child.get(attribute)).domain))
    except JIDError:
        # A client that looks less closely might take it for ours.
        return True
