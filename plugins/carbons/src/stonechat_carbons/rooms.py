"""The rooms that sessions are in, as far as what they send tells (XEP-0045)."""

from __future__ import annotations

from collections.abc import Mapping

from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Presence

NS_MUC = "http://jabber.org/protocol/muc"

# Of one session; of more rooms it is not known that it is there.
MAX_ROOMS = 500

_KEY = "carbons"


def nick(session: Session, room: JID) -> str:
    """The nickname that a session has in a room, `""` where it is not there."""
    return rooms_of(session).get(room.text, "")


def rooms_of(session: Session) -> Mapping[str, str]:
    """Nicknames by the rooms' addresses."""
    rooms: Mapping[str, str] = session.data.get(_KEY, {})
    return rooms


def follow(session: Session, presence: Presence) -> None:
    """A session sends presence to somebody: it may enter a room, leave one, change its name.

    That a room has refused it, or put it out, is not looked for: it then gets copies of
    private messages which it can ignore.
    """
    to = presence.to
    if to is None or not to.resource or not to.localpart:
        return
    rooms = session.data.get(_KEY)
    room = to.bare.text
    if presence.type == "unavailable":
        if rooms:
            rooms.pop(room, None)
    elif not presence.type:
        if rooms and room in rooms:
            rooms[room] = to.resource
        elif presence.has(NS_MUC, "x") and len(rooms or ()) < MAX_ROOMS:
            session.data.setdefault(_KEY, {})[room] = to.resource


def restore(session: Session, rooms: Mapping[str, str]) -> None:
    """It goes on after a restart, in its rooms."""
    if rooms:
        session.data[_KEY] = dict(rooms)


def leave(session: Session) -> None:
    """Its presence is gone from all rooms."""
    session.data.pop(_KEY, None)
